"""Calls of ``next`` in Python, put together into the steps of each pipeline's loop.

A step of a pipeline lasts from one request of its loop to that loop's next request. Pipelines that are read in turns (``zip``,
two iterators side by side) each see the whole step, with the other's wait in their gap; a pipeline that is iterated *within*
a step, from its creation on (validation), is no part of it. Reads no clock.
"""

from __future__ import annotations

from typing import NamedTuple

from pipeprof.capture.steps import LoopRecorder


class Next(NamedTuple):
    """``next`` was called in Python."""

    iterator: int
    start_s: float
    end_s: float
    thread: int
    ok: bool


class More(NamedTuple):
    """A further part of the element that was handed over last, of another replica: waiting that belongs to the same step."""

    iterator: int
    start_s: float
    end_s: float
    thread: int


class Told(NamedTuple):
    """The element that was handed over last is an optional, and the loop asked whether it has a value."""

    iterator: int
    start_s: float
    end_s: float
    thread: int
    ok: object  # a tensor: what it says is read here, since reading it gives the interpreter's lock away


class TornDown(NamedTuple):
    """An iterator was dropped and what it ran in TensorFlow has ended; whoever dropped it stood still for that."""

    recorder: LoopRecorder
    start_s: float
    end_s: float
    thread: int


class NextCalls:
    """All elements that were handed over and whose gap is still open, by thread and iterator."""

    def __init__(self) -> None:
        """Start empty."""
        self._open: dict[int, dict[int, tuple[Next, LoopRecorder]]] = {}
        self._more_s: dict[tuple[int, int], float] = {}  # (thread, iterator): waited for other replicas
        self._left_s: dict[tuple[int, int], float] = {}  # (thread, iterator): when the thread turned to another iterator
        self._ended: dict[int, tuple[LoopRecorder, float]] = {}
        self._torn: dict[int, TornDown] = {}

    def created(self, thread: int, start_s: float, recorder: LoopRecorder) -> None:
        """A new iterator ends every step of its thread: what follows is another loop, or another epoch."""
        for iterator in list(self._open.get(thread, ())):
            self._close(thread, iterator, start_s)
        self._cross_boundary(thread, start_s, recorder)

    def called(self, event: Next, recorder: LoopRecorder) -> None:
        """Runs for every step of the user's loop: the usual case, another element of the only iterator, comes first."""
        iterator, start_s, end_s, thread, ok = event
        steps = self._open.get(thread)
        if steps is None:
            steps = self._open[thread] = {}
        before = steps.get(iterator)
        if before is None:
            if not steps:
                self._cross_boundary(thread, start_s, recorder)
        elif len(steps) == 1 and not self._more_s and not self._left_s:
            _, asked_s, got_s, _, _ = before[0]
            recorder.step(iterator, asked_s, got_s - asked_s, start_s - got_s, thread)
        else:
            self._left_s.pop((thread, iterator), None)
            self._close(thread, iterator, start_s)
        if ok:
            steps[iterator] = (event, recorder)
        else:
            steps.pop(iterator, None)
            recorder.end_of_data(iterator, end_s - start_s, start_s)
            self._ended[thread] = (recorder, end_s)
        if len(steps) > ok:
            for other in steps:
                if other != iterator:
                    self._left_s.setdefault((thread, other), start_s)

    def told(self, event: Told) -> None:
        """Only now does the loop know whether there was an element: what it did to ask belongs to its waiting."""
        steps = self._open.get(event.thread, {})
        if event.ok or event.iterator not in steps:
            self.more(More(event.iterator, event.start_s, event.end_s, event.thread))
            return
        asked, recorder = steps.pop(event.iterator)
        self._more_s.pop((event.thread, event.iterator), None)
        recorder.end_of_data(event.iterator, event.end_s - asked.start_s, asked.start_s)
        self._ended[event.thread] = (recorder, event.end_s)

    def more(self, event: More) -> None:
        """Add a further wait to the step that is open."""
        if event.iterator in self._open.get(event.thread, ()):
            key = (event.thread, event.iterator)
            self._more_s[key] = self._more_s.get(key, 0.0) + event.end_s - event.start_s

    def torn_down(self, event: TornDown) -> None:
        """Keep what the taking down of an iterator took; it is waiting where the same loop goes on after it.

        In the middle of a step it lies in that step's gap.
        """
        if not self._open.get(event.thread):
            self._torn[event.thread] = event

    def left(self, iterator: int, now_s: float | None = None) -> None:
        """Close the gap of an iterator's last element; where its end is not known it is none."""
        for thread, steps in self._open.items():
            if iterator in steps:
                got_s = steps[iterator][0].end_s
                self._close(thread, iterator, got_s if now_s is None else max(now_s, got_s))

    def _close(self, thread: int, iterator: int, now_s: float) -> None:
        event, recorder = self._open[thread].pop(iterator)
        more_s = self._more_s.pop((thread, iterator), 0.0)
        until_s = min(now_s, self._left_s.pop((thread, iterator), now_s))
        gap_s = max(0.0, until_s - event.end_s - more_s)
        recorder.step(iterator, event.start_s, event.end_s - event.start_s + more_s, gap_s, thread)

    def _cross_boundary(self, thread: int, now_s: float, follower: LoopRecorder) -> None:
        """The time between two epochs is the loop's own, but for the taking down of an iterator, unless another comes first."""
        ended, torn = self._ended.pop(thread, None), self._torn.pop(thread, None)
        torn_s = 0.0
        if torn is not None and torn.recorder is follower:
            torn_s = torn.end_s - torn.start_s
            follower.teardown(torn.start_s, torn_s)
        if ended is not None and ended[0] is follower:
            follower.boundary(ended[1], max(0.0, now_s - ended[1] - torn_s))
