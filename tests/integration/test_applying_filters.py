"""A filter put before its map while the program builds them: the same elements, fewer calls, or left as it is."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import tensorflow as tf

from pipeprof.model.profile import Change
from tests.support.applied import Program, ops_of

pytestmark = pytest.mark.tf

FILTER = Change(kind="filter_earlier")
THREE = tf.constant(3, tf.int64)
SMALL = tf.constant(9, tf.int64)


@pytest.fixture(autouse=True)
def _no_seed():
    tf.random.set_seed(None)
    yield
    tf.random.set_seed(None)


def program_of(function, predicate, calls=None):
    return Program(
        lambda: tf.data.Dataset.range(40).map(function, num_parallel_calls=calls).filter(predicate).batch(4),
        FILTER,
        "_FilterDataset",
    )


def order_of(dataset):
    return [op for op in ops_of(dataset) if op.startswith(("Map", "ParallelMap", "Filter"))]


def flat(dataset):
    return [[part.numpy().tolist() for part in tf.nest.flatten(batch, expand_composites=True)] for batch in dataset]


def with_label(x):
    return {"image": tf.cast(tf.fill([4, 4], x), tf.float32), "label": x % 5}


@tf.function
def third(x):
    return x % THREE


FILTERED = {
    "dict": (with_label, lambda row: row["label"] == 2),
    "tuple": (lambda x: (tf.cast(x, tf.float32), x % 3), lambda _value, label: label == 1),
    "nested": (lambda x: ((x, x + 1), x % 2), lambda pair, odd: (odd == 1) & (pair[1] > 4)),
    "single": (lambda x: x * 2, lambda value: value % 3 == 0),
    "as it came": (lambda x: (x, tf.strings.as_string(x)), lambda x, _text: x > 20),
    "captured by both": (lambda x: (x * THREE, x + 1), lambda x, more: (x > SMALL) & (more % THREE == 0)),
    "branch": (lambda x: (x, tf.strings.as_string(x)), lambda x, text: tf.strings.length(text) > 1 if x > 3 else False),
    "called": (lambda x: (tf.sqrt(tf.cast(x, tf.float64)), third(x)), lambda _root, rest: rest == 1),
    "ragged": (
        lambda x: (tf.RaggedTensor.from_row_lengths(tf.range(x), [x], validate=False), x),
        lambda row, _x: row.nrows() + 3 > 3,
    ),
}


@pytest.mark.parametrize("calls", [None, 2])
@pytest.mark.parametrize("name", FILTERED)
def test_a_filter_comes_before_the_map_and_keeps_the_same_elements(name, calls):
    program = program_of(*FILTERED[name], calls)
    plain = program.build()

    changed = program.with_change()

    assert program.applier.problems == ()
    assert flat(changed) == flat(plain)
    assert list(plain)
    assert (changed.element_spec, changed.cardinality()) == (plain.element_spec, plain.cardinality())
    assert order_of(plain) == [order_of(changed)[1], "FilterDataset"]
    assert order_of(changed)[0] == "FilterDataset"


def test_neither_function_is_traced_again():
    traced = []

    def function(x):
        traced.append("map")
        return x * 2, x % 4

    def predicate(_value, label):
        traced.append("filter")
        return label == 3

    program = program_of(function, predicate)
    traced.clear()

    program.with_change()

    assert program.applier.applied
    assert traced == ["map", "filter"]


def test_the_map_makes_nothing_of_what_is_rejected_and_the_predicate_only_what_it_needs(tmp_path):
    for number in range(40):
        if number % 4 == 3:
            tf.io.write_file(str(tmp_path / str(number)), "text")

    def read(x):
        return tf.io.read_file(tf.strings.join([str(tmp_path), "/", tf.strings.as_string(x)])), x % 4

    program = program_of(read, lambda _text, label: label == 3)

    texts = program.with_change(lambda dataset: [text for batch, _ in dataset for text in batch.numpy()])

    assert texts == [b"text"] * 10  # where the map read the other files, it would fail


def test_who_else_reads_the_map_has_it_as_it_was():
    def build():
        mapped = tf.data.Dataset.range(8).map(lambda x: x * 2)
        return mapped.filter(lambda x: x > 9), mapped

    program = Program(lambda: build()[0], FILTER, "_FilterDataset")
    program.build = build
    filtered, mapped = program.with_change()

    assert program.applier.applied
    assert list(filtered.as_numpy_iterator()) == [10, 12, 14]
    assert list(mapped.as_numpy_iterator()) == list(range(0, 16, 2))


@pytest.mark.filterwarnings("ignore:Your input ran out of data")  # said of every filtered pipeline
def test_a_loop_inside_a_function_and_training_with_keras_get_the_changed_stages():
    program = program_of(lambda x: (tf.cast([x], tf.float32), x % 4), lambda _value, label: label == 3)
    model = tf.keras.Sequential([tf.keras.layers.Dense(1, kernel_initializer="zeros")])
    model.compile("sgd", "mse")

    @tf.function
    def count(dataset):
        return dataset.reduce(0, lambda old, batch: old + tf.shape(batch[1])[0])

    def use(dataset):
        return count(dataset), model.fit(dataset, epochs=2, verbose=0, shuffle=False), order_of(dataset)

    counted, history, order = program.with_change(use)

    assert counted == 10
    assert history.epoch == [0, 1]
    assert order == ["FilterDataset", "MapDataset"]


def test_an_unseeded_draw_that_the_predicate_does_not_need_stays_in_the_map():
    program = program_of(lambda x: (x + tf.random.uniform([], 0, 1, tf.int64), x % 4), lambda _value, label: label == 3)

    changed = program.with_change()

    assert program.applier.problems == ()
    assert flat(changed) == flat(program.build())


VARIABLE = tf.Variable(1, dtype=tf.int64)


@pytest.mark.parametrize(
    ("function", "predicate", "reason"),
    [
        (lambda x: x + tf.random.uniform([], 0, 9, tf.int64), lambda x: x > 9, "must not run twice (RandomUniformInt)"),
        (lambda x: x + 1, lambda x: tf.random.uniform([]) > 0.5, "must not run twice (RandomUniform)"),
        (lambda x: (x + tf.random.uniform([], 0, 9, tf.int64, seed=3), x), lambda _value, x: x > 9, "draws are seeded"),
        (lambda x: (tf.numpy_function(np.square, [x], tf.int64), x), lambda _value, x: x > 9, "calls Python"),
        (lambda x: (x + VARIABLE, x), lambda _value, x: x > 9, "reads a variable"),
        (lambda x: (x, x), lambda _value, x: x > 9 * VARIABLE, "reads a variable"),
        (
            lambda x: (tf.debugging.assert_less(x, tf.constant(99, tf.int64)), x)[1], lambda x: x > 3,
            "the map does more than make elements (Assert)",
        ),
        (
            lambda x: x, lambda x: (tf.debugging.assert_less(x, tf.constant(99, tf.int64)), x)[1] > 3,
            "the filter does more than make elements (Assert)",
        ),
        (lambda x: (x, tf.timestamp()), lambda x, _time: x > 3, "the map may do more than make elements (Timestamp)"),
    ],
)  # fmt: skip
def test_a_filter_that_cannot_be_moved_safely_stays(function, predicate, reason):
    program = program_of(function, predicate)

    changed = program.with_change()

    assert reason in program.reason
    assert order_of(changed) == ["MapDataset", "FilterDataset"]


def test_draws_of_a_seeded_program_stay_with_their_elements():
    program = program_of(lambda x: (x + tf.random.uniform([], 0, 9, tf.int64), x % 4), lambda _value, label: label == 3)
    tf.random.set_seed(3)
    expected = flat(program.build())
    tf.random.set_seed(3)

    changed = program.with_change()

    assert "draws are seeded" in program.reason
    assert flat(changed) == expected


def test_a_filter_that_reads_no_map_stays():
    program = Program(lambda: tf.data.Dataset.range(9).batch(2).filter(lambda x: x[0] > 2), FILTER, "_FilterDataset")

    changed = program.with_change()

    assert "does not stand directly behind a map" in program.reason
    assert ops_of(changed) == ops_of(program.build())
