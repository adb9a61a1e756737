"""Ways through the stages of one pipeline: what comes before a stage, what comes after it.

Edges are the stages' inputs as written. Nothing here knows what a stage does.
"""

from __future__ import annotations

from collections.abc import Iterable

from pipeprof.model.analysis import PipelineView, StageView


def upstream(pipeline: PipelineView, stage_id: str, *, stop_at: frozenset[str] = frozenset()) -> tuple[StageView, ...]:
    """Return the stage and all before it, source first; not what lies before a stage of ``stop_at``, nor that stage."""
    inputs = {view.id: view.stage.inputs for view in pipeline.stages}
    found: set[str] = set()
    open_ids = [stage_id]
    while open_ids:
        current = open_ids.pop()
        if current in found or current in stop_at or current not in inputs:
            continue
        found.add(current)
        open_ids.extend(inputs[current])
    return tuple(view for view in pipeline.stages if view.id in found)


def downstream(pipeline: PipelineView, stage_id: str) -> tuple[StageView, ...]:
    """Return all stages after the stage, nearest first."""
    reached = {stage_id}
    grown = True
    while grown:
        more = {view.id for view in pipeline.stages if view.id not in reached and reached & set(view.stage.inputs)}
        reached |= more
        grown = bool(more)
    return tuple(view for view in pipeline.stages if view.id in reached and view.id != stage_id)


def consumer_of(pipeline: PipelineView, stage_id: str) -> StageView | None:
    """Return the one written stage that takes the stage's elements; None where none or several do."""
    takers = [view for view in pipeline.stages if view.written is not None and stage_id in view.written.inputs]
    return takers[0] if len(takers) == 1 else None


def neighbours(pipeline: PipelineView, stage_id: str, first: str = "map") -> tuple[StageView, StageView] | None:
    """Return two stages that follow each other directly, of which ``stage_id`` is one and the first makes ``first``'s elements.

    None where the stage has no one neighbour, or the first of the two is another kind of stage.
    """
    stage = pipeline.stage(stage_id)
    if stage.stage.op == first:
        reader = consumer_of(pipeline, stage_id)
        return None if reader is None else (stage, reader)
    above = [view for view in pipeline.stages if view.id in stage.stage.inputs]
    if len(above) != 1 or above[0].stage.op != first or consumer_of(pipeline, above[0].id) is not stage:
        return None
    return above[0], stage


def elements_per_step(pipeline: PipelineView, view: StageView) -> float | None:
    """Return how many elements the stage itself makes for one step.

    A fused node (map and batch) counts what its last stage makes; for a stage before that one, its input's elements are
    taken, which is right for a map.
    """
    fused = [item.id for item in pipeline.stages if item.id in view.shares_node_with or item.id == view.id]
    if fused[-1] == view.id or not view.stage.inputs:
        return view.visit_ratio
    return next((item.visit_ratio for item in pipeline.stages if item.id == view.stage.inputs[0]), None)


def changed_state(stages: Iterable[StageView]) -> str:
    """Return what one of some stages reads of the program that was not the same in each epoch, "" where that is nothing."""
    return next((view.written.changed_state for view in stages if view.written and view.written.changed_state), "")
