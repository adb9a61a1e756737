"""A map and its batch change places only where that is proven to leave the elements as they are."""

from __future__ import annotations

import numpy as np
import pytest

from pipeprof.advise.changes import find_change
from pipeprof.advise.equivalence import compare
from pipeprof.advise.match import match_stages
from pipeprof.advise.replayable import Replayable
from pipeprof.capture.datasets import DatasetRegistry
from pipeprof.errors import TrialError
from pipeprof.model.profile import ElementsState

tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.tf

_SAFE = {ElementsState.IDENTICAL, ElementsState.EQUAL_WITHIN_ROUNDING}


def _vectorize(dataset, kind: str = "vectorize") -> tuple[Replayable, Replayable]:
    original = Replayable.of(dataset)
    tree = DatasetRegistry().read_tree(dataset)
    names = match_stages(original.graph, tree.stages, tree.output)
    stage = [stage for stage in tree.stages if stage.op == "map"][-1]
    return original, find_change(kind).rewrite(original, names, stage.id, {})


def _images(count: int = 13):
    pixels = np.random.default_rng(1).integers(0, 255, [count, 6, 5, 3]).astype(np.uint8)
    return tf.data.Dataset.from_tensor_slices((pixels, np.arange(count)))


def _rows(count: int = 13):
    return tf.data.Dataset.from_tensor_slices(np.random.default_rng(2).normal(size=[count, 4]).astype(np.float32))


_TABLE_KEYS = ["a", "b", "c"]
_WEIGHTS = np.linspace(0, 1, 5).astype(np.float32)


def _table():
    return tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(_TABLE_KEYS, [1, 2, 3]), 0)


@tf.function
def _scale(value):
    return tf.sqrt(tf.abs(value)) * 2.0


