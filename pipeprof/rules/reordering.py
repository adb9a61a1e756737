"""What rules on the order of stages share: which stages stand right before one, what they hold, what it saves if they do less.

The one idea: a stage may only move past neighbours that give one element for each that they take, so that a walk from it
towards the source ends at the first stage of another kind. Nothing here sets thresholds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from pipeprof.analysis.stage_graph import consumer_of, elements_per_step
from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.rules.cost import effective_slots, explained_share, segment_of

ONE_TO_ONE = frozenset({"map", "prefetch"})
TENSOR_BYTES = 170.0  # TensorFlow's own for each tensor that a buffer holds


def walk_back(pipeline: PipelineView, view: StageView, ops: Collection[str]) -> Iterator[StageView]:
    """Yield the stages right before one, nearest first, as long as each is of ``ops`` and feeds nobody else."""
    current = view
    while len(current.stage.inputs) == 1:
        before = next((item for item in pipeline.stages if item.id == current.stage.inputs[0]), None)
        if before is None or before.stage.op not in ops or consumer_of(pipeline, before.id) is None:
            return
        yield before
        current = before


def walk_on(pipeline: PipelineView, view: StageView, ops: Collection[str]) -> Iterator[StageView]:
    """Yield the stages right after one, nearest first, as long as each is of ``ops`` and nobody else takes its input."""
    after = consumer_of(pipeline, view.id)
    while after is not None and after.stage.op in ops:
        yield after
        after = consumer_of(pipeline, after.id)


def input_of(pipeline: PipelineView, view: StageView) -> StageView | None:
    """Return the one stage that a stage reads, None where it reads several or none."""
    ids = view.stage.inputs
    return next((item for item in pipeline.stages if item.id == ids[0]), None) if len(ids) == 1 else None


def share_saved_by(analysis: Analysis, pipeline: PipelineView, saved_s: Mapping[str, float]) -> float:
    """Return the share of the step that is waited for some stages, and would not be if each took so many seconds less.

    Args:
        analysis: what the pipeline is part of.
        pipeline: the pipeline.
        saved_s: busy seconds of a step by stage id.
    """
    new_s: dict[int, float] = {}
    for segment in pipeline.segments:
        saved = sum(seconds for stage_id, seconds in saved_s.items() if stage_id in segment.stage_ids)
        if saved > 0:
            left_s = max(0.0, segment.busy_s_per_step - saved)
            new_s[segment.index] = left_s / effective_slots(analysis, pipeline, segment)
    return explained_share(analysis, pipeline, new_s)


def seconds_to_make(analysis: Analysis, pipeline: PipelineView, stages: Collection[StageView], base: StageView) -> float:
    """Return the time that some stages take for one element of ``base``: their slowest segment's, on all its slots."""
    visits = elements_per_step(pipeline, base)
    if not visits:
        return 0.0
    by_segment: dict[int, float] = {}
    for view in stages:
        segment = segment_of(pipeline, view)
        if segment is not None:
            own_s = (view.busy_s_per_step or 0.0) / visits / effective_slots(analysis, pipeline, segment)
            by_segment[segment.index] = by_segment.get(segment.index, 0.0) + own_s
    return max(by_segment.values(), default=0.0)


def held_bytes(view: StageView) -> float | None:
    """Return the bytes of one element of a stage in a buffer, TensorFlow's own for each tensor included; None if not known."""
    if view.written is None:
        return None
    own = TENSOR_BYTES * (view.written.element_tensors or 1)
    if view.written.element_bytes is not None:
        return view.written.element_bytes + own
    if not view.executed or view.shares_node_with or not view.executed[0].elements:
        return None
    produced = view.executed[0].bytes_produced
    return produced / view.executed[0].elements + own if produced else None


def held_elements(view: StageView) -> float:
    """Return how many elements a buffer held at most, 0 where that was not seen; of a shuffle no more than it may hold."""
    seen = max((node.buffered_elements_max or 0.0 for node in view.executed[:1]), default=0.0)
    if seen or view.written is None:
        return seen
    size = view.written.arguments.get("buffer_size")
    count = view.written.cardinality
    if not isinstance(size, int) or size <= 0 or isinstance(size, bool):
        return 0.0
    return float(min(size, count)) if count > 0 else float(size)
