"""This module stands in for the training step while a pipeline is replayed.

Its one idea: a step is time *and* CPU. A stand-in that only sleeps leaves the cores to the pipeline and confirms changes that
do nothing for a training that uses the CPU, so the measured CPU seconds of a step are burned, by thread CPU clocks and in
native code without the interpreter lock; under contention that takes longer, as a real step does. It must never look at
the elements.
"""

from __future__ import annotations

import hashlib
import math
import random
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from queue import SimpleQueue
from typing import Protocol

from pipeprof.model.profile import Histogram

__all__ = ["Burner", "Consumer", "FullSpeed", "PacedConsumer", "gaps_from_histogram"]

_CHUNK_S = 0.02  # longest native call: bounds how late a stop is seen
_SMALLEST_BURN_S = 20e-6  # what is owed below this is carried to the next step
_SMALLEST_SLEEP_S = 100e-6  # likewise: a sleep of 0.2 ms measured 0.1 ms too long, so shorter ones are gathered
_LATE_ALLOWANCE_S = 300e-6  # oversleeping made up for at the next step; more than a timer's slack is contention and stays
_START_RATE = 1e6  # hash rounds per second before the first measurement


class Consumer(Protocol):
    """What takes an element and keeps the loop busy before the next is asked for."""

    @property
    def burned_s(self) -> float:
        """CPU seconds burned so far, all threads together."""

    def consume(self) -> None:
        """Spend one step's own time."""

    def rewind(self, position: int, window: int | None = None) -> None:
        """Continue at this position of the sequence of gaps, over and over the same ``window`` of them where one is given."""


class FullSpeed:
    """A consumer that takes no time: the pipeline alone."""

    burned_s = 0.0

    def consume(self) -> None:
        """Return at once."""

    def rewind(self, position: int, window: int | None = None) -> None:
        """Do nothing: every step is the same."""


def gaps_from_histogram(histogram: Histogram, count: int, seed: int) -> tuple[float, ...]:
    """Return ``count`` gaps in seconds, distributed as the histogram is, in a random but fixed order.

    The gaps are the quantiles (i + 1/2) / count, interpolated log-uniformly within a bucket: their mean is the histogram's, and
    what happens less than once in ``2 * count`` steps (a checkpoint) does not hit one arm by chance. Empty histogram: no gaps.
    """
    buckets = sorted((int(key), number) for key, number in histogram.counts.items() if number > 0)
    if not buckets or count <= 0:
        return ()
    ends = list(accumulate(number for _, number in buckets))
    gaps = []
    for index in range(count):
        rank = (index + 0.5) / count * ends[-1]
        place = bisect_left(ends, rank)
        bucket, number = buckets[place]
        within = (rank - (ends[place] - number)) / number
        gaps.append(histogram.base ** (bucket + within))
    random.Random(seed).shuffle(gaps)  # noqa: S311 - an order, not a secret
    return tuple(gaps)


@dataclass(slots=True)
class _Lane:
    """One thread's burning: its speed and what it still owes (negative: burned too much)."""

    rate: float = _START_RATE
    owed_s: float = 0.0


def _hash_rounds(rounds: int) -> None:
    """Burn CPU in one native call that holds no interpreter lock (OpenSSL's PBKDF2)."""
    hashlib.pbkdf2_hmac("sha256", b"pipeprof", b"consumer", rounds)


