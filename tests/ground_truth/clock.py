"""The script's own measurement: how long its loop waited, by ``time.perf_counter``.

The one idea: the consumer's own time is counted where it begins and ends, in Python or inside a graph, and what is left of the
loop after its first step is waiting. Keras does work of its own between two steps: there waiting begins where Keras is
about to ask for a batch (``asks``), and validation inside an epoch is no part of it. Nothing here knows pipeprof.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable
from typing import Any

now = time.perf_counter


class Clock:
    """Begin and end of each step of the loop."""

    def __init__(self) -> None:
        self.steps: list[tuple[float, float]] = []
        self.asks: list[float] = []  # moments at which a framework turned to its input
        self.elsewhere: list[tuple[float, float]] = []  # validation and the like: no part of this loop

    def step(self, work: Callable[[], object]) -> None:
        """Do the consumer's own work of one step, on the clock."""
        begin = now()
        try:
            work()
        finally:
            self.steps.append((begin, now()))

    @property
    def wall_s(self) -> float | None:
        """Time from the end of the first step to the end of the last, less what went elsewhere."""
        if len(self.steps) < 2:
            return None
        start, end = self.steps[0][1], self.steps[-1][1]
        return end - start - sum(there - here for here, there in self.elsewhere if start <= here and there <= end)

    @property
    def wait_share(self) -> float | None:
        """Share of it that was spent waiting."""
        wall_s = self.wall_s
        if not wall_s:
            return None
        pairs = zip(self.steps, self.steps[1:], strict=False)
        return sum(begin - self._asked(end, begin) for (_, end), (begin, _) in pairs) / wall_s

    def _asked(self, end: float, begin: float) -> float:
        """Return when the wait for the step began: at the end of the one before, or at the first ask after it."""
        index = bisect_right(self.asks, end)
        return self.asks[index] if index < len(self.asks) and self.asks[index] < begin else end

    def truth(self) -> dict[str, Any]:
        """Return what was measured."""
        return {"wait_share": self.wait_share, "wall_s": self.wall_s, "steps": len(self.steps)}
