"""What a stage costs the training loop: the share of the step that a faster segment would give back.

The one idea: stages between two asynchronous boundaries (a segment) take one element's time one after the other; the loop
waits for a segment only as far as its time for one step exceeds the consumer's own. Operational analysis as in Plumber
(MLSys 2022), with the segment in place of the single operator. Nothing here sets thresholds.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from pipeprof.analysis.cores import pool_threads
from pipeprof.model.analysis import Analysis, PipelineView, SegmentView, StageView
from pipeprof.model.diagnosis import InputBound

CONSUMER_SEGMENT = 0  # the analysis numbers segments from the consumer's own thread upwards


def is_input_bound(analysis: Analysis) -> bool:
    """Tell whether the verdict is that training waits for its input, moderately or highly."""
    return analysis.verdict.input_bound in {InputBound.HIGHLY, InputBound.MODERATELY}


def segment_of(pipeline: PipelineView, view: StageView) -> SegmentView | None:
    """Return the segment that the stage runs in."""
    return next((segment for segment in pipeline.segments if view.id in segment.stage_ids), None)


def segment_s(analysis: Analysis, pipeline: PipelineView, segment: SegmentView) -> float:
    """Return the time in which a segment makes what one step takes; a map runs on no more slots than its pool has threads."""
    return segment.busy_s_per_step / effective_slots(analysis, pipeline, segment)


def effective_slots(analysis: Analysis, pipeline: PipelineView, segment: SegmentView) -> float:
    """Return how many of a segment's slots have a thread: calls beyond the pool's threads queue, whatever was asked for."""
    runs_functions = any(view.id in segment.stage_ids and view.stage.op == "map" for view in pipeline.stages)
    slots = min(segment.slots, float(pool_threads(analysis, pipeline))) if runs_functions else segment.slots
    return max(1.0, slots)


def busy_of_others(pipeline: PipelineView, view: StageView) -> float:
    """Return the busy seconds per step of all stages but one: what they take at most on one thread."""
    return sum(busy_of(item) for item in pipeline.stages if item.id != view.id)


def busy_of(view: StageView) -> float:
    """Return the stage's busy seconds per step, 0 where none were counted."""
    return view.busy_s_per_step or 0.0


def explained_share(analysis: Analysis, pipeline: PipelineView, new_s: Mapping[int, float]) -> float:
    """Return the share of the step that is waited for some segments, and would not be if they took ``new_s``.

    ``explained = min(wait, max(T) - max(gap, max(T'))) / step`` with T and T' the segments' times for one step before and
    after, the consumer's gap added for the segment that runs on the consumer's own thread; never more than the ready-element
    control shows to be recoverable, where there is one. Other segments may then be the next limit: this is what these
    segments explain, not a prediction of the speed-up.

    Args:
        analysis: what the pipeline is part of.
        pipeline: the pipeline.
        new_s: new time for one step by segment index.
    """
    step_s, gap_s, wait_s = pipeline.step_s, pipeline.gap_s, pipeline.wait_s
    if not step_s or gap_s is None or wait_s is None:
        return 0.0
    before = after = gap_s
    for segment in pipeline.segments:
        if segment.index in new_s:
            added_s = gap_s if segment.index == CONSUMER_SEGMENT else 0.0
            before = max(before, segment_s(analysis, pipeline, segment) + added_s)
            after = max(after, new_s[segment.index] + added_s)
    return share_between(analysis, pipeline, before, after)


def share_between(analysis: Analysis, pipeline: PipelineView, before_s: float, after_s: float) -> float:
    """Return the share of the step that goes away where it takes ``after_s`` in place of ``before_s``.

    No more than what is waited, nor than the ready-element control shows to be recoverable.
    """
    step_s, wait_s = pipeline.step_s, pipeline.wait_s
    if not step_s or wait_s is None:
        return 0.0
    explained = max(0.0, min(wait_s, before_s - after_s)) / step_s
    control = analysis.control(pipeline.record.id)
    if control is None or not control.reproduces_run:
        return explained
    return min(explained, max(0.0, control.recoverable_high))


def share_saved_at(analysis: Analysis, pipeline: PipelineView, view: StageView, stage_s: float) -> float:
    """Return ``explained_share`` for one stage whose time for one step, on all its slots, becomes ``stage_s``."""
    segment = segment_of(pipeline, view)
    if segment is None:
        return 0.0
    slots = effective_slots(analysis, pipeline, segment)
    rest_s = max(0.0, segment.busy_s_per_step - busy_of(view)) / slots
    return explained_share(analysis, pipeline, {segment.index: rest_s + stage_s})


def share_saved_without(analysis: Analysis, pipeline: PipelineView, removed_ids: Collection[str]) -> float:
    """Return ``explained_share`` for a pipeline in which some stages take no time any more."""
    busy_s = {view.id: busy_of(view) for view in pipeline.stages}
    new_s = {}
    for segment in pipeline.segments:
        removed_s = sum(busy_s.get(stage_id, 0.0) for stage_id in segment.stage_ids if stage_id in removed_ids)
        if removed_s > 0:
            left_s = max(0.0, segment.busy_s_per_step - removed_s)
            new_s[segment.index] = left_s / effective_slots(analysis, pipeline, segment)
    return explained_share(analysis, pipeline, new_s)
