"""A padded batch becomes buckets of length in the user's source."""

from __future__ import annotations

import pytest

CASES = {"test_a_padded_batch_makes_buckets": "bucket.txt"}
MEASURED = {"boundaries": "17 32", "path": "row[0]", "unpacks": True}
IMPORT = "import tensorflow as tf\n"


def test_a_padded_batch_makes_buckets(workplace, before, after):
    workplace.check(before, after, "bucket", **MEASURED)


@pytest.mark.parametrize(
    ("path", "unpacks", "length"),
    [
        ("row", False, "lambda row: tf.shape(row)[0]"),
        ("row['words']", False, "lambda row: tf.shape(row['words'])[0]"),
        ("row[0]['words']", True, "lambda *row: tf.shape(row[0]['words'])[0]"),
    ],
)
def test_the_length_is_that_of_the_component(workplace, path, unpacks, length):
    sizes = "bucket_boundaries=[9], bucket_batch_sizes=[4] * 2"
    after = f"{IMPORT}ds = src.bucket_by_sequence_length(element_length_func={length}, {sizes})\n"

    workplace.check(f"{IMPORT}ds = src.padded_batch(4)§\n", after, "bucket", boundaries="9", path=path, unpacks=unpacks)


@pytest.mark.parametrize(
    ("text", "params", "reason"),
    [
        ("ds = src.padded_batch(4)§\n", MEASURED, "TensorFlow has no name in the file here"),
        (f"{IMPORT}ds = src.batch(4)§\n", MEASURED, ".batch(...) is not a .padded_batch(...) of a dataset"),
        (f"{IMPORT}ds = src.padded_batch(*sizes)§\n", MEASURED, "so its batch_size cannot be seen"),
        (f"{IMPORT}ds = src.padded_batch(padded_shapes=[None])§\n", MEASURED, "has no batch_size"),
        *(
            (f"{IMPORT}ds = src.padded_batch(4, {shapes})§\n", MEASURED, "padded_shapes is not written in lists")
            for shapes in ("[-1]", "padded_shapes=(None,)", "([None], ())", "SHAPES", "{'words': (None,)}", "{**shapes}")
        ),
        (f"{IMPORT}ds = src.padded_batch(4)§\n", {}, "the lengths of the rows were not measured"),
        (f"{IMPORT}ds = src.padded_batch(4)§\n", {**MEASURED, "path": "exit()"}, "the lengths of the rows were not measured"),
    ],
)
def test_what_cannot_be_seen_is_refused(workplace, text, params, reason):
    patch = workplace.plan(text, "bucket", **params)

    assert patch.diff is None
    assert reason in patch.reason
