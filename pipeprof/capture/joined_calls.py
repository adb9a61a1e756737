"""Calls of ``next`` that are not a whole request, and those that do not yet tell whether there was an element.

The one idea: a loop waits for what it asked for. A strategy's iterator asks each device's iterator and puts the batches
together, all of which the loop waits for; an optional tells only when it is asked whether there was an element. Reads no clock.
"""

from __future__ import annotations

import threading
import weakref
from typing import Any


class JoinedCalls(threading.local):
    """What a thread is in the middle of: a strategy's request, and the optional it got last."""

    depth = 0
    number: int | None = None  # of the iterator that the request in progress reached first
    _optional: weakref.ref[Any] | None = None
    _optional_of = 0

    def begin(self) -> None:
        """A strategy's iterator is asked for a batch."""
        self.depth += 1
        if self.depth == 1:
            self.number = None

    def reach(self, number: int) -> None:
        """In the middle of it an iterator was read; of further devices the number is negative."""
        if self.number is None:
            self.number = abs(number)

    def end(self) -> int | None:
        """The request has ended: return which iterator it was for, None within another request or where it is not watched."""
        self.depth -= 1
        return None if self.depth else self.number

    def hold(self, optional: Any, number: int) -> None:
        """Remember what the iterator of that number gave."""
        self._optional, self._optional_of = weakref.ref(optional), number

    def release(self, optional: Any) -> int | None:
        """Return the number of the iterator that gave this optional last, once."""
        if self._optional is None or self._optional() is not optional:
            return None
        self._optional = None
        return self._optional_of
