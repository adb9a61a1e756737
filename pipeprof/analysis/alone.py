"""What is concluded of a pipeline that was measured alone: there is no training, so nothing is input-bound.

The one idea: a consumer that takes no time always waits, which says nothing; what counts is the rate and the stage that
bounds it. With a stand-in step the share that it waited is told, as what a step of that length would see. It must not grade
what no training loop was there for.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePath

from pipeprof import units
from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.diagnosis import Confidence, InputBound, Limit, Verdict

_FEW_STEPS = 20


def is_alone(analysis: Analysis) -> bool:
    """Say whether the pipeline was consumed at full speed, without even a stand-in for training."""
    return analysis.profile.run.bench_step_s == 0


def conclude_alone(verdict: Verdict, analysis: Analysis) -> Verdict:
    """Return the verdict on a pipeline that was measured alone; any other is returned as it is."""
    step_s = analysis.profile.run.bench_step_s
    train = analysis.train
    if step_s is None or train is None or not train.step_s:
        return verdict
    if step_s > 0:
        return replace(verdict, sentence=_with_step(step_s, verdict, analysis), nothing_to_fix=False)
    return Verdict(
        input_bound=InputBound.UNKNOWN,
        limit=Limit.INPUT,
        sentence=f"The pipeline alone delivers {_rate(train)}{_slowest(train)}.",
        confidence=Confidence.LOW if analysis.steps.count < _FEW_STEPS else Confidence.MEDIUM,
    )


def _with_step(step_s: float, verdict: Verdict, analysis: Analysis) -> str:
    steps = analysis.steps
    step = f"A step of {units.duration(step_s)}"
    if steps.wait_share is None or steps.wait_share_low is None or steps.wait_share_high is None:
        return f"{step}: too little was seen to tell how long it would wait for its input."
    interval = units.percent_interval(steps.wait_share_low, steps.wait_share_high)
    band = {
        InputBound.HIGHLY: ": highly input-bound",
        InputBound.MODERATELY: ": moderately input-bound",
        InputBound.NOT: ": the input keeps up",
        InputBound.UNKNOWN: ": too uncertain to call",
    }[verdict.input_bound]
    return f"{step} would wait for its input {units.percent(steps.wait_share)} of the time ({interval}){band}."


def _rate(train: PipelineView) -> str:
    """Say the rate of the whole loop, the making of iterators included, and the time for one element."""
    loop = train.record.loop
    step_s = train.step_s or 0.0
    per_s = loop.elements / loop.wall_s if loop.wall_s > 0 and loop.epoch_count > 1 else 1 / step_s
    return f"{units.rate(per_s, ' elements/s')}, one every {units.duration(1 / per_s)}"


def _slowest(train: PipelineView) -> str:
    view = train.bottleneck
    return "" if view is None else f"; {_name(view)} bounds it"


def _name(view: StageView) -> str:
    site = view.stage.call_site
    call = f".{view.stage.op}" if view.stage.inputs else view.stage.op
    return call if site is None else f"{PurePath(site.file).name}:{site.shown_line} {call}"
