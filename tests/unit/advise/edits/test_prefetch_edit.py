"""`.prefetch(tf.data.AUTOTUNE)` behind the last call of a pipeline."""

from __future__ import annotations

import pytest

TF = "import tensorflow as tf\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("ds = ds.map(f).batch(8)§\n", "ds = ds.map(f).batch(8).prefetch(tf.data.AUTOTUNE)\n"),
        (
            "ds = (\n    src\n    .batch(8)§  # small\n)\n",
            "ds = (\n    src\n    .batch(8)  # small\n    .prefetch(tf.data.AUTOTUNE)\n)\n",
        ),
        ("def make():\n    return src.batch(8)§\n", "def make():\n    return src.batch(8).prefetch(tf.data.AUTOTUNE)\n"),
        ("ds = tf.data.TFRecordDataset(f)§\n", "ds = tf.data.TFRecordDataset(f).prefetch(tf.data.AUTOTUNE)\n"),
    ],
)
def test_a_prefetch_joins_the_chain_in_its_style(workplace, before, after):
    workplace.check(TF + before, TF + after, "prefetch")


def test_without_a_name_for_tensorflow_the_number_is_written(workplace):
    workplace.check("ds = ds.batch(8)§\n", "ds = ds.batch(8).prefetch(-1)\n", "prefetch")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ds = ds.prefetch(2)§\n", ".prefetch(...) is already followed by .prefetch()"),
        ("ds = ds.batch(8)§\nds = ds.prefetch(2)\n", ".batch(...) is already followed by .prefetch()"),
        ("ds = build()§\n", "build(...) is not known to return one tf.data.Dataset"),
    ],
)
def test_what_is_no_dataset_or_is_prefetched_is_refused(workplace, text, reason):
    patch = workplace.plan(text, "prefetch")

    assert patch.diff is None
    assert patch.reason == f"train.py:1: {reason}."
