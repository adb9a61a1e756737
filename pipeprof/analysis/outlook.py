"""What if: the same input on another machine, before a faster step, or on tf.data service workers.

The input is taken as it is written: parallel stages get the cores, those that run one call at a time stay the wall that no
number of cores moves. What it can deliver is the bound's linear programme; what a step then waits is simulated, since small
buffers and spread times cost more than their means. It must not change the pipeline: that is what predictions are for.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import NormalDist

from pipeprof.analysis.bound import Demands, Machine, machine_of, read_demands, solve, wall_of
from pipeprof.analysis.consumer_share import Consumer, read_consumer
from pipeprof.analysis.pipeline_simulation import Circumstances, simulated_stages
from pipeprof.analysis.simulation import simulate
from pipeprof.analysis.step_model import shuffle_fill
from pipeprof.errors import UserError
from pipeprof.model.analysis import Analysis, PipelineView
from pipeprof.model.outlook import Asked, KeepsUp, Outlook

_KEPT_UP = 0.05  # of the time: training that waits less keeps going
_READINGS = 24
_STEPS = 120
_MOST_CORES = 4096
_MOST_WORKERS = 10_000
_LEAST_CORES = 0.05
_TINY_S = 1e-6
_MOST_OFF = 2.0  # a simulation further from the run than that is no guide
_NOTHING = 1e-4  # of the time
_SEED = 20_240_229
_LOST_TO_SHARING = 0.15  # of a machine's cores, at most: measured with both of two cores busy


@dataclass(frozen=True, kw_only=True, slots=True)
class _Plan:
    """What all readings share."""

    view: PipelineView
    demands: Demands
    consumer: Consumer
    machine: Machine  # of one worker, or of the training itself
    asked: Asked
    same_step: bool
    fill_share: float  # of an epoch's elements, those that a shuffle takes in before the first step

    @property
    def copies(self) -> int:
        """How many times the pipeline runs."""
        return max(1, self.asked.workers)

    def with_cores(self, cores: int) -> Machine:
        """Return the machine with another number of cores, of which a training beside the input takes its own."""
        taken = 0.0 if self.asked.workers else _consumer_cpu_s(self, 0.5) / self.asked.step_s
        threads = self.machine.threads if self.view.record.threadpool_size else float(cores)
        return Machine(cores=max(_LEAST_CORES, cores - taken), threads=threads)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Reading:
    """One reading of what is not known."""

    cpu_share: float  # 0: a stage computes only as long as its CPU was counted, 1: all the time that it is busy
    spread: float
    lost: float  # of the cores
    consumer_cpu_s: float
    gap_s: float
    wander: float  # of what was measured
    seed: int


def look_ahead(
    analysis: Analysis, *, cores: float | None = None, step_s: float | None = None, workers: int | None = None
) -> Outlook:
    """Return what would become of the training loop.

    Args:
        analysis: of the run.
        cores: the machine's, or each worker's; None: as in the run.
        step_s: the consumer's own time for a step; None: as in the run.
        workers: tf.data service workers that run the input; None: it runs beside the training.

    Raises:
        UserError: the run does not say enough.
    """
    plan, seen = _plan(analysis, cores, step_s, workers)
    as_it_was = replace(plan, machine=machine_of(analysis, plan.view), asked=seen, same_step=True)
    loops = [_calibrated(plan, as_it_was, reading) for reading in _readings(plan, seen)]
    quick, step, slow = _interval([step for step, _ in loops])
    wait_low, wait, wait_high = _interval([share for _, share in loops])
    bound = solve(plan.demands, plan.machine)
    bound = replace(bound, steps_per_s=bound.steps_per_s * plan.copies)
    wall, wall_stage = wall_of(plan.demands)
    return Outlook(
        run_id=analysis.profile.run.id,
        asked=plan.asked,
        seen=seen,
        keeps_up=KeepsUp.YES if wait_high < _KEPT_UP else KeepsUp.NO if wait_low >= _KEPT_UP else KeepsUp.PERHAPS,
        wait_share=wait,
        wait_share_low=wait_low,
        wait_share_high=wait_high,
        steps_per_s=1 / step,
        steps_per_s_low=1 / slow,
        steps_per_s_high=1 / quick,
        input_bound=bound,
        breaks_first=plan.view.stage(bound.stage_id).stage if bound.stage_id else None,
        cores_needed=_cores_needed(plan),
        workers_needed=_workers_needed(plan),
        wall_steps_per_s=wall if math.isfinite(wall) else None,
        wall_stage=plan.view.stage(wall_stage).stage if wall_stage else None,
        assumptions=_assumptions(plan),
    )


def _interval(values: list[float]) -> tuple[float, float, float]:
    """Return the low end, the middle and the high end at 90 %."""
    ranked = sorted(values)
    low, middle, high = (ranked[min(len(ranked) - 1, int(share * len(ranked)))] for share in (0.05, 0.5, 0.95))
    return low, middle, high


def _plan(analysis: Analysis, cores: float | None, step_s: float | None, workers: int | None) -> tuple[_Plan, Asked]:
    """Return what is asked, beside what was seen.

    Raises:
        UserError: no pipeline, no step or no stage was measured.
    """
    view = analysis.train
    if view is None:
        raise UserError("this run has no tf.data pipeline, so there is nothing to predict", "name another run")
    consumer = read_consumer(analysis, view)
    if consumer is None:
        raise UserError("too few steps were measured in this run to predict from", "let the script run longer")
    demands = read_demands(analysis, view, as_written=True)
    if demands is None:
        raise UserError(
            "this run has no counters of its stages, so nothing can be predicted from it", "pipeprof report RUN says why"
        )
    machine = machine_of(analysis, view)
    seen = Asked(cores=machine.cores, step_s=max(_TINY_S, consumer.gap_s))
    asked = Asked(
        cores=machine.cores if cores is None else cores,
        step_s=seen.step_s if step_s is None else max(_TINY_S, step_s),
        workers=workers or 0,
    )
    threads = machine.threads if view.record.threadpool_size else asked.cores
    is_here = asked.cores == machine.cores and not asked.workers
    there = replace(machine, cores=asked.cores, threads=threads, memory_bytes=machine.memory_bytes if is_here else None)
    plan = _Plan(
        view=view, demands=demands, consumer=consumer, machine=there, asked=asked, same_step=step_s is None,
        fill_share=shuffle_fill(view)[0],
    )  # fmt: skip
    return plan, seen


def _readings(plan: _Plan, seen: Asked) -> list[_Reading]:
    """Return readings of what is not known, spread evenly and paired at random."""
    draws = random.Random(_SEED)  # noqa: S311 - readings, not secrets

    def evenly() -> list[float]:
        places = [(index + 0.5) / _READINGS for index in range(_READINGS)]
        draws.shuffle(places)
        return places

    most = min(1.0, plan.consumer.spread_s / max(plan.view.production_s_per_step or _TINY_S, _TINY_S))
    eases = plan.same_step and (plan.asked.workers > 0 or plan.asked.cores > seen.cores)  # fewer queue before its cores
    idle = float(plan.consumer.idle_gap_s.mean()) if eases else plan.asked.step_s
    rows = zip(evenly(), evenly(), evenly(), evenly(), evenly(), evenly(), strict=True)
    return [
        _Reading(
            cpu_share=one,
            spread=most * two,
            lost=_LOST_TO_SHARING * three,
            consumer_cpu_s=_consumer_cpu_s(plan, four),
            gap_s=idle + (plan.asked.step_s - idle) * five,
            wander=math.exp(NormalDist().inv_cdf(six) * plan.consumer.noise),
            seed=number,
        )
        for number, (one, two, three, four, five, six) in enumerate(rows)
    ]


def _consumer_cpu_s(plan: _Plan, share: float) -> float:
    """Return the consumer's CPU seconds of a step; none where the step is another one, on an accelerator."""
    if not plan.same_step:
        return 0.0
    low, high = float(plan.consumer.cpu_s.min()), float(plan.consumer.cpu_s.max())
    return low + (high - low) * share