def _accepted():
    table = _table()
    return {
        "cast and scale": lambda: _images().map(lambda image, label: (tf.cast(image, tf.float32) / 255.0, label)),
        "parallel": lambda: _images().map(lambda image, label: (tf.cast(image, tf.float32), label), num_parallel_calls=2),
        "per channel": lambda: _images().map(
            lambda image, _: (tf.cast(image, tf.float32) - [1.0, 2.0, 3.0]) / tf.constant([4.0, 5.0, 6.0])
        ),
        "dict": lambda: _images().map(lambda image, label: {"bright": image > 3, "one_hot": tf.one_hot(label, 20)}),
        "scalars": lambda: tf.data.Dataset.range(20).map(lambda item: item * 3 + item // 2),
        "strings": lambda: tf.data.Dataset.from_tensor_slices(["1", "22", "-3"]).map(tf.strings.to_number),
        "table": lambda: tf.data.Dataset.from_tensor_slices(["a", "b", "zz"]).map(table.lookup),
        "lookup": lambda: tf.data.Dataset.range(5).map(lambda item: tf.gather(_WEIGHTS, item)),
        "last axis": lambda: _rows().map(lambda row: tf.nn.softmax(row) + tf.reduce_sum(row, axis=-1, keepdims=True)),
        "joined": lambda: _rows().map(lambda row: tf.concat([row, row * 2.0], axis=-1)),
        "last element": lambda: _rows().map(lambda row: row[..., 0]),
        "tf.function": lambda: _rows().map(_scale),
        # It reduces over the last three axes, so that it treats a batch image by image, as TensorFlow documents.
        "per_image_standardization": lambda: _images().map(lambda image, _: tf.image.per_image_standardization(image)),
        "above a shuffle": lambda: _rows().shuffle(13).map(lambda row: row + 1.0),
        "above a random map": lambda: _rows().map(lambda row: row + tf.random.uniform([])).map(lambda row: row * 2.0),
    }


@pytest.mark.parametrize("drop", [False, True])
@pytest.mark.parametrize("name", list(_accepted()))
def test_an_elementwise_map_is_batched_first_with_equal_elements(name, drop):
    dataset = _accepted()[name]().batch(3 if drop else 4, drop_remainder=drop).prefetch(1)

    original, changed = _vectorize(dataset)

    result = compare(original, changed, limit_elements=20, time_budget_s=30.0)
    expected = {ElementsState.SAME_BUT_RANDOM} if name == "above a random map" else _SAFE
    assert result.state in expected, result.note
    assert _order(changed) == ["BatchDatasetV2", "ParallelMapDatasetV2" if name == "parallel" else "MapDataset"]


def _order(replayable: Replayable) -> list[str]:
    """Return the ops of the vectorised map and its batch, in the order in which elements pass them."""
    nodes = {node.name: node for node in replayable.graph.node}
    batch = next(node for node in replayable.graph.node if node.op == "BatchDatasetV2")
    reader = next(node for node in replayable.graph.node if batch.name in node.input)
    above = nodes[batch.input[0]]
    return ([above.op] if above.op.endswith("MapDataset") and reader.op == "PrefetchDataset" else []) + [batch.op, reader.op]


def _standardise(image, _label):
    pixels = tf.cast(image, tf.float32)
    return (pixels - tf.reduce_mean(pixels)) / tf.math.reduce_std(pixels)


def _by_rank(image, _label):
    pixels = tf.cast(image, tf.float32)
    return pixels * 2.0 if len(image.shape) == 3 else pixels


def _draw(image, _label):
    return tf.image.random_brightness(tf.cast(image, tf.float32), 0.2)


def _python(image, _label):
    return tf.ensure_shape(tf.numpy_function(lambda value: value, [image], tf.uint8), [6, 5, 3])


def _print(image, _label):
    tf.print("a picture")
    return image


@tf.function
def _tell():
    tf.print("a picture")
    return 1


def _print_within(image, _label):
    _tell()
    return image


def _clip(image, _label):
    limits = tf.constant([0.0, 1.0, 2.0])
    return tf.raw_ops.ClipByValue(t=tf.cast(image[..., 0, :], tf.float32), clip_value_min=-limits, clip_value_max=limits)


_REFUSED = {
    "print": (_print, "PrintV2 is done for each element"),
    "print within": (_print_within, "PrintV2 is done for each element"),
    "limits of a shape": (_clip, "ClipByValue is not known"),
    "reduction": (lambda image, _: tf.reduce_mean(tf.cast(image, tf.float32)), "Mean is not known"),
    "first row": (lambda image, _: image[0], "StridedSlice is not known"),
    "standardisation by hand": (_standardise, "Mean is not known"),
    "reshape": (lambda image, _: tf.reshape(image, [-1]), "Reshape is not known"),
    "matmul": (lambda image, _: tf.linalg.matmul(tf.cast(image[..., 0], tf.float32), tf.ones([5, 2])), "MatMul is not known"),
    "resize": (lambda image, _: tf.image.resize(image, [4, 4]), "not known"),
    "flip": (lambda image, _: tf.image.flip_left_right(image), "not known"),
    "transpose": (lambda image, _: tf.transpose(image), "Transpose is not known"),
    "ranks that differ": (lambda image, label: tf.cast(image, tf.int64) * label, "Mul is not known"),
    "constant output": (lambda image, _: (image, tf.constant(1)), "does not depend on the element"),
    "control flow": (
        lambda image, label: tf.cond(label > 3, lambda: image, lambda: image + tf.constant(1, tf.uint8)),
        "not known",
    ),
    "rank seen by Python": (_by_rank, "other elements|another structure"),
    "random": (_draw, "draws random numbers"),
    "python": (_python, "calls Python"),
}


@pytest.mark.parametrize("name", list(_REFUSED))
def test_a_map_that_is_not_elementwise_is_refused_with_the_reason(name):
    function, reason = _REFUSED[name]

    with pytest.raises(TrialError, match=reason):
        _vectorize(_images().map(function).batch(4))


def test_parsing_single_records_is_refused_with_its_own_remedy():
    feature = tf.train.Feature(int64_list=tf.train.Int64List(value=[1]))
    record = tf.train.Example(features=tf.train.Features(feature={"a": feature})).SerializeToString()
    dataset = tf.data.Dataset.from_tensors(record).repeat(5)
    parsed = dataset.map(lambda item: tf.io.parse_single_example(item, {"a": tf.io.FixedLenFeature([], tf.int64)}))

    with pytest.raises(TrialError, match="parse_example"):
        _vectorize(parsed.batch(2))


def _records(count: int = 13):
    def record(number: int) -> bytes:
        features = {
            "a": tf.train.Feature(int64_list=tf.train.Int64List(value=[number])),
            "b": tf.train.Feature(float_list=tf.train.FloatList(value=[number / 7, number / 3, 1.0])),
            "c": tf.train.Feature(int64_list=tf.train.Int64List(value=range(number % 4))),
        }
        return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()

    return tf.data.Dataset.from_tensor_slices([record(number) for number in range(count)])


_DENSE = {"a": tf.io.FixedLenFeature([], tf.int64), "b": tf.io.FixedLenFeature([3], tf.float32)}


def _halves(record):
    row = tf.io.parse_single_example(record, _DENSE)
    return {"a": tf.cast(row["a"], tf.float32) / 2, "b": tf.reduce_sum(row["b"], axis=-1)}


@pytest.mark.parametrize("parallel", [None, 2])
@pytest.mark.parametrize("drop", [False, True])
def test_a_parser_of_dense_features_parses_whole_batches(parallel, drop):
    dataset = _records().map(_halves, num_parallel_calls=parallel).batch(4, drop_remainder=drop)

    original, changed = _vectorize(dataset, "parse_batch")

    assert compare(original, changed, limit_elements=20, epochs=2, time_budget_s=30.0).state in _SAFE
    ops = [node.op for node in changed.graph.node]
    assert ops.index("BatchDatasetV2") >= 0
    assert changed.load().element_spec == dataset.element_spec


def test_the_edited_parser_still_takes_a_single_record():
    (record,) = _records(1)
    one, many = (parse(record, _DENSE) for parse in (tf.io.parse_single_example, tf.io.parse_example))

    assert {name: value.numpy().tolist() for name, value in one.items()} == {
        name: value.numpy().tolist() for name, value in many.items()
    }


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda item: tf.io.parse_single_example(item, {"c": tf.io.VarLenFeature(tf.int64)}), "ParseExampleV2 is not known"),
        (
            lambda item: tf.io.parse_single_example(
                item, {"c": tf.io.FixedLenSequenceFeature([], tf.int64, allow_missing=True)}
            ),
            "ParseExampleV2 is not known",
        ),
        (lambda item: tf.reduce_sum(tf.io.parse_single_example(item, _DENSE)["b"]), "Sum is not known"),
        (lambda item: _halves(item)["a"] + tf.random.uniform([]), "draws random numbers"),
    ],
)
def test_what_a_parser_does_beside_is_refused_with_the_reason(function, reason):
    with pytest.raises(TrialError, match=reason):
        _vectorize(_records().map(function).batch(4), "parse_batch")


