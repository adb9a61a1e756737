"""The verdict: does training wait for its input, how much could the best input give back, and how sure is that.

Graded on the *recoverable* share, at the low end of its interval: the wait less the wait of the same loop fed one ready
element, which only a replay can measure. Without that control the measured wait stands in for it and the confidence is
low. Bands as in XProf: 20 % of the step is highly, 5 % moderately input-bound.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeprof import units
from pipeprof.model.analysis import PipelineView
from pipeprof.model.diagnosis import Confidence, InputBound, Limit, Steps, Verdict
from pipeprof.model.profile import Control

HIGHLY = 0.20
MODERATELY = 0.05
WORTH_A_FIX = 1.05  # a ceiling below it leaves nothing to gain
_FEW_STEPS = 10
_NARROW = 0.15  # of the step: the distance between the bands
_STARTUP_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class _Ceiling:
    """What the fastest possible input would give, as a ratio of step times."""

    value: float
    low: float
    high: float


def judge(steps: Steps, view: PipelineView | None, control: Control | None) -> Verdict:
    """Return the verdict on the training pipeline."""
    if view is None or not steps.count:
        return _unknown("No tf.data pipeline was iterated: there is nothing to judge.")
    if steps.wait_share is None or steps.wait_share_low is None or steps.wait_share_high is None:
        return _unknown(f"Too little was seen to judge: {steps.count} steps.")
    usable = control if control is not None and control.reproduces_run else None
    recoverable = usable.recoverable_low if usable is not None else steps.wait_share_low
    bound = _band(recoverable)
    ceiling = _ceiling(steps, usable)
    limit = _limit(bound, steps, view, ceiling, usable)
    if view.record.loop.in_background:
        return _of_a_feeder(bound, limit, steps)
    return Verdict(
        input_bound=bound,
        limit=limit,
        sentence=_sentence(bound, limit, steps, ceiling, view),
        confidence=_confidence(steps, usable),
        ceiling_speedup=ceiling.value,
        ceiling_low=ceiling.low,
        ceiling_high=ceiling.high,
    )


def _of_a_feeder(bound: InputBound, limit: Limit, steps: Steps) -> Verdict:
    """Judge a loop that no step of the main thread is in: it may only feed a queue.

    A feeder that always waits for its pipeline never waits for a full queue, so whatever reads the queue is input-bound; how
    much faster that could be is not seen.
    """
    share = units.percent(steps.wait_share)
    interval = units.percent_interval(steps.wait_share_low or 0.0, steps.wait_share_high or 0.0)
    loop = f"The thread that reads the pipeline waits for it {share} of the time ({interval})"
    end = "what training in another thread waits for is not seen."
    judged = f"{bound.value} input-bound" if bound is not InputBound.NOT else "the pipeline keeps up with it"
    return Verdict(input_bound=bound, limit=limit, sentence=f"{loop}: {judged}; {end}", confidence=Confidence.LOW)


def _unknown(sentence: str) -> Verdict:
    return Verdict(input_bound=InputBound.UNKNOWN, limit=Limit.UNKNOWN, sentence=sentence, confidence=Confidence.LOW)


def _band(share: float) -> InputBound:
    if share >= HIGHLY:
        return InputBound.HIGHLY
    return InputBound.MODERATELY if share >= MODERATELY else InputBound.NOT


def _ceiling(steps: Steps, control: Control | None) -> _Ceiling:
    """Bound what any input fix can give: by the control where there is one, else by the consumer's own gaps.

    Without waiting a step would take its gap: ``step / gap = 1 / (1 - wait share)``. That leaves contention out (a pipeline
    that takes the model's cores), so its lower end is 1.
    """
    if control is not None:
        return _Ceiling(max(1.0, control.ceiling), max(1.0, control.ceiling_low), max(1.0, control.ceiling_high))
    share, high = steps.wait_share or 0.0, steps.wait_share_high or 0.0
    return _Ceiling(_without(share), 1.0, _without(high))


def _without(share: float) -> float:
    return 1.0 / max(1e-3, 1.0 - share)


def _limit(bound: InputBound, steps: Steps, view: PipelineView, ceiling: _Ceiling, control: Control | None) -> Limit:
    loop = view.record.loop
    startup = loop.first_step_s or 0.0
    if loop.wall_s > 0 and startup / loop.wall_s > _STARTUP_SHARE:
        return Limit.STARTUP
    if bound in {InputBound.HIGHLY, InputBound.MODERATELY}:
        return Limit.INPUT
    if control is not None and ceiling.low >= WORTH_A_FIX and (steps.wait_share or 0.0) < MODERATELY:
        return Limit.CONTENTION
    return Limit.COMPUTE


def _confidence(steps: Steps, control: Control | None) -> Confidence:
    """Low without a control or where the machine is as noisy as a band is wide; high only where everything is narrow."""
    if control is None or steps.count < _FEW_STEPS:
        return Confidence.LOW
    width = control.recoverable_high - control.recoverable_low
    noise = max(control.noise_high, 1 / max(control.noise_low, 1e-3)) - 1
    if noise > HIGHLY:
        return Confidence.LOW
    is_narrow = width < _NARROW and noise < _NARROW
    return Confidence.HIGH if is_narrow and steps.count >= 10 * _FEW_STEPS else Confidence.MEDIUM


def _sentence(bound: InputBound, limit: Limit, steps: Steps, ceiling: _Ceiling, view: PipelineView) -> str:
    share = units.percent(steps.wait_share)
    interval = units.percent_interval(steps.wait_share_low or 0.0, steps.wait_share_high or 0.0)
    waits = f"Training waits for its input {share} of the time ({interval})"
    gain = f"the fastest possible input would make it {units.ratio(ceiling.value)} as fast"
    if limit is Limit.STARTUP:
        first, whole = units.duration(view.record.loop.first_step_s), units.duration(view.record.loop.wall_s)
        return f"Start-up rules: the first step took {first} of {whole}; run longer to judge the rest."
    if bound in {InputBound.HIGHLY, InputBound.MODERATELY}:
        return f"{waits}: {bound.value} input-bound; {gain}."
    rest = f"at most {units.percent(1 - 1 / max(1.0, ceiling.high))} of the step is left to gain"
    if limit is Limit.CONTENTION:
        return f"{waits}, and yet the input costs time: it takes cores from the model; {gain}."
    if 1 - 1 / max(1.0, ceiling.high) >= HIGHLY:
        return f"{waits}: too uncertain to call it input-bound; {rest}; run longer to judge."
    return f"Nothing to fix in the input pipeline: {waits[0].lower()}{waits[1:]}, {rest}."
