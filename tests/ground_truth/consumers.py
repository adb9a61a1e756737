"""Ways of consuming a pipeline in a loop of one's own: eager, inside a graph, distributed, in a thread.

The one idea: each returns a loop that takes the clock and tells it each step. In a graph the step is a ``numpy_function`` that
runs it. Nothing here builds a pipeline.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from queue import Queue
from typing import Any

import tensorflow as tf

from tests.ground_truth.clock import Clock
from tests.ground_truth.registry import Loop

Step = Callable[[], object]


def for_loop(dataset: Any, step: Step, epochs: int = 1) -> Loop:
    def run(clock: Clock) -> None:
        for _ in range(epochs):
            for _batch in dataset:
                clock.step(step)

    return run


def next_calls(dataset: Any, step: Step, epochs: int = 1) -> Loop:
    def run(clock: Clock) -> None:
        for _ in range(epochs):
            iterator = iter(dataset)
            while next(iterator, None) is not None:
                clock.step(step)

    return run


def numpy_iterator(dataset: Any, step: Step, epochs: int = 1) -> Loop:
    def run(clock: Clock) -> None:
        for _ in range(epochs):
            for _batch in dataset.as_numpy_iterator():
                clock.step(step)

    return run


def optionals(dataset: Any, step: Step, epochs: int = 1) -> Loop:
    def run(clock: Clock) -> None:
        for _ in range(epochs):
            iterator = iter(dataset)
            while iterator.get_next_as_optional().has_value():
                clock.step(step)

    return run


def in_turn(dataset: Any, other: Any, step: Step) -> Loop:
    """Take a batch of each pipeline for every step."""

    def run(clock: Clock) -> None:
        for _batch in zip(other, dataset, strict=False):
            clock.step(step)

    return run


def background_thread(dataset: Any, step: Step, ahead: int) -> Loop:
    """Read the pipeline in a thread that feeds a queue; the clock is the reader's of the queue."""

    def run(clock: Clock) -> None:
        queue: Queue[Any] = Queue(ahead)

        def feed() -> None:
            for batch in dataset:
                queue.put(batch)
            queue.put(None)

        thread = threading.Thread(target=feed)
        thread.start()
        while queue.get() is not None:
            clock.step(step)
        thread.join()

    return run


# --- inside a graph ----------------------------------------------------------------------------------------------


def _in_graph(clock: Clock, step: Step) -> Callable[[Any], Any]:
    def run(_batch: Any) -> float:
        clock.step(step)
        return 0.0

    return lambda batch: tf.numpy_function(run, [tf.nest.flatten(batch)[0]], tf.float64)


def loop_over_an_argument(dataset: Any, step: Step) -> Loop:
    def run(clock: Clock) -> None:
        consume = _in_graph(clock, step)

        @tf.function
        def train(batches: Any) -> Any:
            for batch in batches:
                consume(batch)

        train(dataset)

    return run


def loop_over_a_closure(dataset: Any, step: Step) -> Loop:
    def run(clock: Clock) -> None:
        consume = _in_graph(clock, step)

        @tf.function
        def train() -> Any:
            total = tf.constant(0.0, tf.float64)
            for batch in dataset:
                total += consume(batch)
            return total

        train()

    return run


def iterator_in_a_function(dataset: Any, step: Step, steps: int, in_one_call: int) -> Loop:
    def run(clock: Clock) -> None:
        consume = _in_graph(clock, step)
        iterator = iter(dataset)

        @tf.function
        def some_steps() -> None:
            for _ in tf.range(in_one_call):
                consume(next(iterator))

        for _ in range(steps // in_one_call):
            some_steps()

    return run


def reduction(dataset: Any, step: Step) -> Loop:
    def run(clock: Clock) -> None:
        consume = _in_graph(clock, step)
        dataset.reduce(tf.constant(0.0, tf.float64), lambda total, batch: total + consume(batch))

    return run


# --- distributed -------------------------------------------------------------------------------------------------


def two_devices() -> Any:
    """Return a strategy over two logical CPUs; must be asked for before anything computes."""
    [cpu] = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    return tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"])


def distributed(batches: Iterable[Any], step: Step) -> Loop:
    def run(clock: Clock) -> None:
        for _batch in batches:
            clock.step(step)

    return run