def test_single_records_are_checked_again_once_it_is_made():
    _vectorize(_records().map(_halves).batch(4), "parse_batch")

    with pytest.raises(ValueError, match="must be a scalar"):
        tf.io.parse_single_example(tf.constant(["", ""]), _DENSE)


def test_lines_of_a_table_are_decoded_in_batches_as_they_are():
    lines = tf.data.Dataset.from_tensor_slices([f"{number},{number / 3:.4f}" for number in range(13)])
    dataset = lines.map(lambda line: tf.io.decode_csv(line, [0, 0.0])).batch(4)

    original, changed = _vectorize(dataset)

    assert compare(original, changed, limit_elements=20, epochs=1, time_budget_s=30.0).state in _SAFE


def test_a_map_without_a_batch_behind_it_is_refused():
    with pytest.raises(TrialError, match="not followed directly by a batch"):
        _vectorize(tf.data.Dataset.range(9).map(lambda item: item + 1).shuffle(3).batch(2))


def test_the_user_variables_and_op_seeds_are_not_touched():
    tf.random.set_seed(4)
    expected = float(tf.random.uniform([]))
    tf.random.set_seed(4)

    _vectorize(tf.data.Dataset.range(9).map(lambda item: item * 2).batch(2))

    assert float(tf.random.uniform([])) == expected


def test_other_changes_can_follow_on_the_same_stages():
    dataset = _images().map(lambda image, label: (tf.cast(image, tf.float32), label)).batch(4)
    original, changed = _vectorize(dataset)
    tree = DatasetRegistry().read_tree(dataset)
    names = match_stages(original.graph, tree.stages, tree.output)

    for kind, params in (
        ("parallel_calls", {"num_parallel_calls": 2}),
        ("cache", {}),
        ("thread_pool", {"private_threadpool_size": 2}),
    ):
        changed = find_change(kind).rewrite(changed, names, "s1", params)

    assert compare(original, changed, limit_elements=20, time_budget_s=30.0).state is ElementsState.IDENTICAL
