"""This module says whether another loop than training waits for its input, and for longer.

Its one idea: the verdict is about training, the user's time is not: validation that waits for ten of a run's fourteen seconds
is what there is to fix. Roles are compared by their total wait, and set against the time of all loops. It must not judge
whether their waits could be had back: no replay stands beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from pipeprof import units
from pipeprof.analysis.grading import MODERATELY
from pipeprof.model.analysis import PipelineView
from pipeprof.model.profile import Role


@dataclass(frozen=True, kw_only=True, slots=True)
class LongerWait:
    """The loops of one consumer that wait longer than training does."""

    consumer: str  # "Keras validation"
    where: str  # "train.py:7", empty where it is not known
    wait_s: float
    wall_s: float
    all_wall_s: float  # of all loops of the run

    @property
    def sentence(self) -> str:
        """The headline's words."""
        place = f" at {self.where}" if self.where else ""
        share, of_all = units.percent(self.wait_s / self.wall_s), units.percent(self.wait_s / self.all_wall_s)
        waited = f"{self.consumer}{place} waits longer than training: {units.duration(self.wait_s)}"
        return f"{waited}, {share} of its own time and {of_all} of the time of all loops."


def find_longer_wait(views: Sequence[PipelineView], train: PipelineView | None) -> LongerWait | None:
    """Return the consumer that waits longest, where it waits longer than training and 5 % of all loops' time at least."""
    if train is None or train.record.role is not Role.TRAIN:
        return None
    all_wall_s = sum(view.record.loop.wall_s for view in views)
    training_s = sum(_wait_s(view) for view in views if view.record.role is Role.TRAIN)
    groups: dict[str, list[PipelineView]] = {}
    for view in views:
        if view.record.role is not Role.TRAIN:
            groups.setdefault(view.record.consumer, []).append(view)
    longest = max(groups.values(), key=lambda group: sum(map(_wait_s, group)), default=[])
    wait_s = sum(map(_wait_s, longest))
    if not longest or wait_s <= training_s or wait_s < MODERATELY * all_wall_s:
        return None
    site = max(longest, key=_wait_s).record.call_site
    return LongerWait(
        consumer=longest[0].record.consumer,
        where="" if site is None else f"{PurePath(site.file).name}:{site.shown_line}",
        wait_s=wait_s,
        wall_s=sum(view.record.loop.wall_s for view in longest),
        all_wall_s=all_wall_s,
    )


def _wait_s(view: PipelineView) -> float:
    loop = view.record.loop
    return loop.wait_s + loop.creation_s
