"""Elements handed on as they are ready, in the running program: the same ones, where nothing counts on the order."""

from __future__ import annotations

import threading

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import tensorflow as tf

from pipeprof.advise.applied_order import FOLLOWS, ORDER
from pipeprof.model.profile import Change
from tests.support.applied import Program, nodes_of, options_of, values

pytestmark = pytest.mark.tf

AS_READY = Change(kind="nondeterministic")


@pytest.fixture(autouse=True)
def _no_seed():
    tf.random.set_seed(None)
    yield
    tf.random.set_seed(None)


def numbers():
    return tf.data.Dataset.range(40).map(lambda x: x + 1, num_parallel_calls=4)


def with_order(dataset, deterministic):
    options = tf.data.Options()
    options.deterministic = deterministic
    return dataset.with_options(options)


def is_set(dataset):
    return options_of(dataset).deterministic is False


def test_the_option_is_put_behind_the_last_stage_and_the_elements_stay():
    program = Program(lambda: numbers().batch(4), AS_READY, "_BatchDataset")

    dataset = program.with_change()

    assert program.applier.problems == ()
    assert is_set(dataset)
    assert sorted(number for batch in values(dataset) for number in batch) == list(range(1, 41))


class WaitingMap:
    """A map of which the first call waits until all others are through, and hands on nothing before."""

    def __init__(self, **arguments):
        self.others_are_through = threading.Event()
        self.arguments = arguments

    def build(self):
        return tf.data.Dataset.range(8).map(
            lambda x: tf.ensure_shape(tf.numpy_function(self.wait, [x], tf.int64), []), **self.arguments
        )

    def wait(self, x):
        if x == 0:
            self.others_are_through.wait(60)
        return np.int64(x)

    def seven_first(self, dataset):
        """Return the numbers as they come; the one that waits is let go when all others are there."""
        found = []
        for number in dataset.as_numpy_iterator():
            found.append(int(number))
            if len(found) == 7:
                self.others_are_through.set()
        return found


def test_an_element_that_is_not_ready_holds_no_other_back():
    waiting = WaitingMap(num_parallel_calls=2)
    program = Program(waiting.build, AS_READY, "_ParallelMapDataset")

    found = waiting.seven_first(program.with_change())

    assert program.applier.problems == ()
    assert found[-1] == 0
    assert sorted(found) == list(range(8))


def test_a_map_that_is_made_parallel_in_the_same_run_follows_too():
    def build():
        return tf.data.Dataset.range(40).map(lambda x: x + tf.random.uniform([], 0, 1, tf.int64))

    parallel = Change(kind="parallel_calls", params={"num_parallel_calls": 2, ORDER: FOLLOWS})
    program = Program(build, parallel).and_also(Program(build, AS_READY))

    dataset = program.with_change()

    assert program.applier.problems == ()
    assert len(program.applier.applied) == 2
    (made,) = [node for node in nodes_of(dataset) if node.op == "ParallelMapDatasetV2"]
    assert made.attr["deterministic"].s == b"default"
    assert is_set(dataset)
    assert sorted(values(dataset)) == list(range(40))


def test_a_loop_inside_a_function_and_training_with_keras_are_reached():
    def build():
        return numbers().map(lambda x: (tf.cast([x], tf.float32), 1.0)).batch(8)

    program = Program(build, AS_READY, "_BatchDataset")
    model = tf.keras.Sequential([tf.keras.layers.Dense(1, kernel_initializer="zeros")])
    model.compile("sgd", "mse")

    @tf.function
    def total(dataset):
        return dataset.reduce(0.0, lambda old, batch: old + tf.reduce_sum(batch[0]))

    def use(dataset):
        return total(dataset), model.fit(dataset, epochs=2, verbose=0, shuffle=False)

    summed, history = program.with_change(use)

    assert summed == 820
    assert history.epoch == [0, 1]
    assert program.applier.applied


def test_options_that_the_program_sets_later_win_as_they_would_over_an_edited_source():
    program = Program(numbers, AS_READY, "_ParallelMapDataset")

    dataset = program.with_change(lambda dataset: with_order(dataset, True))

    assert program.applier.applied
    assert options_of(dataset).deterministic is True
    assert values(dataset) == list(range(1, 41))


