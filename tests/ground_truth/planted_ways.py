"""Each way of consuming, with one slow map: what is planted is always that map, of a kind that is drawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tests.ground_truth import consumers
from tests.ground_truth.chains import batched, labelled, numbers, trim
from tests.ground_truth.costs import CORES, burn, computing, nap, python, sleeping
from tests.ground_truth.draws import Draw, Pace
from tests.ground_truth.registry import Kind, Loop, case


def work(draw: Draw, pace: Pace) -> Callable[[Any], Any]:
    """Return the slow function of a map: native work on all cores, or one call at a time: a random draw, a nap, Python."""
    kind = draw.choice("work", ["native", "random", "nap", "python"])
    if kind == "native":
        return burn(pace.element_s * CORES)
    if kind == "random":
        native = burn(pace.element_s)
        return lambda value: native(value) + tf.random.uniform([])
    return nap(pace.element_s) if kind == "nap" else python(pace.element_s)


def step_of(draw: Draw, pace: Pace) -> Callable[[], object]:
    """Return the consumer's own work: asleep, as on an accelerator, or computing on one core."""
    return draw.choice("step", [sleeping, computing])(pace.step_s)


@case(Kind.PLANTED)
def for_loop(draw: Draw) -> Loop:
    pace = draw.slow_input()
    slow = work(draw, pace)
    dataset = trim(draw, numbers(pace.epoch_elements))
    dataset = dataset.map(slow)  # PLANTED map
    return consumers.for_loop(batched(draw, dataset, pace.batch), step_of(draw, pace), pace.epochs)


@case(Kind.PLANTED)
def next_calls(draw: Draw) -> Loop:
    pace = draw.slow_input()
    slow = work(draw, pace)
    dataset = trim(draw, numbers(pace.epoch_elements))
    dataset = dataset.map(slow)  # PLANTED map
    return consumers.next_calls(batched(draw, dataset, pace.batch), step_of(draw, pace), pace.epochs)


@case(Kind.PLANTED)
def numpy_iterator(draw: Draw) -> Loop:
    pace = draw.slow_input()
    slow = work(draw, pace)
    dataset = trim(draw, numbers(pace.epoch_elements))
    dataset = dataset.map(slow)  # PLANTED map
    return consumers.numpy_iterator(batched(draw, dataset, pace.batch), step_of(draw, pace), pace.epochs)


@case(Kind.PLANTED)
def optionals(draw: Draw) -> Loop:
    pace = draw.slow_input()
    slow = work(draw, pace)
    dataset = trim(draw, numbers(pace.epoch_elements))
    dataset = dataset.map(slow)  # PLANTED map
    return consumers.optionals(batched(draw, dataset, pace.batch), step_of(draw, pace), pace.epochs)


@case(Kind.PLANTED)
def reduction(draw: Draw) -> Loop:
    pace = draw.slow_input(epochs=(1,))
    slow = work(draw, pace)
    dataset = trim(draw, numbers(pace.epoch_elements))
    dataset = dataset.map(slow)  # PLANTED map
    return consumers.reduction(batched(draw, dataset, pace.batch), sleeping(pace.step_s))


@case(Kind.PLANTED)
def loop_over_an_argument(draw: Draw) -> Loop:
    pace = draw.slow_input(epochs=(1,))
    slow = work(draw, pace)
    dataset = trim(draw, numbers(pace.epoch_elements))
    dataset = dataset.map(slow)  # PLANTED map
    return consumers.loop_over_an_argument(batched(draw, dataset, pace.batch), sleeping(pace.step_s))


@case(Kind.PLANTED)
def loop_over_a_closure(draw: Draw) -> Loop:
    pace = draw.slow_input(epochs=(1,))
    slow = work(draw, pace)
    dataset = trim(draw, numbers(pace.epoch_elements))
    dataset = dataset.map(slow)  # PLANTED map
    return consumers.loop_over_a_closure(batched(draw, dataset, pace.batch), sleeping(pace.step_s))


@case(Kind.PLANTED)
def iterator_in_a_function(draw: Draw) -> Loop:
    pace = draw.slow_input(epochs=(1,))
    slow = work(draw, pace)
    dataset = trim(draw, numbers(pace.epoch_elements))
    dataset = dataset.map(slow)  # PLANTED map
    in_one_call = draw.count("steps of a call", 2, 6)
    return consumers.iterator_in_a_function(
        batched(draw, dataset, pace.batch), sleeping(pace.step_s), pace.epoch_steps, in_one_call
    )