class Burner:
    """Burns CPU seconds on a number of threads at once, the caller's own being one of them."""

    def __init__(
        self,
        threads: int,
        stop: threading.Event,
        rounds: Callable[[int], None] = _hash_rounds,
        thread_clock: Callable[[], float] = time.thread_time,
    ) -> None:
        """Start ``threads - 1`` helpers, which live until ``close``."""
        self._stop = stop
        self._rounds = rounds
        self._thread_clock = thread_clock
        self._own = _Lane()
        self._done: SimpleQueue[float] = SimpleQueue()
        self._tasks: list[SimpleQueue[float | None]] = [SimpleQueue() for _ in range(threads - 1)]
        for number, tasks in enumerate(self._tasks):
            threading.Thread(target=self._help, args=(tasks,), name=f"pipeprof-burn-{number}", daemon=True).start()

    def burn(self, seconds_each: float) -> float:
        """Burn ``seconds_each`` CPU seconds on every thread; return what was burned, all threads together."""
        for tasks in self._tasks:
            tasks.put(seconds_each)
        burned = self._burn_lane(self._own, seconds_each)
        return burned + sum(self._done.get() for _ in self._tasks)

    def close(self) -> None:
        """End the helpers."""
        for tasks in self._tasks:
            tasks.put(None)
        self._tasks = []

    def _help(self, tasks: SimpleQueue[float | None]) -> None:
        lane = _Lane()
        while (seconds := tasks.get()) is not None:
            self._done.put(self._burn_lane(lane, seconds))

    def _burn_lane(self, lane: _Lane, seconds: float) -> float:
        owed, burned = seconds + lane.owed_s, 0.0
        while owed - burned > _SMALLEST_BURN_S and not self._stop.is_set():
            rounds = max(1, int(min(owed - burned, _CHUNK_S) * lane.rate))
            started = self._thread_clock()
            self._rounds(rounds)
            spent = self._thread_clock() - started
            burned += spent if spent > 0 else rounds / lane.rate
            if spent > _SMALLEST_BURN_S:
                lane.rate = rounds / spent
        lane.owed_s = owed - burned
        return burned


class PacedConsumer:
    """A stand-in for the training step: burns its CPU seconds, sleeps the rest of its gap.

    Every gap carries CPU in proportion to its length, spread over ``k = max(1, ceil(cpu / gap))`` threads, at most
    ``cores``. What the burning does not explain is slept, scaled by ``idle_scale``: a gap measured while pipeline and step
    fought for the cores contains waiting for a core, which burning under the same contention produces again by itself.
    """

    def __init__(
        self,
        gaps: Sequence[float],
        *,
        stop: threading.Event,
        cpu_s: float = 0.0,
        cores: int = 1,
        sleep: Callable[[float], object] | None = None,
        clock: Callable[[], float] = time.perf_counter,
        burner: Burner | None = None,
    ) -> None:
        """Prepare a step of ``gaps`` seconds (taken in turn) with ``cpu_s`` CPU seconds in the mean; no gaps: full speed."""
        self.idle_scale = 1.0
        self.burned_s = 0.0
        self._gaps = tuple(gaps)
        self._sleep = sleep or stop.wait
        self._clock = clock
        self._origin = self._position = 0
        self._window: int | None = None
        self._owed_idle_s = 0.0
        mean = self.mean_gap_s
        cpu_s = min(cpu_s, mean * cores)
        self.threads = max(1, min(cores, math.ceil(cpu_s / mean - 1e-9))) if mean > 0 else 1
        self._cpu_share = cpu_s / mean / self.threads if mean > 0 else 0.0
        self._burner = burner or (Burner(self.threads, stop) if self._cpu_share > 0 else None)

    @property
    def mean_gap_s(self) -> float:
        """Mean of the gaps asked for."""
        return sum(self._gaps) / len(self._gaps) if self._gaps else 0.0

    @property
    def idle_s(self) -> float:
        """Seconds of a mean gap that are slept, before scaling."""
        return self.mean_gap_s * (1 - self._cpu_share)

    def rewind(self, position: int, window: int | None = None) -> None:
        """Continue at this position, over and over the same ``window`` gaps; both arms of a pair are given the same."""
        self._origin, self._window, self._position = position, window, 0
        self._owed_idle_s = 0.0

    def consume(self) -> None:
        """Spend one step's own time; returns early once the stop is asked for."""
        if not self._gaps:
            return
        offset = self._position % self._window if self._window else self._position
        gap = self._gaps[(self._origin + offset) % len(self._gaps)]
        self._position += 1
        if self._burner is not None and gap > 0:
            self.burned_s += self._burner.burn(gap * self._cpu_share)
        self._idle(gap * (1 - self._cpu_share) * self.idle_scale)

    def close(self) -> None:
        """End the helper threads."""
        if self._burner is not None:
            self._burner.close()

    def _idle(self, seconds: float) -> None:
        owed = seconds + self._owed_idle_s
        if owed < _SMALLEST_SLEEP_S:
            self._owed_idle_s = owed
            return
        started = self._clock()
        self._sleep(owed)
        late = self._clock() - started - owed
        self._owed_idle_s = -min(max(late, 0.0), _LATE_ALLOWANCE_S)
