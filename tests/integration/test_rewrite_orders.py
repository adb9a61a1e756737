"""Changes that move stages or read files together: the elements and their order are what the change's safety says."""

from __future__ import annotations

import time

import numpy as np
import pytest

from pipeprof.advise.changes import find_change
from pipeprof.advise.equivalence import compare
from pipeprof.advise.match import match_stages
from pipeprof.advise.replayable import Replayable
from pipeprof.advise.sides import Equivalence, Leeway
from pipeprof.capture.datasets import DatasetRegistry
from pipeprof.errors import TrialError
from pipeprof.model.profile import ElementsState

tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.tf


def _change(dataset, kind: str, op: str, **params) -> tuple[Replayable, Replayable]:
    original = Replayable.of(dataset)
    tree = DatasetRegistry().read_tree(dataset)
    names = match_stages(original.graph, tree.stages, tree.output)
    stage_id = {stage.op: stage.id for stage in tree.stages}.get(op, "")
    return original, find_change(kind).rewrite(original, names, stage_id, params)


def _compare(pair: tuple[Replayable, Replayable], limit: int = 40, *, may_reorder: bool = False) -> Equivalence:
    return compare(*pair, limit_elements=limit, epochs=2, time_budget_s=30.0, leeway=Leeway(may_reorder=may_reorder))


def _ops(replayable: Replayable) -> list[str]:
    return [node.op for node in replayable.graph.node if node.op != "Const"]


def _files(tmp_path, count: int = 3, records: int = 20) -> list[str]:
    paths = []
    for number in range(count):
        paths.append(str(tmp_path / f"{number}.tfrecord"))
        with tf.io.TFRecordWriter(paths[-1]) as writer:
            for index in range(records):
                writer.write(f"{number}-{index}".encode())
    return paths


def _plus_one(item):
    return item + 1


def _wait(value):
    if value % 5 == 0:
        time.sleep(0.003)
    return value


def _slow_first(item):
    """Take 3 ms for every fifth element, so that the others overtake it where they may."""
    return tf.numpy_function(_wait, [item], tf.int64)


# --- prefetch and options ----------------------------------------------------------------------------------------


def test_a_prefetch_gives_the_same_elements_and_stands_last():
    pair = _change(tf.data.Dataset.range(50).map(_plus_one).shuffle(9).batch(4), "prefetch", "batch")

    assert _compare(pair).state is ElementsState.IDENTICAL
    assert _ops(pair[1])[-1] == "PrefetchDataset"
    assert pair[1].load().element_spec == pair[0].element_spec


def test_a_pipeline_that_ends_with_a_prefetch_gets_no_other():
    options = tf.data.Options()
    dataset = tf.data.Dataset.range(9).prefetch(2).with_options(options)

    with pytest.raises(TrialError, match="already ends with a prefetch"):
        _change(dataset, "prefetch", "prefetch")


@pytest.mark.parametrize(
    ("kind", "params", "read"),
    [
        ("enable_autotune", {}, lambda options: options.autotune.enabled is True),
        ("limit_memory", {"ram_budget": 12345}, lambda options: options.autotune.ram_budget == 12345),
    ],
)
def test_an_option_is_set_and_the_elements_stay(kind, params, read):
    options = tf.data.Options()
    options.autotune.enabled = False
    dataset = tf.data.Dataset.range(50).map(_plus_one, num_parallel_calls=2).with_options(options).batch(4)

    pair = _change(dataset, kind, "batch", **params)

    assert _compare(pair).state is ElementsState.IDENTICAL
    assert read(pair[1].load().options())
    assert not read(pair[0].load().options())


@pytest.mark.parametrize("params", [{}, {"ram_budget": 0}, {"ram_budget": True}])
def test_a_budget_of_no_bytes_is_refused(params):
    with pytest.raises(TrialError, match="ram_budget"):
        _change(tf.data.Dataset.range(3), "limit_memory", "range", **params)


