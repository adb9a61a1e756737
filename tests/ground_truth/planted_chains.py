"""One slow stage in a chain, of each kind, read by a plain loop or by ``next``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tests.ground_truth.chains import AUTO, batched, numbers, trim
from tests.ground_truth.consumers import for_loop, next_calls
from tests.ground_truth.costs import CORES, burn, computing, nap, python, sleeping, spin
from tests.ground_truth.draws import Draw, Pace
from tests.ground_truth.registry import Kind, Loop, case


def read(draw: Draw, dataset: Any, pace: Pace) -> Loop:
    """Read the dataset in one of two ways, with a step of one of two kinds."""
    step = draw.choice("step", [sleeping, computing])(pace.step_s)
    return draw.choice("loop", [for_loop, next_calls])(dataset, step, pace.epochs)


@case(Kind.PLANTED)
def sequential_random_map(draw: Draw) -> Loop:
    pace = draw.slow_input()
    native = burn(pace.element_s)
    dataset = draw.in_order(
        numbers(pace.epoch_elements),
        slow=lambda dataset: dataset.map(lambda value: native(value) + tf.random.uniform([])),  # PLANTED map
        shuffle=lambda dataset: dataset.shuffle(8),
        cheap=lambda dataset: dataset.map(lambda value: value * 2),
    )
    return read(draw, batched(draw, dataset, pace.batch), pace)


@case(Kind.PLANTED)
def slow_map_before_batch(draw: Draw) -> Loop:
    pace = draw.slow_input()
    native = burn(pace.element_s * CORES)
    calls = draw.choice("calls", [None, 2, AUTO])
    dataset = draw.in_order(
        numbers(pace.epoch_elements),
        slow=lambda dataset: dataset.map(native, num_parallel_calls=calls),  # PLANTED map
        filter=lambda dataset: dataset.filter(lambda value: value > -1),
        cheap=lambda dataset: dataset.map(lambda value: value * 2),
    )
    return read(draw, batched(draw, dataset, pace.batch), pace)


@case(Kind.PLANTED, silent=("PP501",))
def slow_map_after_batch(draw: Draw) -> Loop:
    pace = draw.slow_input()
    native = burn(pace.input_s * CORES)
    dataset = trim(draw, numbers(pace.epoch_elements)).batch(pace.batch)
    dataset = dataset.map(lambda values: native(values[0]))  # PLANTED map
    return read(draw, trim(draw, dataset), pace)


@case(Kind.PLANTED)
def slow_filter(draw: Draw) -> Loop:
    pace = draw.slow_input()
    kept = draw.choice("kept of", [1, 2, 3])
    native = burn(pace.element_s / kept)
    dataset = trim(draw, numbers(pace.epoch_elements * kept).map(lambda value: value + 0))
    dataset = dataset.filter(lambda value: (value % kept == 0) & (native(value) > -1e9))  # PLANTED filter
    return read(draw, batched(draw, dataset, pace.batch), pace)


@case(Kind.PLANTED)
def slow_map_in_interleave(draw: Draw) -> Loop:
    pace = draw.slow_input()
    native, parts = burn(pace.element_s), draw.choice("parts", [4, 6, 8])
    each, cycle = max(2, pace.epoch_elements // parts), draw.choice("cycle_length", [2, 3, 4])
    inner = lambda part: numbers(each).map(lambda value: native(value + part))  # noqa: E731
    dataset = numbers(parts)
    dataset = dataset.interleave(inner, cycle_length=cycle)  # PLANTED interleave
    return read(draw, batched(draw, trim(draw, dataset), pace.batch), pace)


@case(Kind.PLANTED)
def latency_bound_map(draw: Draw) -> Loop:
    pace = draw.slow_input()
    slow = nap(pace.element_s * CORES)
    dataset = draw.in_order(
        numbers(pace.epoch_elements),
        slow=lambda dataset: dataset.map(slow, num_parallel_calls=16),  # PLANTED map
        shuffle=lambda dataset: dataset.shuffle(8),
    )
    return read(draw, batched(draw, dataset, pace.batch), pace)


@case(Kind.PLANTED, fires=("PP501",), silent=("PP502",))
def python_function(draw: Draw) -> Loop:
    pace = draw.slow_input()
    slow = python(pace.element_s, tf.py_function)
    calls = draw.choice("calls", [None, 2, AUTO])
    dataset = trim(draw, numbers(pace.epoch_elements))
    dataset = dataset.map(slow, num_parallel_calls=calls)  # PLANTED map
    return read(draw, batched(draw, dataset, pace.batch), pace)


@case(Kind.PLANTED)
def from_generator(draw: Draw) -> Loop:
    pace = draw.slow_input()
    cost = draw.choice("generator", [spin, time.sleep])

    def generate() -> Iterator[np.float32]:
        for number in range(pace.epoch_elements):
            cost(pace.element_s)
            yield np.float32(number)

    signature = tf.TensorSpec([], tf.float32)
    dataset = tf.data.Dataset.from_generator(generate, output_signature=signature)  # PLANTED from_generator
    return read(draw, batched(draw, trim(draw, dataset), pace.batch), pace)


@case(Kind.PLANTED, may=("PP609",))
def shuffle_filled_at_each_epoch(draw: Draw) -> Loop:
    """A buffer that holds most of an epoch: the map keeps up with the step, and all waiting is at the boundaries.

    The buffer is what makes the loop wait, the map what fills it so slowly: either is a right answer.
    """
    step_s, batch = draw.number("step, s", 0.012, 0.02), draw.choice("batch", [4, 8])
    epochs, steps = draw.count("epochs", 4, 6), draw.count("steps of an epoch", 40, 60)
    pace = Pace(step_s=step_s, input_s=0.6 * step_s, batch=batch, steps=epochs * steps, epochs=epochs)
    native = burn(pace.element_s)
    dataset = numbers(pace.epoch_elements)
    dataset = dataset.map(lambda value: native(value) + tf.random.uniform([]))  # PLANTED map
    dataset = dataset.shuffle(round(pace.epoch_elements * draw.number("share held", 0.6, 0.9)))  # PLANTED shuffle
    return for_loop(batched(draw, dataset, pace.batch), sleeping(pace.step_s), pace.epochs)


@case(Kind.PLANTED)
def padded_batch(draw: Draw) -> Loop:
    pace = draw.slow_input()
    native = burn(pace.element_s * CORES)
    longest = draw.count("longest", 8, 64)
    dataset = trim(draw, numbers(pace.epoch_elements))
    dataset = dataset.map(lambda value: tf.fill([value % longest + 1], native(value)))  # PLANTED map
    return read(draw, dataset.padded_batch(pace.batch), pace)


@case(Kind.PLANTED)
def bucket_by_sequence_length(draw: Draw) -> Loop:
    pace = draw.slow_input()
    native = burn(pace.element_s * CORES)
    longest = draw.count("longest", 8, 64)
    dataset = trim(draw, numbers(pace.epoch_elements))
    dataset = dataset.map(lambda value: tf.fill([value % longest + 1], native(value)))  # PLANTED map
    dataset = dataset.bucket_by_sequence_length(lambda row: tf.shape(row)[0], [longest // 2], [pace.batch] * 2)
    return read(draw, dataset, pace)


@case(Kind.PLANTED)
def unbatch_and_rebatch(draw: Draw) -> Loop:
    pace = draw.slow_input()
    chunk = draw.choice("chunk", [16, 32])
    native = burn(pace.element_s)
    dataset = numbers(pace.epoch_elements).batch(chunk).unbatch()
    dataset = dataset.map(lambda value: native(value) + tf.random.uniform([]))  # PLANTED map
    return read(draw, dataset.batch(pace.batch).rebatch(2 * pace.batch), pace)


@case(Kind.PLANTED)
def windows(draw: Draw) -> Loop:
    """Overlapping windows, a dataset for each: what the flat_map makes and runs, over and over, is the cost.

    Its inner chain is part of the call, and the stage that makes the windows is as dear by nature.
    """
    pace, size = draw.slow_input(batches=(16, 32)), draw.choice("size", [16, 32, 64])
    native = burn(pace.element_s)
    dataset = numbers(pace.epoch_elements + size).window(size, shift=1, drop_remainder=True)
    dataset = dataset.flat_map(lambda window: window.batch(size).map(lambda row: native(row[0])))  # PLANTED flat_map
    return read(draw, batched(draw, dataset, pace.batch), pace)


@case(Kind.PLANTED)
def scan(draw: Draw) -> Loop:
    pace = draw.slow_input()
    native = burn(pace.element_s)

    def add(state: Any, value: Any) -> tuple[Any, Any]:
        state = 0.5 * state + native(value)
        return state, state

    dataset = trim(draw, numbers(pace.epoch_elements))
    dataset = dataset.scan(tf.constant(0.0), add)  # PLANTED scan
    return read(draw, batched(draw, dataset, pace.batch), pace)


@case(Kind.PLANTED)
def autotune_off(draw: Draw) -> Loop:
    """The map is what costs; that nothing is made ahead is the options' doing, and as right an answer."""
    pace = draw.slow_input(epochs=(1,))
    slow = draw.choice("work", [nap, burn, python])(pace.element_s)
    options = tf.data.Options()
    options.autotune.enabled = False
    dataset = trim(draw, numbers(pace.epoch_elements))
    dataset = dataset.map(lambda value: slow(value) + tf.random.uniform([]))  # PLANTED map
    dataset = batched(draw, dataset, pace.batch)
    dataset = dataset.with_options(options)  # PLANTED with_options
    return read(draw, dataset, pace)


@case(Kind.PLANTED)
def cheap_scalar_maps(draw: Draw) -> Loop:
    """Maps that cost their call alone: there are many scalars in a batch, and any of the maps is a right answer."""
    batch = draw.choice("batch", [1024, 2048, 4096])
    pace = Pace(step_s=draw.number("step, s", 0.001, 0.006), input_s=batch * 8e-6, batch=batch, steps=60, epochs=1)
    factor = draw.count("factor", 2, 9)
    dataset = numbers(pace.epoch_elements)
    dataset = dataset.map(lambda value: value * factor)  # PLANTED map
    dataset = dataset.map(lambda value: tf.cast(value, tf.float32) / 255)  # PLANTED map
    dataset = dataset.map(lambda value: tf.minimum(value, 1))  # PLANTED map
    return for_loop(dataset.batch(pace.batch), sleeping(pace.step_s), pace.epochs)
