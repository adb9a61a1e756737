"""Buckets in the place of a padded batch, on real TensorFlow: every row stays, and less of a batch is padding."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from pipeprof.advise.changes import find_change
from pipeprof.advise.changes.bucket import BUCKET, measure_buckets, with_single_rows
from pipeprof.advise.comparing import compare_change, why_untimed
from pipeprof.advise.graph import nodes_by_name, rename_edited
from pipeprof.advise.replayable import Replayable
from pipeprof.capture.datasets import DatasetRegistry
from pipeprof.errors import TrialError
from pipeprof.model.diagnosis import Safety
from pipeprof.model.profile import Change, ElementsState

tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.tf

COUNT = 203
STAGE = "s"


def row(x):
    return tf.fill([x * 37 % 50 + 1], tf.cast(x, tf.int32))


def rows():
    return tf.data.Dataset.range(COUNT)


PIPELINES = {
    "one tensor": lambda: rows().map(row).padded_batch(8),
    "a tuple": lambda: rows().map(lambda x: (row(x), x)).padded_batch(8),
    "label first": lambda: rows().map(lambda x: (x, row(x))).padded_batch(8).repeat(2),
    "a fixed length first": lambda: rows().map(lambda x: (row(x), row(x + 1))).padded_batch(8, ([60], [None])),
    "a dictionary": lambda: rows().map(lambda x: {"words": row(x), "label": x}).padded_batch(8).prefetch(1),
    "nested": lambda: rows().map(lambda x: ({"words": row(x)}, x)).padded_batch(8),
    "values and shapes": lambda: (
        rows()
        .map(lambda x: (row(x), tf.strings.as_string(row(x))))
        .padded_batch(8, padded_shapes=([None], [60]), padding_values=(-1, "-"))
    ),
    "pictures of any height": lambda: rows().map(lambda x: tf.ones([x % 9 + 1, 3])).padded_batch(4, [None, 3]),
    "shuffled": lambda: rows().map(row).shuffle(50).padded_batch(8),
    "drawn": lambda: (
        rows().map(lambda x: (row(x), tf.random.uniform([]))).padded_batch(8).map(lambda words, drawn: (words * 2, drawn))
    ),
    "python": lambda: (
        rows()
        .map(lambda x: tf.ensure_shape(tf.numpy_function(lambda n: np.ones(int(n) % 9 + 1), [x], tf.double), [None]))
        .padded_batch(8)
    ),
}


def parts(dataset):
    replayable = Replayable.of(dataset)
    (node,) = [node.name for node in replayable.graph.node if node.op.startswith("PaddedBatch")]
    return replayable, {STAGE: node}


def compared(dataset, spoil=lambda replayable: replayable):
    original, names = parts(dataset)
    params = measure_buckets(original, names, STAGE, None)
    item = SimpleNamespace(change=Change(kind=BUCKET, params=params), safety=Safety.REORDERS, stage_id=STAGE)

    def rewrite(form):
        return spoil(find_change(BUCKET).rewrite(form, names, STAGE, params))

    changed = rewrite(original)
    return params, changed, compare_change(item, (original, changed), rewrite, names, 30.0)


@pytest.mark.parametrize("name", PIPELINES)
def test_rows_stay_and_meet_others(name):
    dataset = PIPELINES[name]()

    params, changed, found = compared(dataset)

    assert found.state is ElementsState.REORDERED, found.note
    assert found.elements_compared > 100
    assert params["padding_then"] < params["padding_now"] - 0.1
    assert changed.load().element_spec == dataset.element_spec


def lengths_of(batch):
    return [int(np.count_nonzero(item)) for item in batch]


def test_batches_are_of_about_one_length_and_none_is_lost():
    dataset = rows().map(lambda x: tf.ones([x * 37 % 50 + 1])).padded_batch(8)
    params, changed, _ = compared(dataset)
    limits = [0, *map(int, params["boundaries"].split()), 99]

    batches = list(changed.load().as_numpy_iterator())

    for batch in batches:
        lengths = lengths_of(batch)
        assert len(batch) <= 8
        assert batch.shape[1] == max(lengths)
        assert any(low <= min(lengths) and max(lengths) < high for low, high in pairwise(limits))
    assert sorted(length for batch in batches for length in lengths_of(batch)) == sorted(x * 37 % 50 + 1 for x in range(COUNT))
    padded = sum(batch.size for batch in batches)
    assert 1 - sum(x * 37 % 50 + 1 for x in range(COUNT)) / padded == pytest.approx(params["padding_then"], abs=1e-3)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: rows().map(lambda x: tf.ones([3])).padded_batch(8), "no component of the rows varies"),
        (lambda: rows().map(row).take(9).padded_batch(8), "9 rows are too few"),
        (lambda: rows().map(lambda x: tf.ensure_shape(row(x * 0), [None])).padded_batch(8), "no buckets leave less padding"),
        (lambda: rows().map(row).padded_batch(8, [60]), "no component of the rows varies"),
        (lambda: rows().map(row).padded_batch(8, drop_remainder=True), "drop_remainder would leave rows"),
        (lambda: tf.data.Dataset.zip((rows().map(row).padded_batch(8), rows().batch(8))), "Zip behind it would get other"),
        (lambda: rows().map(row).padded_batch(8).take(20), "Take behind it"),
        (lambda: rows().map(row).padded_batch(8).enumerate(), "Zip behind it"),
    ],
)
def test_where_buckets_give_nothing_it_says_why(make, reason):
    original, names = parts(make())

    with pytest.raises(TrialError, match=reason):
        measure_buckets(original, names, STAGE, None)


@pytest.mark.parametrize(
    ("name", "found", "why"),
    [
        ("one tensor", ElementsState.REORDERED, "pipeprof confirm --rerun 3 --allow reorders runs your script with it"),
        ("python", ElementsState.REORDERED, "a stage calls Python, so that it is not made in the running script"),
        ("one tensor", ElementsState.UNCHECKED, "its rows were not proven to stay the same"),
    ],
)
def test_it_says_where_its_gain_can_be_seen(name, found, why):
    written = DatasetRegistry().read_tree(PIPELINES[name]()).stages
    view = SimpleNamespace(stages=[SimpleNamespace(id=item.id, written=item, stage=item) for item in written])
    item = SimpleNamespace(change=Change(kind=BUCKET), stage_id=written[-1].id)

    assert why in why_untimed(item, view, found)


def test_an_epoch_of_few_batches_is_too_short_for_buckets():
    original, names = parts(PIPELINES["one tensor"]())

    with pytest.raises(TrialError, match="an epoch of 26 batches is too short"):
        measure_buckets(original, names, STAGE, 26.0)
    assert len(measure_buckets(original, names, STAGE, 60.0)["boundaries"].split()) == 2


def test_a_fixed_length_does_not_count():
    params, _, _ = compared(PIPELINES["a fixed length first"]())

    assert params["path"] == "row[1]"


def test_lengths_that_were_not_measured_make_no_buckets():
    original, names = parts(PIPELINES["one tensor"]())

    with pytest.raises(TrialError, match="were not measured"):
        find_change(BUCKET).rewrite(original, names, STAGE, {})


def test_rows_that_change_are_found_out():
    def spoil(replayable):
        graph = replayable.copy_graph()
        (node,) = [node for node in graph.node if node.op.startswith(("Map", "ParallelMap"))]
        (function,) = [item for item in graph.library.function if item.signature.name == node.attr["f"].func.name]
        for item in function.node_def:
            item.op = "AddV2" if item.op == "Mul" else item.op
        rename_edited(graph, [function.signature.name])
        return replayable.with_graph(graph)

    _, _, found = compared(rows().map(lambda x: row(x) * 3).padded_batch(8), spoil)

    assert found.state is ElementsState.DIFFERENT


def test_rows_are_compared_one_by_one():
    original, _ = parts(rows().map(row).padded_batch(8))

    single = with_single_rows(original)

    assert [len(batch) for batch in single.load().take(20).as_numpy_iterator()] == [1] * 20
    assert "PaddedBatchDatasetV2" in {node.op for node in nodes_by_name(original.graph).values()}
