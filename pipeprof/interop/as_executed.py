"""Traced stages as the Profile's executed stages, which is what the analysis reads.

Ratios that TensorFlow fixes (a batch takes ``batch_size`` elements) are stated, since a short window counts them wrongly while
buffers fill; all others are as counted. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping

from pipeprof.interop.node_kinds import BATCHES, ONE_FOR_ONE, PREFETCH, stem
from pipeprof.interop.traced import TracedPipeline, TracedStage
from pipeprof.model.profile import ExecutedStage, OpCost

EVENT_COST_S = 1.25e-6  # what recording one event takes; it is counted as the work of the stage that asked (1-1.5 µs seen)
_DISTORTED = 0.2  # of a stage's own time
_NOTABLE = 0.05  # of all work: what a stage below it costs does not matter


def executed_stages(pipeline: TracedPipeline) -> tuple[ExecutedStage, ...]:
    """Return the executed tree, the root first."""
    parents = {child: stage for stage in pipeline.stages for child in stage.inputs}
    return tuple(_executed(stage, parents, pipeline.element_bytes) for stage in pipeline.stages)


def distorted_stages(pipeline: TracedPipeline) -> tuple[TracedStage, ...]:
    """Return the stages whose time is to a large part that of recording the events of their inputs."""
    by_id = {stage.id: stage for stage in pipeline.stages}
    whole = sum(stage.busy_s for stage in pipeline.stages)
    found = []
    for stage in pipeline.stages[1:]:
        events = sum(by_id[child].elements for child in stage.inputs)
        is_worth_it = not stage.is_asynchronous and stage.busy_s > _NOTABLE * whole
        if is_worth_it and events * EVENT_COST_S > _DISTORTED * stage.busy_s:
            found.append(stage)
    return tuple(found)


def _executed(stage: TracedStage, parents: Mapping[str, TracedStage], element_bytes: float | None) -> ExecutedStage:
    parent, held = parents.get(stage.id), stage.buffer
    is_outermost = parent is None or parent.id == "0"
    return ExecutedStage(
        id=stage.id,
        node=stage.node,
        inputs=stage.inputs,
        elements=stage.elements,
        busy_s=stage.blocked_s if stem(stage.node) == PREFETCH else stage.busy_s,  # as TensorFlow counts it
        bytes_produced=round(element_bytes * stage.elements) if is_outermost and element_bytes else 0,
        elements_per_parent=stage.elements / parent.elements if parent is not None and parent.elements else None,
        known_ratio=_known_ratio(stage),
        parallelism=stage.parallelism,
        parallelism_tuned=stage.is_tuned,
        buffer_size=stage.buffer_size,
        buffered_elements=held.mean if held else None,
        buffered_elements_max=held.most if held else None,
        buffered_bytes_max=held.bytes_max if held else None,
        empty_share=held.empty_share if held else None,
        incarnations=stage.incarnations,
        snapshots=stage.elements,
        ops=op_costs(stage),
    )


def op_costs(stage: TracedStage) -> tuple[OpCost, ...]:
    """Return what the ops inside a stage's function cost for one of its elements."""
    if not stage.elements:
        return ()
    return tuple(
        OpCost(op=item.op, calls=item.calls / stage.elements, busy_s=item.busy_s / stage.elements) for item in stage.ops
    )


def _known_ratio(stage: TracedStage) -> float | None:
    name = stem(stage.node)
    if name in BATCHES and stage.batch_size:
        return float(stage.batch_size)
    return 1.0 if name in ONE_FOR_ONE else None
