"""Short windows of TensorFlow's profiler: when one may be taken, how long it may be, and taking it.

While a window lasts each event costs the program about a microsecond; its end costs more (4-10 us an event, TensorFlow 2.21).
So each is chosen by what the last one cost: long enough for some steps, short enough for its share of the run. A profiling
session of the user's always comes first: where one runs there is no window, and one that begins waits until ours has ended.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeprof.capture.native_log import silenced
from pipeprof.interop.as_executed import EVENT_COST_S

PROFILER_MODULE = "tensorflow.python.profiler.profiler_v2"
_SETTLE_S = 1.0  # start-up and AUTOTUNE's first choices are not what a run is like
_PROBE_S = 0.05
_SHORTEST_S, _LONGEST_S = 0.03, 1.0
_STEPS = 20  # a window is to hold: the two at its edges are cut
_MOST_EVENTS = 60_000  # about half a second to write and to read
_SHARE = 0.02  # of the run may be lost by windows
_ADVANCE_S = 0.4
_MOST_WINDOWS = 60
_LOOK_INSIDE_SHARE = 0.005
_LOOKS_INSIDE = 3
_LOOK_INSIDE_ADVANCE_S = 0.08
_LOOK_INSIDE_S = 0.15
_SPACING = 1.15  # the next window waits until the run is so much longer
_RETRY_S = 2.0  # after a window without a step


@dataclass(frozen=True, slots=True)
class Taken:
    """What one window held and cost."""

    seconds: float
    cost_s: float  # what the program lost by it
    events: int
    steps: int


def window_cost(seconds: float, until_read_s: float, events: int) -> float:
    """Return what a window cost the program: the recording of its events, and writing and reading them.

    Args:
        seconds: its length.
        until_read_s: from its start until it was read.
        events: in it.
    """
    return max(0.0, until_read_s - seconds) + events * EVENT_COST_S


class WindowSchedule:
    """Decides when the next window is due and how long it is. Pure."""

    def __init__(
        self,
        share: float = _SHARE,
        most: int = _MOST_WINDOWS,
        advance_s: float = _ADVANCE_S,
        longest_s: float = _LONGEST_S,
    ) -> None:
        """Start without a window.

        Args:
            share: of the run that may be lost by windows.
            most: windows that hold steps.
            advance_s: what may be lost before it is earned.
            longest_s: length of a window.
        """
        self._share, self._most, self._advance_s, self._longest_s = share, most, advance_s, longest_s
        self.count = 0
        self.spent_s = 0.0
        self._due_s = 0.0
        self._length_s = _PROBE_S

    @classmethod
    def for_looking_inside(cls) -> WindowSchedule:
        """Return the schedule for pipelines whose times are known, but not what their functions are made of."""
        return cls(_LOOK_INSIDE_SHARE, _LOOKS_INSIDE, _LOOK_INSIDE_ADVANCE_S, _LOOK_INSIDE_S)

    def next_length(self, now_s: float, began_s: float) -> float | None:
        """Return the length of a window that is due now, None where none is.

        Args:
            now_s: the capture's clock.
            began_s: when the first pipeline that needs windows began.
        """
        is_earned = self.spent_s <= self._advance_s + self._share * (now_s - began_s)
        is_due = now_s - began_s >= _SETTLE_S and now_s >= self._due_s
        return self._length_s if is_due and is_earned and self.count < self._most else None

    def refused(self, now_s: float) -> None:
        """The profiler was taken: look again later."""
        self._due_s = now_s + _RETRY_S

    def took(self, window: Taken, now_s: float, began_s: float) -> None:
        """Choose the next window by the last one."""
        self.count += window.steps > 0
        self.spent_s += window.cost_s
        if window.steps:
            wanted = window.seconds * _STEPS / window.steps
            self._due_s = began_s + max((now_s - began_s) * _SPACING, now_s - began_s + _PROBE_S)
        else:
            wanted = window.seconds * 3
            self._due_s = now_s + (_RETRY_S if window.seconds >= self._longest_s else _PROBE_S)
        affordable = window.seconds * _MOST_EVENTS / max(1, window.events)
        self._length_s = min(max(_SHORTEST_S, wanted), max(_SHORTEST_S, affordable), self._longest_s)


def take_window(seconds: float, sleep: Callable[[float], object] = time.sleep) -> bytes | None:
    """Profile for some seconds and return the trace; None where the profiler is in use.

    The trace passes through a file in memory, since that is the only complete form of it (TensorFlow 2.21).
    """
    profiler = sys.modules.get(PROFILER_MODULE)
    if profiler is None:
        return None
    from tensorflow.python.framework import errors
    from tensorflow.python.profiler.internal import _pywrap_profiler

    with _profiler_to_ourselves(profiler) as is_free:
        if not is_free:
            return None
        folder = Path(tempfile.mkdtemp(prefix="pipeprof-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))  # noqa: S108
        try:
            session = _pywrap_profiler.ProfilerSession()
            with silenced():
                session.start(str(folder), {})
            sleep(seconds)
            with silenced():
                session.export_to_tb()
            return b"".join(path.read_bytes() for path in sorted(folder.rglob("*.xplane.pb"))[:1]) or None
        except errors.AlreadyExistsError:  # a remote capture, or a session that somebody holds without profiler_v2
            return None
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _profiler_to_ourselves(profiler: Any) -> Iterator[bool]:
    """Hold the lock under which users start and stop the profiler; False where a session of theirs runs."""
    lock = getattr(profiler, "_profiler_lock", None)
    if lock is None or not lock.acquire(blocking=False):
        yield False
        return
    try:
        yield profiler._profiler is None
    finally:
        lock.release()