@pytest.mark.parametrize("finish", [lambda ds: ds, lambda ds: ds.batch(4), lambda ds: ds.padded_batch(7, drop_remainder=True)])
def test_elements_in_the_order_of_the_clock_are_the_same_multiset(finish):
    dataset = finish(tf.data.Dataset.range(60).map(_slow_first, num_parallel_calls=4).map(lambda x: tf.reshape(x, [1])))

    pair = _change(dataset, "nondeterministic", "map")

    result = _compare(pair, 60)
    assert result.state is ElementsState.REORDERED, result.note
    assert pair[1].load().options().deterministic is False


def test_an_order_that_is_asked_for_by_the_stage_itself_stays():
    dataset = tf.data.Dataset.range(60).map(_slow_first, num_parallel_calls=4, deterministic=True)

    with pytest.raises(TrialError, match="no parallel stage follows the option"):
        _change(dataset, "nondeterministic", "map")


# --- files -------------------------------------------------------------------------------------------------------


def _reads(paths):
    return {
        "reader": (tf.data.TFRecordDataset(paths), "TFRecordDataset"),
        "flat_map": (tf.data.Dataset.from_tensor_slices(paths).flat_map(tf.data.TFRecordDataset), "flat_map"),
    }


FINISHES = [lambda ds: ds, lambda ds: ds.batch(7), lambda ds: ds.shuffle(5).batch(8, drop_remainder=True)]


@pytest.mark.parametrize("way", ["reader", "flat_map"])
@pytest.mark.parametrize(
    "finish", [lambda ds: ds, lambda ds: ds.batch(7), lambda ds: ds.shuffle(5).batch(8, drop_remainder=True)]
)
def test_files_that_are_read_together_give_the_same_records_in_another_order(tmp_path, way, finish):
    dataset, op = _reads(_files(tmp_path))[way]

    pair = _change(finish(dataset), "interleave", op, cycle_length=3)

    result = _compare(pair, may_reorder=True)
    assert result.state is ElementsState.REORDERED, result.note
    assert "ParallelInterleaveDatasetV4" in _ops(pair[1])


def test_what_autotune_makes_of_the_cycle_is_what_the_edited_line_gives(tmp_path):
    paths = _files(tmp_path)
    _, changed = _change(tf.data.TFRecordDataset(paths), "interleave", "TFRecordDataset")

    edited = tf.data.TFRecordDataset(paths, num_parallel_reads=tf.data.AUTOTUNE)

    assert list(changed.load().as_numpy_iterator()) == list(edited.as_numpy_iterator())


def test_many_long_files_are_compared_by_a_few_records_of_a_few(tmp_path):
    dataset = tf.data.TFRecordDataset(_files(tmp_path, count=8, records=400)).batch(16)

    result = _compare(_change(dataset, "interleave", "TFRecordDataset", cycle_length=8), 6, may_reorder=True)

    assert result.state is ElementsState.REORDERED, result.note
    assert result.epochs_compared == 2


def test_a_record_that_is_lost_on_the_way_is_seen_in_another_order_too(tmp_path):
    paths = _files(tmp_path)
    original, changed = _change(tf.data.TFRecordDataset(paths).batch(7), "interleave", "TFRecordDataset", cycle_length=3)
    fewer, _ = _change(tf.data.TFRecordDataset(paths[:2]).batch(7), "interleave", "TFRecordDataset", cycle_length=3)

    assert _compare((original, changed), may_reorder=True).state is ElementsState.REORDERED
    assert _compare((original, fewer), may_reorder=True).state is ElementsState.DIFFERENT


def test_what_reads_several_files_already_is_refused(tmp_path):
    dataset = tf.data.Dataset.from_tensor_slices(_files(tmp_path)).interleave(tf.data.TFRecordDataset, cycle_length=2)

    with pytest.raises(TrialError, match="does not read one file after the other"):
        _change(dataset, "interleave", "interleave")


# --- places ------------------------------------------------------------------------------------------------------

MOVED = {
    "skip": lambda ds: ds.skip(7),
    "take": lambda ds: ds.take(7),
    "shard": lambda ds: ds.shard(3, 1),
}


