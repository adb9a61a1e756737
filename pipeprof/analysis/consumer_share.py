"""Who spends a step: the consumer's own time with and without the pipeline on its cores, and whose the CPU seconds are.

Only the process's CPU is counted; how it divides between the consumer and the pipeline is known from a replay of the pipeline
alone, and bounded otherwise. Both are readings, as wide as the evidence leaves them. Nothing here models the pipeline.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeprof.analysis import doubt
from pipeprof.analysis.cores import delay_behind_others_s, free_cores, pipeline_alone_cpu_s, system_cpu_share
from pipeprof.analysis.histograms import quantile
from pipeprof.model.analysis import Analysis, PipelineView
from pipeprof.model.profile import Control, Histogram, Loop

if TYPE_CHECKING:
    from pipeprof.analysis.doubt import Readings

_CHUNKS = 8  # of the run, to see how far its mean step wanders
_TINY = 1e-9
_QUICK = 0.1  # quantile of the consumer's times that no other process lengthened
_SURELY = 0.9  # of what was read of the input's threads: the last stretch of one that ends can be missed
_RARE = 0.01  # of the steps
_MORE_LOAD = 0.5  # by how much others' load may grow
_MOST_SHARE = 0.8
_HAND_OVER_S = 50e-6
_HAND_OVER_SHARE = 0.05  # of a step; healthy loops of 20-40 ms waited 1-11 %, most of them less than 5
_LEAST_NOISE = 0.02
_MOST_NOISE = 0.35
_NINETY_PERCENT = 3.29  # width of a normal distribution's 90 % interval in standard deviations


@dataclass(frozen=True, kw_only=True, slots=True)
class Others:
    """What other processes on the same cores add to a step, all of which may be gone, or more, when a change is measured."""

    more: Readings  # their load to come: 0 as it was, -1 gone, 0.5 half as much again
    gap_s: Readings  # their part of the consumer's own time
    busy_share: Readings  # of the stages' busy times
    rest_share: float  # of the time that nothing explains


@dataclass(frozen=True, kw_only=True, slots=True)
class Consumer:
    """The measured step, taken apart; seconds of one step."""

    steady_s: float  # without the epochs' boundaries
    creation_s: float  # making iterators, spread over an epoch's steps
    creation_least_s: float  # the quickest of them
    first_s: float  # waiting for first elements, likewise
    first_least_s: float
    epoch_steps: float  # 0 where there is only one epoch
    gap_s: float  # the consumer's own time, as it was
    gap_spread: float
    spread_s: float  # standard deviation of the steps, or of the waits where that is larger
    idle_gap_s: Readings  # the consumer's own time with the cores to itself
    cpu_s: Readings  # CPU seconds of the consumer
    pipeline_cpu_s: Readings
    load_now: Readings  # cores that the pipeline kept busy
    hand_over_s: Readings  # waited for an element that is ready
    others: Others
    noise: float  # standard deviation of the logarithm of what is measured

    @property
    def has_boundaries(self) -> bool:
        """Whether epochs begin anew while the loop runs."""
        return self.epoch_steps > 0


def read_consumer(analysis: Analysis, view: PipelineView) -> Consumer | None:
    """Take a pipeline's step apart; None where none was measured."""
    if not view.step_s or view.gap_s is None:
        return None
    loop = view.record.loop
    steps, creation, first = _boundary(loop)
    least_creation, least_first = _least_boundary(loop, creation, first)
    pipeline = _pipeline_cpu_s(analysis, view)
    total = view.cpu_s_per_step
    boundary = (creation + first) * _boundaries_a_step(loop, steps)
    steady = max(view.step_s - boundary, 1e-9)
    own = (pipeline * 0.0) if total is None else (total - pipeline).clip(min=0.0)
    return Consumer(
        steady_s=steady,
        creation_s=creation / steps if steps else 0.0,
        creation_least_s=least_creation / steps if steps else 0.0,
        first_s=first / steps if steps else 0.0,
        first_least_s=least_first / steps if steps else 0.0,
        epoch_steps=steps,
        gap_s=min(view.gap_s, steady),
        gap_spread=min(1.0, _deviation_s(loop.gap_histogram) / max(view.gap_s, 1e-9)),
        spread_s=max(_deviation_s(loop.steps_histogram), _deviation_s(loop.wait_histogram)),
        idle_gap_s=_idle_gap_s(analysis, view, pipeline),
        cpu_s=own,
        pipeline_cpu_s=pipeline if total is not None else pipeline * 0.0,
        load_now=pipeline / view.step_s,
        hand_over_s=_hand_over_s(analysis, view),
        others=_others(analysis, view, pipeline),
        noise=_noise(loop, _control(analysis, view)),
    )


