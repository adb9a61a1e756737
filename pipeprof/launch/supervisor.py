"""Starts the script's process, passes signals on to it, waits for it alone, and keeps its status through everything.

It is light: no TensorFlow, no thread, nothing read from the script's streams. It stops when the script's process stops and
goes on when it does, so that job control works as if there were one process. It must never decide what the run means.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from pipeprof.errors import UserError
from pipeprof.launch.handover import Order, command_line
from pipeprof.launch.interpreter import interpreter_flags
from pipeprof.launch.memory import memory_limit_bytes, oom_kills, resident_bytes
from pipeprof.launch.outcome import Death, process_end, signal_name
from pipeprof.launch.script import absolute, is_runnable_container
from pipeprof.launch.signals import SignalRelay
from pipeprof.launch.trial_phase import ABANDON_FILE, LOG_FILE
from pipeprof.launch.watch import Act, Decision, Sight, TrialWatch, running_trial
from pipeprof.model.profile import TrialRecord
from pipeprof.settings import Settings
from pipeprof.store import ProcessEnd, RunDirectory, TrialEvent, killed_trial

_LOOK_S = 0.5
_CONTINUE_S = 0.2  # for a signal that continues the whole group to reach the script as well


def check_command(command: Sequence[str]) -> None:
    """Refuse a script that cannot be started, before anything is.

    Raises:
        UserError: no script, no such file, a directory without ``__main__.py``, or one that may not be read.
    """
    if not command or (command[0] == "-m" and len(command) == 1):
        raise UserError("no script to run", "name one: pipeprof run train.py, or pipeprof run -m package.module")
    if command[0] == "-m":
        return
    path = Path(absolute(command[0]))
    try:
        if path.is_dir():
            if not (path / "__main__.py").exists() and not (path / "__main__.pyc").exists():
                raise UserError(f"{command[0]} is a directory without a __main__.py", "name the script in it")
        elif not is_runnable_container(str(path)):
            path.open("rb").close()
    except OSError as error:
        hint = "the script comes after the options: pipeprof run [options] train.py [its arguments]"
        raise UserError(f"cannot open {command[0]}: {error.strerror}", hint) from None


def supervise(command: Sequence[str], settings: Settings, entry: str = "pipeprof.child") -> tuple[RunDirectory, ProcessEnd]:
    """Run the script to its end and return where its run is and how it ended.

    Args:
        command: the script (or ``-m`` and the module) and its arguments, as typed.
        settings: what was asked for.
        entry: the module that prepares the script's process.

    Raises:
        UserError: the script cannot be started, or the run's directory cannot be made.
    """
    check_command(command)
    name = command[1] if command[0] == "-m" else Path(command[0]).stem
    run = RunDirectory.create(settings.output_root, name)
    flags = interpreter_flags(sys.orig_argv)
    order = Order(run_path=run.path, command=tuple(command), settings=settings, flags=flags, entry=entry)
    watch = TrialWatch(memory_limit_bytes=memory_limit_bytes(), budget_s=settings.budget_s)
    with SignalRelay() as relay:
        death = _Supervision(run, relay, watch).run_to_end(order)
    end = process_end(death, run.script_end(), run.events())
    if end.killed_in_trial:
        _record_killed(run, running_trial(run.events()), end.reason)
    with contextlib.suppress(OSError):
        run.write_end(end)
    return run, end


def end_by_signal(number: int) -> NoReturn:
    """End this process as the script ended: by the signal itself, without a core dump of ours."""
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    with contextlib.suppress(ValueError, OSError):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    os.kill(os.getpid(), number)
    os._exit(128 + number)  # the first process of a container does not die of a signal's default action


class _Supervision:
    """One process, from its start to its end."""

    def __init__(self, run: RunDirectory, relay: SignalRelay, watch: TrialWatch) -> None:
        self._run = run
        self._relay = relay
        self._watch = watch
        self._pid = 0
        self._killed_for = ""

    def run_to_end(self, order: Order) -> Death:
        """Start the script's process and return how it died."""
        oom_before = oom_kills()
        started = time.monotonic()
        words = command_line(order)
        early = self._relay.pending()
        self._pid = os.posix_spawn(
            words[0], words, os.environ, setsigmask=self._relay.original_mask, setsigdef=(signal.SIGPIPE, signal.SIGXFSZ)
        )
        if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:  # inherited: the kernel would throw the status away
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number in early:  # whoever they were sent to, the script was not there yet
            os.kill(self._pid, number)
        status = self._wait()
        oom_after = oom_kills()
        return Death(
            wait_status=status,
            wall_s=time.monotonic() - started,
            killed_for=self._killed_for,
            had_trials=self._in_trials(),
            oom_kills=(oom_after or 0) - (oom_before or 0),
        )

    def _wait(self) -> int:
        while True:
            received = self._relay.next(_LOOK_S)
            if received is not None and received.si_signo != signal.SIGCHLD:
                self._pass_on(received)
            status = self._reap()
            if status is not None:
                return status
            self._look()

    def _pass_on(self, received: signal.struct_siginfo) -> None:
        if self._relay.is_for_us_alone(received):
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, received.si_signo)
        if received.si_signo in {signal.SIGINT, signal.SIGTERM, signal.SIGHUP} and self._in_trials():
            self._watch.interrupted(time.monotonic())

    def _reap(self) -> int | None:
        """Return the process's status when it has ended; stop with it when it has stopped."""
        while True:
            pid, status = os.waitpid(self._pid, os.WNOHANG | os.WUNTRACED)
            if pid == 0:
                return None
            if not os.WIFSTOPPED(status):
                return status
            self._stop_too(os.WSTOPSIG(status))

    def _stop_too(self, number: int) -> None:
        stopped = time.monotonic()
        self._relay.stop_as(number)
        until = time.monotonic() + _CONTINUE_S
        while not self._has_moved() and time.monotonic() < until:
            time.sleep(0.01)
        if not self._has_moved():  # we alone were continued
            os.kill(self._pid, signal.SIGCONT)
        self._watch.paused(time.monotonic() - stopped)

    def _has_moved(self) -> bool:
        """Say whether the process went on since its stop was learnt of, though it may have stopped again by now."""
        changes = os.WCONTINUED | os.WSTOPPED | os.WEXITED
        return os.waitid(os.P_PID, self._pid, changes | os.WNOHANG | os.WNOWAIT) is not None

    def _in_trials(self) -> bool:
        return (self._run.path / LOG_FILE).exists()

    def _look(self) -> None:
        if not self._in_trials():
            return
        sight = Sight(
            now_s=time.monotonic(), in_trials=True, events=self._run.events(), resident_bytes=resident_bytes(self._pid)
        )
        self._act(self._watch.decide(sight))

    def _act(self, decision: Decision) -> None:
        if decision.act is Act.LEAVE:
            _record_killed(self._run, decision.trial, decision.reason)
            with contextlib.suppress(OSError):
                (self._run.path / ABANDON_FILE).touch()
        elif decision.act is Act.KILL:
            self._killed_for = decision.reason
            os.kill(self._pid, signal.SIGKILL)
            _record_killed(self._run, decision.trial, decision.reason)


def _record_killed(run: RunDirectory, trial: TrialRecord | None, reason: str) -> None:
    if trial is not None:
        with contextlib.suppress(OSError):
            run.append_event(TrialEvent(event="result", at_s=time.time(), trial=killed_trial(trial, reason)))


__all__ = ["check_command", "end_by_signal", "signal_name", "supervise"]
