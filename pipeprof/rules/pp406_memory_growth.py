"""PP406: the memory of the process grows for as long as the loop runs.

The one idea: growth that goes on at the same pace is told apart from buffers that fill and from an allocator that keeps what it
once had, which both level off; what the pipeline's own buffers hold more is named by its line. It names no leaking object.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from pipeprof import units
from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.diagnosis import Confidence, Evidence, Finding, Safety, Severity
from pipeprof.rules.base import Parameters, Rule, Status, name_stage, parameter
from pipeprof.rules.cache_point import count_objects
from pipeprof.rules.memory_room import held_bytes, memory_limit
from pipeprof.rules.memory_slope import Growth, buffer_growth, measure_growth
from pipeprof.rules.needs import Need

_LEAST_BYTES = 50e6  # what TensorFlow's own threads, traces and allocators may add
_EXPLAINS = 0.5  # of the growth
_RUNS_MEDIUM = 10.0  # memory is full after less than so many times what was seen


class Cause(StrEnum):
    """What grows."""

    CACHE = "cache-fills"
    KEPT_CACHES = "caches-kept"
    BUFFERS = "buffers"
    PROGRAM = "program"


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryGrowthParameters(Parameters):
    """Thresholds of PP406."""

    min_growth: float = parameter(
        0.1, unit="share of the memory in use", low=0, high=10, doc="growth after the warm-up to report, 50 MB at least"
    )
    min_late_share: float = parameter(
        0.5, unit="share of the pace", low=0, high=1, doc="growth that slows down to less than this levels off"
    )


class MemoryGrowth(Rule[MemoryGrowthParameters]):
    """Memory growth.

    What it looks for:
        A process whose memory grows from epoch to epoch (or over the parts of a
        single one), and does not slow down.

    Why it costs time:
        It costs the run: killed after hours, often at night. Before that the
        page cache shrinks, and files are read from storage again.

    How it is measured:
        The highest memory of each epoch, or of eight equal parts of the loop,
        without the first quarter; the median slope of all pairs, and the slope
        of the second half against the first. What the buffers of each stage
        hold is TensorFlow's own count.

    When it is wrong:
        With few and short epochs, in which AUTOTUNE's buffers still settle.
        An allocator that returns nothing to the system levels off after some
        epochs: seen too early, it looks like a leak. Memory of other processes
        is not looked at.

    What to do:
        Where a cache or a buffer is named: see there. Else look at what the
        loop keeps: lists of batches or of loss tensors (keep float(loss)),
        datasets and functions made anew in each epoch.

    What that can change:
        Nothing in the data.

    References:
        tensorflow/tensorflow issue 33516; horovod/horovod issue 4296; Theil
        (1950) and Sen (1968) on the median of slopes.
    """

    code = "PP406"
    name = "memory-growth"
    status = Status.STABLE
    remedy_safety = Safety.SAFE
    needs = (Need.TRAINING, Need.MEMORY)
    rivals = ("PP404",)
    parameters = MemoryGrowthParameters

    def check(self, analysis: Analysis, params: MemoryGrowthParameters) -> Iterator[Finding]:
        """Yield one finding where the memory keeps growing."""
        train = analysis.train
        growth = None if train is None else measure_growth(analysis, train)
        if train is None or growth is None:
            return
        least = max(_LEAST_BYTES, params.min_growth * growth.first_bytes)
        if growth.bytes < least or growth.late_share < params.min_late_share:
            return
        cause, view = _find_cause(train, growth)
        yield self.report(
            _describe(analysis, growth, cause, view),
            severity=_grade(analysis, growth, cause),
            confidence=Confidence.MEDIUM if view is not None else Confidence.LOW,
            pipeline=train,
            view=view,
            evidence=(
                Evidence(name="growth_bytes", value=growth.bytes, unit="bytes", threshold=least, n=growth.windows),
                Evidence(name="slope_bytes", value=growth.slope_bytes, unit="bytes"),
                Evidence(name="late_share", value=growth.late_share, unit="share", threshold=params.min_late_share),
                Evidence(name="cause", value=cause),
            ),
        )


def _find_cause(train: PipelineView, growth: Growth) -> tuple[Cause, StageView | None]:
    """Return what holds at least half of what the process holds more, the program itself where no buffer does."""
    for view in train.stages:
        per_epoch = held_bytes(view) if view.stage.op == "cache" and count_objects(view) > 1 else 0.0
        if growth.by_epoch and per_epoch >= _EXPLAINS * growth.slope_bytes and per_epoch > 0:
            return Cause.KEPT_CACHES, view
    grown = {view.id: buffer_growth(train, view, growth) for view in train.stages}
    most = max(train.stages, key=lambda view: grown[view.id], default=None)
    if most is None or grown[most.id] < _EXPLAINS * growth.bytes:
        return Cause.PROGRAM, None
    return (Cause.CACHE if most.stage.op == "cache" else Cause.BUFFERS), most


def _times_to_full(analysis: Analysis, growth: Growth) -> float | None:
    """Return after how many times what was seen the memory is full at this pace."""
    limit = memory_limit(analysis)
    return None if limit is None or growth.bytes <= 0 else max(0.0, limit - growth.last_bytes) / growth.bytes


def _grade(analysis: Analysis, growth: Growth, cause: Cause) -> Severity:
    if cause is Cause.CACHE:
        return Severity.INFO  # it ends with the epoch; whether it fits is for PP404
    times = _times_to_full(analysis, growth)
    if times is None:
        return Severity.LOW
    return Severity.HIGH if times < 1 else Severity.MEDIUM if times < _RUNS_MEDIUM else Severity.LOW


def _describe(analysis: Analysis, growth: Growth, cause: Cause, view: StageView | None) -> str:
    what = "epoch" if growth.by_epoch else "eighth of the loop"
    text = (
        f"Memory grows by {units.byte_count(growth.slope_bytes)} in each {what} and does not slow down: "
        f"{units.byte_count(growth.last_bytes)} in the last one. "
    )
    times = _times_to_full(analysis, growth)
    if times is not None and cause is not Cause.CACHE:
        left = max(0.0, times * (growth.windows - 1))
        text += f"At this pace it is full after {left:,.0f} more. "
    return text + _describe_cause(cause, view)


def _describe_cause(cause: Cause, view: StageView | None) -> str:
    if view is None or cause is Cause.PROGRAM:
        return (
            "The pipeline's buffers hold no more than before: look at what the loop keeps (batches, loss tensors, datasets or "
            "functions made anew)."
        )
    if cause is Cause.KEPT_CACHES:
        return (
            f"Each epoch makes a new {name_stage(view)} of {units.byte_count(held_bytes(view))}, and the old ones stay: build "
            "the dataset once, outside the loop, or keep no reference to it."
        )
    if cause is Cause.CACHE:
        return f"{name_stage(view)} is filling: that ends with the first whole epoch."
    return f"The buffer of {name_stage(view)} grows: give it a fixed size, or AUTOTUNE a limit (options.autotune.ram_budget)."