def test_other_options_of_the_program_stay():
    def build():
        options = tf.data.Options()
        options.threading.private_threadpool_size = 5
        return numbers().with_options(options)

    program = Program(build, AS_READY, "_OptionsDataset")

    options = options_of(program.with_change())

    assert options.deterministic is False
    assert options.threading.private_threadpool_size == 5


@pytest.mark.parametrize("class_name", ["_OptionsDataset", "_BatchDataset"])
def test_an_order_that_the_program_asks_for_stays(class_name):
    program = Program(lambda: with_order(numbers(), True).batch(2), AS_READY, class_name)

    dataset = program.with_change()

    assert "the program's own options ask for the order to be kept" in program.reason
    assert not is_set(dataset)


VARIABLE = tf.Variable(0, dtype=tf.int64)


TWO = tf.constant(2, tf.int64)


def same(x):
    return np.int64(x)


def call(x):
    return tf.numpy_function(same, [x], tf.int64)


def inside(x):
    return tf.data.Dataset.range(x).map(lambda y: y + 1, num_parallel_calls=2)


@pytest.mark.parametrize(
    "build",
    [
        lambda: tf.data.Dataset.range(4).interleave(tf.data.Dataset.range, num_parallel_calls=2),
        lambda: tf.data.Dataset.range(4).flat_map(inside),
        lambda: tf.data.TextLineDataset(["a", "b"], num_parallel_reads=tf.data.AUTOTUNE),
        lambda: tf.data.Dataset.range(4).map(call).map(lambda x: x, num_parallel_calls=2),  # before what gives another order
        lambda: tf.data.Dataset.range(4).map(call, num_parallel_calls=2).map(call, num_parallel_calls=2),
        lambda: numbers().shuffle(4),
        lambda: tf.data.Dataset.range(9).take(4).map(lambda x: x, num_parallel_calls=2),
        lambda: tf.data.Dataset.range(9).batch(2).repeat(2).concatenate(numbers().batch(2)),
    ],
)
def test_it_is_set_wherever_a_stage_follows_it_and_none_counts_on_the_order(build):
    program = Program(lambda: build().prefetch(1), AS_READY, "_PrefetchDataset")

    dataset = program.with_change()

    assert program.applier.problems == ()
    assert is_set(dataset)


NO_STAGE = "no parallel stage follows the option"


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (lambda: tf.data.Dataset.range(4).map(lambda x: x), NO_STAGE),
        (lambda: tf.data.Dataset.range(4).map(lambda x: x, num_parallel_calls=2, deterministic=True), NO_STAGE),
        (lambda: numbers().map(call), "a stage calls Python for one element after the other"),
        (lambda: numbers().map(call, num_parallel_calls=1), "a stage calls Python for one element after the other"),
        (lambda: numbers().map(lambda x: VARIABLE.assign_add(x) + 1), "a stage assigns a variable for one element after"),
        (lambda: numbers().map(lambda x: tf.random.uniform([], seed=3)), "its random draws are seeded"),
        (lambda: tf.data.Dataset.zip(numbers(), tf.data.Dataset.range(40)), "zip takes elements by their place"),
        (lambda: numbers().enumerate(), "zip takes elements by their place"),
        (lambda: numbers().take(9), "take takes elements by their place"),
        (lambda: numbers().scan(TWO, lambda old, x: (old + x, old)), "scan takes elements by their place"),
        (lambda: tf.data.Dataset.range(4).flat_map(lambda x: inside(x).take(2)), "takes elements by their place"),
        (lambda: numbers().shuffle(4, seed=3), "a seed is set, and the run would no longer repeat itself"),
    ],
)
def test_what_counts_on_the_order_keeps_it(build, reason):
    program = Program(lambda: build().prefetch(1), AS_READY, "_PrefetchDataset")

    dataset = program.with_change()

    assert reason in program.reason
    assert not is_set(dataset)


def test_a_seeded_program_goes_on_repeating_itself():
    program = Program(lambda: numbers().prefetch(1), AS_READY, "_PrefetchDataset")
    tf.random.set_seed(2)

    dataset = program.with_change()

    assert "a seed is set" in program.reason
    assert values(dataset) == list(range(1, 41))
    assert not is_set(dataset)
