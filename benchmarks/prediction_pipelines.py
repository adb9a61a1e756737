"""Pipelines with planted costs, each with twins in which one change was really made by hand.

The one idea: costs are drawn from a seed and spent by real work (sorting tensors in native code, sleeping, pure Python), so
that nothing can be fitted to one case. A twin is written out, never made by pipeprof's own rewriting. Nothing here measures.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any  # TensorFlow's datasets carry no types

import numpy as np
import tensorflow as tf

from pipeprof.model.profile import Change

AUTO = tf.data.AUTOTUNE
ALL_CORES = {"num_parallel_calls": AUTO}
_SORTED = 512  # numbers in the tensor that native work sorts again and again
_ENDLESS = 10**9

Make = Callable[[str], Any]  # "" as it is; else the name of a change


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One pipeline, its consumer and the changes that are made in it."""

    name: str
    make: Make
    step: Callable[[], None]
    changes: dict[str, tuple[str, Change]]  # name -> the op it is made at, the change
    epoch_steps: int | None = None  # None: endless
    planted: str = ""  # the costs, in words


# --- work --------------------------------------------------------------------------------------------------------


@cache
def sort_s() -> float:
    """Return the seconds that one sort takes inside a map, by a sequential map of many."""
    ops = tf.data.Dataset.range(40).map(lambda value: native(value, 200))
    ops = ops.with_options(_plain())
    began = time.perf_counter()
    for _ in ops:
        pass
    return (time.perf_counter() - began) / 40 / 200


def _plain() -> tf.data.Options:
    options = tf.data.Options()
    options.experimental_optimization.apply_default_optimizations = False
    return options


def native(value: Any, sorts: int) -> Any:
    """Sort a tensor so many times, in native code, on one core; give the value back as float."""
    numbers = tf.cast(tf.range(_SORTED) * 7919 % 1009, tf.float32) + tf.cast(value, tf.float32)

    def body(index: Any, numbers: Any) -> tuple[Any, Any]:
        return index + 1, tf.sort(tf.reverse(numbers, [0]))

    _, numbers = tf.while_loop(lambda index, _: index < sorts, body, (0, numbers), parallel_iterations=1)
    return numbers[:64]


def burns(seconds: float) -> Callable[[Any], Any]:
    """Return a map's function that computes for so long; TensorFlow runs it in parallel by itself."""
    sorts = max(1, round(seconds / sort_s()))
    return lambda value: native(value, sorts)


def burns_random(seconds: float) -> Callable[[Any], Any]:
    """The same with a random draw, which TensorFlow runs one call at a time."""
    work = burns(seconds)
    return lambda value: work(value) + tf.random.uniform([])


def naps(seconds: Callable[[int], float]) -> Callable[[Any], Any]:
    """Return a map's function that waits in Python without the interpreter lock, for a time that hangs on the element."""

    def nap(value: np.ndarray) -> np.ndarray:
        time.sleep(seconds(int(value)))
        return np.float32(value)

    return lambda value: tf.ensure_shape(tf.numpy_function(nap, [value], tf.float32), [])


def counts_in_python(rounds: int) -> Callable[[Any], Any]:
    """Return a map's function that holds the interpreter lock."""

    def count(value: np.ndarray) -> np.ndarray:
        total = 0
        for number in range(rounds):
            total += number & 3
        return np.float32(value + total)

    return lambda value: tf.ensure_shape(tf.numpy_function(count, [value], tf.float32), [])


def sleeping(seconds: float) -> Callable[[], None]:
    """Return a consumer that leaves the cores to the pipeline, as a step on an accelerator does."""
    return lambda: time.sleep(seconds)


@cache
def _hash_rounds_per_s() -> float:
    began = time.thread_time()
    hashlib.pbkdf2_hmac("sha256", b"a", b"b", 20_000)
    return 20_000 / (time.thread_time() - began)


def computing(seconds: float) -> Callable[[], None]:
    """Return a consumer that keeps one core busy in native code."""
    rounds = max(1, int(seconds * _hash_rounds_per_s()))
    return lambda: hashlib.pbkdf2_hmac("sha256", b"a", b"b", rounds) and None


# --- cases -------------------------------------------------------------------------------------------------------


def _endless() -> Any:
    return tf.data.Dataset.range(_ENDLESS)


def _at(op: str, kind: str, **params: Any) -> tuple[str, Change]:
    return op, Change(kind=kind, params=params)


def _pool(dataset: Any, threads: int) -> Any:
    options = tf.data.Options()
    options.threading.private_threadpool_size = threads
    return dataset.with_options(options)


class Draw:
    """Costs, drawn from a seed."""

    def __init__(self, seed: int, name: str) -> None:
        """Begin a stream of its own for each case, so that leaving one out changes no other."""
        self._random = random.Random(f"{seed}/{name}")

    def ms(self, low: float, high: float) -> float:
        """Draw log-uniformly; milliseconds in, seconds out."""
        return float(np.exp(self._random.uniform(np.log(low), np.log(high)))) / 1000

    def whole(self, *choices: int) -> int:
        """Draw one of the choices."""
        return self._random.choice(choices)


