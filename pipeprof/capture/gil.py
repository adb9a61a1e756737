"""How often the interpreter's lock is held: a thread that wakes at times of its own choosing and sees if it has to wait.

Whoever sleeps gives the lock up and must have it again to go on, so a thread that comes back late, and was not waiting for a
core meanwhile, found the lock held. Its wakings come at arbitrary moments, so that the share of late ones is the share of the
time in which the lock is held (Wolff 1982, arrivals that do not look). Holds shorter than the threshold are missed: the share
is a lower bound. Nothing here calls Python code of others.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from pipeprof.model.profile import LOCK_SEEN_S

_NAP_S = 0.05
_DELAY_FIELD = 1  # schedstat: nanoseconds on a core, nanoseconds runnable but without one (proc(5))


class GilProbe:
    """Counts the wakings of one thread, and those that found the lock held; used on that thread alone."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, run_delay_s: Callable[[], float | None] | None = None
    ) -> None:
        """Start without a waking.

        Args:
            clock: in seconds.
            run_delay_s: how long the calling thread has waited for a core so far; None where the kernel does not say.
        """
        self._clock = clock
        self._run_delay_s = run_delay_s or own_run_delay
        self.wakings = 0
        self.held = 0

    def sleep(self, wake: threading.Event, seconds: float) -> None:
        """Sleep until the time is over or ``wake`` is set, waking now and then to see how late that is."""
        end = self._clock() + seconds
        while (left := end - self._clock()) > 0:
            if self._nap(wake, min(left, _NAP_S)):
                return

    def _nap(self, wake: threading.Event, seconds: float) -> bool:
        """Sleep once; return whether it was woken."""
        delayed, until = self._run_delay_s(), self._clock() + seconds
        if wake.wait(seconds):
            return True
        late, after = self._clock() - until, self._run_delay_s()
        if delayed is not None and after is not None:
            self.wakings += 1
            self.held += late - (after - delayed) > LOCK_SEEN_S
        return False

    def take(self) -> tuple[int, int]:
        """Return the wakings since the last call, and how many of them found the lock held."""
        taken = self.wakings, self.held
        self.wakings = self.held = 0
        return taken


def own_run_delay(proc: Path = Path("/proc")) -> float | None:
    """Return how long the calling thread has waited for a core so far, in seconds; None where the kernel does not say."""
    try:
        fields = (proc / "thread-self" / "schedstat").read_bytes().split()
        return int(fields[_DELAY_FIELD]) * 1e-9
    except (OSError, IndexError, ValueError):
        return None
