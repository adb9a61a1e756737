"""This module tries one change: the pipeline as it is against the pipeline as changed, and says which is faster.

Its one idea: a difference counts only when it is larger than what the same pipeline shows against itself, in blocks measured
next to each other in the order A B B A, judged by a test that may stop early. A candidate that raises, yields nothing or
hangs is worse, with the reason; a baseline that does so leaves the change not tried. It must not say that training is faster:
it replays the input beside a stand-in for the step.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from pipeprof import units
from pipeprof.advise.guard import HungError, Pulse, run_guarded
from pipeprof.advise.pairing import Bench, Factory, Phase, TrialPlan
from pipeprof.advise.reads import Reads
from pipeprof.advise.replay import Block, Edge, EmptyPipelineError, StoppedError
from pipeprof.analysis.agreement import NOT_REPRODUCED, WAIT_TOLERANCE
from pipeprof.analysis.significance import (
    Interval,
    Judgement,
    SequentialTest,
    break_tie,
    mean_interval,
    noise_allowance,
    ratio_interval,
)
from pipeprof.errors import TrialError
from pipeprof.model.analysis import PipelineView
from pipeprof.model.profile import Control, TrialState

__all__ = ["TrialOutcome", "TrialPlan", "measure_control", "reproduces", "run_trial"]

Progress = Callable[[str, float], None]

STEP_TOLERANCE = 0.25
SAME_SHARE_TOLERANCE = 0.5  # of the step, where the shares agree: a machine that is slower as a whole
SAME_SHARE = 0.05
_CONTROL_PAIRS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialOutcome:
    """What a trial showed; times are means over the arm's blocks, CPU is the process's without the consumer's."""

    state: TrialState
    reason: str
    speedup: float | None = None
    low: float | None = None
    high: float | None = None
    pairs: int = 0
    baseline_step_s: float | None = None
    candidate_step_s: float | None = None
    baseline_wait_share: float | None = None
    candidate_wait_share: float | None = None
    baseline_cpu_s: float | None = None  # per element
    candidate_cpu_s: float | None = None
    cpu: Interval | None = None  # of an element, baseline over candidate
    reads: Reads | None = None  # of the whole process, while it ran
    noise: Interval | None = None  # A/A; pass it on to the next trial of this pipeline
    idle_scale: float | None = None  # likewise
    fill_s: float | None = None  # the candidate's first pass beyond the baseline's, without a consumer
    memory_bytes: int | None = None  # peak resident memory beyond what it was before the candidate began
    wall_s: float = 0.0
    left_behind: bool = False  # a hung thread still runs: measure nothing more in this process


def run_trial(
    baseline: Factory,
    candidate: Factory,
    plan: TrialPlan,
    stop: threading.Event,
    on_progress: Progress = lambda _text, _share: None,
    edge: Edge | None = None,
) -> TrialOutcome:
    """Try ``candidate`` against ``baseline``; never raises for what a pipeline does, and always comes back.

    The work runs in a daemon thread, since a blocked ``next`` cannot be interrupted: past the plan's deadline it is left
    behind (``left_behind``) and the side that it hung in decides between worse and not tried. ``on_progress`` is called in
    the caller's thread with a text and the share of the budget used. ``stop`` ends the trial as not tried.
    """
    edge = edge or Edge()
    started, before = edge.clock(), Reads.now()
    held: list[Bench] = []

    def work(pulse: Pulse) -> Judgement:
        bench = Bench.make(baseline, candidate, plan, edge, pulse)
        held.append(bench)
        try:
            return _judge_pairs(bench)
        finally:
            bench.consumer.close()

    hung = False
    try:
        judgement = run_guarded(
            work, stop=stop, deadline_s=plan.hard_deadline_s, stall_s=plan.stall_s or math.inf, on_progress=on_progress
        )
    except HungError as error:
        judgement, hung = _failed(error, held, stop), True
    except (Exception, SystemExit) as error:  # noqa: BLE001 - what user code raises in a replay is a result, not our failure
        judgement = _failed(error, held, stop)
    return replace(_outcome(judgement, held, edge.clock() - started, hung), reads=Reads.since(before))


def _judge_pairs(bench: Bench) -> Judgement:
    plan = bench.plan
    bench.prepare()
    test = SequentialTest(level=plan.level, looks=plan.looks, margin=bench.margin, band=plan.band)
    while True:
        bench.add_pair()
        is_last = bench.remaining_s <= 0 and len(bench.pairs) >= plan.looks[0]  # the first look may overrun: the deadline holds
        judgement = test.judge(bench.step_pairs(), is_last=is_last)
        bench.report(f"{units.ratio(judgement.interval.value)} after {units.count_of(len(bench.pairs), 'pair')}")
        if judgement.state is not None:
            return judgement


