"""A prefetch that gets a smaller number, wherever its size stands."""

from __future__ import annotations

import pytest

TF = "import tensorflow as tf\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("ds = ds.prefetch(500)§\n", "ds = ds.prefetch(2)\n"),
        ("ds = ds.batch(8).prefetch(buffer_size=500)§.take(3)\n", "ds = ds.batch(8).prefetch(buffer_size=2).take(3)\n"),
        ("ds = ds.prefetch(name='p', buffer_size=500)§\n", "ds = ds.prefetch(name='p', buffer_size=2)\n"),
        ("ds = ds.prefetch(500, 'p')§\n", "ds = ds.prefetch(2, 'p')\n"),
        ("ds = ds.prefetch(4 * BATCH)§  # many\n", "ds = ds.prefetch(2)  # many\n"),
        ("ds = ds.prefetch(config.size)§\n", "ds = ds.prefetch(2)\n"),
        (
            "ds = (\n    src\n    .batch(8)\n    .prefetch(\n        (500),  # many\n    )§\n)\n",
            "ds = (\n    src\n    .batch(8)\n    .prefetch(\n        (2),  # many\n    )\n)\n",
        ),
        ("ds = src.batch(8). \\\n    prefetch(500)§\n", "ds = src.batch(8). \\\n    prefetch(2)\n"),
    ],
)
def test_the_number_is_replaced_where_it_stands(workplace, before, after):
    workplace.check(TF + before, TF + after, "shrink_prefetch", buffer_size=2)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ds = ds.prefetch(2)§\n", ".prefetch(...) already holds no more than 2"),
        ("ds = ds.prefetch(1)§\n", ".prefetch(...) already holds no more than 1"),
        ("ds = ds.prefetch(-1)§\n", "TensorFlow already sizes the buffer of .prefetch(...)"),
        ("ds = ds.prefetch(tf.data.AUTOTUNE)§\n", "TensorFlow already sizes the buffer of .prefetch(...)"),
        ("ds = ds.prefetch(next(sizes))§\n", "the size of .prefetch(...) is worked out where it stands (next(sizes))"),
        ("ds = ds.prefetch((n := 500))§\n", "the size of .prefetch(...) is worked out where it stands (n := 500)"),
        ("ds = ds.prefetch(*sizes)§\n", ".prefetch(...) takes *sizes, so its buffer_size cannot be seen"),
        ("ds = ds.prefetch(name='p')§\n", ".prefetch(...) has no buffer_size"),
        ("ds = tf.data.Dataset.prefetch(ds, 500)§\n", ".prefetch(...) is not a .prefetch(...) of a dataset"),
        ("ds = ds.batch(500)§\n", ".batch(...) is not a .prefetch(...) of a dataset"),
    ],
)
def test_what_is_no_number_of_its_own_is_refused(workplace, text, reason):
    patch = workplace.plan(TF + text, "shrink_prefetch", buffer_size=2)

    assert patch.diff is None
    assert patch.reason == f"train.py:2: {reason}."


@pytest.mark.parametrize("value", [0, -1, True, None, "4"])
def test_what_is_no_number_of_elements_is_refused(workplace, value):
    patch = workplace.plan("ds = ds.prefetch(500)§\n", "shrink_prefetch", buffer_size=value)

    assert patch.diff is None
    assert "is no value for buffer_size" in patch.reason
