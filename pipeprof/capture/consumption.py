"""Consumption: raw events of the user's threads, put together into the steps of each pipeline's loop.

Three ways of seeing a consumer, the best that is there: calls of ``next`` in Python; Keras' step calls together with the
consumer gaps that TensorFlow keeps (there ``next`` happens inside a graph); those gaps alone. Events are appended by the
user's threads as plain tuples and worked off here, on the sampler's thread. Reads no clock.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from statistics import median

from pipeprof.capture.model_tree import Snapshot
from pipeprof.capture.steps import LoopRecorder

_GAPS_KEPT = 100  # TensorFlow keeps the last 100
_LONGEST_GAP_S = 10.0  # TensorFlow drops gaps from 10 s on


@dataclass(frozen=True, slots=True)
class Created:
    """An iterator was made; its steps belong to ``recorder``."""

    iterator: int
    start_s: float
    end_s: float
    thread: int
    recorder: LoopRecorder


@dataclass(frozen=True, slots=True)
class Next:
    """``next`` was called in Python."""

    iterator: int
    start_s: float
    end_s: float
    thread: int
    ok: bool


@dataclass(frozen=True, slots=True)
class KerasStep:
    """Keras asked for its next step (``enter_s``) and got it (``return_s``); without an iterator the epoch was over."""

    iterator: int | None
    elements: int
    enter_s: float
    return_s: float
    thread: int


Event = Created | Next | KerasStep


@dataclass(slots=True)
class _Pending:
    """The last element handed to one thread, whose gap is still open; it outlives its iterator."""

    event: Next
    recorder: LoopRecorder


@dataclass(slots=True)
class _Span:
    """One Keras step: from its start to Keras' next request."""

    start_s: float
    elements: int
    end_s: float | None = None
    next_start_s: float | None = None


@dataclass(slots=True)
class _IteratorState:
    """What is known of one iterator's consumer."""

    recorder: LoopRecorder
    by_python: bool = False
    by_keras: bool = False
    spans: deque[_Span] = field(default_factory=deque)
    gaps: deque[float] = field(default_factory=deque)
    window: tuple[int, ...] = ()
    root_elements: int = 0
    last_poll_s: float | None = None
    owed_s: float = 0.0
    idle_until_s: float | None = None  # the last poll that saw no stage at work
    first_element_s: float | None = None  # the first poll that saw an element
    own_s: deque[float] = field(default_factory=lambda: deque(maxlen=50))
    is_first_span: bool = True

    def first_wait_s(self, length_s: float) -> float | None:
        """Return the wait for the first element of the run, as the polls saw it.

        The first step's span cannot tell: it holds the tracing of the graph too.
        """
        if self.first_element_s is None or self.idle_until_s is None:
            return None
        return min(length_s, self.first_element_s - self.idle_until_s)