def _control(analysis: Analysis, view: PipelineView) -> Control | None:
    control = analysis.control(view.record.id)
    return control if control is not None and control.reproduces_run else None


def _boundary(loop: Loop) -> tuple[float, float, float]:
    """Return the steps of an epoch, and the mean seconds of making and of first waiting at a later epoch's start."""
    later = loop.epochs[1:]
    if loop.epoch_count <= 1 or not later:
        return 0.0, 0.0, 0.0
    count = max(1, loop.epoch_count - 1)
    if loop.epoch_count == len(loop.epochs):
        creation = sum(epoch.creation_s for epoch in later) / count
        first = sum(epoch.first_wait_s for epoch in later) / count
    else:  # later epochs were merged; the loop counts their boundaries together
        creation, first = 0.0, loop.boundary_wait_s / count
    return max(1.0, loop.elements / loop.epoch_count), creation, first


def _least_boundary(loop: Loop, creation_s: float, first_s: float) -> tuple[float, float]:
    """Return the quickest making of an iterator and the shortest first wait; the means where epochs were merged."""
    later = loop.epochs[1:]
    if not later or loop.epoch_count != len(loop.epochs):
        return creation_s, first_s
    return min(epoch.creation_s for epoch in later), min(epoch.first_wait_s for epoch in later)


def _boundaries_a_step(loop: Loop, epoch_steps: float) -> float:
    """Return how many boundaries fall on one measured step: the first epoch's start is in none."""
    if not epoch_steps:
        return 0.0
    return (loop.epoch_count - 1) / max(1, loop.steps_in_bins or loop.elements - 1)


def _pipeline_cpu_s(analysis: Analysis, view: PipelineView) -> Readings:
    """Return the pipeline's CPU seconds: by replay, by its threads, or between what the consumer cannot have used and all.

    That can be more than what the stages are busy: waking threads and handing elements on is in no counter.
    """
    total, busy = view.cpu_s_per_step, view.busy_s_per_step or 0.0
    if total is None:
        return doubt.between("CPU of the pipeline", 0.3 * busy, busy)
    alone = pipeline_alone_cpu_s(analysis, view)
    if alone is not None:
        return doubt.between("CPU of the pipeline", min(0.85 * alone, total), min(1.1 * alone, total))
    if view.input_cpu_s_per_step is not None and view.input_cpu_s_per_step > 0:
        own = sum(segment.busy_s_per_step for segment in view.segments if segment.index == 0)  # on the consumer's thread
        least = min(_SURELY * view.input_cpu_s_per_step, total)
        return doubt.between("CPU of the pipeline", least, min(view.input_cpu_s_per_step / _SURELY + own, total))
    most = (view.gap_s or 0.0) * analysis.profile.run.host.cores  # that a consumer can use while it has the element
    return doubt.between("CPU of the pipeline", max(0.0, total - most), total)


def _idle_gap_s(analysis: Analysis, view: PipelineView, pipeline: Readings) -> Readings:
    """Return the consumer's own time with the pipeline off its cores: by control, else without its part of the waiting."""
    gap = view.gap_s or 0.0
    control = _control(analysis, view)
    if control is not None and control.baseline_wait_share < 1:
        before = control.baseline_step_s * (1 - control.baseline_wait_share)
        after = control.ready_step_s * (1 - control.ready_wait_share)
        ratio = min(1.0, after / before) if before > 0 else 1.0
        spread = doubt.around("the consumer without the pipeline", _noise(view.record.loop, control) / 2)
        idle: Readings = (gap * ratio * spread).clip(max=gap)
        return idle
    part = _pipelines_part(analysis, view, pipeline)
    return gap - doubt.between("slowed beside the pipeline", _queued_s(view), _slowed_s(view)) * part


def _slowed_s(view: PipelineView) -> float:
    """Return by how much the consumer's steps are longer than its quick ones: cores that are shared are also slower."""
    gap = view.gap_s or 0.0
    quick = quantile(view.record.loop.gap_histogram, _QUICK)
    above = gap if quick is None else max(0.0, gap - quick)
    return min(above, _MOST_SHARE * gap)


def _queued_s(view: PipelineView) -> float:
    """Return what the consumer waited for a core in a step, at most: what is above its quick steps, and was run delay."""
    above, delay = _slowed_s(view), view.run_delay_s_per_step
    return min(above, delay if delay is not None else above)