def _sequential_map(seed: int, name: str, consumer: Callable[[float], Callable[[], None]], share: tuple[float, float]) -> Case:
    draw = Draw(seed, name)
    batch = draw.whole(4, 8, 16)
    element_s = draw.ms(0.5, 2.0)
    gap_s = element_s * batch * draw.ms(share[0], share[1]) * 1000
    work = burns_random(element_s)

    def make(change: str) -> Any:
        calls = AUTO if change == "parallel_calls" else None
        return _endless().map(work, num_parallel_calls=calls).batch(batch).prefetch(2)

    return Case(
        name=name, make=make, step=consumer(gap_s), changes={"parallel_calls": _at("map", "parallel_calls", **ALL_CORES)},
        planted=f"{batch} × {element_s * 1e3:.2f} ms random map, step {gap_s * 1e3:.1f} ms",
    )  # fmt: skip


def _waiting_map(seed: int, name: str) -> Case:
    draw = Draw(seed, name)
    batch, nap_s, gap_s = draw.whole(8, 16), draw.ms(2, 8), draw.ms(2, 10)
    work = naps(lambda _value: nap_s)

    def make(change: str) -> Any:
        return _endless().map(work, num_parallel_calls=2 if change == "parallel_calls" else None).batch(batch).prefetch(2)

    return Case(
        name=name, make=make, step=sleeping(gap_s),
        changes={"parallel_calls": _at("map", "parallel_calls", num_parallel_calls=2)},
        planted=f"{batch} × {nap_s * 1e3:.2f} ms wait, one at a time, step {gap_s * 1e3:.1f} ms",
    )  # fmt: skip


def _capped_waits(seed: int, name: str, *, tuned: bool) -> Case:
    draw = Draw(seed, name)
    batch, nap_s, threads = draw.whole(8, 16), draw.ms(3, 10), draw.whole(6, 8, 16)
    gap_s = nap_s * batch / 2 * draw.ms(0.05, 0.4) * 1000
    work = naps(lambda _value: nap_s)

    def make(change: str) -> Any:
        dataset = _endless().map(work, num_parallel_calls=AUTO if tuned else threads).batch(batch).prefetch(2)
        return _pool(dataset, threads) if change == "thread_pool" else dataset

    return Case(
        name=name, make=make, step=sleeping(gap_s),
        changes={"thread_pool": _at("map", "thread_pool", private_threadpool_size=threads)},
        planted=f"{batch} × {nap_s * 1e3:.2f} ms wait, pool to {threads}, step {gap_s * 1e3:.1f} ms",
    )  # fmt: skip


