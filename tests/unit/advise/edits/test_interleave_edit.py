"""Files that are read together: `num_parallel_reads` of a reader, `interleave` for `flat_map`."""

from __future__ import annotations

import pytest

TF = "import tensorflow as tf\n"


@pytest.mark.parametrize(
    ("before", "after", "params"),
    [
        (
            "ds = tf.data.TFRecordDataset(files)§.map(f)\n",
            "ds = tf.data.TFRecordDataset(files, num_parallel_reads=tf.data.AUTOTUNE).map(f)\n",
            {},
        ),
        (
            "ds = tf.data.TextLineDataset(\n    files,\n    'GZIP',\n)§\n",
            "ds = tf.data.TextLineDataset(\n    files,\n    'GZIP',\n    num_parallel_reads=8,\n)\n",
            {"cycle_length": 8},
        ),
        (
            "ds = tf.data.FixedLengthRecordDataset(files, 4, 0, 0)§\n",
            "ds = tf.data.FixedLengthRecordDataset(files, 4, 0, 0, num_parallel_reads=tf.data.AUTOTUNE)\n",
            {},
        ),
    ],
)
def test_a_reader_gets_parallel_reads(workplace, before, after, params):
    workplace.check(TF + before, TF + after, "interleave", **params)


@pytest.mark.parametrize(
    ("before", "after", "params"),
    [
        (
            "ds = files.flat_map(tf.data.TFRecordDataset)§.batch(8)\n",
            "ds = files.interleave(tf.data.TFRecordDataset, num_parallel_calls=tf.data.AUTOTUNE).batch(8)\n",
            {},
        ),
        (
            "ds = (\n    files\n    .flat_map(read_all)§  # all\n)\n",
            "ds = (\n    files\n    .interleave(read_all, cycle_length=16, num_parallel_calls=tf.data.AUTOTUNE)  # all\n)\n",
            {"cycle_length": 16},
        ),
    ],
)
def test_a_flat_map_becomes_an_interleave(workplace, before, after, params):
    patch = workplace.plan(TF + before, "interleave", **params)

    assert patch.diff is not None, patch.reason
    assert workplace.apply(patch).decode() == TF + after


@pytest.mark.parametrize(
    ("text", "params", "reason"),
    [
        ("ds = tf.data.TFRecordDataset(files, num_parallel_reads=2)§\n", {}, "already has num_parallel_reads"),
        ("ds = tf.data.TFRecordDataset(files, None, None, 2)§\n", {}, "already has num_parallel_reads"),
        ("ds = tf.data.TFRecordDataset(*args)§\n", {}, "so its num_parallel_reads cannot be seen"),
        ("ds = ds.interleave(f)§\n", {}, "already reads several at a time"),
        ("ds = ds.map(f)§\n", {}, "is not a .flat_map(...) of a dataset, nor a reader of files"),
        ("ds = ds.flat_map(f, 'name')§\n", {}, "has a second argument"),
        ("ds = tf.data.Dataset.flat_map(ds, f)§\n", {}, "is not a .flat_map(...) of a dataset"),
        ("ds = ds.flat_map(f)§\n", {"cycle_length": 0}, "0 is no value for cycle_length"),
    ],
)
def test_what_reads_no_files_or_several_already_is_refused(workplace, text, params, reason):
    patch = workplace.plan(TF + text, "interleave", **params)

    assert patch.diff is None
    assert reason in patch.reason
