"""Maps that are called for whole batches while the program builds its datasets: same elements, Python called once, or left."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import tensorflow as tf

from pipeprof.model.profile import Change
from tests.support.applied import Program, ops_of

pytestmark = pytest.mark.tf

VECTORIZE = Change(kind="vectorize")
PARSE = Change(kind="parse_batch")
_SHIFT = tf.constant([0.5, 1.5, 2.5, 3.5])
_PIXELS = np.random.default_rng(1).integers(0, 255, [13, 6, 5, 3]).astype(np.uint8)
_ROWS = np.random.default_rng(2).normal(size=[13, 4]).astype(np.float32)


def images():
    return tf.data.Dataset.from_tensor_slices((_PIXELS, np.arange(13)))


def rows():
    return tf.data.Dataset.from_tensor_slices(_ROWS)


def numbers():
    return tf.data.Dataset.range(11)


@tf.function
def _roots(value):
    return tf.sqrt(tf.abs(value)) * 2.0


@tf.function
def _nested(value):
    return _roots(value) + 1.0


def _by_rank(value):
    """Give another result where Python sees a batch."""
    return value * 2 if value.shape.rank == 0 else value * 0


BUILDS = {
    "scalars": lambda: numbers().map(lambda x: x * 3 + x // 2),
    "picture and label": lambda: images().map(lambda image, label: (tf.cast(image, tf.float32) / 255.0, label)),
    "dict": lambda: images().map(lambda image, label: {"bright": image > 3, "one_hot": tf.one_hot(label, 20)}),
    "strings": lambda: tf.data.Dataset.from_tensor_slices(["1", "22", "-3"]).map(tf.strings.to_number),
    "captured": lambda: rows().map(lambda row: row + _SHIFT),
    "last axis": lambda: rows().map(lambda row: tf.nn.softmax(row) + tf.reduce_sum(row, axis=-1, keepdims=True)),
    "size of one element": lambda: rows().map(lambda row: row * tf.cast(tf.size(row), tf.float32) + tf.ones_like(row)),
    "functions in functions": lambda: rows().map(_nested),
    "for every picture": lambda: images().map(lambda image, _: tf.image.per_image_standardization(image)),
    "rank that Python sees": lambda: numbers().map(_by_rank),
    "limits": lambda: rows().map(lambda row: tf.raw_ops.ClipByValue(t=row, clip_value_min=-0.5, clip_value_max=0.5)),
    "behind a shuffle": lambda: rows().shuffle(13, seed=3).map(lambda row: row + 1.0),
    "nothing beside": lambda: numbers().map(lambda x: (x + 1, None)),
}


def all_of(dataset):
    """Return two epochs, all parts of all batches."""
    return [
        [[part.numpy().tolist() for part in tf.nest.flatten(batch) if part is not None] for batch in dataset] for _ in range(2)
    ]


def order_of(dataset):
    return [op for op in ops_of(dataset) if "Map" in op or "Batch" in op]


def assert_batched_first(program, plain, batch="BatchDatasetV2", maps="MapDataset"):
    changed = program.with_change()

    assert program.applier.problems == ()
    assert program.applier.applied == ("Do it (x.py:1)",)
    assert changed.element_spec == plain.element_spec
    assert changed.cardinality() == plain.cardinality()
    assert order_of(plain) == [maps, batch]
    assert order_of(changed) == [batch, maps]
    assert all_of(changed) == all_of(plain)


@pytest.mark.parametrize("drop", [False, True])
@pytest.mark.parametrize("name", BUILDS)
def test_a_map_is_called_for_batches_and_every_batch_stays(name, drop):
    def build():
        return BUILDS[name]().batch(4, drop_remainder=drop)

    assert_batched_first(Program(build, VECTORIZE, "_BatchDataset"), build())


def test_parallel_calls_of_both_stages_are_kept():
    def build():
        return rows().map(lambda row: row * 2.0, num_parallel_calls=3, deterministic=True).batch(4, num_parallel_calls=2)

    program = Program(build, VECTORIZE, "_ParallelBatchDataset")

    assert_batched_first(program, build(), "ParallelBatchDataset", "ParallelMapDatasetV2")
    nodes = nodes_of(program.with_change())
    assert nodes["ParallelMapDatasetV2"].attr["deterministic"].s == b"true"
    assert nodes["ParallelBatchDataset"].attr["deterministic"].s == b"default"


def nodes_of(dataset):
    graph = tf.compat.v1.GraphDef.FromString(dataset._as_serialized_graph().numpy())
    return {node.op: node for node in graph.node}


def test_the_function_of_the_program_is_not_called_again():
    seen = []

    def build():
        def function(x):
            seen.append(x)
            return x + 1

        return numbers().map(function).batch(4)

    program = Program(build, VECTORIZE, "_BatchDataset")
    seen.clear()
    changed = program.with_change()

    assert program.applier.applied
    assert len(seen) == 1
    assert order_of(changed) == ["BatchDatasetV2", "MapDataset"]


def test_no_seed_of_the_program_is_used_up():
    def build():
        return numbers().map(lambda x: x + 1).batch(4), float(tf.random.uniform([]))

    program = Program(lambda: build()[0], VECTORIZE, "_BatchDataset")
    program.build = build
    drawn = []
    for make in (program.with_change, build):
        tf.random.set_seed(5)
        drawn.append(make()[1])
    tf.random.set_seed(None)

    assert program.applier.applied
    assert drawn[0] == drawn[1]


def test_who_else_reads_the_map_has_it_as_it_was():
    def build():
        mapped = numbers().map(lambda x: x * 2)
        before, batched = mapped.take(3), mapped.batch(4)
        return batched, before, mapped.skip(9), mapped

    program = Program(lambda: build()[0], VECTORIZE, "_BatchDataset")
    program.build = build
    batched, *others = program.with_change()

    assert program.applier.applied
    assert order_of(batched) == ["BatchDatasetV2", "MapDataset"]
    assert all(order_of(other) == ["MapDataset"] for other in others)
    assert [list(other.as_numpy_iterator()) for other in others] == [[0, 2, 4], [18, 20], list(range(0, 22, 2))]
    assert [batch.tolist() for batch in batched.as_numpy_iterator()] == [[0, 2, 4, 6], [8, 10, 12, 14], [16, 18, 20]]


def test_what_is_made_behind_the_batch_and_keras_get_the_changed_stage():
    def build():
        pairs = rows().map(lambda row: (row * 2.0, tf.reduce_sum(row, axis=-1, keepdims=True)))
        return pairs.batch(4).prefetch(1)

    def fit(dataset):
        tf.keras.utils.set_random_seed(7)
        model = tf.keras.Sequential([tf.keras.Input([4]), tf.keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        losses = model.fit(dataset, epochs=2, shuffle=False, verbose=0).history["loss"]
        return order_of(dataset), losses

    program = Program(build, VECTORIZE, "_BatchDataset")
    order, losses = program.with_change(fit)
    plain_order, plain_losses = fit(build())

    assert order == ["BatchDatasetV2", "MapDataset"]
    assert plain_order == ["MapDataset", "BatchDatasetV2"]
    assert losses == plain_losses


_DENSE = {"a": tf.io.FixedLenFeature([], tf.int64), "b": tf.io.FixedLenFeature([3], tf.float32)}


def records():
    def record(number):
        features = {
            "a": tf.train.Feature(int64_list=tf.train.Int64List(value=[number])),
            "b": tf.train.Feature(float_list=tf.train.FloatList(value=[number / 7, number / 3, 1.0])),
            "c": tf.train.Feature(int64_list=tf.train.Int64List(value=range(number % 4))),
        }
        return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()

    return tf.data.Dataset.from_tensor_slices([record(number) for number in range(13)])


def halves(record):
    row = tf.io.parse_single_example(record, _DENSE)
    return {"a": tf.cast(row["a"], tf.float32) / 2, "b": tf.reduce_sum(row["b"], axis=-1)}


@pytest.mark.parametrize("drop", [False, True])
@pytest.mark.parametrize("calls", [None, 2])
def test_a_parser_parses_whole_batches(drop, calls):
    def build():
        return records().map(halves, num_parallel_calls=calls).batch(4, drop_remainder=drop)

    maps = "MapDataset" if calls is None else "ParallelMapDatasetV2"
    assert_batched_first(Program(build, PARSE, "_BatchDataset"), build(), maps=maps)


def test_a_bad_record_ends_the_program_with_the_same_error():
    def build():
        return records().concatenate(tf.data.Dataset.from_tensors("no record")).map(halves).batch(4)

    program = Program(build, PARSE, "_BatchDataset")
    got = []
    for dataset in (program.with_change(), build()):
        batches = iter(dataset)
        read = [next(batches)["a"].numpy().tolist() for _ in range(3)]
        with pytest.raises(tf.errors.InvalidArgumentError, match="Could not parse"):
            next(batches)
        got.append(read)

    assert program.applier.applied
    assert got[0] == got[1]


def _standardise(image, _label):
    pixels = tf.cast(image, tf.float32)
    return (pixels - tf.reduce_mean(pixels)) / 3.0


def _asserts(value):
    tf.debugging.Assert(value >= 0, [value])
    return value + 1


def _prints(value):
    tf.print("element")
    return value + 1


def _lengths(value):
    return tf.reduce_sum(tf.io.decode_raw(value, tf.uint8), axis=-1, keepdims=True)


def texts():
    return tf.data.Dataset.from_tensor_slices(["a", "bb", "ccc"])


REFUSED = {
    "not elementwise": (lambda: images().map(_standardise), "Mean is not known to treat the elements"),
    "random": (lambda: images().map(lambda image, _: tf.cast(image, tf.float32) + tf.random.uniform([])), "random numbers"),
    "stateless in a branch": (
        lambda: numbers().map(lambda x: tf.cond(x > 3, lambda: x, lambda: x + 1)),
        "is not known to treat the elements",
    ),
    "constant": (lambda: numbers().map(lambda x: (x, tf.constant(1))), "does not depend on the element"),
    "a check": (lambda: numbers().map(lambda x: _asserts(tf.cast(x, tf.int32))), "not proven to work on a batch"),
    "prints in the graph": (lambda: numbers().map(_prints), "PrintV2 is done for each element"),
    "the time": (lambda: numbers().map(lambda x: (x, tf.timestamp() + tf.cast(x, tf.float64) * 0.0)), "Timestamp would be"),
    "limits of their own": (
        lambda: rows().map(lambda row: tf.raw_ops.ClipByValue(t=row, clip_value_min=-_SHIFT, clip_value_max=_SHIFT)),
        "ClipByValue is not known",
    ),
    "parser": (lambda: records().map(halves), "parses one record at a time"),
    "lengths that differ": (lambda: texts().map(_lengths), "the shape at DecodeRaw is not known"),
    "sparse": (
        lambda: numbers().map(lambda x: tf.sparse.from_dense([x])).map(lambda x: x),
        "no plain tensor",
    ),
    "no map": (lambda: numbers().shuffle(3), "does not stand directly behind a map"),
    "a python function": (lambda: numbers().map(lambda x: tf.numpy_function(np.int64, [x], tf.int64)), "calls Python"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_may_mean_something_else_on_a_batch_is_left_as_it_is(name):
    make, reason = REFUSED[name]

    def build():
        return make().batch(2)

    program = Program(build, VECTORIZE, "_BatchDataset")
    changed = program.with_change()

    assert reason in program.reason
    assert program.applier.applied == ()
    assert ops_of(changed) == ops_of(build())


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda item: tf.io.parse_single_example(item, {"c": tf.io.VarLenFeature(tf.int64)}), "no plain tensor"),
        (lambda item: tf.io.parse_single_example(item, _DENSE, example_names="one"), "ParseExampleV2 is not known"),
        (lambda item: halves(item)["a"] + tf.random.uniform([]), "random numbers"),
    ],
)
def test_a_parser_that_cannot_take_batches_is_left_as_it_is(function, reason):
    def build():
        return records().map(function).batch(4)

    program = Program(build, PARSE, "_BatchDataset")
    changed = program.with_change()

    assert reason in program.reason
    assert order_of(changed) == order_of(build())


def test_a_cache_that_another_change_put_behind_the_map_stays_where_it_is():
    def build():
        return numbers().map(lambda x: x + 1).batch(4)

    program = Program(build, VECTORIZE, "_BatchDataset")
    cache = Program(build, Change(kind="cache"), "_MapDataset")._plan.changes[0]
    program._plan = replace(program._plan, changes=(*program._plan.changes, replace(cache, id="other", phrase="Keep it")))

    changed = program.with_change()

    assert program.applier.applied == ("Keep it",)
    assert "another change stands between the two stages" in program.reason
    assert order_of(changed) == ["MapDataset", "BatchDatasetV2"]
    assert all_of(changed) == all_of(build())
