"""Ends a script as python would, with a pause before the interpreter's shutdown in which the run is handed over.

Order: the traceback through ``sys.excepthook``, flush, ``script.json``, the hook ``ended``, the trials, and then python's
own shutdown with the script's own status. The last step is left to the interpreter: threads are joined, atexit handlers run and
Ctrl-C kills by SIGINT because C code does it, not because something here imitates it. It must not change the status.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NoReturn

from pipeprof.launch import streams
from pipeprof.launch.handover import keep_problem
from pipeprof.launch.hooks import Hooks
from pipeprof.launch.script import Body
from pipeprof.launch.trial_phase import run_trials
from pipeprof.store import RunDirectory, ScriptEnd, TrialEvent

SHUTDOWN_NOTE = "atexit handlers done"  # of the event that the process writes when only its finalisation is left

_LONG = 1 << 63
_MISSING: Any = object()  # Any: stands where the script may have put anything
_display_traceback = sys.__excepthook__  # C code; the script may replace the name


@dataclass(frozen=True, slots=True)
class Ending:
    """How a script's main thread ended."""

    exit_status: int  # -N: it dies of signal N
    ended: str  # as in ScriptEnd
    error: BaseException | None = None


class Plan:
    """One script: its body, and what follows it."""

    def __init__(self, body: Body, run: RunDirectory, hooks: Hooks, *, try_changes: bool) -> None:
        """Arm the hooks; the clock starts here."""
        self.body = body.run
        self._is_file = body.is_file
        self._run = run
        self._hooks = hooks
        self._try_changes = try_changes
        self._pid = os.getpid()
        self._started = time.monotonic()
        self._late_end: ScriptEnd | None = None
        atexit.register(self._at_exit)  # the first registered runs last
        os.register_at_fork(after_in_child=hooks.forked)

    def finish(self, error: BaseException | None) -> None:
        """Say how the script ended, hand over, try the changes, and leave the rest to the interpreter."""
        ending = conclude(error)
        error = None
        if os.getpid() == self._pid:  # and not a fork of the script that came out at its end
            try:
                self._hand_over(ending)
            except KeyboardInterrupt:
                pass
            except Exception:  # noqa: BLE001 - our error never becomes the script's
                keep_problem(self._run)
        if self._is_file and ending.ended != "exited":
            for name in ("__file__", "__cached__"):  # python takes them back when the file is over
                getattr(sys.modules.get("__main__"), "__dict__", {}).pop(name, None)
        _leave(ending)

    def _hand_over(self, ending: Ending) -> None:
        streams.flush()
        end = ScriptEnd(exit_status=ending.exit_status, ended=ending.ended, wall_s=time.monotonic() - self._started)
        try:
            self._run.write_script_end(end)
        except OSError:  # a full disk: without the status in safety nothing may be tried
            self._hooks.ended(end)
            return
        if has_foreign_threads():
            self._late_end = end  # the script goes on in them: its capture ends with them
            return
        self._hooks.ended(end)
        if self._try_changes and ending.ended != "killed":
            run_trials(self._run, self._hooks.trials)

    def _at_exit(self) -> None:
        if os.getpid() != self._pid:
            return
        if self._late_end is not None:
            self._hooks.ended(self._late_end)
        with contextlib.suppress(OSError):
            self._run.append_event(TrialEvent(event="note", at_s=time.time(), text=SHUTDOWN_NOTE))


def conclude(error: BaseException | None) -> Ending:
    """Print what python prints about an error that ends a script, and return how the script ended.

    Args:
        error: what came out of the script's body; its traceback begins with the bootstrap's frame.
    """
    if error is None:
        return Ending(0, "returned")
    error.__traceback__ = _trimmed(error)
    if isinstance(error, SystemExit):
        return Ending(exit_status(error), "exited")
    replaced = print_uncaught(error)
    if replaced is not None:
        return Ending(replaced, "exited")
    if isinstance(error, KeyboardInterrupt):
        return Ending(-signal.SIGINT, "killed", error)
    return Ending(1, "raised")


