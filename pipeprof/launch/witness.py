"""Tells signals sent to the supervisor's whole process group from those sent to the supervisor alone.

A signal's own data does not tell. The witness does: a process of the same group that blocks the same signals and reports what
arrives. It may be late on a busy machine, so its silence counts only once it has said that nothing is left for it. It
reports nothing that the terminal sends: that is always the group's. It sends nothing by itself.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
import struct
import time
from typing import NamedTuple, NoReturn

from pipeprof.launch.deathsignal import die_with_parent

_FORMAT = struct.Struct("iid")
_BARRIER = signal.SIGRTMIN  # the kernel hands it over after every pending signal of a lower number, and so after all others
_SPREAD_S = 0.2  # between the first and the last process that get one signal, where they are told one by one
_BARRIER_S = 10.0  # for the witness to be given a processor at all
_SI_KERNEL = 0x80


class _Report(NamedTuple):
    number: int
    sender: int
    at_s: float


class Witness:
    """The witness's process, and what it has reported."""

    def __init__(self, watched: frozenset[signal.Signals]) -> None:
        """Start it; ``watched`` are blocked already."""
        self._reports: list[_Report] = []  # not asked for yet
        self._answered: dict[tuple[int, int], float] = {}  # by number and sender: when the last one was made that was asked for
        self._pipe, end = os.pipe()
        supervisor = os.getpid()
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {_BARRIER})
        self._pid = os.fork()
        if self._pid == 0:
            _watch(end, supervisor, watched)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.close(end)

    def stop(self) -> None:
        """End the process."""
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
        os.close(self._pipe)

    def has_met(self, received: signal.struct_siginfo, since_s: float) -> bool:
        """Say whether the witness got a signal as well.

        Args:
            received: what the supervisor got.
            since_s: monotonic time before which it was not sent; older reports are of other signals.
        """
        until = time.monotonic() + _SPREAD_S
        while not self._claim(received, since_s):
            rest_s = until - time.monotonic()
            if rest_s <= 0:
                self._catch_up()
                return self._claim(received, since_s)
            if select.select([self._pipe], [], [], rest_s)[0] and self._read() is None:
                return False
        return True

    def _claim(self, received: signal.struct_siginfo, since_s: float) -> bool:
        self._reports = [report for report in self._reports if report.at_s >= since_s - _SPREAD_S]
        wanted = (received.si_signo, received.si_pid)
        found = next((report for report in self._reports if (report.number, report.sender) == wanted), None)
        if found is None:  # a late witness gets two signals as one, and its one report is of both
            return self._answered.get(wanted, -math.inf) >= since_s
        self._reports.remove(found)
        self._answered[wanted] = found.at_s
        return True

    def _catch_up(self) -> None:
        """Read reports until the witness has none left to make."""
        until = time.monotonic() + _BARRIER_S
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, _BARRIER)
        while select.select([self._pipe], [], [], max(0.0, until - time.monotonic()))[0]:
            report = self._read()
            if report is None or report.number == _BARRIER:
                return

    def _read(self) -> _Report | None:
        """Return the next report, and keep it if it is of a watched signal; None when the witness is gone."""
        data = os.read(self._pipe, _FORMAT.size)
        if len(data) < _FORMAT.size:
            return None
        report = _Report(*_FORMAT.unpack(data))
        if report.number != _BARRIER:
            self._reports.append(report)
        return report


def is_from_terminal(received: signal.struct_siginfo) -> bool:
    """Say whether the terminal sent it, to the whole group; a hang-up is the session leader's alone."""
    return received.si_code == _SI_KERNEL and received.si_signo != signal.SIGHUP


def _watch(end: int, supervisor: int, watched: frozenset[signal.Signals]) -> NoReturn:
    """Report every watched signal; hold nothing of the script's open; end with the supervisor."""
    try:
        if not die_with_parent(supervisor, signal.SIGKILL):
            os._exit(0)
        os.dup2(end, 3)
        os.closerange(4, os.sysconf("SC_OPEN_MAX"))
        os.closerange(0, 3)
        while True:
            received = signal.sigwaitinfo({*watched, _BARRIER})
            if not is_from_terminal(received):
                os.write(3, _FORMAT.pack(received.si_signo, received.si_pid, time.monotonic()))
    finally:
        os._exit(0)
