"""This module keeps the session alive when a pipeline under trial hangs or dies.

Its one idea: a blocked ``next`` cannot be interrupted from Python, so the work runs in a daemon thread that beats a pulse, and
the caller's thread waits, passes progress on, and gives up when the deadline has passed or the pulse has stopped. A thread that
was given up may go on using the machine: whoever catches ``HungError`` must not measure anything after it in this process.
It must not know what the work is.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from pipeprof.errors import TrialError
from pipeprof.units import duration

__all__ = ["HungError", "Pulse", "run_guarded"]

T = TypeVar("T")
_POLL_S = 0.05
_GRACE_S = 2.0  # for the work to see the stop and to end


class HungError(TrialError):
    """The work did not come back; its thread was left behind.

    Attributes:
        phase: what it was doing, as it said itself.
        silent_s: seconds since its last sign of life.
    """

    def __init__(self, phase: str, silent_s: float) -> None:
        """Keep where it hung."""
        super().__init__(f"its replay hangs: no element for {duration(silent_s)}")
        self.phase = phase
        self.silent_s = silent_s


class Pulse:
    """What the work tells its guard: that it lives, where it is, how far it is; and what it is told: to stop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start with a beat."""
        self.halt = threading.Event()
        self.phase = "start"
        self.beaten_at = clock()
        self.progress: SimpleQueue[tuple[str, float]] = SimpleQueue()
        self._clock = clock

    def beat(self) -> None:
        """Say that the work lives: called at every element."""
        self.beaten_at = self._clock()

    def enter(self, phase: str) -> None:
        """Say where the work is."""
        self.phase = phase
        self.beat()

    def report(self, text: str, share: float) -> None:
        """Hand a line of progress (and the share of the work done) to the caller's thread."""
        self.progress.put((text, share))


class _Task(Generic[T]):
    """The work and what came of it."""

    def __init__(self, work: Callable[[Pulse], T], pulse: Pulse) -> None:
        self._work = work
        self._pulse = pulse
        self._results: list[T] = []
        self._error: BaseException | None = None
        self.ended = threading.Event()

    def run(self) -> None:
        try:
            self._results.append(self._work(self._pulse))
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread, SystemExit of user code included
            self._error = error
        finally:
            self.ended.set()

    def result(self) -> T:
        if self._error is not None:
            raise self._error
        return self._results[0]


def run_guarded(
    work: Callable[[Pulse], T],
    *,
    stop: threading.Event,
    deadline_s: float,
    stall_s: float = math.inf,
    on_progress: Callable[[str, float], None] = lambda _text, _share: None,
) -> T:
    """Run ``work`` in a daemon thread and return its result; what it raises is raised here.

    ``on_progress`` is called in the caller's thread. ``stop``, the deadline, a pulse silent for ``stall_s`` seconds, and an
    exception in the caller's thread (Ctrl-C) set the pulse's ``halt``, which the work must obey between two elements.

    Raises:
        HungError: the work did not come back within two seconds of that.
    """
    pulse = Pulse()
    task = _Task(work, pulse)
    threading.Thread(target=task.run, name="pipeprof-trial", daemon=True).start()
    try:
        _wait(task.ended, pulse, stop, time.monotonic() + deadline_s, stall_s, on_progress)
    finally:
        pulse.halt.set()
    if not task.ended.wait(_GRACE_S):
        raise HungError(pulse.phase, time.monotonic() - pulse.beaten_at)
    _drain(pulse, on_progress)
    return task.result()


def _wait(
    ended: threading.Event,
    pulse: Pulse,
    stop: threading.Event,
    deadline: float,
    stall_s: float,
    on_progress: Callable[[str, float], None],
) -> None:
    """Return when the work has ended or must be told to."""
    while not ended.wait(_POLL_S) and not stop.is_set():
        _drain(pulse, on_progress)
        now = time.monotonic()
        if now > deadline or now - pulse.beaten_at > stall_s:
            return


def _drain(pulse: Pulse, on_progress: Callable[[str, float], None]) -> None:
    while True:
        try:
            text, share = pulse.progress.get_nowait()
        except Empty:
            return
        on_progress(text, share)
