"""PP106: an input that is fast enough on average, and keeps training waiting because it comes in bursts.

The one idea: a few long waits with a producer that could feed more than the loop takes are a matter of the buffer's size or of
the order, never of speed. It leaves alone what happens once, at the edges of epochs, or in most steps.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from pipeprof import units
from pipeprof.analysis.bursts import Bursts, find_bursts
from pipeprof.analysis.cores import delay_behind_others_s
from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.diagnosis import Evidence, Finding, Safety
from pipeprof.rules.base import COST_SHARE, Parameters, Rule, Status, grade, name_stage, parameter
from pipeprof.rules.cost import is_input_bound, segment_of, segment_s
from pipeprof.rules.needs import Need

_LARGEST_BUFFER = 256  # steps; a longer pause is no burst that a buffer bridges


@dataclass(frozen=True, kw_only=True, slots=True)
class BurstyParameters(Parameters):
    """Thresholds of PP106."""

    min_share: float = parameter(0.05, unit="share of the loop", low=0, high=1, doc="waited in long waits, to report them")
    max_rare: float = parameter(0.25, unit="share of the steps", low=0, high=1, doc="long waits in more steps are not rare")
    max_production: float = parameter(
        0.9, unit="share of the consumer's time", low=0, high=1, doc="that the slowest part needs for a step on average"
    )


class BurstyInput(Rule[BurstyParameters]):
    """Bursty input.

    What it looks for:
        A loop in which nearly all the waiting is in few, long waits that come
        again and again, while the pipeline makes an element faster, on average,
        than the consumer uses one.

    Why it costs time:
        Some elements take many times as long as the others (a large file, a
        slow answer, a block that is read ahead). The buffer holds too few
        elements to go on with meanwhile, or they wait behind the slow one
        because the order is kept.

    How it is measured:
        From the distribution of the waits: those longer than half a step's own
        time, on average longer than all of it, and how much of all waiting they
        are; from the counters, what the slowest part of the pipeline takes for
        a step; and how often the last buffer was found empty.

    When it is wrong:
        Where the pauses are the machine's (a slow disk for once) and not the
        data's; time behind other processes is taken off.

    What to do:
        A larger buffer: prefetch(tf.data.AUTOTUNE), or as many batches as the
        longest wait has steps. Where a parallel map or interleave keeps the
        order, deterministic=False lets others pass the slow element.

    What that can change:
        A larger buffer takes memory. Without a fixed order elements come in
        another order in each run.

    References:
        TensorFlow guide "Better performance with the tf.data API", on
        prefetching; tf.data.Options.deterministic.
    """

    code = "PP106"
    name = "bursty-input"
    status = Status.STABLE
    remedy_safety = Safety.REORDERS
    needs = (Need.TRAINING, Need.CONSUMER, Need.VERDICT, Need.WAITS, Need.COUNTERS, Need.BUFFERS)
    follows_from = ("PP206",)
    parameters = BurstyParameters

    def check(self, analysis: Analysis, params: BurstyParameters) -> Iterator[Finding]:
        """Yield one finding where a larger buffer, or no fixed order, would bridge the waits."""
        train = analysis.train
        if train is None or not train.gap_s or not is_input_bound(analysis):
            return
        bursts = find_bursts(train.record.loop, train.gap_s)
        if bursts is None or bursts.steps_share > params.max_rare:
            return
        others = (delay_behind_others_s(analysis, train) or 0.0) / (train.step_s or train.gap_s)
        if bursts.wait_share - others < params.min_share:  # what other processes took may have made the pauses
            return
        making_s = max((segment_s(analysis, train, segment) for segment in train.segments), default=math.inf)
        if making_s > params.max_production * train.gap_s:
            return
        wanted = math.ceil(bursts.longest_s / train.gap_s) + 1
        cure = _find_cure(train, wanted) if wanted <= _LARGEST_BUFFER else None
        if cure is not None:
            yield self._report_stage(analysis, train, bursts, cure, making_s, params)

    def _report_stage(
        self,
        analysis: Analysis,
        train: PipelineView,
        bursts: Bursts,
        cure: _Cure,
        making_s: float,
        params: BurstyParameters,
    ) -> Finding:
        return self.report(
            f"Training waits in bursts: {units.percent(bursts.steps_share)} of the steps wait about "
            f"{units.duration(bursts.usual_s)}, {units.percent(bursts.wait_share)} of the loop, the others hardly at all. The "
            f"pipeline needs only {units.duration(making_s)} for a step of {units.duration(train.gap_s)}; {cure.text}.",
            severity=grade(bursts.wait_share),
            confidence=analysis.verdict.confidence,
            pipeline=train,
            view=cure.view,
            evidence=(
                Evidence(
                    name=COST_SHARE, value=bursts.wait_share, unit="share", threshold=params.min_share, n=analysis.steps.count
                ),
                Evidence(name="steps_share", value=bursts.steps_share, unit="share", threshold=params.max_rare),
                Evidence(name="long_wait_s", value=bursts.usual_s, unit="s"),
                Evidence(name="production_s", value=making_s, unit="s", threshold=params.max_production * (train.gap_s or 0.0)),
                Evidence(name="cure", value=cure.kind),
            ),
        )


@dataclass(frozen=True, slots=True)
class _Cure:
    """What would bridge the waits, and where."""

    kind: str
    view: StageView
    text: str


def _find_cure(train: PipelineView, wanted: int) -> _Cure | None:
    """Return the cure that is not there already: a buffer that is large enough, else an order that may change."""
    last = next((view for view in reversed(train.stages) if view.written is not None and view.executed), None)
    if last is None:
        return None
    size = _fixed_buffer(last)
    if size is not None and size < wanted:
        held = units.count_of(size, "element")
        text = f"{name_stage(last)} holds {held}, too few to go on with; let TensorFlow choose the buffer"
        return _Cure("prefetch", last, text)
    parallel = [
        view for view in train.stages if view.slots > 1 and view.written is not None and view.stage.op in {"map", "interleave"}
    ]
    slow = max(parallel, key=lambda view: _segment_busy(train, view), default=None)
    if slow is None or train.record.deterministic is False or slow.written is None:
        return None
    if slow.written.arguments.get("deterministic") is False:
        return None
    text = f"{name_stage(slow)} keeps the order, so that all wait for a slow element: deterministic=False lets others pass"
    return _Cure("nondeterministic", slow, text)


def _fixed_buffer(view: StageView) -> int | None:
    """Return the elements that a prefetch holds because somebody wrote that number down."""
    size = view.written.arguments.get("buffer_size") if view.written is not None else None
    return size if view.stage.op == "prefetch" and isinstance(size, int) and size > 0 else None


def _segment_busy(train: PipelineView, view: StageView) -> float:
    segment = segment_of(train, view)
    return 0.0 if segment is None else segment.busy_s_per_step