class Consumption:
    """Works off events and polls into loop recorders."""

    def __init__(self) -> None:
        """Start empty."""
        self._iterators: dict[int, _IteratorState] = {}
        self._pending: dict[int, _Pending] = {}
        self._ended: dict[int, tuple[LoopRecorder, float]] = {}
        self._keras: dict[int, tuple[int, _Span]] = {}

    def handle(self, event: Event) -> None:
        """Work off one event; events of one thread arrive in order."""
        if isinstance(event, KerasStep):
            self._keras_step(event)
            return
        if isinstance(event, Created):
            self._iterators[event.iterator] = _IteratorState(event.recorder)
        state = self._iterators.get(event.iterator)
        if state is None:
            return
        self._close_gap(event.thread, event.start_s, state.recorder)
        if isinstance(event, Created):
            state.recorder.creation(event.iterator, event.start_s, event.end_s)
        elif event.ok:
            state.by_python = True
            self._pending[event.thread] = _Pending(event, state.recorder)
        else:
            state.by_python = True
            state.recorder.end_of_data(event.iterator, event.end_s - event.start_s, event.start_s)
            self._ended[event.thread] = (state.recorder, event.end_s)

    def poll(self, iterator: int, now_s: float, snapshot: Snapshot) -> int:
        """Take a snapshot's consumer side; return how many new gaps it held."""
        state = self._iterators.get(iterator)
        if state is None:
            return 0
        fresh = _fresh_gaps(state.window, snapshot.gaps_us)
        state.window = snapshot.gaps_us
        if state.first_element_s is None and snapshot.root_elements:
            state.first_element_s = now_s
        elif not snapshot.is_busy:
            state.idle_until_s = now_s
        if not state.by_python:
            state.gaps.extend(gap * 1e-6 for gap in fresh)
            if state.by_keras:
                self._settle(iterator, state)
            else:
                self._poll_block(state, now_s, snapshot.root_elements)
        return len(fresh)

    def finish(self, iterator: int) -> None:
        """An iterator is gone: settle what is left with what is known."""
        state = self._iterators.pop(iterator, None)
        if state is None:
            return
        while state.spans:
            if not self._settle_one(iterator, state, final=True):
                state.spans.popleft()
        state.recorder.close(iterator)

    def finish_all(self, now_s: float) -> None:
        """The run is over: close the open gap of every thread and settle every iterator."""
        for thread in list(self._pending):
            self._close_gap(thread, now_s, None, is_end=True)
        for _, span in self._keras.values():
            span.end_s = now_s if span.end_s is None else span.end_s
        for iterator in list(self._iterators):
            self.finish(iterator)

    # --- next in Python -----------------------------------------------------------------------------------------

    def _close_gap(self, thread: int, now_s: float, follower: LoopRecorder | None, *, is_end: bool = False) -> None:
        pending = self._pending.pop(thread, None)
        if pending is not None:
            event = pending.event
            gap = 0.0 if is_end else now_s - event.end_s
            pending.recorder.step(event.iterator, event.start_s, event.end_s - event.start_s, gap, thread)
        ended = self._ended.pop(thread, None)
        if ended is not None and ended[0] is follower:
            ended[0].boundary(ended[1], now_s - ended[1])

    # --- Keras --------------------------------------------------------------------------------------------------

    def _keras_step(self, event: KerasStep) -> None:
        last = self._keras.pop(event.thread, None)
        if last is not None:
            iterator, span = last
            span.end_s = event.enter_s
            if event.iterator == iterator:
                span.next_start_s = event.return_s
        if event.iterator is None or event.iterator not in self._iterators:
            return
        state = self._iterators[event.iterator]
        state.recorder.method = "keras"
        state.by_keras = True
        span = _Span(event.return_s, event.elements)
        state.spans.append(span)
        self._keras[event.thread] = (event.iterator, span)

    def _settle(self, iterator: int, state: _IteratorState) -> None:
        while state.spans and self._settle_one(iterator, state, final=False):
            pass

    def _settle_one(self, iterator: int, state: _IteratorState, *, final: bool) -> bool:
        """Turn the oldest span into a step. Its own time is TensorFlow's gap less what lay between two spans."""
        span = state.spans[0]
        if span.end_s is None:
            return False
        between = None if span.next_start_s is None else span.next_start_s - span.end_s
        is_dropped = between is not None and between >= _LONGEST_GAP_S
        has_gaps = between is not None and not is_dropped and len(state.gaps) >= span.elements
        if not has_gaps and not final and not is_dropped:
            return False
        length = span.end_s - span.start_s
        own = None
        if has_gaps:
            own = sum(state.gaps.popleft() for _ in range(span.elements)) - (between or 0.0)
            if not state.is_first_span:
                state.own_s.append(own)
        elif state.own_s:
            own = min(length, median(state.own_s))
        state.spans.popleft()
        wait = None if own is None else length - own
        if state.is_first_span and state.recorder.elements == 0:
            wait = state.first_wait_s(length)
        state.is_first_span = False
        gap = length - (wait or 0.0) + (between or 0.0)
        state.recorder.step(iterator, span.start_s, wait, gap)
        return True

    # --- gaps alone ---------------------------------------------------------------------------------------------

    def _poll_block(self, state: _IteratorState, now_s: float, root_elements: int) -> None:
        delivered = root_elements - state.root_elements
        if delivered <= 0:
            return  # still waiting: the time goes to the poll that sees the element
        started_s, state.last_poll_s, state.root_elements = state.last_poll_s, now_s, root_elements
        gaps = list(state.gaps)
        state.gaps.clear()
        if started_s is None:  # what came before the first poll that saw an element is start-up
            return
        state.recorder.method = "gaps"
        own = sum(gaps) * (delivered / len(gaps)) if gaps else 0.0
        wait = now_s - started_s - own + state.owed_s
        state.owed_s = min(wait, 0.0)
        state.recorder.block(started_s, now_s, delivered, max(wait, 0.0), gaps)


def _fresh_gaps(before: tuple[int, ...], now: tuple[int, ...]) -> tuple[int, ...]:
    """Return the gaps in ``now`` that were not in ``before``: both are windows on one growing list."""
    if not before:
        return now
    longest = min(len(before), len(now))
    for shared in range(longest, 0, -1):
        if before[-shared:] == now[:shared]:
            return now[shared:]
    return now
