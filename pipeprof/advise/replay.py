"""This module drives a dataset as the user's loop did, and times blocks of steps of it.

Its one idea: one live iterator at a time, made anew for every block, warmed up with the consumer at work before the clock
starts. Two iterators kept alive and paused in turn would be quicker, but a paused pipeline goes on until its buffers are full,
and the block after the pause then eats the buffer instead of the pipeline's rate; how many elements to skip is not known for
buffers that AUTOTUNE sizes. Measured on an input-bound pipeline (19 ms a step, blocks of 20 steps): paused arms showed
0.27-0.56 of the true step with prefetch(AUTOTUNE), 0.41 with prefetch(10), and still 0.54 after skipping 20 elements; new
iterators 0.9-1.25, the machine's noise. They start with empty buffers: what is left of the start can only slow a block.
It must not know TensorFlow: a dataset is anything that can be iterated again and again.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pipeprof.advise.consumer import Consumer, FullSpeed, PacedConsumer
from pipeprof.errors import TrialError

__all__ = [
    "Block",
    "Drive",
    "Edge",
    "EmptyPipelineError",
    "StoppedError",
    "WarmUp",
    "fill",
    "measure_alone",
    "measure_block",
    "settle_idle",
    "warm_up",
]

_STABLE = 0.1  # successive chunks within 10 % of each other: the ramp is over
_RSS_PERIOD_S = 0.05
_SETTLE_ROUNDS = 3
_SETTLED = 0.03


class EmptyPipelineError(TrialError):
    """The pipeline yields no element."""


class StoppedError(TrialError):
    """The stop was asked for."""


def resident_bytes() -> int:
    """Return the resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _nothing() -> None:
    return None


@dataclass(frozen=True, kw_only=True, slots=True)
class Edge:
    """The world outside: clocks, sleep, memory. Tests plant their own."""

    clock: Callable[[], float] = time.perf_counter
    cpu_clock: Callable[[], float] = time.process_time
    sleep: Callable[[float], object] | None = None  # None: the stop event's wait
    rss: Callable[[], int] = resident_bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """One run of consecutive steps. ``cpu_s`` is the process's without what the consumer burned."""

    steps: int
    wall_s: float
    wait_s: float
    gap_s: float
    cpu_s: float
    first_wait_s: float | None = None
    rss_peak_bytes: int = 0

    @property
    def step_s(self) -> float:
        """Mean seconds of a step."""
        return self.wall_s / self.steps

    @property
    def wait_share(self) -> float:
        """Share of the time spent waiting in next."""
        return self.wait_s / self.wall_s if self.wall_s > 0 else 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class WarmUp:
    """How long to drive before the clock starts: both minima, then until the rate is stable, at most ``cap_s``."""

    elements: int = 10
    seconds: float = 0.25
    cap_s: float = 3.0
    until_stable: bool = True


@dataclass(slots=True)
class Drive:
    """One dataset, made once and kept (so that its caches stay full), with at most one live iterator."""

    factory: Callable[[], Iterable[object]]
    edge: Edge = field(default_factory=Edge)
    beat: Callable[[], None] = _nothing
    epoch_elements: int | None = None  # of a pass, once its end was seen
    boundaries: int = 0  # epochs that began while an iterator was in use
    boundary_s: float = 0.0  # making the new iterators and waiting for their first elements
    _dataset: Iterable[object] | None = None
    _iterator: Iterator[object] | None = None
    _yielded: int = 0  # elements of this pass

    def dataset(self) -> Iterable[object]:
        """Return the dataset, made at the first call."""
        if self._dataset is None:
            self._dataset = self.factory()
        return self._dataset

    def open(self) -> None:
        """Start a new iterator; the old one is given up first."""
        self.close()
        self._iterator = iter(self.dataset())
        self._yielded = 0

    def close(self) -> None:
        """Give the iterator up, and with it its threads and buffers."""
        self._iterator = None

    def next_element(self) -> object:
        """Return the next element; at the end of a pass a new iterator is made, as a loop over epochs does.

        Raises:
            EmptyPipelineError: a whole pass yielded nothing.
        """
        self.beat()
        if self._iterator is None:
            self.open()
        try:
            element = next(self._iterator)  # type: ignore[arg-type]  # open() has set it
        except StopIteration:
            return self._begin_epoch()
        self._yielded += 1
        return element

    def next_in_epoch(self) -> object:
        """Return the next element of this pass.

        Raises:
            StopIteration: the pass is over.
        """
        self.beat()
        if self._iterator is None:
            self.open()
        element = next(self._iterator)  # type: ignore[arg-type]  # open() has set it
        self._yielded += 1
        return element

    def _begin_epoch(self) -> object:
        if not self._yielded:
            raise EmptyPipelineError("the pipeline yields no element")
        self.epoch_elements = self._yielded
        started = self.edge.clock()
        self.open()
        try:
            element = next(self._iterator)  # type: ignore[arg-type]  # open() has set it
        except StopIteration:
            raise EmptyPipelineError("the pipeline yields no element in its second pass") from None
        self._yielded = 1
        self.boundaries += 1
        self.boundary_s += self.edge.clock() - started
        return element


