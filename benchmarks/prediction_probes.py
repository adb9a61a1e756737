"""Two checks under the predictions: the simulation against real pipelines, and whether parallel calls scale as assumed.

The one idea: the simulation is given the times that calls and gaps really took, as the functions themselves saw them, so
that a busy machine's oversleeping is in both and only the rules are judged. Nothing here predicts a change.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any  # TensorFlow's datasets carry no types

import numpy as np
import tensorflow as tf

from pipeprof.analysis.simulation import SimulatedStage, simulate

Build = Callable[..., Any]
Stages = Callable[[Sequence[float]], Sequence[SimulatedStage]]

CALLS = (1, 2, 4)
_STEPS = 120
_ROUNDS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Probe:
    """One real pipeline and the same one simulated; seconds of a step."""

    name: str
    real_s: float
    simulated_s: float


def _nap(times: Sequence[float], took: list[float]) -> Callable[[Any], Any]:
    def nap(value: np.ndarray) -> np.ndarray:
        began = time.perf_counter()
        time.sleep(times[int(value) % len(times)])
        took.append(time.perf_counter() - began)
        return np.int64(value)

    return lambda value: tf.ensure_shape(tf.numpy_function(nap, [value], tf.int64), [])


def _pool(dataset: Any, threads: int) -> Any:
    options = tf.data.Options()
    options.threading.private_threadpool_size = threads
    return dataset.with_options(options)


def _time(dataset: Any, gap_s: float, gaps: list[float]) -> float:
    began = time.perf_counter()
    for _ in dataset:
        asked = time.perf_counter()
        time.sleep(gap_s)
        gaps.append(time.perf_counter() - asked)
    return (time.perf_counter() - began) / _STEPS


def probe_simulation(seed: int) -> list[Probe]:
    """Return real steps, the first wait included, beside simulated ones."""
    draws = random.Random(seed)
    base = draws.uniform(0.006, 0.012)
    steady = [base] * 97
    bursts = [base * (8 if draws.random() < 0.1 else 0.5) for _ in range(97)]
    gap_s = base * 1.2
    found = []

    def add(name: str, planted: Sequence[float], gap: float, build: Build, stages: Stages) -> None:
        real, simulated = [], []
        for number in range(_ROUNDS):
            took: list[float] = []
            gaps: list[float] = []
            real.append(_time(build(tf.data.Dataset.range(_STEPS).map, _nap(planted, took)), gap, gaps))
            loops = [simulate(stages(took), gaps, steps=_STEPS, seed=20 * number + again).wall_s for again in range(20)]
            simulated.append(float(np.median(loops)) / _STEPS)
        found.append(Probe(name=name, real_s=float(np.median(real)), simulated_s=float(np.median(simulated))))

    nothing = SimulatedStage(times_s=(0.0,))
    for buffer in (1, 8):
        add(
            f"bursts, prefetch({buffer})", bursts, gap_s, lambda build, nap, size=buffer: build(nap).prefetch(size),
            lambda took, size=buffer: (SimulatedStage(times_s=took), SimulatedStage(times_s=(0.0,), buffer=size)),
        )  # fmt: skip
    for is_ordered in (True, False):
        add(
            f"stragglers, 4 calls, {'' if is_ordered else 'un'}ordered", bursts, 0.0,
            lambda build, nap, keep=is_ordered: _pool(build(nap, num_parallel_calls=4, deterministic=keep), 4),
            lambda took, keep=is_ordered: (nothing, SimulatedStage(times_s=took, slots=4, is_ordered=keep)),
        )  # fmt: skip
    add(
        "8 calls on 2 threads", steady, 0.0, lambda build, nap: _pool(build(nap, num_parallel_calls=8), 2),
        lambda took: (nothing, SimulatedStage(times_s=took, slots=8, threads=2)),
    )  # fmt: skip
    add(
        "shuffle(60) of 120", steady, gap_s, lambda build, nap: build(nap).shuffle(60).prefetch(1),
        lambda took: (SimulatedStage(times_s=took), SimulatedStage(times_s=(0.0,), fill=60, buffer=1)),
    )  # fmt: skip
    return found


def probe_scaling(work: Callable[[Any], Any]) -> dict[int, float]:
    """Return elements per second of a computing map with a fixed number of calls, rounds in turn."""
    made = {calls: tf.data.Dataset.range(400).map(work, num_parallel_calls=calls) for calls in CALLS}
    rates: dict[int, list[float]] = {calls: [] for calls in CALLS}
    for _ in range(_ROUNDS):
        for calls, dataset in made.items():
            began = time.perf_counter()
            for _ in dataset:
                pass
            rates[calls].append(400 / (time.perf_counter() - began))
    return {calls: float(np.median(values)) for calls, values in rates.items()}