def exit_status(error: SystemExit) -> int:
    """Return the status of a SystemExit as python computes it; what is no number is printed to standard error."""
    code: Any = error.code  # Any: SystemExit takes every object
    if code is None:
        return 0
    if isinstance(code, int):
        return int(code) & 0xFF if -_LONG <= int(code) < _LONG else 0xFF
    with contextlib.suppress(Exception):  # as in C: what cannot be printed is not
        _to_stderr(str(code))
    _to_stderr("\n")
    return 1


def print_uncaught(error: BaseException) -> int | None:
    """Print an uncaught exception as ``PyErr_PrintEx`` does; return a status if the hook itself asked to exit with one."""
    kind, where = type(error), error.__traceback__
    sys.last_type, sys.last_value, sys.last_traceback = kind, error, where
    if sys.version_info >= (3, 12):
        sys.last_exc = error
    hook = getattr(sys, "excepthook", _MISSING)
    if hook is _MISSING:
        _to_stderr("sys.excepthook is missing\n")
        _display_traceback(kind, error, where)
        return None
    second = _call_hook(hook, error, where)
    if isinstance(second, SystemExit):
        return exit_status(second)
    if second is not None:
        streams.flush()
        _to_stderr("Error in sys.excepthook:\n")
        _display_traceback(type(second), second, second.__traceback__)
        _to_stderr("\nOriginal exception was:\n")
        _display_traceback(kind, error, where)
    return None


def has_foreign_threads() -> bool:
    """Say whether the script still runs in other threads that python would wait for."""
    others = [thread for thread in threading.enumerate() if thread is not threading.main_thread() and not thread.daemon]
    return any(not _is_idle_worker(thread) for thread in others)


def _is_idle_worker(thread: threading.Thread) -> bool:
    """Say whether ``thread`` is a worker of concurrent.futures that waits for work: its innermost frame is the pool's own."""
    pool = sys.modules.get("concurrent.futures.thread")
    worker = getattr(getattr(pool, "_worker", None), "__code__", None)
    frame = sys._current_frames().get(thread.ident or 0)  # noqa: SLF001 - documented, in spite of its name
    return frame is not None and worker is not None and frame.f_code is worker


def _call_hook(hook: Callable[..., object], error: BaseException, where: TracebackType | None) -> BaseException | None:
    try:
        sys.audit("sys.excepthook", hook, type(error), error, where)
        hook(type(error), error, where)
    except BaseException as second:  # noqa: BLE001 - python prints whatever comes
        second.__traceback__ = _trimmed(second)
        return second
    return None


def _trimmed(error: BaseException) -> TracebackType | None:
    return error.__traceback__.tb_next if error.__traceback__ is not None else None


def _to_stderr(text: str) -> None:
    with contextlib.suppress(Exception):
        if sys.stderr is None:
            os.write(2, text.encode("utf-8", "backslashreplace"))
        else:
            sys.stderr.write(text)


def _leave(ending: Ending) -> None:
    """Hand the status to the interpreter: by SystemExit, or by the KeyboardInterrupt itself, which is printed already."""
    if ending.error is not None:
        _die_of(ending.error)
    if ending.ended != "returned":
        raise SystemExit(ending.exit_status)


def _die_of(error: BaseException) -> NoReturn:
    """Raise ``error`` to the interpreter without a second printing; it then shuts down and kills itself by SIGINT."""
    hook, where = getattr(sys, "excepthook", _MISSING), error.__traceback__

    def once(_kind: type[BaseException], _error: BaseException, _where: TracebackType | None) -> None:
        if hook is _MISSING:
            del sys.excepthook
        else:
            sys.excepthook = hook
        error.__traceback__ = sys.last_traceback = where

    sys.excepthook = once
    raise error
