"""Consumption: raw events of the user's threads, put together into the steps of each pipeline's loop.

Three ways of seeing a consumer, the best that is there: calls of ``next`` in Python; Keras' step calls together with the
consumer gaps that TensorFlow keeps (there ``next`` happens inside a graph); those gaps alone. Events are appended by the
user's threads as plain tuples and worked off here, on the sampler's thread. Reads no clock.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from statistics import median
from typing import NamedTuple

from pipeprof.capture.model_tree import Snapshot
from pipeprof.capture.next_calls import More, Next, NextCalls, Told, TornDown
from pipeprof.capture.steps import LoopRecorder

_GAPS_KEPT = 100  # TensorFlow keeps the last 100


class Created(NamedTuple):
    """An iterator was made; its steps belong to ``recorder``."""

    iterator: int
    start_s: float
    end_s: float
    thread: int
    recorder: LoopRecorder


class KerasStep(NamedTuple):
    """Keras asked for its next step (``enter_s``) and got it (``return_s``); without an iterator the epoch was over."""

    iterator: int | None
    elements: int
    enter_s: float
    return_s: float
    thread: int


class Gone(NamedTuple):
    """An iterator was dropped: a loop that was left by ``break`` or an exception ends here."""

    iterator: int
    at_s: float


Event = Created | Next | More | Told | KerasStep | Gone | TornDown


@dataclass(slots=True)
class _Span:
    """One Keras step: from its start to Keras' next request."""

    start_s: float
    elements: int
    end_s: float | None = None  # None: the loop was left in the middle of the step
    next_start_s: float | None = None  # of the same iterator
    is_last_of_epoch: bool = False

    @property
    def between_s(self) -> float | None:
        """What lay between this step and the iterator's next."""
        return None if self.end_s is None or self.next_start_s is None else self.next_start_s - self.end_s


@dataclass(slots=True)
class _IteratorState:
    """What is known of one iterator's consumer."""

    recorder: LoopRecorder
    by_python: bool = False
    by_keras: bool = False
    spans: deque[_Span] = field(default_factory=deque)
    newest_span: _Span | None = None
    gaps: deque[float | None] = field(default_factory=deque)  # not yet given to a step; None: lost
    gap_count: int = 0  # all so far, the lost ones too
    window: tuple[int, ...] = ()
    root_elements: int = 0
    settled: int = 0  # elements of Keras' steps that were recorded
    last_poll_s: float | None = None
    opening: tuple[float, int] | None = None  # of gaps alone: the first poll that saw elements, and how many
    owed_s: float = 0.0
    idle_until_s: float | None = None  # the last poll that saw no stage at work
    first_element_s: float | None = None  # the first poll that saw an element
    own_s: deque[float] = field(default_factory=lambda: deque(maxlen=50))
    is_first_span: bool = True

    def take_gaps(self, snapshot: Snapshot) -> int:
        """Keep the gaps that are new and return their number.

        Gap n lies between element n and the next one. Where the count does not come out, TensorFlow has dropped one (of 10 s
        or more) or more of them were made than it keeps: both happened before the new ones.
        """
        fresh = _fresh_gaps(self.window, snapshot.gaps_us, snapshot.root_elements - self.root_elements)
        lost = max(0, snapshot.root_elements - 1 - self.gap_count - len(fresh))
        self.gaps.extend([None] * lost)
        self.gaps.extend(gap * 1e-6 for gap in fresh)
        self.gap_count += lost + len(fresh)
        self.window = snapshot.gaps_us
        return len(fresh)

    def first_wait_s(self) -> float | None:
        """Return the wait for the first element of the run, as the polls saw it.

        The first step's span cannot tell: it holds the tracing of the graph too.
        """
        if self.first_element_s is None or self.idle_until_s is None:
            return None
        return self.first_element_s - self.idle_until_s


