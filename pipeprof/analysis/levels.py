"""Buffers and AUTOTUNE's choices over time, brought from executed nodes to the stages that were written.

The one idea: a mean says nothing of a ramp, so the time of AUTOTUNE's last change is kept, and the levels themselves for a
drawing. How long an element lies ready follows from the last buffer's mean level by Little's law (1961): level = rate x time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pipeprof.model.analysis import StageView
from pipeprof.model.diagnosis import Level
from pipeprof.model.profile import PipelineRecord


def add_ramps(views: Sequence[StageView], record: PipelineRecord) -> tuple[StageView, ...]:
    """Return the views with where AUTOTUNE began and when it changed their parallelism last."""
    return tuple(_with_ramp(view, record) for view in views)


def levels_over_time(views: Sequence[StageView], record: PipelineRecord) -> tuple[Level, ...]:
    """Return the levels by stage; of a stage with several nodes the outermost that has one."""
    return tuple(
        Level(
            t_s=item.start_s,
            buffered=_by_stage(views, item.buffered),
            parallelism=_by_stage(views, item.parallelism),
        )
        for item in record.levels
    )


def ready_time(views: Sequence[StageView], step_s: float | None) -> float | None:
    """Return how long an element lies ready in the buffer nearest to the consumer, in seconds; None without a buffer."""
    last = next((view for view in reversed(views) if view.stage.buffered_elements is not None), None)
    if last is None or step_s is None or not last.visit_ratio or last.stage.buffered_elements is None:
        return None
    return last.stage.buffered_elements * step_s / last.visit_ratio


def _with_ramp(view: StageView, record: PipelineRecord) -> StageView:
    size = next((node.buffer_size for node in view.executed if node.buffer_size is not None), None)
    stage = replace(view.stage, buffer_size=size)
    node = next((node for node in view.executed if node.parallelism_tuned), None)
    if node is not None:
        seen = [(item.start_s, item.parallelism[node.id]) for item in record.levels if node.id in item.parallelism]
        if seen:
            final = seen[-1][1]
            since = next((at for at, (_, value) in reversed(list(enumerate(seen))) if value != final), -1) + 1
            settled_s = max(0.0, seen[since][0] - record.loop.start_s) if since else 0.0
            stage = replace(stage, parallelism_first=seen[0][1], settled_s=settled_s)
    return replace(view, stage=stage)


def _by_stage(views: Sequence[StageView], values: Mapping[str, float]) -> dict[str, float]:
    found = {view.id: next((values[node.id] for node in view.executed if node.id in values), None) for view in views}
    return {name: value for name, value in found.items() if value is not None}
