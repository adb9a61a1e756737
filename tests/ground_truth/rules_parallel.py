"""Rules of parallelism and overlap: pipelines with one such problem, and the same cured."""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np
import tensorflow as tf

from tests.ground_truth import files
from tests.ground_truth.chains import AUTO, numbers
from tests.ground_truth.consumers import for_loop
from tests.ground_truth.costs import CORES, burn, nap, sleeping
from tests.ground_truth.draws import Draw, Pace
from tests.ground_truth.planted_files import cost_of
from tests.ground_truth.registry import Kind, Loop, case

_LOOP_S = 3.5
_LONGER_S = 5.0  # for a loop that fills memory first
_BLOCK = 2**22  # bytes of one large element


def pace_of(draw: Draw, waits: tuple[float, float] = (0.4, 0.7), batches: tuple[int, ...] = (4, 8)) -> Pace:
    """Draw a loop that waits for a good part of each step, if its input is made one element at a time."""
    input_s = draw.number("input of a step, s", 0.02, 0.04)
    step_s = input_s * (1 - draw.number("share of waiting meant", *waits))
    return Pace(step_s=step_s, input_s=input_s, batch=draw.choice("batch", batches), steps=round(_LOOP_S / input_s), epochs=1)


def with_options(dataset: Any, *, autotune: bool = True, inject: bool = True, threads: int = 0, budget: int = 0) -> Any:
    """Set options of one's own; the budget is of AUTOTUNE's buffers, in bytes."""
    options = tf.data.Options()
    if budget:
        options.autotune.ram_budget = budget
    options.autotune.enabled = autotune
    options.experimental_optimization.inject_prefetch = inject
    if threads:
        options.threading.private_threadpool_size = threads
    return dataset.with_options(options)


# --- PP201, PP202, PP203: calls of a map at once --------------------------------------------------------------------


def drawn(native: Any) -> Any:
    """Return the function with a random draw in it, which keeps TensorFlow from running calls at once."""
    return lambda value: native(value) + tf.random.uniform([])


@case(Kind.PLANTED, fires=("PP201",))
def random_map_one_at_a_time(draw: Draw) -> Loop:
    pace = pace_of(draw)
    slow = drawn(burn(pace.element_s))
    dataset = numbers(pace.epoch_elements)
    dataset = dataset.map(slow)  # PLANTED map
    return for_loop(dataset.batch(pace.batch).prefetch(2), sleeping(pace.step_s))


@case(Kind.HEALTHY, silent=("PP201",))
def random_map_in_parallel(draw: Draw) -> Loop:
    pace = pace_of(draw, waits=(0.2, 0.4))
    slow = drawn(burn(pace.element_s))
    dataset = numbers(pace.epoch_elements).map(slow, num_parallel_calls=AUTO)
    return for_loop(dataset.batch(pace.batch).prefetch(2), sleeping(pace.step_s))


@case(Kind.PLANTED, fires=("PP202",))
def blocking_map_on_few_threads(draw: Draw) -> Loop:
    pace = pace_of(draw)
    slow = nap(pace.element_s * CORES)
    dataset = numbers(pace.epoch_elements)
    dataset = dataset.map(slow, num_parallel_calls=16)  # PLANTED map
    return for_loop(dataset.batch(pace.batch).prefetch(2), sleeping(pace.step_s))


@case(Kind.HEALTHY, silent=("PP202",))
def blocking_map_on_many_threads(draw: Draw) -> Loop:
    pace = pace_of(draw)
    slow = nap(pace.element_s * CORES)
    dataset = numbers(pace.epoch_elements).map(slow, num_parallel_calls=16)
    return for_loop(with_options(dataset.batch(pace.batch).prefetch(2), threads=16), sleeping(pace.step_s))


@case(Kind.PLANTED, fires=("PP203",))
def few_calls_written_down(draw: Draw) -> Loop:
    """Calls that wait, two at a time, where the pool has threads for many more."""
    pace = pace_of(draw)
    slow = nap(pace.element_s * 2)
    dataset = numbers(pace.epoch_elements)
    dataset = dataset.map(slow, num_parallel_calls=2)  # PLANTED map
    return for_loop(with_options(dataset.batch(pace.batch).prefetch(2), threads=16), sleeping(pace.step_s))