def _epochs(
    seed: int, name: str, consumer: Callable[[float], Callable[[], None]], buffer: str, gap: tuple[float, float]
) -> Case:
    draw = Draw(seed, name)
    batch, steps, element_s = draw.whole(8, 16), draw.whole(16, 24, 32), draw.ms(0.5, 2.0)
    count = batch * steps
    fill = {"none": 0, "half": count // 2, "whole": count}[buffer]
    gap_s = element_s * batch / 2 * draw.ms(*gap) * 1000
    work = burns(element_s)

    def make(change: str) -> Any:
        dataset = tf.data.Dataset.range(count).map(work)
        dataset = dataset.cache() if change == "cache" else dataset
        dataset = dataset.shuffle(fill) if fill else dataset
        return dataset.batch(batch).prefetch(AUTO)

    return Case(
        name=name, make=make, step=consumer(gap_s), changes={"cache": _at("map", "cache")}, epoch_steps=steps,
        planted=f"{batch} × {element_s * 1e3:.2f} ms map, shuffle {fill} of {count}, step {gap_s * 1e3:.1f} ms",
    )  # fmt: skip


def _cheap_maps(seed: int, name: str, ops: int) -> Case:
    draw = Draw(seed, name)
    batch, gap_s = draw.whole(64, 128, 256), draw.ms(0.2, 1.0)

    def work(value: Any) -> Any:
        result = tf.cast(value, tf.float32)
        for number in range(ops):
            result = result * 0.5 + float(number)
        return result

    def make(change: str) -> Any:
        if change == "vectorize":
            return _endless().batch(batch, drop_remainder=True).map(work).prefetch(2)
        return _endless().map(work).batch(batch, drop_remainder=True).prefetch(2)

    return Case(
        name=name, make=make, step=sleeping(gap_s), changes={"vectorize": _at("map", "vectorize")},
        planted=f"{batch} × {2 * ops + 1} cheap ops, step {gap_s * 1e3:.1f} ms",
    )  # fmt: skip


def _interleave(seed: int, name: str) -> Case:
    draw = Draw(seed, name)
    batch, nap_s, gap_s = draw.whole(8, 16), draw.ms(1, 4), draw.ms(1, 6)
    work = naps(lambda _value: nap_s)

    def make(change: str) -> Any:
        calls = 2 if change == "parallel_calls" else None
        files = _endless()
        dataset = files.interleave(
            lambda number: tf.data.Dataset.range(64).map(lambda value: work(value + number)),
            cycle_length=2, num_parallel_calls=calls,
        )  # fmt: skip
        return dataset.batch(batch).prefetch(2)

    return Case(
        name=name, make=make, step=sleeping(gap_s),
        changes={"parallel_calls": _at("interleave", "parallel_calls", num_parallel_calls=2)},
        planted=f"{batch} × {nap_s * 1e3:.2f} ms reads that wait, 2 files, step {gap_s * 1e3:.1f} ms",
    )  # fmt: skip


def _stragglers(seed: int, name: str) -> Case:
    draw = Draw(seed, name)
    batch, nap_s, gap_s, threads = draw.whole(2, 4), draw.ms(2, 5), draw.ms(4, 10), 8
    work = naps(lambda value: nap_s * (10 if value % 17 == 3 else 1))

    def make(change: str) -> Any:
        dataset = _endless().map(work, num_parallel_calls=threads).batch(batch).prefetch(1)
        return _pool(dataset, threads) if change == "thread_pool" else dataset

    return Case(
        name=name, make=make, step=sleeping(gap_s),
        changes={"thread_pool": _at("map", "thread_pool", private_threadpool_size=threads)},
        planted=f"{batch} × {nap_s * 1e3:.2f} ms waits, 1 in 17 ten times that, pool to {threads}, step {gap_s * 1e3:.1f} ms",
    )  # fmt: skip


def _two_maps(seed: int, name: str) -> Case:
    draw = Draw(seed, name)
    batch, first_s, second_s, gap_s = draw.whole(4, 8), draw.ms(1, 3), draw.ms(0.5, 2), draw.ms(2, 5)
    first, second = naps(lambda _value: first_s), burns_random(second_s)

    def make(change: str) -> Any:
        dataset = _endless().map(first, num_parallel_calls=2 if change == "parallel_calls" else None)
        return dataset.map(second).batch(batch).prefetch(2)

    return Case(
        name=name, make=make, step=sleeping(gap_s),
        changes={"parallel_calls": _at("map", "parallel_calls", num_parallel_calls=2)},
        planted=f"{batch} × ({first_s * 1e3:.2f} ms wait, then {second_s * 1e3:.2f} ms random map), step {gap_s * 1e3:.1f} ms",
    )  # fmt: skip


def _python(seed: int, name: str) -> Case:
    draw = Draw(seed, name)
    batch, rounds, gap_s = draw.whole(8, 16), draw.whole(10_000, 20_000, 40_000), draw.ms(1, 5)
    work = counts_in_python(rounds)

    def make(change: str) -> Any:
        return _endless().map(work, num_parallel_calls=AUTO if change == "parallel_calls" else None).batch(batch).prefetch(2)

    return Case(
        name=name, make=make, step=sleeping(gap_s), changes={"parallel_calls": _at("map", "parallel_calls", **ALL_CORES)},
        planted=f"{batch} × {rounds} rounds of Python, step {gap_s * 1e3:.1f} ms",
    )  # fmt: skip


BUILDERS: dict[str, Callable[[int, str], Case]] = {
    "random map, sleeping step": lambda seed, name: _sequential_map(seed, name, sleeping, (0.1, 0.4)),
    "random map, computing step": lambda seed, name: _sequential_map(seed, name, computing, (0.2, 0.6)),
    "random map, balanced step": lambda seed, name: _sequential_map(seed, name, sleeping, (0.6, 1.1)),
    "random map, long step": lambda seed, name: _sequential_map(seed, name, sleeping, (1.5, 3.0)),
    "waits one at a time": _waiting_map,
    "waits capped by the pool": lambda seed, name: _capped_waits(seed, name, tuned=False),
    "waits capped, AUTOTUNE": lambda seed, name: _capped_waits(seed, name, tuned=True),
    "stragglers": _stragglers,
    "interleave that waits": _interleave,
    "two maps": _two_maps,
    "Python under the lock": _python,
    "epochs, no shuffle": lambda seed, name: _epochs(seed, name, sleeping, "none", (0.2, 0.6)),
    "epochs, half shuffled": lambda seed, name: _epochs(seed, name, sleeping, "half", (0.2, 0.8)),
    "epochs, boundary-bound": lambda seed, name: _epochs(seed, name, sleeping, "whole", (0.4, 1.5)),
    "epochs, computing step": lambda seed, name: _epochs(seed, name, computing, "half", (0.3, 1.0)),
    "cheap scalar maps": lambda seed, name: _cheap_maps(seed, name, 1),
    "several cheap ops": lambda seed, name: _cheap_maps(seed, name, 4),
}  # fmt: skip


def draw_cases(seed: int, only: str = "") -> list[Case]:
    """Return the cases of a seed; those whose name holds ``only``."""
    return [build(seed, name) for name, build in BUILDERS.items() if only in name]
