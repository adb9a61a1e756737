"""What a case draws from its seed: costs, counts, batch sizes, orders.

The one idea: a case says only what kind of problem it has; how big it is, and what stands around it, comes from the seed, so
that nothing can be fitted to one case. Every draw is logged. Nothing here looks at the machine.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LOOP_S = (4.5, 6.5)  # what the loop of a case is to take


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How fast a loop is meant to go; what it really does, the script measures."""

    step_s: float  # the consumer's own work
    input_s: float  # what one batch costs the input
    batch: int
    steps: int  # in all epochs
    epochs: int

    @property
    def epoch_elements(self) -> int:
        return self.epoch_steps * self.batch

    @property
    def epoch_steps(self) -> int:
        return max(1, self.steps // self.epochs)

    @property
    def element_s(self) -> float:
        return self.input_s / self.batch


class Draw:
    """The random numbers of one case and one seed."""

    def __init__(self, name: str, seed: int, folder: Path) -> None:
        self._random = random.Random(f"{name}/{seed}")
        self.folder = folder  # for the files of the case
        self.log: list[tuple[str, object]] = []

    def number(self, what: str, low: float, high: float) -> float:
        return self._logged(what, self._random.uniform(low, high))

    def count(self, what: str, low: int, high: int) -> int:
        return self._logged(what, self._random.randint(low, high))

    def choice(self, what: str, options: Sequence[Any]) -> Any:
        return self._logged(what, self._random.choice(options))

    def in_order(self, dataset: Any, **stages: Callable[[Any], Any]) -> Any:
        """Apply the stages in an order that is drawn."""
        names = list(stages)
        self._random.shuffle(names)
        self._logged("order", " ".join(names))
        for name in names:
            dataset = stages[name](dataset)
        return dataset

    def slow_input(self, batches: Sequence[int] = (2, 4, 8), epochs: Sequence[int] = (1, 2, 3), steps_s: float = 0.0) -> Pace:
        """Draw a loop whose input takes longer than its step: between a tenth and nine tenths of the time is waiting."""
        input_s = steps_s or self.number("input of a step, s", 0.012, 0.045)
        step_s = input_s * (1 - self.number("share of waiting meant", 0.1, 0.9))
        return self._pace(step_s, input_s, batches, epochs)

    def fast_input(self, batches: Sequence[int] = (4, 8, 16), epochs: Sequence[int] = (1, 2, 3), load: float = 0.35) -> Pace:
        """Draw a loop whose step takes longer than its input, which takes at most that share of the step."""
        step_s = self.number("step, s", 0.03, 0.08)
        return self._pace(step_s, step_s * self.number("input in steps", 0.05, load), batches, epochs)

    def _pace(self, step_s: float, input_s: float, batches: Sequence[int], epochs: Sequence[int]) -> Pace:
        steps = round(self.number("loop, s", *LOOP_S) / max(step_s, input_s))
        return Pace(
            step_s=step_s,
            input_s=input_s,
            batch=self.choice("batch", batches),
            steps=max(12, steps),
            epochs=self.choice("epochs", epochs),
        )

    def _logged(self, what: str, value: Any) -> Any:
        self.log.append((what, getattr(value, "__name__", value)))  # of functions, the name
        return value
