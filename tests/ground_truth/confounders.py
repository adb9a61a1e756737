"""What looks like a slow input and is none, and runs that decide nothing."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

import tensorflow as tf

from tests.ground_truth import consumers
from tests.ground_truth.chains import AUTO, labelled, numbers
from tests.ground_truth.clock import Clock
from tests.ground_truth.costs import CORES, burn, in_python, nap, sleeping
from tests.ground_truth.draws import Draw
from tests.ground_truth.healthy import parallel
from tests.ground_truth.registry import Kind, Loop, case


def every(period: int, seldom: Callable[[], object], usual: Callable[[], object]) -> Callable[[], None]:
    """Return a step that does more each so many steps."""
    done = [0]

    def step() -> None:
        done[0] += 1
        usual()
        if done[0] % period == 0:
            seldom()

    return step


@case(Kind.CONFOUNDER)
def device_bound(draw: Draw) -> Loop:
    """The accelerator is the limit, and the input is not far behind it."""
    pace = draw.fast_input(load=0.6)
    return consumers.for_loop(parallel(draw, pace), sleeping(pace.step_s), pace.epochs)


@case(Kind.CONFOUNDER)
def host_bound(draw: Draw) -> Loop:
    """Python between the steps takes the time."""
    pace = draw.fast_input(load=0.15)
    return consumers.for_loop(parallel(draw, pace), in_python(pace.step_s), pace.epochs)


@case(Kind.CONFOUNDER)
def noisy_neighbour(draw: Draw) -> Loop:
    """A process of somebody else's burns a core while this one runs."""
    pace = draw.fast_input(load=0.15)
    loop = consumers.for_loop(parallel(draw, pace), sleeping(pace.step_s), pace.epochs)

    def run(clock: Clock) -> None:
        burner = subprocess.Popen([sys.executable, "-c", "import time\nend = time.time() + 30\nwhile time.time() < end: pass"])
        try:
            loop(clock)
        finally:
            burner.kill()
            burner.wait()

    return run


@case(Kind.CONFOUNDER, verdict="unknown", fires=("PP001",))
def three_steps(draw: Draw) -> Loop:
    step_s, input_s = draw.number("step, s", 0.1, 0.5), draw.number("input of a step, s", 0.1, 0.5)
    batch = draw.choice("batch", [2, 4])
    dataset = numbers(3 * batch).map(nap(input_s / batch)).batch(batch)
    return consumers.for_loop(dataset, sleeping(step_s))


@case(Kind.CONFOUNDER, verdict="unknown")
def empty_dataset(draw: Draw) -> Loop:
    dataset = numbers(draw.count("elements", 20, 90)).filter(lambda value: value < 0).batch(draw.choice("batch", [2, 4]))
    return consumers.for_loop(dataset, sleeping(0.01), epochs=draw.count("epochs", 1, 3))


@case(Kind.CONFOUNDER, status=1)
def exception_in_mid_epoch(draw: Draw) -> Loop:
    pace = draw.fast_input()
    left = [round(pace.steps * draw.number("share that is run", 0.4, 0.8))]

    def step() -> None:
        time.sleep(pace.step_s)
        left[0] -= 1
        if not left[0]:
            raise RuntimeError("planted")

    return consumers.for_loop(parallel(draw, pace), step, pace.epochs)


@case(Kind.CONFOUNDER)
def two_datasets(draw: Draw) -> Loop:
    """Two loops, each over a good pipeline of its own; the clock is the longer one's."""
    pace, other = draw.fast_input(), draw.fast_input(epochs=(1,))
    first = consumers.for_loop(parallel(draw, pace), sleeping(pace.step_s), pace.epochs)
    second = parallel(draw, other).take(other.epoch_steps // 4)

    def run(clock: Clock) -> None:
        consumers.for_loop(second, sleeping(other.step_s))(Clock())
        first(clock)

    return run


@case(Kind.CONFOUNDER)
def cache_filled_in_the_first_epoch(draw: Draw) -> Loop:
    """The first epoch waits while the cache is filled, no later one does."""
    pace = draw.fast_input(epochs=(10, 12, 15))
    native = burn(pace.element_s * CORES)
    fill_s = pace.step_s * draw.number("fill in steps", 1.0, 2.0) / pace.batch
    slow = burn(fill_s * CORES)
    dataset = numbers(pace.epoch_elements).map(lambda value: native(value) + slow(value), num_parallel_calls=AUTO).cache()
    dataset = dataset.repeat(pace.epochs)  # one iterator for all: taking one down can cost as much as the filling
    return consumers.for_loop(dataset.batch(pace.batch).prefetch(2), sleeping(pace.step_s))


@case(Kind.CONFOUNDER)
def one_pause(draw: Draw) -> Loop:
    """The program does something else for two seconds, once."""
    pace = draw.fast_input()
    at = draw.number("at", 0.3, 0.7) * pace.steps
    step = every(max(2, round(at)), sleeping(2.0), sleeping(pace.step_s))
    return consumers.for_loop(parallel(draw, pace), step, pace.epochs)


@case(Kind.CONFOUNDER)
def checkpoints(draw: Draw) -> Loop:
    """Each twentieth step takes several times as long."""
    pace = draw.fast_input()
    step = every(20, sleeping(draw.number("checkpoint, s", 0.1, 0.4)), sleeping(pace.step_s))
    return consumers.for_loop(parallel(draw, pace), step, pace.epochs)


@case(Kind.CONFOUNDER)
def good_validation(draw: Draw) -> Loop:
    """Keras trains and validates, and both inputs keep up."""
    from tests.ground_truth import consumers_keras

    pace = draw.fast_input(epochs=(2, 3))
    dataset, validation = labelled(parallel(draw, pace)), labelled(numbers(pace.batch * 10).batch(pace.batch))
    step = sleeping(pace.step_s)
    return consumers_keras.fit_with_validation(dataset, validation, step, step, pace.epochs)


@case(Kind.CONFOUNDER)
def unused_slow_dataset(draw: Draw) -> Loop:
    """A slow pipeline is built and looked at once, never trained on."""
    pace = draw.fast_input()
    unused = numbers(100).map(lambda value: nap(0.2)(value) + tf.random.uniform([])).batch(2)
    loop = consumers.for_loop(parallel(draw, pace), sleeping(pace.step_s), pace.epochs)

    def run(clock: Clock) -> None:
        next(iter(unused))
        loop(clock)

    return run