@case(Kind.PLANTED)
def keras_fit(draw: Draw) -> Loop:
    from tests.ground_truth import consumers_keras

    pace = draw.slow_input()
    slow = work(draw, pace)
    dataset = trim(draw, numbers(pace.epoch_elements))
    dataset = dataset.map(slow)  # PLANTED map
    return consumers_keras.fit(batched(draw, labelled(dataset), pace.batch), sleeping(pace.step_s), pace.epochs)


@case(Kind.PLANTED)
def keras_steps_per_execution(draw: Draw) -> Loop:
    from tests.ground_truth import consumers_keras

    pace = draw.slow_input()
    slow = work(draw, pace)
    dataset = trim(draw, numbers(pace.epoch_elements))
    dataset = dataset.map(slow)  # PLANTED map
    dataset = batched(draw, labelled(dataset), pace.batch)
    return consumers_keras.fit(dataset, sleeping(pace.step_s), pace.epochs, steps_per_execution=4)


@case(Kind.PLANTED)
def keras_class_weight(draw: Draw) -> Loop:
    from tests.ground_truth import consumers_keras

    pace = draw.slow_input()
    slow = work(draw, pace)
    dataset = trim(draw, numbers(pace.epoch_elements))
    dataset = dataset.map(slow)  # PLANTED map
    dataset = dataset.map(lambda value: (value, tf.cast(value > 0, tf.int32)))
    dataset = batched(draw, dataset, pace.batch)
    return consumers_keras.fit(dataset, sleeping(pace.step_s), pace.epochs, class_weight={0: 1.0, 1: 2.0})


@case(Kind.PLANTED)
def keras_evaluate(draw: Draw) -> Loop:
    from tests.ground_truth import consumers_keras

    pace = draw.slow_input(epochs=(1,))
    slow = work(draw, pace)
    dataset = trim(draw, numbers(pace.epoch_elements))
    dataset = dataset.map(slow)  # PLANTED map
    return consumers_keras.evaluate(batched(draw, labelled(dataset), pace.batch), sleeping(pace.step_s))


@case(Kind.PLANTED)
def keras_predict(draw: Draw) -> Loop:
    from tests.ground_truth import consumers_keras

    pace = draw.slow_input(epochs=(1,))
    slow = work(draw, pace)
    dataset = trim(draw, numbers(pace.epoch_elements))
    dataset = dataset.map(slow)  # PLANTED map
    return consumers_keras.predict(batched(draw, dataset, pace.batch), sleeping(pace.step_s))


@case(Kind.PLANTED)
def keras_train_on_batch(draw: Draw) -> Loop:
    from tests.ground_truth import consumers_keras

    pace = draw.slow_input()
    slow = work(draw, pace)
    dataset = trim(draw, numbers(pace.epoch_elements))
    dataset = dataset.map(slow)  # PLANTED map
    return consumers_keras.train_on_batch(batched(draw, labelled(dataset), pace.batch), sleeping(pace.step_s), pace.epochs)


@case(Kind.PLANTED)
def distributed_dataset(draw: Draw) -> Loop:
    strategy = consumers.two_devices()
    pace = draw.slow_input(epochs=(1,))
    slow = work(draw, pace)
    dataset = trim(draw, numbers(pace.epoch_elements))
    dataset = dataset.map(slow)  # PLANTED map
    dataset = strategy.experimental_distribute_dataset(dataset.batch(pace.batch))
    return consumers.distributed(dataset, sleeping(pace.step_s))


@case(Kind.PLANTED)
def datasets_from_function(draw: Draw) -> Loop:
    strategy = consumers.two_devices()
    pace = draw.slow_input(epochs=(1,))
    slow = work(draw, pace)

    def make(_context: object) -> Any:
        dataset = trim(draw, numbers(2 * pace.epoch_elements))
        dataset = dataset.map(slow)  # PLANTED map
        return dataset.batch(pace.batch)

    return consumers.distributed(strategy.distribute_datasets_from_function(make), sleeping(2 * pace.step_s))


@case(Kind.PLANTED)
def two_pipelines_in_one_loop(draw: Draw) -> Loop:
    pace = draw.slow_input(epochs=(1,))
    slow = work(draw, pace)
    dataset = trim(draw, numbers(pace.epoch_elements))
    dataset = dataset.map(slow)  # PLANTED map
    other = numbers(10**9).batch(draw.count("batch of the other", 2, 64))
    return consumers.in_turn(batched(draw, dataset, pace.batch), other, step_of(draw, pace))


@case(Kind.PLANTED)
def background_thread(draw: Draw) -> Loop:
    pace = draw.slow_input(epochs=(1,))
    slow = work(draw, pace)
    dataset = trim(draw, numbers(pace.epoch_elements))
    dataset = dataset.map(slow)  # PLANTED map
    return consumers.background_thread(batched(draw, dataset, pace.batch), sleeping(pace.step_s), draw.count("queue", 1, 4))
