"""This module says what a share of the step means, and how much must be seen before it means anything.

Its one idea: the bands and what a verdict needs stand here once, so that the verdict, the rules and the reports cannot
disagree. Bands as in XProf: 20 % of the step is highly, 5 % moderately input-bound. It must not look at trials.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeprof import units
from pipeprof.model.diagnosis import InputBound, Steps
from pipeprof.model.profile import Loop

HIGHLY = 0.20
MODERATELY = 0.05

MIN_STEPS = 20
MIN_WALL_S = 3.0
MAX_WIDTH = 0.15  # of the step: the distance between the bands


@dataclass(frozen=True, slots=True)
class Shortcoming:
    """One thing of which too little was seen."""

    name: str
    value: float
    threshold: float
    unit: str


def band_of(share: float) -> InputBound:
    """Return the band of a share of the step."""
    if share >= HIGHLY:
        return InputBound.HIGHLY
    return InputBound.MODERATELY if share >= MODERATELY else InputBound.NOT


def lasted_s(loop: Loop) -> float:
    """Return how long a loop was watched: its own time, or from the first to the last window where those showed it."""
    return max(loop.wall_s, loop.end_s - loop.start_s) if loop.method == "trace" else loop.wall_s


def find_shortcomings(
    steps: Steps, wall_s: float, *, min_steps: int = MIN_STEPS, min_wall_s: float = MIN_WALL_S, max_width: float = MAX_WIDTH
) -> tuple[Shortcoming, ...]:
    """Return of what too little was seen for a verdict; an interval that lies in the top band as a whole is narrow enough."""
    found = []
    if steps.count < min_steps:
        found.append(Shortcoming("steps", steps.count, min_steps, "steps"))
    if wall_s < min_wall_s:
        found.append(Shortcoming("loop_wall_s", wall_s, min_wall_s, "s"))
    low, high = steps.wait_share_low, steps.wait_share_high
    if low is not None and high is not None and low < HIGHLY and high - low > max_width:
        found.append(Shortcoming("wait_interval_width", high - low, max_width, "share"))
    return tuple(found)


def describe_shortcomings(shortcomings: Sequence[Shortcoming]) -> str:
    """Say what was seen and what is needed: ``3 steps were seen, 20 are needed; ...``."""
    return "; ".join(_describe(item) for item in shortcomings)


def _describe(item: Shortcoming) -> str:
    if item.name == "steps":
        seen = "1 step was" if item.value == 1 else f"{item.value:.0f} steps were"
        return f"{seen} seen, {item.threshold:.0f} are needed"
    if item.name == "loop_wall_s":
        return f"the loop ran for {units.duration(item.value)}, {units.duration(item.threshold)} are needed"
    return (
        f"the share of waiting is known to within {units.percent(item.value)} only, {units.percent(item.threshold)} are needed"
    )
