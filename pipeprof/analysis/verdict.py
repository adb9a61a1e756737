"""The verdict: does training wait for its input, how much could the best input give back, and how sure is that.

Graded on the *recoverable* share, at the low end of its interval: the wait less the wait of the same loop fed one ready
element, which only a replay can measure. Without that control the measured wait stands in for it and the confidence is
low. What is not decided is said to be unknown, here and nowhere else: renderers repeat, they never judge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath

from pipeprof import units
from pipeprof.analysis.agreement import describe_doubt
from pipeprof.analysis.grading import (
    HIGHLY,
    MAX_WIDTH,
    MODERATELY,
    Shortcoming,
    band_of,
    describe_shortcomings,
    find_shortcomings,
    lasted_s,
)
from pipeprof.analysis.roles import LongerWait
from pipeprof.model.analysis import PipelineView
from pipeprof.model.diagnosis import Confidence, Finding, InputBound, Limit, Severity, Steps, Verdict
from pipeprof.model.profile import Control, EmptyPipeline

WORTH_A_FIX = 1.05  # a ceiling below it leaves nothing to gain
_FEW_STEPS = 10
_STARTUP_SHARE = 0.5
_MOST_OF_IT = 0.5
_NOTHING_LEFT = 0.999  # beyond it a quotient is a number of the clock, not of the loop
_INPUT_BOUND = {InputBound.HIGHLY, InputBound.MODERATELY}
HOST_BOUND = 0.7  # of the loop's time; lock-holding Python then leaves little for anything else
_SERIOUS = {Severity.HIGH, Severity.MEDIUM}
_NOT_ABOUT_THE_INPUT = {"PP004"}  # it tells what was not measured


@dataclass(frozen=True, slots=True)
class _Ceiling:
    """What the fastest possible input would give, as a ratio of step times."""

    value: float | None  # None where a loop does nothing but wait: then no number bounds it
    low: float
    high: float | None
    by_run: float | None = None  # what the run's own times say, where the replay contradicts them


@dataclass(frozen=True, kw_only=True, slots=True)
class _Case:
    """Everything that the verdict rests on."""

    steps: Steps
    view: PipelineView
    control: Control | None  # None where there is none that may be used
    doubt: str  # why there is none, where one was measured
    ceiling: _Ceiling
    share: float  # of the step, what is graded, and its interval
    low: float
    high: float
    shortcomings: tuple[Shortcoming, ...]

    @property
    def left(self) -> float:
        """The largest share of the step that an input could still give back."""
        return 1.0 if self.ceiling.high is None else 1 - 1 / max(1.0, self.ceiling.high)


def judge(
    steps: Steps,
    view: PipelineView | None,
    control: Control | None,
    longer_wait: LongerWait | None = None,
    loop_python_share: float | None = None,
) -> Verdict:
    """Return the verdict on the training pipeline; a loop that waits longer than training is named in its sentence.

    Args:
        steps: the training loop.
        view: its pipeline.
        control: the loop fed with a ready element, beside itself.
        longer_wait: another loop that waits longer.
        loop_python_share: of the loop's time, what Python code outside the pipeline holds the interpreter's lock.
    """
    verdict = _with_host(_judge_training(steps, view, control), loop_python_share)
    if longer_wait is None:
        return verdict
    sentences = (longer_wait.sentence, verdict.sentence)
    ordered = reversed(sentences) if verdict.input_bound in _INPUT_BOUND else sentences
    return replace(verdict, nothing_to_fix=False, sentence=" ".join(ordered))


def _judge_training(steps: Steps, view: PipelineView | None, control: Control | None) -> Verdict:
    if view is None or not steps.count:
        return judge_nothing(())
    low, high = steps.wait_share_low, steps.wait_share_high
    if steps.wait_share is None or low is None or high is None:
        return _unknown(f"Too little was seen to judge: {units.count_of(steps.count, 'step')}.")
    usable = control if control is not None and control.reproduces_run else None
    case = _Case(
        steps=steps,
        view=view,
        control=usable,
        doubt="" if control is None or usable is not None else describe_doubt(control),
        ceiling=_ceiling(steps, view, usable),
        share=steps.wait_share if usable is None else (usable.recoverable_low + usable.recoverable_high) / 2,
        low=low if usable is None else usable.recoverable_low,
        high=high if usable is None else usable.recoverable_high,
        shortcomings=find_shortcomings(steps, lasted_s(view.record.loop)),
    )
    limit = _limit(case)
    bound = _bound(case, limit)
    if view.record.loop.in_background:
        return _of_a_feeder(bound, limit, steps)
    return Verdict(
        input_bound=bound,
        limit=Limit.UNKNOWN if bound is InputBound.UNKNOWN and limit is not Limit.STARTUP else limit,
        sentence=_sentence(bound, limit, case),
        confidence=_confidence(case),
        ceiling_speedup=case.ceiling.value,
        ceiling_low=case.ceiling.low,
        ceiling_high=case.ceiling.high,
        recoverable_low=None if usable is None else usable.recoverable_low,
        recoverable_high=None if usable is None else usable.recoverable_high,
        nothing_to_fix=bound is InputBound.NOT and limit is Limit.COMPUTE,
    )


def _with_host(verdict: Verdict, loop_python_share: float | None) -> Verdict:
    """Name Python between the steps where the input keeps up and that is what the time goes to."""
    if verdict.limit is not Limit.COMPUTE or loop_python_share is None or loop_python_share < HOST_BOUND:
        return verdict
    python = f"Python code outside the pipeline holds the interpreter's lock for {units.percent(loop_python_share)} of the loop"
    return replace(verdict, limit=Limit.HOST, sentence=f"{verdict.sentence} {python}.")


def conclude(verdict: Verdict, findings: Sequence[Finding]) -> Verdict:
    """Return the verdict in the light of the findings: with a serious one there is something to fix all the same."""
    if not verdict.nothing_to_fix:
        return verdict
    codes = dict.fromkeys(item.code for item in findings if item.severity in _SERIOUS and item.code not in _NOT_ABOUT_THE_INPUT)
    if codes:
        return replace(verdict, nothing_to_fix=False, sentence=f"{verdict.sentence} But see {' and '.join(codes)}.")
    rest = verdict.sentence[0].lower() + verdict.sentence[1:]
    return replace(verdict, sentence=f"Nothing to fix in the training input: {rest}")


def describe_empty(empty: EmptyPipeline) -> str:
    """Say of a pipeline, by its last stage, that it was iterated so many times and gave no element."""
    site = empty.call_site
    place = f"{PurePath(site.file).name}:{site.shown_line} " if site is not None else ""
    times = "once" if empty.passes == 1 else units.count_of(empty.passes, "time")
    return f"{place}.{empty.op} was iterated {times} and gave no element."


def judge_nothing(empty: Sequence[EmptyPipeline]) -> Verdict:
    """Return the verdict on a run in which no pipeline gave an element."""
    if not empty:
        return _unknown("No tf.data pipeline was iterated: there is nothing to judge.")
    return _unknown(" ".join([*(describe_empty(item) for item in empty), "There is nothing to judge."]))


def _of_a_feeder(bound: InputBound, limit: Limit, steps: Steps) -> Verdict:
    """Judge a loop that no step of the main thread is in: it may only feed a queue.

    A feeder that always waits for its pipeline never waits for a full queue, so whatever reads the queue is input-bound; how
    much faster that could be is not seen.
    """
    loop = f"The thread that reads the pipeline waits for it {_share(steps)}"
    end = "what training in another thread waits for is not seen."
    words = {InputBound.NOT: "the pipeline keeps up with it", InputBound.UNKNOWN: "too little was seen to judge it"}
    judged = words.get(bound, f"{bound.value} input-bound")
    return Verdict(input_bound=bound, limit=limit, sentence=f"{loop}: {judged}; {end}", confidence=Confidence.LOW)


def _unknown(sentence: str) -> Verdict:
    return Verdict(input_bound=InputBound.UNKNOWN, limit=Limit.UNKNOWN, sentence=sentence, confidence=Confidence.LOW)


def _bound(case: _Case, limit: Limit) -> InputBound:
    """Return the band, unknown where the run does not decide it.

    Too few steps, or a start that took most of the run, decide nothing. In a short or a noisy run waiting can be certain, its
    absence cannot: what is seen early is not what a long run does, and much may be left to gain.
    """
    if limit is Limit.STARTUP or any(item.name == "steps" for item in case.shortcomings):
        return InputBound.UNKNOWN
    graded = _graded(case)
    if graded is not InputBound.NOT or limit is Limit.CONTENTION:
        return graded
    is_open = bool(case.shortcomings) or max(case.left, case.high) >= HIGHLY
    return InputBound.UNKNOWN if is_open else InputBound.NOT


def _graded(case: _Case) -> InputBound:
    """Return the band of the most likely share: where it waits for certain, or is known well enough to say where it lies.

    Where another band is possible the confidence is low. A control that shows nothing for certain to be had back decides.
    """
    if band_of(case.low) is not InputBound.NOT:
        return band_of(max(case.low, case.share))
    is_vague = bool(case.shortcomings) or case.high - case.low > MAX_WIDTH
    return InputBound.NOT if case.control is not None or is_vague else band_of(case.share)


def _ceiling(steps: Steps, view: PipelineView, control: Control | None) -> _Ceiling:
    """Bound what any input fix can give: by the control where there is one, else by the consumer's own gaps.

    Without waiting a step would take its gap: ``step / gap = 1 / (1 - wait share)``. That leaves contention out (a pipeline
    that takes the model's cores), so its lower end is 1.
    """
    share, low, high = steps.wait_share or 0.0, steps.wait_share_low or 0.0, steps.wait_share_high or 0.0
    if control is None:
        return _Ceiling(_without(share), 1.0, _without(high))
    replayed = _Ceiling(max(1.0, control.ceiling), max(1.0, control.ceiling_low), max(1.0, control.ceiling_high))
    handed_over = control.ready_step_s * control.ready_wait_share / view.step_s if view.step_s else 0.0
    least, likely = _without(low - handed_over), _without(share - handed_over)
    if least is None or likely is None or control.ceiling_high >= least:
        return replayed
    return replace(replayed, high=likely, by_run=likely)


def _without(share: float) -> float | None:
    """Return what a step would gain without that share of it, None where hardly anything would be left of it."""
    return None if share > _NOTHING_LEFT else 1.0 / (1.0 - max(0.0, share))


def _limit(case: _Case) -> Limit:
    loop = case.view.record.loop
    startup = loop.first_step_s or 0.0
    if loop.wall_s > 0 and startup / loop.wall_s > _STARTUP_SHARE:
        return Limit.STARTUP
    if _graded(case) in _INPUT_BOUND:
        return Limit.INPUT
    if case.control is not None and case.ceiling.low >= WORTH_A_FIX and (case.steps.wait_share or 0.0) < MODERATELY:
        return Limit.CONTENTION
    return Limit.COMPUTE


def _confidence(case: _Case) -> Confidence:
    """Low without a control, of a short run, or where the machine is as noisy as a band is wide; high where all is narrow."""
    control = case.control
    if control is None or case.steps.count < _FEW_STEPS or case.shortcomings or case.ceiling.by_run is not None:
        return Confidence.LOW
    if band_of(case.low) is not band_of(case.share):
        return Confidence.LOW
    width = control.recoverable_high - control.recoverable_low
    noise = max(control.noise_high, 1 / max(control.noise_low, 1e-3)) - 1
    if noise > HIGHLY:
        return Confidence.LOW
    is_narrow = width < MAX_WIDTH and noise < MAX_WIDTH
    return Confidence.HIGH if is_narrow and case.steps.count >= 10 * _FEW_STEPS else Confidence.MEDIUM


def _share(steps: Steps) -> str:
    interval = units.percent_interval(steps.wait_share_low or 0.0, steps.wait_share_high or 0.0)
    return f"{units.percent(steps.wait_share)} of the time ({interval})"


def _sentence(bound: InputBound, limit: Limit, case: _Case) -> str:
    waits = f"Training waits for its input {_share(case.steps)}"
    if bound is InputBound.UNKNOWN:
        return _undecided(waits, limit, case)
    back = _had_back(bound, case)
    doubt = _say_doubt(case)
    if bound in _INPUT_BOUND:
        return f"{waits}{back}: {bound.value} input-bound; {_gain(case.ceiling)}.{doubt}"
    if limit is Limit.CONTENTION:
        return f"{waits}, and yet the input costs time: it takes cores from the model; {_gain(case.ceiling)}."
    return f"{waits}{back}; {_rest(case)}.{doubt}"


def _had_back(bound: InputBound, case: _Case) -> str:
    """Say the recoverable share, where it was graded and the wait alone would not have led there."""
    if case.control is None or (bound is InputBound.NOT and band_of(case.steps.wait_share_low or 0.0) is bound):
        return ""
    return f", of which {units.percent_interval(case.low, case.high)} can be had back"


def _gain(ceiling: _Ceiling) -> str:
    if ceiling.value is None:
        return "how much faster the fastest possible input would make it is not known"
    gain = f"the fastest possible input would make it {units.ratio(ceiling.value)} as fast"
    return gain if ceiling.by_run is None else f"{gain} by the replay, {units.ratio(ceiling.by_run)} by the run's own times"


def _rest(case: _Case) -> str:
    if case.ceiling.high is None:
        return "how much is left to gain is not known"
    return f"at most {units.percent(case.left)} of the step is left to gain"


def _say_doubt(case: _Case) -> str:
    return f" The replay is no evidence for this run: {case.doubt}." if case.doubt else ""


def _undecided(waits: str, limit: Limit, case: _Case) -> str:
    if limit is Limit.STARTUP:
        loop = case.view.record.loop
        first, whole = units.duration(loop.first_step_s), units.duration(loop.wall_s)
        return f"Start-up rules: the first step took {first} of {whole}; run longer to judge the rest."
    short = [item for item in case.shortcomings if item.name != "wait_interval_width"]
    if short:
        so_far = f"{waits[0].lower()}{waits[1:]}"
        return f"Too short to judge: {describe_shortcomings(short)}; so far {so_far}; run more steps."
    edges, at_edges = case.steps.epochs - 1, case.steps.boundary_wait_share or 0.0
    longer = "longer"
    if edges > 0 and at_edges > _MOST_OF_IT * (case.steps.wait_share or 0.0):  # few edges say little of the next ones
        waits = f"{waits}, {units.percent(at_edges)} at {units.count_of(edges, 'change')} of epoch"
        longer = "for more epochs"
    return f"{waits}: too uncertain to call it input-bound; {_rest(case)}; run {longer} to judge.{_say_doubt(case)}"