def _pipelines_part(analysis: Analysis, view: PipelineView, pipeline: Readings) -> Readings:
    """Return the pipeline's part of what the consumer queues behind: its load among all on the cores, as far as it can tell.

    Where others' load was not measured the cores were perhaps never short: then all, or nothing, may be the pipeline's.
    """
    step, total = view.step_s or math.inf, view.cpu_s_per_step or 0.0
    system, delay = system_cpu_share(analysis, view), view.run_delay_s_per_step
    if system is None or delay is None:
        part: Readings = (pipeline / step / free_cores(analysis, view)).clip(max=1.0) ** 2
        return part * doubt.between("queueing behind the pipeline", 0.0, 1.0)
    others = max(0.0, system * analysis.profile.run.host.cores - total / step)
    running = pipeline / step / (pipeline / step + others + _TINY)
    queueing = (total + delay) / step / ((total + delay) / step + others + _TINY)  # threads that run or wait to
    return doubt.between("queueing behind the pipeline", 0.5 * running, running.clip(min=queueing))


def _others(analysis: Analysis, view: PipelineView, pipeline: Readings) -> Others:
    """Return what others add: their part of the time that this process's threads waited for a core."""
    busy, delay, total = view.busy_s_per_step or 0.0, view.run_delay_s_per_step or 0.0, view.cpu_s_per_step or 0.0
    theirs = delay_behind_others_s(analysis, view) or 0.0
    of_gap = (_queued_s(view) * (1 - _pipelines_part(analysis, view, pipeline))).clip(max=theirs)
    share = ((theirs - of_gap) / busy).clip(min=0.0, max=_MOST_SHARE) if busy > 0 else 0.0 * of_gap
    return Others(
        more=doubt.between("load of others", -1.0, _MORE_LOAD),
        gap_s=of_gap,
        busy_share=doubt.between("load of others on the stages", 0.5, 1.0) * share,
        rest_share=theirs / (total + delay) if total + delay > 0 else 0.0,
    )


def _hand_over_s(analysis: Analysis, view: PipelineView) -> Readings:
    """Return what a step waits for an element that is ready: by control, else what healthy loops have been seen to."""
    control, gap = _control(analysis, view), view.gap_s or 0.0
    wait = max(view.wait_s or 0.0, 0.0)
    if control is not None:
        ready = control.ready_wait_share * control.ready_step_s
        return doubt.between("hand-over", min(0.5 * ready, wait), min(1.2 * ready, wait))
    return doubt.between("hand-over", min(_HAND_OVER_S, wait), min(max(_HAND_OVER_SHARE * gap, _HAND_OVER_S), wait))


def _noise(loop: Loop, control: Control | None) -> float:
    """Return how far the same step wanders: from stretch to stretch of the run, and A against A where that was measured."""
    size = max(1, len(loop.bins) // _CHUNKS)
    means = []
    for start in range(0, len(loop.bins) - size + 1, size):
        part = loop.bins[start : start + size]
        count = sum(item.steps for item in part)
        if count:
            means.append(sum(item.wait_s + item.gap_s for item in part) / count)
    wander = _deviation(means) / math.sqrt(max(1, len(means)))
    same = wander
    if control is not None and 0 < control.noise_low < control.noise_high:
        same = math.log(control.noise_high / control.noise_low) / _NINETY_PERCENT
    return min(_MOST_NOISE, max(_LEAST_NOISE, math.hypot(wander, same)))


def _deviation(values: list[float]) -> float:
    """Return the standard deviation of the logarithms."""
    logs = [math.log(value) for value in values if value > 0]
    if len(logs) < 2:  # noqa: PLR2004 - a spread needs two
        return 0.0
    mean = sum(logs) / len(logs)
    return math.sqrt(sum((value - mean) ** 2 for value in logs) / (len(logs) - 1))


def _deviation_s(histogram: Histogram) -> float:
    """Return the standard deviation of the durations in a histogram, 0 where it is empty.

    The longest hundredth counts as its shortest: a moment in which the machine did something else is no trait of the pipeline.
    """
    most = quantile(histogram, 1 - _RARE)
    if most is None:
        return 0.0
    pairs = [(min(float(histogram.base ** (int(bucket) + 0.5)), most), count) for bucket, count in histogram.counts.items()]
    total = sum(count for _, count in pairs)
    mean = sum(value * count for value, count in pairs) / total
    return math.sqrt(sum(count * (value - mean) ** 2 for value, count in pairs) / total)
