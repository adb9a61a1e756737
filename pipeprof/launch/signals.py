"""Receives the supervisor's signals and tells those sent to it alone from those sent to its whole process group.

What was sent to the group (``kill %1``, a service manager's stop, the terminal's Ctrl-C) the script got as well, and sending it
again would be one too many. The signals are blocked and waited for; no handler runs, and what was ignored when the supervisor
started stays ignored. It sends nothing by itself.
"""

from __future__ import annotations

import os
import signal
import time
from types import TracebackType
from typing import Self

from pipeprof.launch.witness import Witness, is_from_terminal

PASSED_ON = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGTSTP,
)
_STOPS = (signal.SIGTTIN, signal.SIGTTOU)  # never passed on: the terminal sends them to the whole group


class SignalRelay:
    """Context in which signals are received instead of delivered."""

    def __init__(self) -> None:
        """Choose the signals: those that were not ignored from the start."""
        self.watched = frozenset(number for number in (*PASSED_ON, *_STOPS) if signal.getsignal(number) is not signal.SIG_IGN)
        self.original_mask: set[signal.Signals | int] = set()
        self._witness: Witness | None = None
        self._quiet_s = time.monotonic()  # when last nothing was pending

    def __enter__(self) -> Self:
        """Block the signals and start the witness."""
        self.original_mask = set(signal.pthread_sigmask(signal.SIG_BLOCK, {*self.watched, signal.SIGCHLD}))
        self._witness = Witness(self.watched)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        """Stop the witness, drop what arrived too late to be passed on, and restore the mask."""
        if self._witness is not None:
            self._witness.stop()
        while self.next(0) is not None:
            pass
        signal.pthread_sigmask(signal.SIG_SETMASK, self.original_mask)

    def next(self, timeout_s: float) -> signal.struct_siginfo | None:
        """Return the next signal, the end of a child (SIGCHLD) included, or None after ``timeout_s``."""
        numbers = {*self.watched, signal.SIGCHLD}
        now = time.monotonic()
        try:
            received = signal.sigtimedwait(numbers, 0)
            if received is None:
                self._quiet_s = now
                received = signal.sigtimedwait(numbers, timeout_s)
        except InterruptedError:
            return None
        return received

    def pending(self) -> list[int]:
        """Take the signals to be passed on that have come so far."""
        taken = []
        while (received := self.next(0)) is not None:
            if received.si_signo in PASSED_ON:
                taken.append(received.si_signo)
        return taken

    def is_for_us_alone(self, received: signal.struct_siginfo) -> bool:
        """Say whether a signal was sent to the supervisor only, so that the script has to be told."""
        if received.si_signo not in PASSED_ON:
            return False
        if is_from_terminal(received):
            return False
        return self._witness is None or not self._witness.has_met(received, self._quiet_s)

    def stop_as(self, number: int) -> None:
        """Stop this process as ``number`` would have; return when it is continued."""
        if number not in self.watched:
            os.kill(os.getpid(), number)
            return
        os.kill(os.getpid(), number)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
        signal.pthread_sigmask(signal.SIG_BLOCK, {number})
