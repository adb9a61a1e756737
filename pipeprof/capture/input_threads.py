"""The threads that TensorFlow makes for the iterators of one pipeline, and the CPU that they use.

TensorFlow (2.21) makes them without a name while an iterator is constructed and while it gives its first element, and none
later; its other pools are named. So the threads that are new then, bear their maker's name and are none of Python's are the
input's. Their CPU holds what TensorFlow's pools spin before they sleep. What the input does on the consumer's own thread is
not in it. A look takes some tens of microseconds, three for each iterator.
"""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import Any

Names = frozenset[str]


class InputThreads:
    """Whose thread is whose, by the pipeline's key; any thread may call."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        """Know none."""
        self._tasks = proc / "self" / "task"
        self._local = threading.local()
        self._fresh: dict[int, tuple[Any, Names]] = {}  # iterators that gave nothing yet: their pipeline, and who was there
        self._of: dict[str, Any] = {}  # thread -> pipeline
        self._last: dict[str, int] = {}
        self._total_ns: dict[Any, int] = {}
        self._lock = threading.Lock()

    def iterator_begins(self) -> None:
        """An iterator is about to be made on this thread."""
        self._local.before = self._list()

    def iterator_made(self, number: int, pipeline: Any) -> None:
        """It was made, as this number and for this pipeline."""
        before, now = getattr(self._local, "before", None), self._list()
        if before is not None:
            self._local.before = None
            self._claim(pipeline, now - before)
        self._fresh[number] = (pipeline, now)

    def stepped(self, number: int) -> None:
        """An iterator gave an element; only the first one matters."""
        known = self._fresh.pop(number, None)
        if known is not None:
            self._claim(known[0], self._list() - known[1])

    def iterator_goes(self, number: int) -> None:
        """An iterator is about to be taken down: its threads are read a last time."""
        self._fresh.pop(number, None)
        self.sample()

    def sample(self) -> dict[Any, float]:
        """Return the CPU seconds of each pipeline's threads so far, also of those that have ended."""
        with self._lock:
            for name, pipeline in list(self._of.items()):
                spent = self._cpu_ns(name)
                if spent is None:
                    self._of.pop(name, None)
                    self._last.pop(name, None)
                    continue
                self._total_ns[pipeline] = self._total_ns.get(pipeline, 0) + max(0, spent - self._last.get(name, 0))
                self._last[name] = spent
            return {pipeline: total * 1e-9 for pipeline, total in self._total_ns.items()}

    def _claim(self, pipeline: Any, new: Names) -> None:
        if not new:
            return
        pythons = {str(thread.native_id) for thread in threading.enumerate()}
        own = self._name(str(threading.get_native_id()))  # unnamed threads bear the name of the one that made them
        mine = [name for name in new - pythons if own and self._name(name) == own]
        with self._lock:
            self._total_ns.setdefault(pipeline, 0)
            self._of.update(dict.fromkeys(mine, pipeline))

    def _list(self) -> Names:
        try:
            return frozenset(path.name for path in self._tasks.iterdir())
        except OSError:
            return frozenset()

    def _name(self, thread: str) -> str:
        with contextlib.suppress(OSError):
            return (self._tasks / thread / "comm").read_text()
        return ""

    def _cpu_ns(self, thread: str) -> int | None:
        try:
            return int((self._tasks / thread / "schedstat").read_text().split()[0])
        except (OSError, IndexError, ValueError):
            return None