@pytest.mark.parametrize("op", MOVED)
@pytest.mark.parametrize("calls", [None, 2])
@pytest.mark.parametrize("at", ["map", "itself"])
def test_what_throws_away_is_moved_before_the_map_and_the_elements_stay(op, calls, at):
    called = []

    def count(value):
        called.append(value)
        return np.float32(value)

    dataset = MOVED[op](
        tf.data.Dataset.range(30).map(lambda x: tf.numpy_function(count, [x], tf.float32), num_parallel_calls=calls)
    )

    pair = _change(dataset.batch(4), "skip_earlier", op if at == "itself" else "map")

    assert _compare(pair).state is ElementsState.IDENTICAL
    called.clear()
    kept = sum(len(batch) for batch in pair[1].load())
    assert len(called) == kept < 30


def test_types_of_moved_nodes_are_those_of_what_they_read_now():
    dataset = tf.data.Dataset.range(30).map(lambda x: {"a": tf.cast(x, tf.float32), "b": tf.strings.as_string(x)}).skip(3)

    pair = _change(dataset.batch(4), "skip_earlier", "skip")

    node = next(node for node in pair[1].graph.node if node.op == "SkipDataset")
    assert list(node.attr["output_types"].list.type) == [tf.int64.as_datatype_enum]
    assert _compare(pair).state is ElementsState.IDENTICAL


@pytest.mark.parametrize("reshuffle", [True, False])
@pytest.mark.parametrize("seed", [None, 5])
def test_a_shuffle_before_the_map_gives_the_same_order(reshuffle, seed):
    dataset = tf.data.Dataset.range(40).map(lambda x: tf.cast(x, tf.float32) / 3).shuffle(15, seed, reshuffle).batch(4)

    pair = _change(dataset, "shuffle_earlier", "shuffle")

    result = _compare(pair)
    assert result.state is ElementsState.IDENTICAL, result.note
    ops = _ops(pair[1])
    node = next(node for node in pair[1].graph.node if node.op == "ShuffleDatasetV3")
    assert "RangeDataset" in node.input[0]
    assert "MapDataset" in ops


@pytest.mark.parametrize(
    ("kind", "make", "reason"),
    [
        ("skip_earlier", lambda: tf.data.Dataset.range(9).map(_plus_one).batch(2).skip(1), "directly followed"),
        ("skip_earlier", lambda: tf.data.Dataset.range(9).skip(1), "directly followed"),
        ("skip_earlier", lambda: tf.data.Dataset.range(9).filter(lambda x: x > 2).skip(1), "directly followed"),
        ("shuffle_earlier", lambda: tf.data.Dataset.range(9).map(_plus_one).skip(1), "no node of its own"),
    ],
)
def test_stages_that_may_not_change_places_are_refused(kind, make, reason):
    with pytest.raises(TrialError, match=reason):
        _change(make(), kind, "skip" if kind == "skip_earlier" else "shuffle")


# --- caches ------------------------------------------------------------------------------------------------------


def test_a_cache_behind_the_take_is_filled_and_gives_the_same():
    called = []

    def count(value):
        called.append(value)
        return np.int64(value)

    dataset = tf.data.Dataset.range(30).map(lambda x: tf.numpy_function(count, [x], tf.int64)).cache().take(9)
    pair = _change(dataset, "move_cache", "cache")

    assert _compare(pair).state is ElementsState.IDENTICAL
    made = []
    for side in pair:
        called.clear()
        loaded = side.load()
        for _ in range(2):
            list(loaded)
        made.append(len(called))
    assert made[1] == 9 < made[0]


def test_a_cache_that_never_filled_is_not_made_to_freeze():
    dataset = tf.data.Dataset.range(30).map(lambda x: x + tf.random.uniform([], 0, 9, tf.int64)).cache().take(9)

    with pytest.raises(TrialError, match="freeze"):
        _change(dataset, "move_cache", "cache")


