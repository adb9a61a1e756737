"""A pipeline in small: stages with slots and buffers, fed from the source side, emptied by a consumer, event by event.

Mean values say what the slowest stage can deliver; they cannot say what a small buffer loses to bursts, how long ordered
delivery waits for a straggler, or what an epoch's start costs. Here each stage hands out its n-th element when it is asked:
since a stage may only run ahead by its buffer, whatever decides that moment lies in the past, and one pass over the elements
suffices, without a queue of events. Seeded and pure; it never reads a profile, and knows nothing of cores.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["SimulatedLoop", "SimulatedStage", "pace", "simulate"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SimulatedStage:
    """One stage; without slots and buffer it works in the thread of the stage that asks.

    ``slots`` calls run at once in a pool (ParallelMap, MapAndBatch), on ``threads`` threads where these are fewer; what is in
    flight and what waits to be fetched are together no more than ``slots``, as in TensorFlow. ``buffer`` elements are made
    ahead by a thread of its own (Prefetch). ``fill`` elements are taken in before the first is given (Shuffle).
    """

    times_s: Sequence[float]  # seconds of one element, drawn at random with replacement
    per_step: float = 1.0  # elements for one step
    slots: int = 0
    threads: int | None = None
    buffer: int = 0
    is_ordered: bool = True
    fill: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class SimulatedLoop:
    """What the consumer saw; the first element's wait is apart, as in a capture."""

    first_wait_s: float
    waits_s: tuple[float, ...]  # of the later steps
    wall_s: float  # all steps, the first wait included

    @property
    def step_s(self) -> float:
        """Mean step after the first wait."""
        return (self.wall_s - self.first_wait_s) / (len(self.waits_s) + 1)

    @property
    def wait_share(self) -> float:
        """Share of the time that is waited, the first wait left out."""
        steady = self.wall_s - self.first_wait_s
        return sum(self.waits_s) / steady if steady > 0 else 0.0


def simulate(stages: Sequence[SimulatedStage], gaps_s: Sequence[float], *, steps: int, seed: int) -> SimulatedLoop:
    """Run ``steps`` steps through the stages, source first.

    Args:
        stages: the pipeline; the source's own elements cost what its stage says and never end before the steps do.
        gaps_s: the consumer's own time between two elements, drawn at random with replacement.
        steps: how many elements the consumer takes.
        seed: the same seed gives the same draws to the same stage, whatever the other stages are.

    Raises:
        ValueError: there is no stage, no step or no gap.
    """
    if not stages or steps < 1 or not gaps_s:
        raise ValueError("a simulation needs a stage, a gap and a step")
    above: _Stage | None = None
    for number, stage in enumerate(stages):
        total = math.ceil(steps * stage.per_step)
        above = _Stage(stage, above, total, random.Random(f"{seed}/{number}"))  # noqa: S311 - draws, not secrets
    assert above is not None
    rest = random.Random(f"{seed}/consumer")  # noqa: S311
    per_step = max(1, round(stages[-1].per_step))
    now, waits = 0.0, []
    for _ in range(steps):
        ready = now
        for _ in range(per_step):
            ready = above.take(ready)
        waits.append(ready - now)
        now = ready + rest.choice(gaps_s)
    return SimulatedLoop(first_wait_s=waits[0], waits_s=tuple(waits[1:]), wall_s=now)


def pace(gaps_s: NDArray[np.float64], production_s: NDArray[np.float64], buffer: int) -> NDArray[np.float64]:
    """Return the mean step of many loops at once: one producer, one buffer, one consumer.

    The same recursion as above for the smallest pipeline, on whole rows: ``gaps_s[n]`` and ``production_s[n]`` hold the n-th
    step of every loop. The start is not counted.
    """
    import numpy as np

    count, width = gaps_s.shape
    made, asked = np.zeros(width), np.zeros(width)
    taken: list[NDArray[np.float64]] = []
    for number in range(count):
        room = taken[number - buffer] if number >= buffer else 0.0
        made = np.maximum(made, room) + production_s[number]
        taken.append(np.maximum(made, asked))
        asked = taken[-1] + gaps_s[number]
    start = min(buffer, count // 3)
    return np.asarray((taken[-1] - taken[start]) / (count - 1 - start))


class _Stage:
    """One stage at work: ``take`` hands out its next element, in order or not."""

    def __init__(self, spec: SimulatedStage, above: _Stage | None, total: int, draws: random.Random) -> None:
        self.spec = spec
        self._above = above
        self.total = total
        self._times = draws.choices(spec.times_s, k=max(1, total))
        self._ratio = above.spec.per_step / spec.per_step if above is not None else 0.0
        self._pulled = 0
        self._free_at = 0.0  # the stage's own thread
        self._threads = [0.0] * (min(spec.slots, spec.threads) if spec.threads is not None else spec.slots)
        self._taken: list[float] = []
        self._started = 0
        self._flying: list[float] = []  # when unordered calls end
        self._finished: dict[int, float] = {}  # when ordered calls end

    def take(self, asked_s: float) -> float:
        """Return when the next element is handed to a consumer that asks at ``asked_s`` (never earlier than before)."""
        if self.spec.slots:
            given = self._take_from_pool(asked_s)
        elif self.spec.buffer:
            given = max(asked_s, self._make(max(self._free_at, self._room(self.spec.buffer))))
        else:
            given = self._make(asked_s)
        self._taken.append(given)
        return given

    def _room(self, ahead: int) -> float:
        """Return when there is room to begin the element after those that were begun."""
        index = len(self._taken) - ahead if not self.spec.slots else self._started - ahead
        return self._taken[index] if index >= 0 else 0.0

    def _make(self, begin_s: float) -> float:
        """Make one element, inputs and work one after the other; return when it is ready."""
        ready = self._pull(begin_s, len(self._taken)) + self._times[min(len(self._taken), self.total - 1)]
        self._free_at = ready
        return ready

    def _pull(self, begin_s: float, index: int) -> float:
        """Take the inputs of element ``index``, a filled buffer's worth before the first; return when they are there."""
        if self._above is None:
            return begin_s
        wanted = min(math.ceil((index + 1) * self._ratio - 1e-9) + self.spec.fill, self._above.total)
        while self._pulled < wanted:
            begin_s = self._above.take(begin_s)
            self._pulled += 1
        return begin_s

    def _take_from_pool(self, asked_s: float) -> float:
        taken = len(self._taken)
        while self._started < min(taken + self.spec.slots, self.total) or self._started <= taken:
            self._start_call()
        if not self.spec.is_ordered:
            return max(asked_s, heapq.heappop(self._flying))
        return max(asked_s, self._finished.pop(taken))

    def _start_call(self) -> None:
        """Dispatch one call as soon as it has room, inputs and a thread."""
        index = self._started
        self._free_at = self._pull(max(self._free_at, self._room(self.spec.slots)), index)
        ends = max(self._free_at, heapq.heappop(self._threads)) + self._times[min(index, self.total - 1)]
        heapq.heappush(self._threads, ends)
        if self.spec.is_ordered:
            self._finished[index] = ends
        else:
            heapq.heappush(self._flying, ends)
        self._started += 1
