"""Receives the supervisor's signals and tells those sent to it alone from those sent to its whole process group.

A signal's own data does not tell. A witness does: a process of the same group that blocks the same signals and reports what
arrives. What the witness got too, the script got as well (the terminal's Ctrl-C, ``kill %1``, a service manager's stop), and
sending it again would be one too many. The signals are blocked and waited for; no handler runs, and what was ignored when
the supervisor started stays ignored. It sends nothing by itself.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import struct
import time
from types import TracebackType
from typing import NoReturn, Self

from pipeprof.launch.deathsignal import die_with_parent

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
_REPORT = struct.Struct("id")  # signal number, monotonic seconds
_WITNESS_DELAY_S = 0.2  # between the first and the last process that get one signal, on a busy machine
_STALE_S = 0.5
_SI_KERNEL = 0x80


class SignalRelay:
    """Context in which signals are received instead of delivered."""

    def __init__(self) -> None:
        """Choose the signals: those that were not ignored from the start."""
        self.watched = frozenset(number for number in (*PASSED_ON, *_STOPS) if signal.getsignal(number) is not signal.SIG_IGN)
        self.original_mask: set[signal.Signals | int] = set()
        self._witness = 0
        self._reports = -1

    def __enter__(self) -> Self:
        """Block the signals and start the witness."""
        self.original_mask = set(signal.pthread_sigmask(signal.SIG_BLOCK, {*self.watched, signal.SIGCHLD}))
        self._reports, end = os.pipe()
        supervisor = os.getpid()
        self._witness = os.fork()
        if self._witness == 0:
            _witness(end, supervisor, self.watched)
        os.close(end)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        """Stop the witness, drop what arrived too late to be passed on, and restore the mask."""
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(self._witness, signal.SIGKILL)
            os.waitpid(self._witness, 0)
        os.close(self._reports)
        while self.next(0) is not None:
            pass
        signal.pthread_sigmask(signal.SIG_SETMASK, self.original_mask)

    def next(self, timeout_s: float) -> signal.struct_siginfo | None:
        """Return the next signal, the end of a child (SIGCHLD) included, or None after ``timeout_s``."""
        try:
            return signal.sigtimedwait({*self.watched, signal.SIGCHLD}, timeout_s)
        except InterruptedError:
            return None

    def is_for_us_alone(self, received: signal.struct_siginfo) -> bool:
        """Say whether a signal was sent to the supervisor only, so that the script has to be told."""
        if received.si_signo not in PASSED_ON:
            return False
        is_from_terminal = (
            received.si_code == _SI_KERNEL and received.si_signo != signal.SIGHUP
        )  # hanging up: the leader's alone
        return not is_from_terminal and not self._witnessed(received.si_signo)

    def stop_as(self, number: int) -> None:
        """Stop this process as ``number`` would have; return when it is continued."""
        if number not in self.watched:
            os.kill(os.getpid(), number)
            return
        os.kill(os.getpid(), number)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
        signal.pthread_sigmask(signal.SIG_BLOCK, {number})

    def _witnessed(self, number: int) -> bool:
        until = time.monotonic() + _WITNESS_DELAY_S
        while select.select([self._reports], [], [], max(0.0, until - time.monotonic()))[0]:
            report = os.read(self._reports, _REPORT.size)
            if len(report) < _REPORT.size:  # the witness is gone
                return False
            seen, at_s = _REPORT.unpack(report)
            if seen == number and time.monotonic() - at_s < _STALE_S:
                return True
        return False


def _witness(end: int, supervisor: int, watched: frozenset[signal.Signals]) -> NoReturn:
    """Report every watched signal; hold nothing of the script's open; end with the supervisor."""
    try:
        if not die_with_parent(supervisor, signal.SIGKILL):
            os._exit(0)
        os.dup2(end, 3)
        os.closerange(4, os.sysconf("SC_OPEN_MAX"))
        os.closerange(0, 3)
        while True:
            received = signal.sigwaitinfo(watched)
            os.write(3, _REPORT.pack(received.si_signo, time.monotonic()))
    finally:
        os._exit(0)
