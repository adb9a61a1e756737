"""`num_parallel_calls` in every way that people write the call."""

from __future__ import annotations

import pytest

TF = "import tensorflow as tf\n"
CASES = {
    "test_the_argument_is_added": "parallel_calls_added.txt",
    "test_a_given_argument_is_replaced": "parallel_calls_replaced.txt",
}

SPELLINGS = {
    "import tensorflow": ("import tensorflow\n", "tensorflow.data.AUTOTUNE"),
    "another alias": ("import tensorflow as T\n", "T.data.AUTOTUNE"),
    "compat": ("import tensorflow.compat.v2 as tf\n", "tf.data.AUTOTUNE"),
    "submodule": ("import tensorflow.data\n", "tensorflow.data.AUTOTUNE"),
    "submodule alias": ("import tensorflow.data as tfd\n", "tfd.AUTOTUNE"),
    "from tensorflow": ("from tensorflow import data\n", "data.AUTOTUNE"),
    "imported constant": ("from tensorflow.data import AUTOTUNE\n", "AUTOTUNE"),
    "module constant": ("import tensorflow as tf\nAUTOTUNE = tf.data.AUTOTUNE\n", "AUTOTUNE"),
    "old module constant": ("import tensorflow as tf\nAUTO = tf.data.experimental.AUTOTUNE\n", "AUTO"),
    "annotated constant": ("import tensorflow as tf\nAUTO: int = tf.data.AUTOTUNE\n", "AUTO"),
    "alias of the module": ("import tensorflow as tf\ntfd = tf.data\n", "tfd.AUTOTUNE"),
    "guarded import": ("try:\n    import tensorflow as tf\nexcept ImportError:\n    tf = None\n", "tf.data.AUTOTUNE"),
    "constant of another value": ("import tensorflow as tf\nAUTOTUNE = 4\n", "tf.data.AUTOTUNE"),
    "constant with two values": ("import tensorflow as tf\nA = tf.data.AUTOTUNE\nA = 4\n", "tf.data.AUTOTUNE"),
    "constant of one branch": ("import tensorflow as tf\nif fast:\n    A = tf.data.AUTOTUNE\n", "tf.data.AUTOTUNE"),
    "only for type checkers": ("if TYPE_CHECKING:\n    import tensorflow as tf\n", "-1"),
    "no TensorFlow by name": ("from mypipes import ds\n", "-1"),
    "only a class of it": ("from tensorflow.data import Dataset\n", "-1"),
}


def test_the_argument_is_added(workplace, before, after):
    workplace.check(TF + before, TF + after, "parallel_calls", num_parallel_calls=-1)


def test_a_given_argument_is_replaced(workplace, before, after):
    workplace.check(TF + before, TF + after, "parallel_calls", num_parallel_calls=8)


def test_a_file_may_end_without_a_newline(workplace):
    after = TF + "ds = ds.map(f, num_parallel_calls=tf.data.AUTOTUNE)"

    workplace.check(TF + "ds = ds.map(f)§", after, "parallel_calls", num_parallel_calls=-1)


@pytest.mark.parametrize("case", SPELLINGS)
def test_autotune_is_spelled_as_the_file_does(workplace, case):
    header, spelling = SPELLINGS[case]

    workplace.check(
        f"{header}ds = ds.map(f)§\n",
        f"{header}ds = ds.map(f, num_parallel_calls={spelling})\n",
        "parallel_calls",
        num_parallel_calls=-1,
    )


def test_a_local_import_is_used_in_its_function_only(workplace):
    inside = "def make(ds):\n    import tensorflow as tf\n    return ds.map(f{})\n"
    outside = "def load():\n    import tensorflow as tf\n    return tf\n\n\ndef make(ds):\n    return ds.map(f{})\n"

    for text, spelling in ((inside, "tf.data.AUTOTUNE"), (outside, "-1")):
        before = text.format("").replace("ds.map(f)", "ds.map(f)§")
        workplace.check(before, text.format(f", num_parallel_calls={spelling}"), "parallel_calls", num_parallel_calls=-1)


def test_a_shadowed_name_is_not_used(workplace):
    text = "import tensorflow as tf\n\n\ndef make(ds, tf):\n    return ds.map(f{})\n"

    before = text.format("").replace("ds.map(f)", "ds.map(f)§")
    workplace.check(before, text.format(", num_parallel_calls=-1"), "parallel_calls", num_parallel_calls=-1)


def test_a_constant_that_is_made_later_is_not_used(workplace):
    text = "import tensorflow as tf\nds = ds.map(f{})\nAUTOTUNE = tf.data.AUTOTUNE\n"

    before = text.format("").replace("ds.map(f)", "ds.map(f)§")
    workplace.check(before, text.format(", num_parallel_calls=tf.data.AUTOTUNE"), "parallel_calls", num_parallel_calls=-1)


REFUSED = {
    "unpacked keywords": ("ds = ds.map(f, **kwargs)§\n", "takes **kwargs, so its num_parallel_calls cannot be seen"),
    "unpacked arguments": ("ds = ds.map(*args)§\n", "takes *args, so its num_parallel_calls cannot be seen"),
    "same value": ("ds = ds.map(f, num_parallel_calls=-1)§\n", "already has num_parallel_calls=-1"),
    "same old name": ("ds = ds.map(f, tf.data.experimental.AUTOTUNE)§\n", "already has num_parallel_calls="),
    "another method": ("ds = ds.filter(f)§\n", ".filter(...) takes no num_parallel_calls"),
    "a function": ("ds = map(f, ds)§\n", "map(...) takes no num_parallel_calls"),
    "class call": ("ds = tf.data.Dataset.map(ds, f)§\n", "is called on the class, not on a dataset"),
    "synchronous": ("ds = ds.map(f, synchronous=True)§\n", "has synchronous=True"),
    "bare generator": ("ds = ds.map(x for x in y)§\n", "the changed text would not be valid Python"),
    "comment inside the value": (
        "ds = ds.map(f, num_parallel_calls=max(1,  # at least\n    n))§\n",
        "a comment would be lost",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_seen_is_refused_with_the_place(workplace, case):
    text, reason = REFUSED[case]

    patch = workplace.plan(TF + text, "parallel_calls", num_parallel_calls=-1)

    assert patch.diff is None
    assert not patch.files
    assert patch.reason.startswith("train.py:2: ")
    assert reason in patch.reason


@pytest.mark.parametrize("value", [0, -2, True, "4", 1.5])
def test_a_value_that_tensorflow_does_not_take_is_refused(workplace, value):
    patch = workplace.plan("ds = ds.map(f)§\n", "parallel_calls", num_parallel_calls=value)

    assert patch.diff is None
    assert "is no value for num_parallel_calls" in patch.reason


def test_autotune_that_another_module_passes_on_is_there_already(workplace):
    text = "from config import AUTOTUNE\nds = ds.map(f, num_parallel_calls=AUTOTUNE)§\n"

    patch = workplace.plan(text, "parallel_calls", num_parallel_calls=-1)

    assert patch.reason == "train.py:2: .map(...) already has num_parallel_calls=AUTOTUNE."
