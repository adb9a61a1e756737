"""Work of a known cost: in TensorFlow's native ops, asleep, and in Python.

The one idea: the cost of native work is measured where it will run, when it is first asked for, so that a drawn second is
about a second on any machine; how long it really took is for the script's clock to say. Sleeping stands for what leaves the
cores alone (storage, network, an accelerator), never for computing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import tensorflow as tf

CORES = len(os.sched_getaffinity(0))
_CALIBRATED = 20_000  # numbers, sorted in some milliseconds
_MOST = 2_000_000


@cache
def sort_s() -> float:
    """Return the seconds that sorting takes for each number, in a function of its own: no dataset is made for it."""
    function = tf.function(_sorted(_CALIBRATED))
    function(tf.constant(0.0))
    taken = []
    for turn in range(7):
        began = time.perf_counter()
        function(tf.constant(float(turn)))
        taken.append(time.perf_counter() - began)
    return min(taken) / _CALIBRATED


def _sorted(count: int) -> Callable[[Any], Any]:
    numbers = tf.constant(np.random.default_rng(count).permutation(count).astype(np.float32))
    return lambda value: tf.sort(numbers + tf.cast(value, tf.float32))[0]


def burn(seconds: float) -> Callable[[Any], Any]:
    """Return a function that computes natively on one core for so long, and gives a scalar that hangs on the value.

    It is one sort of many numbers, so that a profiler sees few events.
    """
    return _sorted(min(_MOST, max(1, round(seconds / sort_s()))))


def nap(seconds: float) -> Callable[[Any], Any]:
    """Return a function that waits for so long without the interpreter lock, as for storage or a network."""

    def sleep(value: np.ndarray) -> np.ndarray:
        time.sleep(seconds)
        return np.float32(value)

    return lambda value: tf.ensure_shape(tf.numpy_function(sleep, [value], tf.float32), [])


def spin(seconds: float) -> None:
    """Compute in Python, under the interpreter lock, for so much time of this thread."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        sum(range(200))


def python(seconds: float, op: Callable[..., Any] = tf.numpy_function) -> Callable[[Any], Any]:
    """Return a function that computes in Python under the interpreter lock."""

    def count(value: Any) -> np.float32:
        spin(seconds)
        return np.float32(value)

    return lambda value: tf.ensure_shape(op(count, [value], tf.float32), [])


# --- steps -------------------------------------------------------------------------------------------------------


def sleeping(seconds: float) -> Callable[[], None]:
    """Return a step that leaves the cores to the input, as one on an accelerator does."""
    return lambda: time.sleep(seconds)


def computing(seconds: float) -> Callable[[], None]:
    """Return a step that computes natively on one core."""
    function = tf.function(burn(seconds))
    function(tf.constant(0.0))
    return lambda: function(tf.constant(1.0)).numpy()


def in_python(seconds: float) -> Callable[[], None]:
    """Return a step that computes in Python."""
    return lambda: spin(seconds)
