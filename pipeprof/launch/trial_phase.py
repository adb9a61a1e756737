"""Runs the trials after the script, so that they can be left at any moment and leave nothing in the script's streams.

They run in a daemon thread while the main thread waits: Ctrl-C, or the supervisor's word that a trial hangs, ends the wait at
once even where TensorFlow blocks, and the script's own shutdown (its atexit handlers) follows as it would have. It must
never raise, nor touch the script's exit status.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator

from pipeprof.launch import streams
from pipeprof.store import RunDirectory, TrialEvent

LOG_FILE = "trials.log"  # exists from the moment the phase begins
ABANDON_FILE = "abandon-trials"  # written by the supervisor: leave the trials now
_LOOK_S = 0.1


def run_trials(run: RunDirectory, trials: Callable[[], None]) -> None:
    """Run ``trials`` until they end, the user interrupts or the supervisor asks to leave; then append the ``end`` event.

    The event's text is empty, ``interrupted`` or ``abandoned``.
    """
    if not streams.flush():
        return
    text = ""
    try:
        with streams.redirected(run.path / LOG_FILE), _default_interrupt():
            text = _wait_for(trials, run)
    except KeyboardInterrupt:
        text = "interrupted"
    except OSError:
        text = "abandoned"
    with contextlib.suppress(OSError):
        run.append_event(TrialEvent(event="end", at_s=time.time(), text=text))


def _wait_for(trials: Callable[[], None], run: RunDirectory) -> str:
    thread = threading.Thread(target=_guarded, args=(trials,), name="pipeprof-trials", daemon=True)
    abandon = run.path / ABANDON_FILE
    try:
        thread.start()
        while thread.is_alive():
            thread.join(_LOOK_S)
            if abandon.exists():
                return "abandoned"
    except KeyboardInterrupt:
        return "interrupted"
    return ""


def _guarded(trials: Callable[[], None]) -> None:
    try:
        trials()
    except BaseException:  # noqa: BLE001 - our error never becomes the script's; standard error is the log here
        traceback.print_exc()


@contextlib.contextmanager
def _default_interrupt() -> Iterator[None]:
    """Let SIGINT raise KeyboardInterrupt, whatever the script had made of it."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        if previous is not None:
            signal.signal(signal.SIGINT, previous)
