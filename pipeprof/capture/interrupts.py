"""What a signal handler of the program raised while our code ran: it is the program's, and has to reach it.

Python runs handlers between any two bytecodes of the main thread, ours too. In a hook that a user's call runs through, such an
exception only has to be let through. As an iterator is dropped, Python has nobody to hand it to and drops it, with a message:
there it is held, and raised from the next hook. Nothing here knows what the signal means.
"""

from __future__ import annotations

import signal
import threading
from types import TracebackType
from typing import Any


def is_of_handler(error: BaseException) -> bool:
    """Tell whether an exception comes out of a signal handler; those that are no ``Exception`` are never our own."""
    return not isinstance(error, Exception) or _from_handler(error.__traceback__) is not None


class HeldInterrupt:
    """The last exception that came where Python would drop it."""

    def __init__(self) -> None:
        """Hold none."""
        self._held: BaseException | None = None

    def hold(self, error: BaseException) -> None:
        """Keep it, without the frames of ours that it went through: they would keep alive what is being dropped."""
        self._held = error.with_traceback(_from_handler(error.__traceback__))

    def release(self) -> None:
        """Raise what is held, where the program would have got it.

        Raises:
            BaseException: that one.
        """
        if self._held is not None and threading.current_thread() is threading.main_thread():
            error, self._held = self._held, None
            raise error


def _from_handler(traceback: TracebackType | None) -> TracebackType | None:
    """Return the part of a traceback that begins in a handler, None where it has none."""
    codes = {_code(signal.getsignal(number)) for number in signal.valid_signals()} - {None}
    while traceback is not None and traceback.tb_frame.f_code not in codes:
        traceback = traceback.tb_next
    return traceback


def _code(handler: Any) -> Any:
    function = getattr(handler, "func", handler)  # of functools.partial
    function = getattr(function, "__func__", function)
    if not hasattr(function, "__code__") and callable(function):
        function = type(function).__call__
    return getattr(function, "__code__", None)