def _calibrated(plan: _Plan, as_it_was: _Plan, reading: _Reading) -> tuple[float, float]:
    """Return the step and its wait share under one reading, brought to what was measured by the run's own simulation."""
    consumer = plan.consumer
    measured = (consumer.steady_s + consumer.creation_s + consumer.first_s) * reading.wander
    was = _loop(as_it_was, replace(reading, gap_s=consumer.gap_s))
    off = min(_MOST_OFF, max(1 / _MOST_OFF, measured / was))
    step = max(reading.gap_s, _loop(plan, reading) * off)
    wait = 1 - reading.gap_s / step
    return step, wait if wait > _NOTHING else 0.0


def _loop(plan: _Plan, reading: _Reading) -> float:
    """Return the simulated step under one reading."""
    cores = max(_LEAST_CORES, plan.machine.cores * (1 - reading.lost))
    cpu = {stage.stage_id: stage.cpu_s + (stage.busy_s - stage.cpu_s) * reading.cpu_share for stage in plan.demands.stages}
    waits = {stage.stage_id: stage.waits for stage in plan.demands.stages}
    seconds = {
        stage.stage_id: (stage.busy_s if stage.waits else cpu[stage.stage_id]) / plan.copies for stage in plan.demands.stages
    }
    slots = {
        stage.stage_id: max(1.0, min(stage.most_slots, plan.machine.threads if stage.waits else math.ceil(cores)))
        for stage in plan.demands.stages
    }
    given = Circumstances(spread=reading.spread, seed=reading.seed, fill_steps=round(plan.fill_share * _STEPS))
    loop = simulate(simulated_stages(plan.view, seconds, slots, given), [reading.gap_s], steps=_STEPS, seed=reading.seed)
    computed = sum(
        stage.cpu_s if waits[stage.stage_id] else cpu[stage.stage_id] for stage in plan.demands.stages
    )  # of a stage that waits only its CPU takes a core
    computed += 0.0 if plan.asked.workers else reading.consumer_cpu_s
    locked = sum(stage.lock_s for stage in plan.demands.stages)
    simulated = loop.wall_s / _STEPS if plan.consumer.has_boundaries else loop.step_s
    return max(simulated, computed / cores / plan.copies, locked / plan.copies) + plan.consumer.creation_s


