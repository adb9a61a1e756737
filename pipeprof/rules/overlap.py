"""Overlap of making and using: what runs on the training loop's own thread, and what a prefetch at the end would save.

The one idea: without an asynchronous stage at the end of the executed graph a step takes making and using one after the
other, with one the longer of both. It judges nothing: the rules set the thresholds.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeprof.analysis.alignment import stem
from pipeprof.analysis.cores import granted_cores, used_cores
from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.diagnosis import Evidence
from pipeprof.rules.base import COST_SHARE, Parameters, parameter
from pipeprof.rules.cost import CONSUMER_SEGMENT, segment_s, share_between


@dataclass(frozen=True, kw_only=True, slots=True)
class OverlapParameters(Parameters):
    """Thresholds of the rules on overlap."""

    min_share: float = parameter(0.05, unit="share of the step", low=0, high=1, doc="a prefetch must save this much")
    explains: float = parameter(
        0.5, unit="share of the wait", low=0.1, high=1, doc="that the work on the loop's own thread must account for"
    )
    busy_cores: float = parameter(
        0.85, unit="share of the cores", low=0.1, high=1, doc="a program that uses this much has no core to overlap on"
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class NoOverlap:
    """Work that the training loop does itself while it asks for an element."""

    last: StageView  # the stage at the end, behind which a prefetch belongs
    own_s: float  # for one step
    cost: float  # share of the step that a prefetch would save


def find_no_overlap(analysis: Analysis, train: PipelineView, params: OverlapParameters) -> NoOverlap | None:
    """Return what runs on the loop's own thread, None where that is too little or there is no core for it."""
    own_s, gap_s = own_thread_s(train), train.gap_s
    last = last_executed(train)
    if last is None or gap_s is None or own_s < params.explains * (train.wait_s or 0.0):
        return None
    if not has_free_core(analysis, train, params.busy_cores):
        return None
    others_s = slowest_other_s(analysis, train)
    cost = share_between(analysis, train, max(gap_s + own_s, others_s), max(gap_s, own_s, others_s))
    return NoOverlap(last=last, own_s=own_s, cost=cost) if cost >= params.min_share and cost > 0 else None


def evidence_of(
    found: NoOverlap, analysis: Analysis, train: PipelineView, params: OverlapParameters
) -> tuple[Evidence, Evidence, Evidence]:
    """Return the numbers that a finding on overlap rests on, whichever rule makes it."""
    return (
        Evidence(name=COST_SHARE, value=found.cost, unit="share", threshold=params.min_share, n=analysis.steps.count),
        Evidence(name="own_thread_s_per_step", value=found.own_s, unit="s"),
        Evidence(name="gap_s", value=train.gap_s, unit="s"),
    )


def has_free_core(analysis: Analysis, train: PipelineView, busy_cores: float) -> bool:
    """Tell whether the program leaves a core to overlap on; also where its use of the cores is not known."""
    used = used_cores(analysis, train)
    return used is None or used < busy_cores * granted_cores(analysis)


def own_thread_s(train: PipelineView) -> float:
    """Return the busy seconds of one step that are spent on the consumer's own thread."""
    return sum(segment.busy_s_per_step for segment in train.segments if segment.index == CONSUMER_SEGMENT)


def slowest_other_s(analysis: Analysis, train: PipelineView) -> float:
    """Return the time for one step of the slowest segment that is not the consumer's."""
    times = [segment_s(analysis, train, item) for item in train.segments if item.index != CONSUMER_SEGMENT]
    return max(times, default=0.0)


def held_behind(train: PipelineView, view: StageView) -> float:
    """Return the share of time in which the last prefetch behind a stage held an element, at least: 0 where there is none.

    The mean of what it held is at most the most that it held times the share of time in which it held any.
    """
    behind = train.stages[train.stages.index(view) + 1 :]
    nodes = [node for item in behind for node in item.executed if stem(node.node) == "Prefetch"]
    last = nodes[-1] if nodes else None
    if last is None or not last.buffered_elements or not last.buffered_elements_max:
        return 0.0
    return last.buffered_elements / last.buffered_elements_max


def last_executed(train: PipelineView) -> StageView | None:
    """Return the last stage of the user's that TensorFlow ran."""
    ran = [view for view in train.stages if view.written is not None and view.executed]
    return ran[-1] if ran else None


def middle_prefetch(train: PipelineView) -> StageView | None:
    """Return the last of the user's own prefetches that TensorFlow ran, None where there is none."""
    own = [view for view in train.stages if view.written is not None and view.stage.op == "prefetch" and view.executed]
    return own[-1] if own else None


def is_autotune_off(train: PipelineView) -> bool:
    """Tell whether the user switched AUTOTUNE off for this pipeline."""
    return train.record.autotune is not None and not train.record.autotune.enabled


def boundary_s(train: PipelineView) -> float:
    """Return what waiting at epoch boundaries takes of each step, on average."""
    loop = train.record.loop
    return loop.boundary_wait_s / loop.elements if loop.elements else 0.0
