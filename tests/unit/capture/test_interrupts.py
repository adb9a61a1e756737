"""What a signal handler raises while our code runs reaches the program: let through, or held until it can be."""

from __future__ import annotations

import functools
import signal
import weakref
from collections import defaultdict, deque
from collections.abc import Iterator

import pytest

from pipeprof.capture.end_mark import EndMarks
from pipeprof.capture.interrupts import HeldInterrupt, is_of_handler
from pipeprof.capture.next_calls import TornDown
from pipeprof.capture.steps import LoopRecorder


class OutOfTimeError(Exception):
    pass


def handler(*_: object) -> None:
    raise OutOfTimeError


class Handler:
    def __call__(self, *_: object) -> None:
        raise OutOfTimeError

    def method(self, *_: object) -> None:
        raise OutOfTimeError


@pytest.fixture
def alarm() -> Iterator[None]:
    before = signal.signal(signal.SIGALRM, handler)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


class Anything:
    """What can have attributes and weak references."""


def test_a_signal_that_comes_while_an_iterator_is_taken_down_reaches_the_program(alarm: None) -> None:
    told: deque[object] = deque()
    marks, recorder = EndMarks(told, 0), LoopRecorder()
    iterator, resource = Anything(), Anything()
    busy = weakref.ref(resource, defaultdict(map(sum, [range(3_000_000)]).__next__).__getitem__)  # in C, some 30 ms
    hash(busy)
    iterator.resource = resource
    del resource
    marks.set(iterator, 7, recorder)
    marks.goes(7, 0.5)

    with pytest.raises(OutOfTimeError):  # noqa: PT012 - the signal comes during the second line
        signal.setitimer(signal.ITIMER_REAL, 0.003)
        del iterator
        for _ in range(100):
            pass

    (ended,) = told
    torn = marks.told(ended)
    assert isinstance(torn, TornDown)
    assert (torn.recorder, torn.start_s) == (recorder, 0.5)
    assert torn.end_s > 0.5


@pytest.mark.parametrize(
    "given", [handler, Handler(), Handler().method, functools.partial(handler, 1), lambda *_: handler()], ids=lambda _: ""
)
def test_what_a_handler_raises_is_told_from_what_we_do(alarm: None, given: object) -> None:
    signal.signal(signal.SIGALRM, given)
    with pytest.raises(OutOfTimeError) as of_handler:
        signal.raise_signal(signal.SIGALRM)
    with pytest.raises(OutOfTimeError) as of_ours:
        raise OutOfTimeError

    assert is_of_handler(of_handler.value)
    assert not is_of_handler(of_ours.value)
    assert is_of_handler(KeyboardInterrupt())


def test_what_is_held_is_raised_once_and_holds_no_frames_of_ours(alarm: None) -> None:
    held = HeldInterrupt()
    held.release()

    def drop() -> None:
        try:
            signal.raise_signal(signal.SIGALRM)
        except OutOfTimeError as error:
            held.hold(error)

    drop()
    with pytest.raises(OutOfTimeError) as caught:
        held.release()

    assert "drop" not in [entry.name for entry in caught.traceback]
    held.release()