def _failed(error: BaseException, held: Sequence[Bench], stop: threading.Event) -> Judgement:
    """Return the result of a trial that did not come to its end."""
    bench = held[0] if held else None
    in_candidate = bench is not None and bench.pulse.phase == Phase.CANDIDATE
    nothing = Interval(math.nan, math.nan, math.nan)
    blamed = TrialState.WORSE if in_candidate else TrialState.NOT_TRIED
    where = str(Phase.CANDIDATE if in_candidate else Phase.BASELINE)
    if stop.is_set():
        return Judgement(TrialState.NOT_TRIED, nothing, "stopped")
    if isinstance(error, HungError):
        return Judgement(blamed, nothing, f"hung: {where} yields nothing for {units.duration(error.silent_s)}")
    if isinstance(error, StoppedError):
        return Judgement(blamed, nothing, f"too slow: {where} did not finish its blocks before the deadline")
    if isinstance(error, EmptyPipelineError):
        return Judgement(blamed, nothing, f"{where} yields no element")
    if isinstance(error, TrialError):
        return Judgement(TrialState.NOT_TRIED, nothing, str(error))
    first_line = next(iter(str(error).splitlines()), "")
    return Judgement(blamed, nothing, f"{where} raises {type(error).__name__}: {first_line[:200]}".rstrip(": "))


def _outcome(judgement: Judgement, held: Sequence[Bench], wall_s: float, hung: bool) -> TrialOutcome:
    if not held:
        state = judgement.state or TrialState.NOT_TRIED
        return TrialOutcome(state=state, reason=judgement.reason, wall_s=wall_s, left_behind=hung)
    bench, cpu = held[0], _cpu_ratio(held[0])
    judgement = break_tie(judgement, cpu)
    state, interval = judgement.state or TrialState.NOT_TRIED, judgement.interval
    has_run = bool(bench.pairs) or state is not TrialState.NOT_TRIED  # what a trial cost that never ran says nothing
    grown = max(0, bench.rss_peak - bench.rss_before) if bench.rss_before is not None and bench.rss_peak else None
    return TrialOutcome(
        state=state,
        reason=judgement.reason,
        speedup=_finite(interval.value),
        low=_finite(interval.low),
        high=_finite(interval.high),
        pairs=len(bench.pairs),
        baseline_step_s=bench.baseline.mean(lambda block: block.wall_s),
        candidate_step_s=bench.candidate.mean(lambda block: block.wall_s),
        baseline_wait_share=bench.baseline.wait_share(),
        candidate_wait_share=bench.candidate.wait_share(),
        baseline_cpu_s=bench.baseline.mean(lambda block: block.cpu_s),
        candidate_cpu_s=bench.candidate.mean(lambda block: block.cpu_s),
        cpu=cpu,
        noise=bench.noise,
        idle_scale=bench.consumer.idle_scale,
        fill_s=bench.fill_s if has_run else None,
        memory_bytes=grown if has_run else None,
        wall_s=wall_s,
        left_behind=hung,
    )


def _cpu_ratio(bench: Bench) -> Interval | None:
    """Return the ratio of CPU seconds an element, baseline over candidate, as that of the times is judged."""
    pairs = [(one.cpu_s / one.steps, two.cpu_s / two.steps) for one, two in bench.pairs]
    same = [(one.cpu_s / one.steps, two.cpu_s / two.steps) for one, two in bench.same]
    if len(pairs) <= 1 or any(value <= 0 for pair in (*pairs, *same) for value in pair):
        return None
    return ratio_interval(pairs, bench.plan.level, same)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def measure_control(
    baseline: Factory,
    ready: Factory,
    plan: TrialPlan,
    pipeline_id: str,
    stop: threading.Event,
    on_progress: Progress = lambda _text, _share: None,
    edge: Edge | None = None,
) -> Control:
    """Measure the loop against the same loop fed one ready element, in pairs: what an ideal input would give back.

    ``ready`` makes ``take(1).cache().repeat()`` of the loaded baseline. The recoverable share of a pair is the wait of a step
    less the ready loop's, over the baseline's step; the ceiling is the ratio of the two steps, which sees contention for the
    cores too. Both intervals are at the plan's level and not narrower than what the loop against itself scatters; shares are
    clipped to 0-1.

    Raises:
        TrialError: one of the loops could not be replayed (it raised, is empty, hung, or does not fit into the budget).
    """
    edge = edge or Edge()

    def work(pulse: Pulse) -> Control:
        bench = Bench.make(baseline, ready, replace(plan, fills_cache=False), edge, pulse)
        try:
            bench.prepare()
            while len(bench.pairs) < _CONTROL_PAIRS and (bench.remaining_s > 0 or len(bench.pairs) < plan.looks[0]):
                bench.add_pair()
                bench.report(units.count_of(len(bench.pairs), "pair"))
        finally:
            bench.consumer.close()
        return _control(bench, pipeline_id)

    try:
        return run_guarded(
            work, stop=stop, deadline_s=plan.hard_deadline_s, stall_s=plan.stall_s or math.inf, on_progress=on_progress
        )
    except TrialError:
        raise
    except (Exception, SystemExit) as error:
        raise TrialError(
            f"the replay failed: {type(error).__name__}: {next(iter(str(error).splitlines()), '')[:200]}"
        ) from error


