"""From a measured pipeline to stages that can be simulated: its buffers, its pools, and its work between them.

Stages that share a thread become one; of a tree the branches stand one behind the other, since a step needs them all. Times are
means with the spread that the consumer saw. Nothing here decides what a machine can do: that is given.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace

from pipeprof.analysis.simulation import SimulatedStage
from pipeprof.model.analysis import PipelineView, StageView

_POOLED = ("ParallelMap", "MapAndBatch", "ParallelInterleave", "ParallelBatch", "LegacyParallelInterleave", "ParallelFilter")
_MOST_PARTS = 8  # a step's calls in a pool are simulated in at most so many parts
_TUNED_BUFFER = 16  # AUTOTUNE lets a buffer grow until it is not found empty
_DRAWS = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Circumstances:
    """What a pipeline is simulated with, beside its stages' times."""

    spread: float  # coefficient of variation of a step's work
    seed: int  # of the draws of the work's times
    fill_steps: int = 0  # elements that the last shuffle takes in before the first step, in steps


def simulated_stages(
    view: PipelineView, seconds: Mapping[str, float], slots: Mapping[str, float], given: Circumstances
) -> tuple[SimulatedStage, ...]:
    """Return the pipeline's stages, source first.

    Args:
        view: the pipeline.
        seconds: busy seconds of a step, by stage.
        slots: calls at once, by stage in a pool.
        given: the spread of the times, and a shuffle's filling.
    """
    draws = random.Random(given.seed)  # noqa: S311 - draws, not secrets
    groups = _groups(view, seconds)
    found: list[SimulatedStage] = []
    filled = False
    for group in groups:
        fill = 0
        if group.has_shuffle and not filled and given.fill_steps:
            fill, filled = given.fill_steps, True
        found.append(
            SimulatedStage(
                times_s=_times(group.seconds / group.parts, given.spread, draws),
                per_step=group.parts,
                slots=max(1, math.floor(slots.get(group.pool, 1.0) + 1e-9)) if group.pool else 0,
                buffer=group.buffer,
                fill=fill,
            )
        )
    return _with_fill_in_elements(tuple(reversed(found)))


@dataclass(slots=True)
class _Group:
    """Stages that share a thread, or one that has a pool of its own."""

    seconds: float = 0.0
    buffer: int = 0
    pool: str = ""  # the stage in the pool
    parts: int = 1
    has_shuffle: bool = False


def _groups(view: PipelineView, seconds: Mapping[str, float]) -> list[_Group]:
    """Return the groups from the consumer upwards."""
    groups = [_Group()]
    for stage in reversed(view.stages):
        name = stage.executed[0].node if stage.executed else ""
        own = seconds.get(stage.id, 0.0)
        if name.startswith("Prefetch"):
            groups.append(_Group(buffer=_prefetched(stage)))
        elif name.startswith(_POOLED) and own > 0:
            parts = max(1, min(_MOST_PARTS, round(stage.visit_ratio or 1.0)))
            groups += [_Group(seconds=own, pool=stage.id, parts=parts), _Group()]
        else:
            groups[-1].seconds += own
            groups[-1].has_shuffle |= stage.stage.op == "shuffle"
    return groups


def _with_fill_in_elements(stages: tuple[SimulatedStage, ...]) -> tuple[SimulatedStage, ...]:
    """Turn a filling that counts steps into the elements of the stage that it is filled from."""
    return tuple(
        replace(stage, fill=round(stage.fill * stages[index - 1].per_step)) if index and stage.fill else stage
        for index, stage in enumerate(stages)
    )


def _prefetched(stage: StageView) -> int:
    size = stage.executed[0].buffer_size
    return _TUNED_BUFFER if size is None or size < 1 else max(1, min(_TUNED_BUFFER, round(size)))


def _times(mean_s: float, spread: float, draws: random.Random) -> tuple[float, ...]:
    """Return gamma-distributed durations with exactly this mean."""
    if mean_s <= 0 or spread <= 0:
        return (max(0.0, mean_s),)
    shape = 1 / spread**2
    drawn = [draws.gammavariate(shape, 1.0) for _ in range(_DRAWS)]
    scale = mean_s * len(drawn) / sum(drawn)
    return tuple(value * scale for value in drawn)