@pytest.mark.parametrize("op", ["map", "shuffle"])
def test_a_cache_before_what_is_random_no_longer_freezes_it(op):
    source = tf.data.Dataset.range(30)
    frozen = source.shuffle(30) if op == "shuffle" else source.map(lambda x: x + tf.random.uniform([], 0, 10**9, tf.int64))

    original, changed = _change(frozen.cache(), "move_cache", "cache")

    first = original.load()
    assert list(first.as_numpy_iterator()) == list(first.as_numpy_iterator())
    moved = changed.load()
    assert list(moved.as_numpy_iterator()) != list(moved.as_numpy_iterator())


# --- filters -----------------------------------------------------------------------------------------------------


def _with_label(x):
    return {"image": tf.cast(tf.fill([4, 4], x), tf.float32), "label": x % 5}


FILTERED = {
    "dict": (_with_label, lambda row: row["label"] == 2),
    "tuple": (lambda x: (tf.cast(x, tf.float32), x % 3), lambda _value, label: label == 1),
    "nested tuple": (lambda x: ((x, x + 1), x % 2), lambda pair, odd: (odd == 1) & (pair[1] > 4)),
    "single": (lambda x: x * 2, lambda value: value % 3 == 0),
    "branch": (lambda x: (x, tf.strings.as_string(x)), lambda x, text: tf.strings.length(text) > 1 if x > 3 else False),
}


@pytest.mark.parametrize("name", FILTERED)
@pytest.mark.parametrize("calls", [None, 2])
def test_a_filter_before_the_map_keeps_the_same_elements(name, calls):
    function, predicate = FILTERED[name]
    dataset = tf.data.Dataset.range(40).map(function, num_parallel_calls=calls).filter(predicate).batch(4)

    pair = _change(dataset, "filter_earlier", "filter")

    result = _compare(pair)
    assert result.state is ElementsState.IDENTICAL, result.note
    assert result.elements_compared > 2
    node = next(node for node in pair[1].graph.node if node.op == "FilterDataset")
    assert "RangeDataset" in node.input[0]


def test_a_part_that_draws_or_calls_python_is_left_to_what_is_kept():
    called = []

    def count(value):
        called.append(value)
        return np.int64(value)

    def costly(x):
        return tf.numpy_function(count, [x], tf.int64) + tf.random.uniform([], 0, 9, tf.int64), x % 4

    dataset = tf.data.Dataset.range(40).map(costly).filter(lambda _value, label: label == 3)

    _, changed = _change(dataset, "filter_earlier", "map")

    called.clear()
    labels = [label for _, label in changed.load().as_numpy_iterator()]
    assert labels == [3] * 10
    assert len(called) == 10


def test_a_predicate_that_looks_up_a_table_is_moved_with_it():
    table = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(tf.range(40, dtype=tf.int64), tf.range(40, dtype=tf.int64) % 3), -1
    )
    dataset = (
        tf.data.Dataset.range(40)
        .map(lambda x: (table.lookup(x), tf.sqrt(tf.cast(x, tf.float32))))
        .filter(lambda group, _value: group == 1)
    )

    result = _compare(_change(dataset, "filter_earlier", "filter"))

    assert result.state is ElementsState.IDENTICAL, result.note


@pytest.mark.parametrize(
    ("function", "predicate", "reason"),
    [
        (lambda x: x + tf.random.uniform([], 0, 9, tf.int64), lambda x: x > 9, "must not run twice .*RandomUniform"),
        (lambda x: tf.numpy_function(np.square, [x], tf.int64), lambda x: x > 9, "must not run twice .*PyFunc"),
        (lambda x: tf.ensure_shape(x, []), lambda x: tf.random.uniform([]) > 0.5, "must not run twice .*RandomUniform"),
        (
            lambda x: (tf.debugging.assert_less(x, tf.constant(99, tf.int64)), x)[1],
            lambda x: x > 3,
            "does more than make elements",
        ),
    ],
)
def test_a_filter_that_needs_what_must_not_run_twice_stays(function, predicate, reason):
    dataset = tf.data.Dataset.range(40).map(function).filter(predicate)

    with pytest.raises(TrialError, match=reason):
        _change(dataset, "filter_earlier", "filter")
