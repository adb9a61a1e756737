"""Rules of caches, buffers, memory and Python: pipelines with one such problem, and the same cured."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import psutil
import tensorflow as tf

from tests.ground_truth.chains import AUTO, numbers
from tests.ground_truth.clock import Clock
from tests.ground_truth.consumers import for_loop
from tests.ground_truth.costs import CORES, burn, nap, sleeping
from tests.ground_truth.draws import Draw, Pace
from tests.ground_truth.registry import Kind, Loop, case

_FLOATS_OF_A_MB = 250_000


def wide(size: int) -> Callable[[Any], Any]:
    """Return a function that makes a row of so many floats, as a decoder does."""
    return lambda value: tf.fill([size], tf.cast(value, tf.float32))


def first_steps(dataset: Any, step: Callable[[], object], steps: int) -> Loop:
    """Read the start of an epoch, as a short run of a long program does."""

    def run(clock: Clock) -> None:
        for number, _batch in enumerate(dataset, 1):
            clock.step(step)
            if number >= steps:
                return

    return run


def built_anew(build: Callable[[], Any], step: Callable[[], object], epochs: int, kept: list[Any], keep: int) -> Loop:
    """Build the dataset in every epoch and keep the last ones."""

    def run(clock: Clock) -> None:
        for _ in range(epochs):
            kept.append(build())
            del kept[:-keep]
            for _batch in kept[-1]:
                clock.step(step)

    return run


def keeping(dataset: Any, step: Callable[[], object], epochs: int, keep: int) -> Loop:
    """Keep the last batches."""

    def run(clock: Clock) -> None:
        kept: list[Any] = []
        for _ in range(epochs):
            for batch in dataset:
                kept.append(batch)
                del kept[:-keep]
                clock.step(step)

    return run


# --- caches ------------------------------------------------------------------------------------------------------


@case(Kind.PLANTED, fires=("PP401",))
def work_repeated_in_every_epoch(draw: Draw) -> Loop:
    """What comes out of the batch is the smallest that holds all the work; a cache before it saves nearly the same."""
    pace = draw.slow_input(epochs=(3, 4))
    native = burn(pace.element_s * CORES)
    dataset = numbers(pace.epoch_elements)
    dataset = dataset.map(native, num_parallel_calls=AUTO)  # PLANTED map
    dataset = dataset.batch(pace.batch)  # PLANTED batch
    return for_loop(dataset.prefetch(2), sleeping(pace.step_s), pace.epochs)


@case(Kind.PLANTED, fires=("PP403",))
def take_behind_the_cache(draw: Draw) -> Loop:
    """The cache never completes; the map before it is what runs again, and as right an answer to what is slow."""
    pace = draw.slow_input(epochs=(3, 4))
    native = burn(pace.element_s * CORES)
    dataset = numbers(2 * pace.epoch_elements)
    dataset = dataset.map(native, num_parallel_calls=AUTO)  # PLANTED map
    dataset = dataset.cache()  # PLANTED cache
    dataset = dataset.take(pace.epoch_elements)
    return for_loop(dataset.batch(pace.batch).prefetch(2), sleeping(pace.step_s), pace.epochs)


@case(Kind.PLANTED, silent=("PP403", "PP401"))
def take_before_the_cache(draw: Draw) -> Loop:
    """The first epoch pays for the map, the others do not."""
    pace = draw.slow_input(epochs=(3, 4))
    native = burn(pace.element_s * CORES)
    dataset = numbers(2 * pace.epoch_elements).take(pace.epoch_elements)
    dataset = dataset.map(native, num_parallel_calls=AUTO)  # PLANTED map
    dataset = dataset.cache()
    return for_loop(dataset.batch(pace.batch).prefetch(2), sleeping(pace.step_s), pace.epochs)


@case(Kind.PLANTED, fires=("PP404",))
def cache_of_more_than_the_memory(draw: Draw) -> Loop:
    """The run sees the start of an epoch, at whose end the cache would hold several times the memory."""
    size, batch = draw.count("floats", 16_000, 64_000), draw.choice("batch", [2, 4])
    count = round(draw.number("times the memory", 2, 8) * psutil.virtual_memory().total / (4 * size))
    dataset = numbers(count).map(wide(size), num_parallel_calls=AUTO)
    dataset = dataset.cache()  # PLANTED cache
    return first_steps(dataset.batch(batch).prefetch(2), sleeping(draw.number("step, s", 0.02, 0.04)), 120)


@case(Kind.HEALTHY, silent=("PP404",))
def cache_of_what_is_small(draw: Draw) -> Loop:
    size, batch = draw.count("floats", 16_000, 64_000), draw.choice("batch", [2, 4])
    count = draw.count("elements", 100_000, 1_000_000)
    dataset = numbers(count).map(lambda value: value + 1, num_parallel_calls=AUTO).cache()
    dataset = dataset.map(wide(size), num_parallel_calls=AUTO)
    return first_steps(dataset.batch(batch).prefetch(2), sleeping(draw.number("step, s", 0.02, 0.04)), 120)


# --- memory ------------------------------------------------------------------------------------------------------


@case(Kind.PLANTED, fires=("PP405",))
def shuffle_of_decoded_elements(draw: Draw) -> Loop:
    """The map makes the elements large: what fills the buffer for so long is as right an answer to what is slow."""
    buffer = round(draw.number("share of memory", 0.03, 0.05) * psutil.virtual_memory().total / 1e6)
    dataset = numbers(buffer + 200)
    dataset = dataset.map(wide(_FLOATS_OF_A_MB), num_parallel_calls=AUTO)  # PLANTED map
    dataset = dataset.shuffle(buffer)  # PLANTED shuffle
    return first_steps(dataset.batch(2).prefetch(2), sleeping(draw.number("step, s", 0.03, 0.05)), 80)


@case(Kind.HEALTHY, silent=("PP405",))
def shuffle_before_decoding(draw: Draw) -> Loop:
    buffer = round(draw.number("share of memory", 0.03, 0.05) * psutil.virtual_memory().total / 1e6)
    dataset = numbers(buffer + 200).shuffle(buffer).map(wide(_FLOATS_OF_A_MB), num_parallel_calls=AUTO)
    return first_steps(dataset.batch(2).prefetch(2), sleeping(draw.number("step, s", 0.03, 0.05)), 80)


def _cached_anew(draw: Draw) -> tuple[Callable[[], Any], Callable[[], object]]:
    elements = draw.count("MB of an epoch", 30, 60)

    def build() -> Any:
        dataset = numbers(elements).map(wide(_FLOATS_OF_A_MB), num_parallel_calls=AUTO)
        return dataset.cache().batch(2).prefetch(2)

    return build, sleeping(draw.number("step, s", 0.015, 0.025))


@case(Kind.CONFOUNDER, fires=("PP406",), may=("PP609",))
def caches_of_all_epochs_are_kept(draw: Draw) -> Loop:
    """Each epoch makes a dataset with a cache, and a list holds them all."""
    build, step = _cached_anew(draw)
    return built_anew(build, step, 9, [], keep=100)


@case(Kind.CONFOUNDER, silent=("PP406",), may=("PP609",))
def the_cache_of_one_epoch_is_kept(draw: Draw) -> Loop:
    build, step = _cached_anew(draw)
    return built_anew(build, step, 9, [], keep=1)


@case(Kind.CONFOUNDER, fires=("PP406",))
def batches_are_kept(draw: Draw) -> Loop:
    """The program appends each batch to a list."""
    epochs, elements = draw.choice("epochs", [1, 6]), draw.count("elements", 280, 420)
    dataset = numbers(elements // epochs).map(wide(_FLOATS_OF_A_MB), num_parallel_calls=AUTO).batch(2).prefetch(2)
    return keeping(dataset, sleeping(draw.number("step, s", 0.02, 0.03)), epochs, keep=10_000)


@case(Kind.CONFOUNDER, silent=("PP406",))
def a_few_batches_are_kept(draw: Draw) -> Loop:
    epochs, elements = draw.choice("epochs", [1, 6]), draw.count("elements", 280, 420)
    dataset = numbers(elements // epochs).map(wide(_FLOATS_OF_A_MB), num_parallel_calls=AUTO).batch(2).prefetch(2)
    return keeping(dataset, sleeping(draw.number("step, s", 0.02, 0.03)), epochs, keep=2)


# --- work before a draw -------------------------------------------------------------------------------------------


def _drawn(draw: Draw) -> tuple[Pace, Any, float]:
    """Draw a loop of some epochs that waits, what computes natively for one element, and a random range."""
    step_s, batch = draw.number("step, s", 0.008, 0.015), draw.choice("batch", [4, 8])
    epochs, input_s = draw.count("epochs", 3, 5), step_s * draw.number("input in steps", 2.0, 3.0)
    pace = Pace(step_s=step_s, input_s=input_s, batch=batch, steps=round(6 / input_s), epochs=epochs)
    return pace, burn(pace.element_s), draw.number("noise", 0.1, 1.0)


@case(Kind.PLANTED, fires=("PP407",))
def dear_work_before_a_draw(draw: Draw) -> Loop:
    pace, native, noise = _drawn(draw)
    dataset = numbers(pace.epoch_elements)
    dataset = dataset.map(lambda value: native(value) * tf.random.uniform([], 0, noise))  # PLANTED map
    return for_loop(dataset.shuffle(16).batch(pace.batch).prefetch(2), sleeping(pace.step_s), pace.epochs)


@case(Kind.HEALTHY, silent=("PP407",))
def dear_work_kept_before_a_draw(draw: Draw) -> Loop:
    pace, native, noise = _drawn(draw)
    dataset = numbers(pace.epoch_elements).map(native, num_parallel_calls=AUTO).cache()
    dataset = dataset.map(lambda value: value * tf.random.uniform([], 0, noise))
    return for_loop(dataset.shuffle(16).batch(pace.batch).prefetch(2), sleeping(pace.step_s), pace.epochs)


# --- Python ------------------------------------------------------------------------------------------------------


@case(Kind.PLANTED, fires=("PP502",), silent=("PP501", "PP201"))
def python_waits_one_call_at_a_time(draw: Draw) -> Loop:
    pace = draw.slow_input()
    slow = nap(pace.element_s)
    dataset = numbers(pace.epoch_elements).shuffle(8)
    dataset = dataset.map(slow)  # PLANTED map
    return for_loop(dataset.batch(pace.batch).prefetch(2), sleeping(pace.step_s), pace.epochs)


@case(Kind.PLANTED, fires=("PP503",), silent=("PP501",))
def generator_of_scalars(draw: Draw) -> Loop:
    batch, steps = draw.choice("batch", [128, 256]), draw.count("steps", 90, 130)

    def generate() -> Iterator[np.float32]:
        for number in range(batch * steps):
            yield np.float32(number)

    signature = tf.TensorSpec([], tf.float32)
    dataset = tf.data.Dataset.from_generator(generate, output_signature=signature)  # PLANTED from_generator
    step_s = batch * draw.number("step for an element, s", 5e-6, 12e-6)  # handing one over takes 30 us and more
    return for_loop(dataset.batch(batch).prefetch(2), sleeping(step_s))


@case(Kind.HEALTHY, silent=("PP503",))
def generator_of_batches(draw: Draw) -> Loop:
    batch, steps = draw.choice("batch", [128, 256]), draw.count("steps", 90, 130)

    def generate() -> Iterator[np.ndarray]:
        for number in range(steps):
            yield np.arange(number, number + batch, dtype=np.float32)

    dataset = tf.data.Dataset.from_generator(generate, output_signature=tf.TensorSpec([batch], tf.float32))
    return for_loop(dataset.prefetch(2), sleeping(draw.number("step, s", 0.03, 0.04)))
