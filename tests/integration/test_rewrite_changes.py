"""Changes rewrite serialised pipelines, and their elements stay the same."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from pipeprof.advise.changes import KINDS, find_change
from pipeprof.advise.equivalence import compare
from pipeprof.advise.graph import all_nodes, nodes_by_name, output_name
from pipeprof.advise.match import match_stages
from pipeprof.advise.replayable import Replayable
from pipeprof.capture.datasets import DatasetRegistry
from pipeprof.errors import TrialError
from pipeprof.model.profile import ElementsState

tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.tf

AUTOTUNE = {"num_parallel_calls": -1}


def _match(dataset, replayable: Replayable) -> tuple[dict[str, str], dict[str, str]]:
    """Return stage op -> node name (the last of an op wins), and stage id -> node name."""
    tree = DatasetRegistry().read_tree(dataset)
    names = match_stages(replayable.graph, tree.stages, tree.output)
    return {stage.op: stage.id for stage in tree.stages}, names


def _change(dataset, kind: str, op: str, params: Mapping) -> tuple[Replayable, Replayable]:
    original = Replayable.of(dataset)
    ids, names = _match(dataset, original)
    return original, find_change(kind).rewrite(original, names, ids.get(op, ""), params)


def _compare(pair, limit: int = 30, epochs: int = 2):
    return compare(*pair, limit_elements=limit, epochs=epochs, time_budget_s=30.0)


def _ops(replayable: Replayable) -> list[str]:
    return [node.op for node in replayable.graph.node if node.op != "Const"]


def _images(tmp_path, count: int = 11, files: int = 2) -> list[str]:
    paths = []
    for number in range(files):
        path = str(tmp_path / f"{number}.tfrecord")
        with tf.io.TFRecordWriter(path) as writer:
            for index in range(count):
                pixels = np.full([8, 8, 3], index * 9 + number, np.uint8)
                features = {
                    "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[tf.io.encode_jpeg(pixels).numpy()])),
                    "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[index])),
                }
                writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
        paths.append(path)
    return paths


def _parse(record):
    features = {"image": tf.io.FixedLenFeature([], tf.string), "label": tf.io.FixedLenFeature([], tf.int64)}
    example = tf.io.parse_single_example(record, features)
    return {"image": tf.io.decode_jpeg(example["image"], channels=3)}, example["label"]


def _table():
    keys = tf.range(10, dtype=tf.int64)
    return tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, keys * 3), -1)


def _numpy_map(item):
    return tf.numpy_function(lambda value: np.int64(value * 2), [item], tf.int64)


def _pipeline(name: str, tmp_path):
    range_ = tf.data.Dataset.range
    options = tf.data.Options()
    options.threading.max_intra_op_parallelism = 1
    variable = tf.Variable(3, dtype=tf.int64)
    table = _table()
    ragged = tf.ragged.constant([[1, 2], [], [3], [4, 5, 6], [7]])
    files = _images(tmp_path)
    plain = lambda item: item + 1  # noqa: E731
    makers = {
        "range": lambda: range_(20).map(plain).batch(6).prefetch(1),
        "records": lambda: tf.data.TFRecordDataset(files).map(_parse).batch(4),
        "interleaved": lambda: (
            tf.data.Dataset.from_tensor_slices(files)
            .interleave(tf.data.TFRecordDataset, cycle_length=2)
            .map(_parse)
            .shuffle(5)
            .batch(4)
        ),
        "listed": lambda: (
            tf.data.Dataset.list_files(str(tmp_path / "*.tfrecord"), shuffle=True)
            .interleave(tf.data.TFRecordDataset, cycle_length=2)
            .map(_parse)
            .batch(4)
        ),
        "tuple": lambda: (
            range_(20).map(lambda item: (item, {"square": item * item, "text": tf.strings.as_string(item)})).batch(3)
        ),
        "ragged": lambda: tf.data.Dataset.from_tensor_slices(ragged).map(lambda item: item * 2),
        "sparse": lambda: range_(6).map(lambda item: tf.sparse.from_dense(tf.one_hot(item, 7))).batch(2),
        "shuffled": lambda: range_(20).shuffle(20).map(plain).batch(4),
        "repeated": lambda: range_(7).map(plain).repeat().batch(4),
        "cached": lambda: range_(20).map(plain).cache().shuffle(8).batch(3),
        "zipped": lambda: tf.data.Dataset.zip((range_(20).map(plain), range_(5, 25))),
        "filtered": lambda: range_(20).map(plain).filter(lambda item: item % 3 == 0),
        "taken": lambda: range_(50).skip(30).map(plain).take(10),
        "generated": lambda: tf.data.Dataset.from_generator(
            lambda: iter([1, 2, 3]), output_signature=tf.TensorSpec([], tf.int64)
        ).map(plain),
        "numpy": lambda: range_(10).map(_numpy_map),
        "table": lambda: range_(12).map(table.lookup).batch(5),
        "variable": lambda: range_(8).map(lambda item: item * variable),
        "options": lambda: range_(9).map(plain).with_options(options).batch(2, drop_remainder=True),
        "named": lambda: range_(9).map(lambda item: {"a": item}).map(lambda row: row["a"], name="mine"),
        "already parallel": lambda: range_(9).map(plain, num_parallel_calls=2).batch(2),
    }
    return makers[name]()


_NAMES = [
    "range",
    "records",
    "interleaved",
    "listed",
    "tuple",
    "ragged",
    "sparse",
    "shuffled",
    "repeated",
    "cached",
    "zipped",
    "filtered",
    "taken",
    "generated",
    "numpy",
    "table",
    "variable",
    "options",
    "named",
    "already parallel",
]


@pytest.mark.parametrize("name", _NAMES)
def test_a_parallel_map_gives_the_same_elements(name, tmp_path):
    pair = _change(_pipeline(name, tmp_path), "parallel_calls", "map", AUTOTUNE)

    result = _compare(pair)

    assert result.state is ElementsState.IDENTICAL, result.note
    assert result.elements_compared >= 6
    assert result.epochs_compared == 2
    assert any(op.startswith("ParallelMapDataset") for op in _ops(pair[1]))


@pytest.mark.parametrize("name", _NAMES)
def test_a_thread_pool_gives_the_same_elements_and_is_set(name, tmp_path):
    pair = _change(_pipeline(name, tmp_path), "thread_pool", "map", {"private_threadpool_size": 7})

    result = _compare(pair)

    assert result.state is ElementsState.IDENTICAL, result.note
    assert pair[1].load().options().threading.private_threadpool_size == 7


def test_a_thread_pool_leaves_other_options(tmp_path):
    pair = _change(_pipeline("options", tmp_path), "thread_pool", "map", {"private_threadpool_size": 7})

    assert pair[1].load().options().threading.max_intra_op_parallelism == 1


@pytest.mark.parametrize(
    "name", ["range", "records", "tuple", "ragged", "sparse", "table", "filtered", "taken", "numpy", "zipped"]
)
def test_a_cache_gives_the_same_elements(name, tmp_path):
    pair = _change(_pipeline(name, tmp_path), "cache", "map", {})

    result = _compare(pair)

    assert result.state is ElementsState.IDENTICAL, result.note
    assert "CacheDatasetV2" in _ops(pair[1])


def test_a_cache_is_filled_once_and_afresh_in_each_load():
    calls = []

    def count(value):
        calls.append(value)
        return value

    dataset = tf.data.Dataset.range(5).map(lambda item: tf.numpy_function(count, [item], tf.int64)).batch(2)
    _, changed = _change(dataset, "cache", "map", {})

    first = changed.load()
    made = []
    for loaded in (first, first, changed.load()):
        list(loaded)
        made.append(len(calls))

    assert made == [5, 5, 10]


@pytest.mark.parametrize(
    "make",
    [
        lambda: tf.data.Dataset.range(9).map(lambda item: item + tf.random.uniform([], 0, 9, tf.int64)),
        lambda: tf.data.Dataset.range(9).map(lambda item: tf.image.random_flip_left_right(tf.zeros([2, 2, 1]))),
        lambda: tf.data.Dataset.range(9).shuffle(9).map(lambda item: item),
        lambda: tf.data.Dataset.range(2).interleave(lambda item: tf.data.Dataset.range(5).shuffle(5)).map(lambda item: item),
        lambda: tf.data.Dataset.random(seed=4).take(5).map(lambda item: item),
        lambda: tf.data.Dataset.sample_from_datasets([tf.data.Dataset.range(4), tf.data.Dataset.range(4)]).map(
            lambda item: item
        ),
    ],
)
def test_a_cache_above_randomness_is_refused(make):
    with pytest.raises(TrialError, match="freeze"):
        _change(make(), "cache", "map", {})


def test_a_cache_above_a_generator_object_is_refused():
    generator = tf.random.Generator.from_seed(1)

    with pytest.raises(TrialError, match="freeze"):
        _change(tf.data.Dataset.range(9).map(lambda item: generator.uniform([])), "cache", "map", {})


def test_a_cache_of_an_endless_stage_is_refused():
    with pytest.raises(TrialError, match="never ends"):
        _change(tf.data.Dataset.range(9).repeat().map(lambda item: item), "cache", "map", {})


def test_an_interleave_runs_in_parallel_in_the_same_order(tmp_path):
    files = tf.data.Dataset.from_tensor_slices(_images(tmp_path, files=3))
    dataset = files.interleave(tf.data.TFRecordDataset, cycle_length=2, block_length=2).map(_parse).batch(4)

    pair = _change(dataset, "parallel_calls", "interleave", {"num_parallel_calls": 2})

    assert _compare(pair).state is ElementsState.IDENTICAL
    assert "ParallelInterleaveDatasetV4" in _ops(pair[1])


@pytest.mark.parametrize("op", ["flat_map", "interleave"])
@pytest.mark.parametrize("shared", [False, True])
def test_a_map_inside_a_reader_runs_in_parallel_in_the_same_order(op, shared):
    """Also where another stage has the same function: it keeps its own."""

    def read(number):
        return tf.data.Dataset.range(number * 5, number * 5 + 5).map(
            lambda item: tf.cast(item, tf.float32) + tf.random.uniform([])
        )

    more = {"cycle_length": 1} if op == "interleave" else {}
    dataset = getattr(tf.data.Dataset.range(4), op)(read, **more)
    if shared:
        dataset = tf.data.Dataset.zip((dataset, tf.data.Dataset.range(4).flat_map(read)))

    pair = _change(dataset, "parallel_inside", op, AUTOTUNE)

    parallel = [node.op for node in all_nodes(pair[1].graph)].count("ParallelMapDatasetV2")
    assert (parallel, _compare(pair).state) == (1, ElementsState.SAME_BUT_RANDOM)


@pytest.mark.parametrize(
    ("read", "words"),
    [
        (tf.data.Dataset.range, "no map that runs one call at a time"),
        (
            lambda item: tf.data.Dataset.range(item).map(lambda x: x, num_parallel_calls=2),
            "no map that runs one call at a time",
        ),
        (lambda item: tf.data.Dataset.range(item).map(lambda x: x).map(lambda x: x), "several maps"),
    ],
)
def test_a_reader_without_one_single_map_inside_is_refused(read, words):
    with pytest.raises(TrialError, match=words):
        _change(tf.data.Dataset.range(3).flat_map(read), "parallel_inside", "flat_map", AUTOTUNE)


def test_changes_can_be_made_one_on_top_of_the_other(tmp_path):
    dataset = _pipeline("records", tmp_path)
    original = Replayable.of(dataset)
    ids, names = _match(dataset, original)

    changed = original
    for kind, params in (("parallel_calls", AUTOTUNE), ("cache", {}), ("thread_pool", {"private_threadpool_size": 3})):
        changed = find_change(kind).rewrite(changed, names, ids["map"], params)

    assert _compare((original, changed)).state is ElementsState.IDENTICAL


def test_a_change_never_alters_what_it_was_made_from(tmp_path):
    dataset = _pipeline("records", tmp_path)
    original = Replayable.of(dataset)
    before = original.graph.SerializeToString(deterministic=True)
    ids, names = _match(dataset, original)

    for kind, params in (("parallel_calls", AUTOTUNE), ("cache", {}), ("thread_pool", {"private_threadpool_size": 3})):
        find_change(kind).rewrite(original, names, ids["map"], params)

    assert original.graph.SerializeToString(deterministic=True) == before


def test_a_stage_without_a_node_is_refused(tmp_path):
    original = Replayable.of(_pipeline("range", tmp_path))

    for kind in ("parallel_calls", "cache", "vectorize"):
        with pytest.raises(TrialError, match="no node of its own"):
            find_change(kind).rewrite(original, {}, "s1", AUTOTUNE)


def test_every_stage_of_a_long_pipeline_is_matched(tmp_path):
    dataset = (
        tf.data.TFRecordDataset(_images(tmp_path))
        .map(_parse, num_parallel_calls=2)
        .cache()
        .shuffle(10)
        .repeat(2)
        .padded_batch(3)
        .take(4)
        .prefetch(1)
    )
    replayable = Replayable.of(dataset)
    tree = DatasetRegistry().read_tree(dataset)

    names = match_stages(replayable.graph, tree.stages, tree.output)

    nodes = nodes_by_name(replayable.graph)
    ops = {stage.op: nodes[names[stage.id]].op for stage in tree.stages}
    assert ops["map"] == "ParallelMapDatasetV2"
    assert ops["cache"] == "CacheDatasetV2"
    assert ops["shuffle"] == "ShuffleDatasetV3"
    assert ops["padded_batch"] == "PaddedBatchDatasetV2"
    assert names[tree.output] == output_name(replayable.graph)
    assert len(names) == len(tree.stages)


def test_a_dataset_used_twice_is_left_out():
    shared = tf.data.Dataset.range(5).map(lambda item: item)
    dataset = tf.data.Dataset.zip((shared, shared)).batch(2)
    replayable = Replayable.of(dataset)

    ids, names = _match(dataset, replayable)

    assert ids["map"] not in names
    assert ids["batch"] in names


def test_every_kind_is_found_by_its_name_and_others_are_refused():
    assert all(find_change(name) is kind and kind.kind == name for name, kind in KINDS.items())
    with pytest.raises(TrialError, match="cannot be tried"):
        find_change("move_to_model")


def test_a_map_on_a_source_with_in_memory_arrays_is_rewritten():
    dataset = tf.data.Dataset.from_tensor_slices({"a": np.arange(10), "b": np.ones([10, 2])}).map(lambda row: row["b"] * 2)

    assert _compare(_change(dataset, "parallel_calls", "map", AUTOTUNE)).state is ElementsState.IDENTICAL


def test_a_source_itself_can_be_cached(tmp_path):
    for dataset, op in (
        (tf.data.Dataset.from_tensor_slices(np.arange(9)).batch(2), "from_tensor_slices"),
        (tf.data.TFRecordDataset(_images(tmp_path)).batch(2), "TFRecordDataset"),
    ):
        assert _compare(_change(dataset, "cache", op, {})).state is ElementsState.IDENTICAL