@case(Kind.HEALTHY, silent=("PP203",))
def enough_calls_written_down(draw: Draw) -> Loop:
    pace = pace_of(draw)
    slow = nap(pace.element_s * 2)
    dataset = numbers(pace.epoch_elements).map(slow, num_parallel_calls=16)
    return for_loop(with_options(dataset.batch(pace.batch).prefetch(2), threads=16), sleeping(pace.step_s))


# --- PP208: AUTOTUNE's own number of calls --------------------------------------------------------------------------


def waiting_blocks(draw: Draw) -> tuple[Any, int]:
    """Return a function that waits and then makes a large element, and the element's bytes."""
    size = draw.count("bytes of an element", 700_000, 1_400_000)
    wait = nap(draw.number("wait of a call, s", 0.015, 0.03))
    return lambda value: tf.fill([size // 4], wait(value)), size


@case(Kind.PLANTED, fires=("PP208",), alone=True)
def autotune_held_back_by_its_budget(draw: Draw) -> Loop:
    """Calls that wait; the elements in flight fill the memory that AUTOTUNE was allowed long before the threads are busy."""
    make, size = waiting_blocks(draw)
    dataset = numbers(100_000)
    dataset = dataset.map(make, num_parallel_calls=AUTO)  # PLANTED map
    return for_loop(with_options(dataset, threads=16, budget=8 * size), sleeping(0))


@case(Kind.HEALTHY, silent=("PP208",), may=("PP202",), alone=True)
def autotune_with_room(draw: Draw) -> Loop:
    """AUTOTUNE uses every thread of the pool; at full speed the calls still wait, and yet more threads would help."""
    make, _size = waiting_blocks(draw)
    dataset = numbers(100_000).map(make, num_parallel_calls=AUTO)
    return for_loop(with_options(dataset, threads=16), sleeping(0))


# --- PP204, PP303: memory held for nothing --------------------------------------------------------------------------


def blocks(draw: Draw) -> tuple[Any, int, float]:
    """Return a function that makes large elements, how many of them are a notable part of the memory, and a step's time."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    held = round(memory * draw.number("share of the memory", 0.055, 0.065) / _BLOCK)
    return lambda value: tf.fill([_BLOCK // 4], tf.cast(value, tf.float32)), held, draw.number("step, s", 0.06, 0.08)


@case(Kind.PLANTED, fires=("PP204",))
def calls_without_threads(draw: Draw) -> Loop:
    make, held, step_s = blocks(draw)
    dataset = numbers(held + round(_LONGER_S / step_s))
    dataset = dataset.map(make, num_parallel_calls=held)  # PLANTED map
    return for_loop(dataset.take(round(_LONGER_S / step_s)).prefetch(2), sleeping(step_s))


@case(Kind.HEALTHY, silent=("PP204",))
def calls_by_autotune(draw: Draw) -> Loop:
    make, _held, step_s = blocks(draw)
    dataset = numbers(round(_LONGER_S / step_s)).map(make, num_parallel_calls=AUTO)
    return for_loop(dataset.prefetch(2), sleeping(step_s))


@case(Kind.PLANTED, fires=("PP303",))
def prefetch_of_a_part_of_the_memory(draw: Draw) -> Loop:
    make, held, step_s = blocks(draw)
    dataset = numbers(held + round(_LONGER_S / step_s)).map(make, num_parallel_calls=2)
    dataset = dataset.prefetch(held)  # PLANTED prefetch
    return for_loop(dataset.take(round(_LONGER_S / step_s)), sleeping(step_s))


@case(Kind.HEALTHY, silent=("PP303",))
def prefetch_of_two(draw: Draw) -> Loop:
    make, _held, step_s = blocks(draw)
    dataset = numbers(round(_LONGER_S / step_s)).map(make, num_parallel_calls=2)
    return for_loop(dataset.prefetch(2), sleeping(step_s))


# --- PP205: files one after the other -------------------------------------------------------------------------------


def packed(draw: Draw) -> tuple[list[str], int, float]:
    """Write compressed files; return them, the records of a batch and the seconds that reading a batch takes."""
    content = files.noise(draw.count("bytes", 150_000, 300_000), draw.count("noise", 1, 10**6))
    count, batch = draw.choice("files", [4, 6, 8]), draw.choice("batch", [8, 16])
    sample = files.records(draw.folder, 1, 40, content, "GZIP")
    options = tf.io.TFRecordOptions(compression_type="GZIP")
    input_s = batch * cost_of(lambda: sum(1 for _ in tf.compat.v1.io.tf_record_iterator(sample[0], options))) / 40
    total = round(_LOOP_S / input_s) * batch
    paths = files.records(draw.folder, count, max(2, total // count), content, "GZIP")
    return paths * 2, batch, input_s  # each is read twice: half as many to write


@case(Kind.PLANTED, fires=("PP205",))
def files_one_after_the_other(draw: Draw) -> Loop:
    paths, batch, input_s = packed(draw)
    dataset = tf.data.TFRecordDataset(paths, "GZIP")  # PLANTED TFRecordDataset
    dataset = dataset.map(tf.strings.length).batch(batch).prefetch(2)
    return for_loop(dataset, sleeping(input_s * draw.number("step in inputs", 0.15, 0.3)))


@case(Kind.PLANTED, fires=("PP205",))
def interleave_of_one_file(draw: Draw) -> Loop:
    paths, batch, input_s = packed(draw)
    read = lambda path: tf.data.TFRecordDataset(path, "GZIP")  # noqa: E731
    dataset = tf.data.Dataset.from_tensor_slices(paths)
    dataset = dataset.interleave(read, cycle_length=1)  # PLANTED interleave
    dataset = dataset.map(tf.strings.length).batch(batch).prefetch(2)
    return for_loop(dataset, sleeping(input_s * draw.number("step in inputs", 0.15, 0.3)))


@case(Kind.HEALTHY, silent=("PP205",), may=("PP703",))
def files_side_by_side(draw: Draw) -> Loop:
    paths, batch, input_s = packed(draw)
    read = lambda path: tf.data.TFRecordDataset(path, "GZIP")  # noqa: E731
    dataset = tf.data.Dataset.from_tensor_slices(paths).interleave(read, cycle_length=4, num_parallel_calls=4)
    dataset = dataset.map(tf.strings.length).batch(batch).prefetch(2)
    return for_loop(dataset, sleeping(input_s * draw.number("step in inputs", 0.15, 0.3)))


# --- PP206: stragglers ----------------------------------------------------------------------------------------------


def uneven(draw: Draw) -> tuple[Any, Pace]:
    """Return a function that waits long for every so-manieth element, and a loop that it keeps up with on average."""
    every, batch = draw.choice("slow of", [8, 10, 12]), draw.choice("batch", [4, 5])
    quick_s = draw.number("quick, s", 0.001, 0.002)
    slow_s = quick_s * draw.number("times as slow", 14, 20)
    step_s = batch * (slow_s + (every - 1) * quick_s) / every / 8 * draw.number("step in inputs", 1.0, 1.2)

    def wait(value: np.ndarray) -> np.ndarray:
        time.sleep(slow_s if value % every == 0 else quick_s)
        return np.float32(value)

    pace = Pace(step_s=step_s, input_s=step_s, batch=batch, steps=round(_LOOP_S / (step_s * 2)), epochs=1)
    return lambda value: tf.ensure_shape(tf.numpy_function(wait, [value], tf.float32), []), pace


@case(Kind.PLANTED, fires=("PP206",))
def stragglers_in_order(draw: Draw) -> Loop:
    work, pace = uneven(draw)
    dataset = numbers(pace.epoch_elements)
    dataset = dataset.map(work, num_parallel_calls=8)  # PLANTED map
    dataset = dataset.filter(lambda value: value > -1).batch(pace.batch).prefetch(2)
    return for_loop(with_options(dataset, threads=16), sleeping(pace.step_s))


@case(Kind.HEALTHY, silent=("PP206",))
def stragglers_in_any_order(draw: Draw) -> Loop:
    work, pace = uneven(draw)
    dataset = numbers(pace.epoch_elements).map(work, num_parallel_calls=8, deterministic=False)
    dataset = dataset.filter(lambda value: value > -1).batch(pace.batch).prefetch(2)
    return for_loop(with_options(dataset, threads=16), sleeping(pace.step_s))


# --- PP207: AUTOTUNE ------------------------------------------------------------------------------------------------


@case(Kind.PLANTED, fires=("PP207",))
def autotune_switched_off(draw: Draw) -> Loop:
    pace = pace_of(draw)
    dataset = numbers(pace.epoch_elements).map(burn(pace.element_s)).shuffle(8).batch(pace.batch)
    options = tf.data.Options()
    options.autotune.enabled = False
    dataset = dataset.with_options(options)  # PLANTED with_options
    return for_loop(dataset, sleeping(pace.step_s))


@case(Kind.HEALTHY, silent=("PP207",))
def autotune_left_on(draw: Draw) -> Loop:
    pace = pace_of(draw, waits=(0.2, 0.4))
    dataset = numbers(pace.epoch_elements).map(burn(pace.element_s)).shuffle(8).batch(pace.batch)
    return for_loop(with_options(dataset), sleeping(pace.step_s))


# --- PP209: cheap maps ----------------------------------------------------------------------------------------------


def many(draw: Draw) -> tuple[Any, int, float]:
    """Return many scalars, how many of them make a batch, and a short step."""
    batch = draw.choice("batch", [512, 1024])
    return numbers(batch * (100_000 // batch)), batch, batch * draw.number("step for an element, s", 2e-6, 5e-6)


@case(Kind.PLANTED, fires=("PP209",))
def cheap_map_on_two_threads(draw: Draw) -> Loop:
    """It costs time only where waking a thread takes longer than the call: 68 us an element on one machine, 24 on another."""
    dataset, batch, step_s = many(draw)
    factor = draw.count("factor", 2, 9)
    dataset = dataset.map(lambda value: value * factor, num_parallel_calls=2)  # PLANTED map
    return for_loop(dataset.filter(lambda value: value > -1).batch(batch).prefetch(2), sleeping(step_s))


@case(Kind.CONFOUNDER, silent=("PP209",))
def cheap_map_on_one_thread(draw: Draw) -> Loop:
    dataset, batch, step_s = many(draw)
    factor = draw.count("factor", 2, 9)
    dataset = dataset.map(lambda value: value * factor, synchronous=True)
    return for_loop(dataset.filter(lambda value: value > -1).batch(batch).prefetch(2), sleeping(step_s))


# --- PP301, PP302: overlap ------------------------------------------------------------------------------------------


def sifted(draw: Draw, pace: Pace, *, prefetch: bool = False) -> Any:
    """Return a chain whose filter, which TensorFlow runs one call at a time, is dear."""
    native = burn(pace.element_s)
    dataset = numbers(pace.epoch_elements)
    if prefetch:
        dataset = dataset.prefetch(draw.count("prefetch", 2, 8))
    return dataset.filter(lambda value: native(value) > -1e9)


@case(Kind.PLANTED, fires=("PP301",))
def batch_made_by_the_loop(draw: Draw) -> Loop:
    """The filter is what costs, the end without a prefetch why the loop does it itself: either is a right answer."""
    pace = pace_of(draw)
    dataset = sifted(draw, pace)
    dataset = dataset.batch(pace.batch)  # PLANTED batch
    return for_loop(with_options(dataset, inject=False), sleeping(pace.step_s))


@case(Kind.HEALTHY, silent=("PP301",))
def batch_made_ahead(draw: Draw) -> Loop:
    pace = pace_of(draw, waits=(-0.3, -0.1))
    dataset = sifted(draw, pace).batch(pace.batch).prefetch(2)
    return for_loop(with_options(dataset, inject=False), sleeping(pace.step_s))


@case(Kind.PLANTED, fires=("PP302",))
def prefetch_in_the_middle(draw: Draw) -> Loop:
    pace = pace_of(draw)
    dataset = sifted(draw, pace, prefetch=True)
    dataset = dataset.batch(pace.batch)  # PLANTED batch
    return for_loop(with_options(dataset, inject=False), sleeping(pace.step_s))


@case(Kind.HEALTHY, silent=("PP302",))
def prefetch_in_the_middle_and_at_the_end(draw: Draw) -> Loop:
    pace = pace_of(draw, waits=(-0.3, -0.1))
    dataset = sifted(draw, pace, prefetch=True).batch(pace.batch).prefetch(2)
    return for_loop(with_options(dataset, inject=False), sleeping(pace.step_s))
