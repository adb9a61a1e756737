"""Rules of the loop, the host and the device: what they must report, and the same cured."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tests.ground_truth import consumers
from tests.ground_truth.chains import AUTO, numbers
from tests.ground_truth.clock import Clock
from tests.ground_truth.costs import CORES, burn, in_python, sleeping
from tests.ground_truth.draws import Draw, Pace
from tests.ground_truth.healthy import parallel
from tests.ground_truth.registry import Kind, Loop, case

_BURN = "import time\nend = time.time() + 60\nwhile time.time() < end: pass"


def crowded(loop: Loop, burners: int) -> Loop:
    """Run the loop while so many processes of somebody else's each burn a core."""

    def run(clock: Clock) -> None:
        started = [subprocess.Popen([sys.executable, "-c", _BURN]) for _ in range(burners)]
        try:
            loop(clock)
        finally:
            for process in started:
                process.kill()
                process.wait()

    return run


def on_all_cores(seconds: float) -> Callable[[], None]:
    """Return a step that computes natively on every core for so long."""
    parts = [burn(seconds) for _ in range(CORES)]
    function = tf.function(lambda value: tf.add_n([part(value + number) for number, part in enumerate(parts)]))
    function(tf.constant(0.0))
    return lambda: function(tf.constant(1.0)).numpy()


def pausing(every: int, pause_s: float) -> Callable[[Any], Any]:
    """Return a function that waits so long for one element in so many, and for no other."""

    def wait(value: np.ndarray) -> np.float32:
        if value % every == every - 1:
            time.sleep(pause_s)
        return np.float32(value)

    return lambda value: tf.ensure_shape(tf.numpy_function(wait, [value], tf.float32), [])


# --- the machine -------------------------------------------------------------------------------------------------


@case(Kind.CONFOUNDER, fires=("PP002", "PP004"))
def crowded_host(draw: Draw) -> Loop:
    """Other processes want every core twice over; pipeprof sees that they are there, and not what they do."""
    pace = draw.fast_input(load=0.15)
    return crowded(consumers.for_loop(parallel(draw, pace), on_all_cores(pace.step_s / 3), pace.epochs), 2 * CORES)


@case(Kind.HEALTHY, fires=("PP102",), silent=("PP001", "PP002", "PP101", "PP103"))
def quiet_host(draw: Draw) -> Loop:
    """Of one epoch: between two of them TensorFlow itself may stand still for half a second."""
    pace = draw.fast_input(load=0.15, epochs=(1,))
    return consumers.for_loop(parallel(draw, pace), sleeping(pace.step_s), pace.epochs)


# --- the loop ----------------------------------------------------------------------------------------------------


@case(Kind.CONFOUNDER, fires=("PP103",))
def python_between_the_steps(draw: Draw) -> Loop:
    step_s, batch = draw.number("step, s", 0.06, 0.12), draw.choice("batch", [4, 8])
    pace = Pace(step_s=step_s, input_s=0.05 * step_s, batch=batch, steps=round(5 / step_s), epochs=1)
    return consumers.for_loop(parallel(draw, pace), in_python(pace.step_s))


@case(Kind.PLANTED, fires=("PP101",), silent=("PP102",))
def training_that_waits(draw: Draw) -> Loop:
    step_s, batch = draw.number("step, s", 0.008, 0.02), draw.choice("batch", [2, 4])
    native, steps = burn(2 * step_s / batch), round(4 / (2 * step_s))
    dataset = numbers(steps * batch)
    dataset = dataset.map(lambda value: native(value) + tf.random.uniform([]))  # PLANTED map
    return consumers.for_loop(dataset.batch(batch).prefetch(2), sleeping(step_s))


def _edges(draw: Draw) -> tuple[Pace, int]:
    """Draw short epochs and a buffer that holds most of each."""
    step_s, batch = draw.number("step, s", 0.012, 0.02), draw.choice("batch", [4, 8])
    epochs, steps = draw.count("epochs", 5, 7), draw.count("steps of an epoch", 35, 50)
    pace = Pace(step_s=step_s, input_s=0.4 * step_s, batch=batch, steps=epochs * steps, epochs=epochs)
    return pace, round(pace.epoch_elements * draw.number("share held", 0.6, 0.9))


@case(Kind.PLANTED, fires=("PP105",), may=("PP609",))
def buffer_filled_at_each_epoch(draw: Draw) -> Loop:
    """PP609 is right where TensorFlow takes longer to take an iterator down than the buffer takes to fill."""
    pace, held = _edges(draw)
    native = burn(pace.element_s)
    dataset = numbers(pace.epoch_elements).map(lambda value: native(value) + tf.random.uniform([]))
    dataset = dataset.shuffle(held)  # PLANTED shuffle
    return consumers.for_loop(dataset.batch(pace.batch).prefetch(2), sleeping(pace.step_s), pace.epochs)


