"""When an iterator has been taken down: the last thing in it that goes tells the time.

An iterator that is dropped stops its threads and frees its buffers, on the thread that dropped it and under the interpreter's
lock; with TensorFlow 2.21 that took up to 2.4 s at the end of an epoch. Python frees an object's attributes in the order in
which they were set, after its weak references were told: so a mark that is set last goes after the iterator's resource.

No bytecode runs as the mark goes, only functions in C that hand each other their results. A signal that came meanwhile would
else be handled there, at the first bytecode after the wait, and Python drops what a handler raises in such a place: Ctrl-C
would be lost.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import defaultdict, deque
from itertools import repeat
from typing import Any

from pipeprof.capture.next_calls import TornDown
from pipeprof.capture.steps import LoopRecorder

_NAME = "_pipeprof_end"

Ended = tuple[int, int, int]
"""The iterator's number, ``time.perf_counter_ns`` as it was gone, and the thread that dropped it."""


class EndMarks:
    """The marks of all iterators that are alive."""

    def __init__(self, told: deque[Any], origin_ns: int) -> None:
        """Have an ``Ended`` appended to ``told`` for each iterator; times are seconds since ``origin_ns``."""
        self._told = told
        self._origin_ns = origin_ns
        self._marks: dict[int, tuple[object, LoopRecorder]] = {}
        self._going_s: dict[int, float] = {}

    def set(self, iterator: Any, number: int, recorder: LoopRecorder) -> None:
        """Mark an iterator whose attributes are all set."""
        attributes = getattr(iterator, "__dict__", None)
        if isinstance(attributes, dict):
            attributes[_NAME] = mark = _Mark()
            self._marks[number] = (_last_word(mark, number, self._told), recorder)

    def goes(self, number: int, at_s: float) -> None:
        """An iterator is about to be taken down."""
        self._going_s[number] = at_s

    def told(self, event: Any) -> Any:
        """Return an event as it is, and for an ``Ended`` what it ends; None where the beginning of that was not seen."""
        if type(event) is not tuple:
            return event
        number, at_ns, thread = event
        known, start_s = self._marks.pop(number, None), self._going_s.pop(number, None)
        if known is None or start_s is None:
            return None
        return TornDown(known[1], start_s, (at_ns - self._origin_ns) * 1e-9, thread)


class _Mark:
    """Goes with the iterator that it is in."""

    __slots__ = ("__weakref__",)


def _last_word(mark: _Mark, number: int, told: deque[Any]) -> object:
    """Return what must be kept for an ``Ended`` to be appended when the mark goes."""
    ended = zip(repeat(number), iter(time.perf_counter_ns, None), iter(threading.get_ident, None), strict=False)
    tell: defaultdict[object, None] = defaultdict(map(told.append, ended).__next__)  # asked for what it lacks, it calls that
    reference = weakref.ref(mark, tell.__getitem__)
    hash(reference)  # that of what it refers to, as long as that is there
    return reference