def _control(bench: Bench, pipeline_id: str) -> Control:
    level = bench.plan.level
    recoverable = mean_interval(_recovered(bench.pairs), level, _recovered(bench.same))
    ceiling = ratio_interval(bench.step_pairs(), level, [(one.step_s, two.step_s) for one, two in bench.same])
    first, second = bench.baseline, bench.candidate
    noise = bench.noise or Interval(1.0, 1.0, 1.0)
    cpu = (first.mean(lambda block: block.cpu_s) or 0.0) - (second.mean(lambda block: block.cpu_s) or 0.0)
    return Control(
        pipeline_id=pipeline_id,
        pairs=len(bench.pairs),
        baseline_step_s=first.mean(lambda block: block.wall_s) or 0.0,
        ready_step_s=second.mean(lambda block: block.wall_s) or 0.0,
        baseline_wait_share=first.wait_share() or 0.0,
        ready_wait_share=second.wait_share() or 0.0,
        recoverable_low=min(max(recoverable.low, 0.0), 1.0),
        recoverable_high=min(max(recoverable.high, 0.0), 1.0),
        ceiling=ceiling.value,
        ceiling_low=ceiling.low,
        ceiling_high=ceiling.high,
        pipeline_cpu_s_per_step=max(0.0, cpu),
        noise_low=noise.low,
        noise_high=noise.high,
    )


def _recovered(pairs: Sequence[tuple[Block, Block]]) -> list[float]:
    return [(one.wait_s / one.steps - two.wait_s / two.steps) / one.step_s for one, two in pairs]


def reproduces(
    run_step_s: float, run_wait_share: float, replay_step_s: float, replay_wait_share: float, noise: Interval | None = None
) -> tuple[bool, str]:
    """Tell whether the baseline's replay shows the run's step and wait; the text says what differs, empty when nothing does.

    Tolerances: the step within a factor of 1.25 times what the noise allows (a replay lacks the framework's own work between
    steps), the wait share within 15 points, however noisy the machine. Both loose: what is judged later is a ratio of two
    replays, and a replay outside them is of another kind of loop. Where the shares agree within 5 points the step may be half
    as long again: then waiting and working have become slower alike, as on a machine whose clock or neighbours changed.
    Whether the verdict may rest on it is asked more strictly (``analysis.agreement``).
    """
    margin = noise_allowance(noise)
    tolerance = SAME_SHARE_TOLERANCE if abs(run_wait_share - replay_wait_share) <= SAME_SHARE else STEP_TOLERANCE
    if run_step_s <= 0 or replay_step_s <= 0:
        return False, NOT_REPRODUCED + "no step was measured"
    factor = max(run_step_s / replay_step_s, replay_step_s / run_step_s)
    if factor > (1 + tolerance) * (1 + margin):
        text = f"step {units.duration(replay_step_s)} against {units.duration(run_step_s)}"
        return False, NOT_REPRODUCED + text
    if abs(run_wait_share - replay_wait_share) > WAIT_TOLERANCE:
        text = f"waiting {units.percent(replay_wait_share)} against {units.percent(run_wait_share)}"
        return False, NOT_REPRODUCED + text
    return True, ""


def steps_of_epoch(view: PipelineView) -> int | None:
    """Return the steps of one epoch: as the run's epochs had them, else as TensorFlow states it."""
    whole = {epoch.elements for epoch in view.record.loop.epochs[:-1]}
    if len(whole) == 1:
        return whole.pop()
    output = next(stage for stage in view.record.written if stage.id == view.record.output)
    return output.cardinality if output.cardinality > 0 else None


def mean_of_run(view: PipelineView) -> tuple[float, float]:
    """Return the step and the wait share that a replay has to show: the run's means, boundaries included.

    The first epoch holds the start-up and is left out, since a replay is warmed up; a run of one epoch is its mean.
    """
    epochs = [epoch for epoch in view.record.loop.epochs[1:] if epoch.elements and epoch.wall_s > 0]
    if not epochs:
        step_s = view.step_s or 0.0
        return step_s, (view.wait_s or 0.0) / step_s if step_s else 0.0
    wall_s = sum(epoch.wall_s + epoch.creation_s for epoch in epochs)
    waited_s = sum(epoch.wait_s + epoch.creation_s for epoch in epochs)
    return wall_s / sum(epoch.elements for epoch in epochs), waited_s / wall_s