@case(Kind.HEALTHY, silent=("PP105",))
def buffer_filled_once(draw: Draw) -> Loop:
    pace, held = _edges(draw)
    native = burn(pace.element_s)
    dataset = numbers(pace.epoch_elements).map(lambda value: native(value) + tf.random.uniform([]))
    dataset = dataset.shuffle(held).repeat(pace.epochs)
    return consumers.for_loop(dataset.batch(pace.batch).prefetch(2), sleeping(pace.step_s))


def _bursts(draw: Draw) -> tuple[float, Callable[[Any], Any], int]:
    """Draw a step, a function that pauses now and then for some steps, and how many steps there are."""
    step_s, every = draw.number("step, s", 0.015, 0.025), draw.count("one in", 16, 24)
    pause_s = step_s * draw.number("pause in steps", 5, 7)
    return step_s, pausing(every, pause_s), round(4.5 / step_s)


@case(Kind.PLANTED, fires=("PP106",))
def bursts_behind_a_small_buffer(draw: Draw) -> Loop:
    step_s, read, steps = _bursts(draw)
    dataset = numbers(steps).map(read)
    dataset = dataset.prefetch(1)  # PLANTED prefetch
    return consumers.for_loop(dataset, sleeping(step_s))


@case(Kind.HEALTHY, silent=("PP106",))
def bursts_behind_a_large_buffer(draw: Draw) -> Loop:
    step_s, read, steps = _bursts(draw)
    return consumers.for_loop(numbers(steps).map(read).prefetch(16), sleeping(step_s))


def _contention(draw: Draw, load: float) -> Loop:
    """Compute on every core, beside an input that takes a share of them."""
    step_s, batch = draw.number("step, s", 0.025, 0.04), draw.choice("batch", [4, 8])
    native, steps = burn(load * step_s * CORES / batch), round(4.5 / (step_s * (1 + load)))
    dataset = numbers(steps * batch).map(native, num_parallel_calls=AUTO).batch(batch).prefetch(4)
    return consumers.for_loop(dataset, on_all_cores(step_s))


@case(Kind.CONFOUNDER, trials=True, fires=("PP104",))
def cores_wanted_by_both(draw: Draw) -> Loop:
    return _contention(draw, draw.number("input in steps", 0.35, 0.5))


@case(Kind.HEALTHY, trials=True, silent=("PP104",))
def cores_left_to_the_model(draw: Draw) -> Loop:
    return _contention(draw, 0.01)


# --- the instruments ---------------------------------------------------------------------------------------------


def _changing(draw: Draw, first_s: float) -> tuple[Any, int, float]:
    """Draw what waits for each element, longer for the first, the number of elements, and a step."""
    element_s, dear = draw.number("element, s", 0.001, 0.0015), draw.count("dear elements", 22, 26)

    def wait(value: np.ndarray) -> np.float32:
        time.sleep(element_s + first_s * (value < dear))
        return np.float32(value)

    work = lambda value: tf.ensure_shape(tf.numpy_function(wait, [value], tf.float32), [])  # noqa: E731
    return work, dear + draw.count("usual elements", 250, 300), draw.number("step, s", 0.011, 0.015)


@case(Kind.PLANTED, fires=("PP005",))
def cost_that_windows_do_not_see(draw: Draw) -> Loop:
    """The first second, in which no trace window is taken, is not like the rest."""
    work, count, step_s = _changing(draw, 0.03)
    dataset = numbers(count)
    dataset = dataset.map(work)  # PLANTED map
    return consumers.for_loop(dataset.prefetch(2), sleeping(step_s))


@case(Kind.HEALTHY, silent=("PP005",))
def cost_that_stays(draw: Draw) -> Loop:
    work, count, step_s = _changing(draw, 0.0)
    return consumers.for_loop(numbers(count).map(work).prefetch(2), sleeping(step_s))


# --- PP803: statistics -------------------------------------------------------------------------------------------


def normalized(draw: Draw) -> tuple[Pace, Any, keras.layers.Normalization]:
    """Return a loop, a dear pipeline of rows, and a layer that knows their mean already."""
    pace = Pace(
        step_s=draw.number("step, s", 0.01, 0.02), input_s=0.0, batch=draw.choice("batch", [8, 16]), steps=200, epochs=1
    )
    native = burn(draw.number("element, in steps", 0.3, 0.6) * pace.step_s / pace.batch)
    rows = numbers(pace.epoch_elements).map(lambda value: tf.fill([4], native(value)), num_parallel_calls=AUTO)
    return pace, rows.batch(pace.batch), keras.layers.Normalization(mean=[0.0] * 4, variance=[1.0] * 4)


@case(Kind.CONFOUNDER, fires=("PP803",))
def statistics_of_the_whole_data(draw: Draw) -> Loop:
    pace, rows, _ = normalized(draw)
    loop = consumers.for_loop(rows.prefetch(2), sleeping(pace.step_s))

    def run(clock: Clock) -> None:
        keras.layers.Normalization().adapt(rows)
        loop(clock)

    return run


@case(Kind.HEALTHY, silent=("PP803",))
def statistics_that_are_known(draw: Draw) -> Loop:
    pace, rows, layer = normalized(draw)
    return consumers.for_loop(rows.map(layer, num_parallel_calls=AUTO).prefetch(2), sleeping(pace.step_s))