class Consumption:
    """Works off events and polls into loop recorders."""

    def __init__(self) -> None:
        """Start empty."""
        self._iterators: dict[int, _IteratorState] = {}
        self._next_calls = NextCalls()
        self._keras: dict[int, tuple[int, _Span]] = {}

    def handle(self, event: Event) -> None:
        """Work off one event; events of one thread arrive in order."""
        if isinstance(event, Next):
            state = self._iterators.get(event[0])
            if state is not None:
                if state.by_keras:
                    self._read_by_python(event.thread, state)
                state.by_python = True
                self._next_calls.called(event, state.recorder)
        elif isinstance(event, KerasStep):
            self._keras_step(event)
        elif isinstance(event, More):
            self._next_calls.more(event)
        elif isinstance(event, Told):
            self._next_calls.told(event)
        elif isinstance(event, Gone):
            self._next_calls.left(event.iterator, event.at_s)
        elif isinstance(event, TornDown):
            if event.recorder.method == "next":  # elsewhere it lies in what the gaps leave, or inside TensorFlow
                self._next_calls.torn_down(event)
        else:
            self._iterators[event.iterator] = _IteratorState(event.recorder)
            self._next_calls.created(event.thread, event.start_s, event.recorder)
            event.recorder.creation(event.iterator, event.start_s, event.end_s)

    def poll(self, iterator: int, now_s: float, snapshot: Snapshot) -> int:
        """Take a snapshot's consumer side; return how many new gaps it held that are needed."""
        state = self._iterators.get(iterator)
        if state is None or not snapshot.samples:
            return 0
        if state.first_element_s is None and snapshot.root_elements:
            state.first_element_s = now_s
        elif not snapshot.is_busy:
            state.idle_until_s = now_s
        fresh = state.take_gaps(snapshot)
        delivered, state.root_elements = snapshot.root_elements - state.root_elements, snapshot.root_elements
        if state.by_python:  # timed call by call: its gaps are of no use
            state.gaps.clear()
            return 0
        if state.by_keras:
            self._settle(iterator, state)
        elif delivered > 0:  # else it is still waiting: the time goes to the poll that sees the element
            self._poll_block(iterator, state, now_s, delivered)
        return fresh

    def finish(self, iterator: int) -> None:
        """An iterator is gone: settle what is left with what is known."""
        self._next_calls.left(iterator)
        state = self._iterators.pop(iterator, None)
        if state is None:
            return
        while state.spans:
            self._settle_one(iterator, state, state.spans.popleft())
        if not state.by_python and not state.by_keras:
            self._record_opening(iterator, state)
        state.recorder.close(iterator)

    def finish_all(self) -> None:
        """The run is over: settle every iterator."""
        for iterator in list(self._iterators):
            self.finish(iterator)

    # --- Keras --------------------------------------------------------------------------------------------------

    def _read_by_python(self, thread: int, state: _IteratorState) -> None:
        """Keras calls ``next`` for itself, as its ``predict`` does: its steps are those calls."""
        state.by_keras = False
        state.spans.clear()
        state.newest_span = None
        state.recorder.method = "next"
        self._keras.pop(thread, None)

    def _keras_step(self, event: KerasStep) -> None:
        last = self._keras.pop(event.thread, None)
        if last is not None and event.iterator in {None, last[0]}:
            last[1].end_s = event.enter_s
            last[1].is_last_of_epoch = event.iterator is None
            ended = self._iterators.get(last[0]) if event.iterator is None else None
            if ended is not None:
                ended.recorder.consumer_epochs += 1
        state = None if event.iterator is None else self._iterators.get(event.iterator)
        if event.iterator is None or state is None or state.by_python:
            return
        state.recorder.method = "keras"
        state.by_keras = True
        if state.newest_span is not None:  # perhaps of an earlier epoch: with steps_per_epoch the iterator goes on
            state.newest_span.next_start_s = event.return_s
        state.newest_span = _Span(event.return_s, event.elements)
        state.spans.append(state.newest_span)
        self._keras[event.thread] = (event.iterator, state.newest_span)

    def _settle(self, iterator: int, state: _IteratorState) -> None:
        """Record every span whose gaps have come; the gap of the iterator's newest is only known with its next."""
        while state.spans and state.spans[0].next_start_s is not None and len(state.gaps) >= state.spans[0].elements:
            self._settle_one(iterator, state, state.spans.popleft())

    def _settle_one(self, iterator: int, state: _IteratorState, span: _Span) -> None:
        """Turn a span into steps. Its own time is TensorFlow's gaps less what lay between it and the next one.

        What is left is the wait. In the first span of a later epoch it also holds the taking down of the iterator before,
        which the loop variable of Keras' ``fit`` keeps alive until then (up to 0.5 s were measured with TensorFlow 2.21).
        """
        elements, between = self._elements(state, span), span.between_s
        gaps = (
            [state.gaps.popleft() for _ in range(min(span.elements, len(state.gaps)))] if span.next_start_s is not None else []
        )
        known = [gap for gap in gaps if gap is not None]
        if span.end_s is None:
            state.recorder.pass_over(elements)
            return
        length = span.end_s - span.start_s
        if not elements:  # Keras, not knowing the length, asked once more
            state.recorder.end_of_data(iterator, length, span.start_s)
            return
        own: float | None = None
        if between is not None and len(known) == span.elements:
            own = sum(known) - between
            if not state.is_first_span:
                state.own_s.append(own / elements)
        elif state.own_s:
            own = min(length, median(state.own_s) * elements)
        wait = None if own is None else length - own
        if state.is_first_span and state.recorder.elements == 0:
            first = state.first_wait_s()
            wait = None if first is None else min(length, first)
        state.is_first_span = False
        between = 0.0 if between is None or span.is_last_of_epoch else between  # validation is no part of this loop
        state.recorder.step(iterator, span.start_s, wait, length - (wait or 0.0) + between, elements=elements)

    def _elements(self, state: _IteratorState, span: _Span) -> int:
        """Return how many elements a step had: the last of an epoch may find fewer than were asked for, or none."""
        elements = span.elements
        if span.next_start_s is None and state.root_elements:
            elements = min(elements, max(0, state.root_elements - state.settled))
        state.settled += elements
        return elements

    # --- gaps alone ---------------------------------------------------------------------------------------------

    def _poll_block(self, iterator: int, state: _IteratorState, now_s: float, delivered: int) -> None:
        started_s, state.last_poll_s = state.last_poll_s, now_s
        gaps = [gap for gap in state.gaps if gap is not None]
        state.gaps.clear()
        if started_s is None:  # what came before the first poll that saw an element is start-up
            state.opening = (now_s, delivered)
            return
        self._record_opening(iterator, state)
        recorder = state.recorder
        recorder.method = "gaps"
        own = sum(gaps) * (delivered / len(gaps)) if gaps else 0.0
        wait = now_s - started_s - own + state.owed_s
        state.owed_s = min(wait, 0.0)
        recorder.block(started_s, now_s, delivered, max(wait, 0.0), gaps)

    def _record_opening(self, iterator: int, state: _IteratorState) -> None:
        """Record the first elements; only now, since calls of ``next`` are known a little later than what they returned."""
        if state.opening is None:
            return
        (seen_s, elements), state.opening = state.opening, None
        state.recorder.method = "gaps"
        first = state.first_wait_s()
        if state.recorder.elements or first is None:
            state.recorder.pass_over(elements)
        else:
            state.recorder.step(iterator, seen_s - first, first, 0.0, elements=elements)


def _fresh_gaps(before: tuple[int, ...], now: tuple[int, ...], delivered: int) -> tuple[int, ...]:
    """Return the gaps in ``now`` that were not in ``before``: both are windows on one growing list.

    As long as the window is not full that is what was added. Then about as many are new as elements were delivered, which
    tells apart windows that fit in several ways (equal gaps).
    """
    if len(now) < _GAPS_KEPT:
        return now[len(before) :]
    for fresh in sorted(range(len(now) + 1), key=lambda count: abs(count - delivered)):
        shared = len(now) - fresh
        if shared <= len(before) and before[len(before) - shared :] == now[:shared]:
            return now[shared:]
    return now
