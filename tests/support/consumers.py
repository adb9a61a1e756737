"""Consumers for tests: snapshots of TensorFlow's counters and a loop in Python, planted on one clock."""

from __future__ import annotations

from collections.abc import Iterable

from pipeprof.capture.consumption import Consumption, Created, Gone
from pipeprof.capture.model_tree import Sample, Snapshot
from pipeprof.capture.next_calls import More, Next, TornDown
from pipeprof.capture.steps import LoopRecorder
from pipeprof.model.profile import Loop


def snapshot(elements: int, gaps_us: Iterable[float] = (), *, busy: bool = True) -> Snapshot:
    root = Sample(
        number=1,
        parent=None,
        position="Root",
        slot=0,
        node="Root",
        elements=elements,
        busy_s=1.0 if busy and elements else 0.0,
        bytes_produced=0,
        bytes_consumed=0,
        buffered_elements=0,
        buffered_bytes=0,
        known_ratio=None,
        parallelism=None,
        parallelism_max=None,
        tuned=False,
        buffer_size=None,
    )
    return Snapshot((root,), tuple(round(gap) for gap in gaps_us)[-100:], None, None)


def binned(loop: Loop) -> tuple[float, float]:
    """Return the waits and the gaps of all bins."""
    return sum(item.wait_s for item in loop.bins), sum(item.gap_s for item in loop.bins)


class PythonLoop:
    """Plants calls of ``next`` on one clock."""

    def __init__(self, consumption: Consumption, now_s: float = 0.0) -> None:
        self.consumption = consumption
        self.now_s = now_s

    def create(self, iterator: int, recorder: LoopRecorder, took_s: float = 0.01, thread: int = 1) -> None:
        self.consumption.handle(Created(iterator, self.now_s, self.now_s + took_s, thread, recorder))
        self.now_s += took_s

    def next(self, iterator: int, wait_s: float, gap_s: float, *, ok: bool = True, thread: int = 1) -> None:
        self.consumption.handle(Next(iterator, self.now_s, self.now_s + wait_s, thread, ok))
        self.now_s += wait_s + gap_s

    def tear_down(self, iterator: int, recorder: LoopRecorder, took_s: float, thread: int = 1) -> None:
        self.consumption.handle(Gone(iterator, self.now_s))
        self.consumption.handle(TornDown(recorder, self.now_s, self.now_s + took_s, thread))
        self.now_s += took_s

    def more(self, iterator: int, wait_s: float, gap_s: float, thread: int = 1) -> None:
        self.consumption.handle(More(iterator, self.now_s, self.now_s + wait_s, thread))
        self.now_s += wait_s + gap_s
