"""A private thread pool through `tf.data.Options`, where the options can surely be made and given."""

from __future__ import annotations

import pytest

TF = "import tensorflow as tf\n"
MADE = "options = tf.data.Options()"
SIZED = "options.threading.private_threadpool_size = 16"


CASES = {"test_options_are_made_and_given_in_the_safest_form": "thread_pool.txt"}


def test_options_are_made_and_given_in_the_safest_form(workplace, before, after):
    workplace.check(TF + before, TF + after, "thread_pool", private_threadpool_size=16)


def test_lines_are_added_to_a_file_that_ends_without_a_newline(workplace):
    after = f"{TF}ds = ds.batch(8)\n{MADE}\n{SIZED}\nds = ds.with_options(options)"

    workplace.check(f"{TF}ds = ds.batch(8)§", after, "thread_pool", private_threadpool_size=16)


def test_the_new_name_clashes_with_none_in_the_file(workplace):
    before = "def main(options, options_2):\n    ds = make(x=ds.options()).batch(8)§\n"
    after = (
        "def main(options, options_2):\n    ds = make(x=ds.options()).batch(8)\n    options_3 = tf.data.Options()\n"
        "    options_3.threading.private_threadpool_size = 4\n    ds = ds.with_options(options_3)\n"
    )

    workplace.check(TF + before, TF + after, "thread_pool", private_threadpool_size=4)


REFUSED = {
    "no name for TensorFlow": ("from mine import ds\nds = ds.batch(8)§\n", "TensorFlow has no name here"),
    "imported too late": ("ds = ds.batch(8)§\nimport tensorflow as tf\n", "TensorFlow has no name here"),
    "shadowed": ("import tensorflow as tf\ndef make(tf, ds):\n    return ds.batch(8)§\n", "TensorFlow has no name here"),
    "body of a class": (f"{TF}class Data:\n    ds = src.batch(8)§\n", "is in the body of a class"),
    "one-line method": (f"{TF}class Data:\n    def m(self): return src.batch(8)§\n", "is in the body of a class"),
    "no dataset": (f"{TF}ds = tfds.load('mnist')§\n", "is not known to return one tf.data.Dataset"),
    "size set twice": (
        f"{TF}options = tf.data.Options()\n{SIZED}\n{SIZED}\nds = ds.with_options(options).batch(8)§\n",
        "options.threading.private_threadpool_size is set more than once",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_where_there_is_no_safe_place_it_is_refused(workplace, case):
    text, reason = REFUSED[case]

    patch = workplace.plan(text, "thread_pool", private_threadpool_size=16)

    assert patch.diff is None
    assert reason in patch.reason


@pytest.mark.parametrize("value", [0, -1, True, None, "4"])
def test_a_size_that_is_no_number_of_threads_is_refused(workplace, value):
    patch = workplace.plan(f"{TF}ds = ds.batch(8)§\n", "thread_pool", private_threadpool_size=value)

    assert patch.diff is None
    assert "is no value for private_threadpool_size" in patch.reason