def measure_block(
    iterator_next: Callable[[], object],
    consumer: Consumer,
    *,
    stop: threading.Event,
    steps: int | None = None,
    seconds: float | None = None,
    edge: Edge | None = None,
    excluded_s: Callable[[], float] = lambda: 0.0,
) -> Block:
    """Drive and time steps until ``steps`` are done, ``seconds`` are over (at least one step), or ``stop`` is set.

    ``excluded_s`` is a running total of seconds within ``iterator_next`` that shall not count (epoch boundaries).

    Raises:
        StoppedError: stopped before the first step.
        ValueError: neither steps nor seconds bound the block.
    """
    if steps is None and seconds is None:
        raise ValueError("a block needs steps or seconds")
    edge = edge or Edge()
    started, cpu, burned = edge.clock(), edge.cpu_clock(), consumer.burned_s
    wait = gap = 0.0
    first: float | None = None
    peak, sampled_at, done, now, skipped = edge.rss(), started, 0, started, excluded_s()
    while not stop.is_set() and (steps is None or done < steps) and (seconds is None or not done or now - started < seconds):
        asked = edge.clock()
        element = iterator_next()
        got = edge.clock()
        waited = got - asked - (excluded_s() - skipped)
        skipped = excluded_s()
        consumer.consume()
        now = edge.clock()
        wait, gap, done = wait + waited, gap + now - got, done + 1
        first = waited if first is None else first
        if now - sampled_at > _RSS_PERIOD_S:
            peak, sampled_at = max(peak, edge.rss()), now
        del element
    if not done:
        raise StoppedError("stopped")
    used = edge.cpu_clock() - cpu - (consumer.burned_s - burned)
    peak = max(peak, edge.rss())
    return Block(
        steps=done, wall_s=wait + gap, wait_s=wait, gap_s=gap, cpu_s=max(0.0, used), first_wait_s=first, rss_peak_bytes=peak
    )


def warm_up(drive: Drive, consumer: Consumer, plan: WarmUp, stop: threading.Event) -> Block:
    """Drive without measuring until AUTOTUNE's ramp is over; return all of it as one block (``first_wait_s``: the start).

    Chunks of a third of the minima are compared; two successive ones within 10 % of each other end it. The seconds count from
    the first element on, so that a long start (filling a shuffle buffer) is no warm-up.

    Raises:
        EmptyPipelineError, TrialError: as ``Drive.next_element`` and ``measure_block``.
    """
    chunk = max(3, plan.elements // 3)
    total = measure_block(drive.next_element, consumer, stop=stop, steps=1, edge=drive.edge)
    start_s, previous = total.wait_s, 0.0
    while not stop.is_set():
        block = measure_block(drive.next_element, consumer, stop=stop, steps=chunk, seconds=plan.cap_s / 3, edge=drive.edge)
        total = _joined(total, block)
        spent = total.wall_s - start_s
        enough = total.steps >= plan.elements and spent >= plan.seconds
        stable = not plan.until_stable or abs(block.step_s - previous) <= _STABLE * block.step_s
        previous = block.step_s
        if spent >= plan.cap_s or (enough and stable):
            break
        chunk = max(chunk, int(plan.seconds / 3 / block.step_s)) if block.step_s > 0 else chunk
    return total


def _joined(first: Block, second: Block) -> Block:
    return Block(
        steps=first.steps + second.steps,
        wall_s=first.wall_s + second.wall_s,
        wait_s=first.wait_s + second.wait_s,
        gap_s=first.gap_s + second.gap_s,
        cpu_s=first.cpu_s + second.cpu_s,
        first_wait_s=first.first_wait_s,
        rss_peak_bytes=max(first.rss_peak_bytes, second.rss_peak_bytes),
    )


def settle_idle(drive: Drive, consumer: PacedConsumer, steps: int, stop: threading.Event) -> float:
    """Set the consumer's ``idle_scale`` so that its gaps beside the running pipeline have the mean asked for; return it.

    The gap was measured in the run, where the step may have waited for cores that the pipeline held. Burning the step's CPU
    beside the same pipeline waits for them again; sleeping the whole rest on top would count that wait twice.
    """
    target = consumer.mean_gap_s
    if not 0 < consumer.idle_s < target:
        return consumer.idle_scale
    for _ in range(_SETTLE_ROUNDS):
        consumer.rewind(0)
        block = measure_block(drive.next_element, consumer, stop=stop, steps=steps, edge=drive.edge)
        error = block.gap_s / block.steps - target
        if abs(error) <= _SETTLED * target:
            break
        consumer.idle_scale = min(1.0, max(0.0, consumer.idle_scale - error / consumer.idle_s))
    return consumer.idle_scale


def measure_alone(drive: Drive, plan: WarmUp, stop: threading.Event, seconds: float = 1.0) -> Block:
    """Return a block of the pipeline at full speed without a consumer: its own rate, and its CPU seconds (``cpu_s / steps``).

    The CPU is the whole process's: nothing else may run in it meanwhile.
    """
    consumer = FullSpeed()
    drive.open()
    try:
        warm_up(drive, consumer, plan, stop)
        return measure_block(drive.next_element, consumer, stop=stop, seconds=seconds, edge=drive.edge)
    finally:
        drive.close()


def fill(drive: Drive, stop: threading.Event, *, elements: int | None, limit_s: float) -> float:
    """Drive one whole pass at full speed, so that the caches in it are complete; return its seconds.

    ``elements`` bounds the pass of an endless dataset (cache below repeat): its number of elements per epoch, and one more is
    taken, since a cache is complete only when its end was seen.

    Raises:
        TrialError: the pass does not end within ``limit_s``, or it was stopped.
        EmptyPipelineError: it has no elements.
    """
    started, count = drive.edge.clock(), 0
    drive.open()
    try:
        while elements is None or count <= elements:
            drive.next_in_epoch()
            count += 1
            if stop.is_set():
                raise StoppedError("stopped")
            if drive.edge.clock() - started > limit_s:
                raise TrialError("one pass over the data does not fit into the budget, so a cache cannot be filled")
    except StopIteration:
        if not count:
            raise EmptyPipelineError("the pipeline yields no element") from None
    finally:
        drive.close()
    return drive.edge.clock() - started
