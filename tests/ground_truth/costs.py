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
_SORTED = 512  # numbers in the tensor that native work sorts again and again
_CALIBRATED = 1000


@cache
def sort_s() -> float:
    """Return the seconds that one sort takes, in a function of its own: no dataset is made for it."""
    function = tf.function(_sorts)
    count = tf.constant(_CALIBRATED)
    function(0.0, count)
    taken = []
    for _ in range(5):
        began = time.perf_counter()
        function(0.0, count)
        taken.append(time.perf_counter() - began)
    return min(taken) / _CALIBRATED


def _sorts(value: Any, count: Any) -> Any:
    numbers = tf.cast(tf.range(_SORTED) * 7919 % 1009, tf.float32) + tf.cast(value, tf.float32)

    def body(index: Any, numbers: Any) -> tuple[Any, Any]:
        return index + 1, tf.sort(tf.reverse(numbers, [0]))

    _, numbers = tf.while_loop(lambda index, _: index < count, body, (0, numbers), parallel_iterations=1)
    return numbers[0]


def burn(seconds: float) -> Callable[[Any], Any]:
    """Return a function that computes natively on one core for so long, and gives a scalar that hangs on the value."""
    count = max(1, round(seconds / sort_s()))
    return lambda value: _sorts(value, count)


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