def _cores_needed(plan: _Plan) -> int | None:
    """Return the least number of cores with which the bound reaches the step's own rate."""
    needed = 1 / plan.asked.step_s
    return _least(
        lambda cores: solve(plan.demands, plan.with_cores(cores)).steps_per_s * plan.copies >= needed * (1 - _TINY_S),
        _MOST_CORES,
    )


def _workers_needed(plan: _Plan) -> int | None:
    """Return the least number of workers, each of the asked-for cores, that together reach the step's own rate."""
    threads = plan.machine.threads
    alone = solve(plan.demands, Machine(cores=plan.asked.cores, threads=threads)).steps_per_s
    needed = math.ceil(1 / plan.asked.step_s / alone - 1e-9) if alone > 0 else _MOST_WORKERS + 1
    return max(1, needed) if needed <= _MOST_WORKERS else None


def _least(suffices: Callable[[int], bool], most: int) -> int | None:
    """Return the least whole number that suffices, where all larger ones do too."""
    if not suffices(most):
        return None
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if suffices(middle) else (middle, high)
    return high


def _assumptions(plan: _Plan) -> tuple[str, ...]:
    """Return what the answer rests on."""
    found = ["cores as fast as these", *plan.demands.assumptions]
    found.append(
        "storage as fast as here"
        if plan.demands.read_bytes
        else "storage as fast as here (the run read next to nothing from it)"
    )
    if not plan.same_step:
        found.append("the step runs on an accelerator and takes no CPU from the input")
    if plan.asked.workers:
        found.append("workers share out the elements evenly, and the network costs nothing")
    return tuple(found)
