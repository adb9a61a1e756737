"""Casts put behind what holds elements while the program builds its datasets: same elements and orders, narrow until then."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import tensorflow as tf

from pipeprof.model.profile import Change
from tests.support.applied import Program, nodes_of, ops_of

pytestmark = pytest.mark.tf

CAST = Change(kind="cast_later")
_PIXELS = np.random.default_rng(1).integers(0, 255, [13, 6, 5, 3]).astype(np.uint8)


def scaled(image, label):
    return tf.cast(tf.image.flip_up_down(image), tf.float32) / 255.0, label


def images():
    return tf.data.Dataset.from_tensor_slices((_PIXELS, np.arange(13)))


BUILDS = {
    "batch": (lambda: images().map(scaled).batch(4), "_BatchDataset"),
    "parallel, of one size": (
        lambda: images().map(scaled, num_parallel_calls=2).batch(4, drop_remainder=True),
        "_BatchDataset",
    ),
    "seeded shuffle and a repeat": (lambda: images().map(scaled).shuffle(5, seed=3).repeat(2).batch(4), "_BatchDataset"),
    "cache": (lambda: images().map(scaled).cache().take(9).prefetch(2).batch(4), "_BatchDataset"),
    "batches made in parallel": (lambda: images().map(scaled).skip(2).batch(4, num_parallel_calls=2), "_ParallelBatchDataset"),
    "shuffle alone": (lambda: images().map(scaled).shuffle(5, seed=7), "_ShuffleDataset"),
}


def all_of(dataset):
    """Return two epochs, all parts of all elements."""
    return [[[part.tolist() for part in tf.nest.flatten(element)] for element in dataset.as_numpy_iterator()] for _ in range(2)]


def narrow_ops(dataset):
    """Return the ops of the stages that hand on pictures as they were decoded."""
    return [
        node.op
        for node in nodes_of(dataset)
        if tf.uint8.as_datatype_enum in node.attr["output_types"].list.type and "Slice" not in node.op
    ]


@pytest.mark.parametrize("name", BUILDS)
def test_elements_and_their_order_stay_and_what_holds_them_is_narrow(name):
    build, holder = BUILDS[name]
    tf.random.set_seed(5)
    native = build()
    expected = all_of(native)
    tf.random.set_seed(5)
    program = Program(build, CAST, class_name=holder)

    tf.random.set_seed(5)
    dataset = program.with_change()

    assert program.applier.problems == ()
    assert dataset.element_spec == native.element_spec
    assert all_of(dataset) == expected
    held = [op for op in ops_of(native) if "Map" not in op and "TensorSlice" not in op and op.endswith(("Dataset", "V2", "V3"))]
    assert set(held) <= set(narrow_ops(dataset)), "all between the two maps is narrow"
    assert sum("MapDataset" in op for op in ops_of(dataset)) == 2


def test_a_file_that_holds_what_was_cast_before_is_left(tmp_path):
    program = Program(lambda: images().map(scaled).cache(str(tmp_path / "kept")).batch(4), CAST, class_name="_BatchDataset")

    dataset = program.with_change()

    assert "a cache between is in a file" in program.reason
    assert sum("MapDataset" in op for op in ops_of(dataset)) == 1


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (lambda: images().batch(4), "no map stands above it"),
        (lambda: images().map(scaled).filter(lambda _image, label: label > 3).batch(4), "no map stands above it"),
        (lambda: images().map(lambda image, label: (tf.image.flip_up_down(image), label)).batch(4), ""),
    ],
)
def test_what_has_no_casts_to_move_stays_as_it_is(build, reason):
    native = ops_of(build())
    program = Program(build, CAST, class_name="_BatchDataset")

    dataset = program.with_change()

    assert reason in program.reason
    assert ops_of(dataset) == native


def test_python_of_the_program_runs_once():
    seen = []

    def noted(image, label):
        seen.append(image.shape)
        return tf.cast(image, tf.float32), label

    program = Program(lambda: images().map(noted).batch(4), CAST, class_name="_BatchDataset")
    seen.clear()

    program.with_change(all_of)

    assert program.applier.problems == ()
    assert len(seen) == 1


def test_keras_is_fed_the_same():
    keras = pytest.importorskip("keras")

    def losses(dataset):
        keras.utils.set_random_seed(1)
        model = keras.Sequential([keras.Input((6, 5, 3)), keras.layers.Flatten(), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        return model.fit(dataset, epochs=2, verbose=0, shuffle=False).history["loss"]

    program = Program(lambda: images().map(scaled).batch(4), CAST, class_name="_BatchDataset")
    changed = program.with_change(losses)

    assert program.applier.problems == ()
    assert changed == losses(images().map(scaled).batch(4))
