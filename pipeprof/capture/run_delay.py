"""How long the process's threads waited for a core: what turns busy wall time into waiting without any latency.

TensorFlow counts wall time inside a stage. On a machine with more runnable threads than cores that holds the wait for a core,
and a computing stage then looks as if it waited for a disk; the kernel's run delay tells the two apart. Read for all threads
together; the last stretch of a thread that ends between two samples is missed.
"""

from __future__ import annotations

from pathlib import Path

_FIELDS = 2  # schedstat: nanoseconds on a core, nanoseconds runnable but without one, slices (proc(5))


class RunDelay:
    """Sums the run delay of all threads of this process, also of those that have ended."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        """Start from what the threads have waited so far."""
        self._tasks = proc / "self" / "task"
        self._last: dict[str, int] = {}
        self._total_ns = 0
        self.is_known = False
        self.sample()
        self._total_ns = 0

    def sample(self) -> float:
        """Return the seconds that threads waited for a core since the construction."""
        current: dict[str, int] = {}
        try:
            tasks = list(self._tasks.iterdir())
        except OSError:
            return self._total_ns * 1e-9
        for task in tasks:
            try:
                fields = (task / "schedstat").read_text().split()
            except OSError:  # it ended in between
                continue
            if len(fields) >= _FIELDS:
                current[task.name] = int(fields[1])
                self.is_known = True
        self._total_ns += sum(max(0, value - self._last.get(name, 0)) for name, value in current.items())
        self._last = current
        return self._total_ns * 1e-9
