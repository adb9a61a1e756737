"""The whole-pipeline bound: the most steps per second that the input could deliver with the best split of the cores.

Plumber's linear programme (MLSys 2022, section 4.3): as many steps per second as the cores, shared out over the stages, can
make; stages of one thread share one core, calls of a parallel one take any number. Added here: stages that wait are limited by
threads and not by cores, Python by its interpreter's lock, elements in flight by memory, and reading by the storage's
bandwidth where that is known. It is a bound, not a prediction: hand-over, bursts and the consumer's own needs are left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeprof.analysis.cores import granted_cores, pipeline_cpu_s, pool_threads, waits_surely
from pipeprof.analysis.element_size import element_bytes
from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.diagnosis import Bound, BoundLimit, StageCores
from pipeprof.model.profile import PipelineRecord

_WAITS_BELOW = 0.3  # CPU seconds for a busy second
_PARALLEL_OPS = frozenset({"map", "interleave", "flat_map", "filter"})  # TensorFlow can run their calls at once, or be made to
_POOLED = ("Parallel", "MapAndBatch", "LegacyParallel")
_NEAR = 1e-6


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """What there is to share out."""

    cores: float
    threads: float  # of the pool on which functions run, for stages that wait
    memory_bytes: float | None = None
    read_bytes_per_s: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Demand:
    """What one stage needs for one step."""

    stage_id: str
    segment: int
    cpu_s: float
    busy_s: float
    most_slots: float  # calls at once; infinite where nothing but the machine limits them
    waits: bool  # on something other than a core: its calls take threads, not cores
    lock_s: float = 0.0  # holding Python's interpreter lock
    bytes_in_flight: float = 0.0  # of one call


@dataclass(frozen=True, kw_only=True, slots=True)
class Demands:
    """What a pipeline needs for one step, and what is assumed in it."""

    stages: tuple[Demand, ...]
    read_bytes: float | None
    assumptions: tuple[str, ...]


def find_bound(analysis: Analysis, view: PipelineView) -> Bound | None:
    """Return the bound of a pipeline on the machine that it ran on; None where its stages were not measured."""
    demands = read_demands(analysis, view, as_written=False)
    machine = machine_of(analysis, view)
    return None if demands is None else solve(demands, machine)


def machine_of(analysis: Analysis, view: PipelineView) -> Machine:
    """Return the machine that the pipeline ran on; its threads as many as waiting calls could be given."""
    host, used = analysis.profile.run.host, analysis.resources.rss_peak_bytes
    limit = host.memory_limit_bytes or host.memory_bytes
    free = None if limit is None else max(0.0, float(limit) - (used or 0))
    return Machine(cores=granted_cores(analysis), threads=float(pool_threads(analysis, view)), memory_bytes=free)


def read_demands(analysis: Analysis, view: PipelineView, *, as_written: bool) -> Demands | None:
    """Return what each stage needs for a step.

    Args:
        analysis: what the pipeline is part of.
        view: the pipeline.
        as_written: a stage that runs one call at a time goes on doing so; else every map can be made parallel.
    """
    working = [stage for stage in view.stages if (stage.busy_s_per_step or 0.0) > 0]
    if not working or not view.step_s:
        return None
    waiting = frozenset(stage.id for stage in working if _waits(analysis, view, stage))
    computing_s = sum(stage.busy_s_per_step or 0.0 for stage in working if stage.id not in waiting)
    known_cpu = pipeline_cpu_s(analysis, view)
    scale = min(1.0, known_cpu / computing_s) if known_cpu is not None and computing_s > 0 else 1.0
    demands = []
    for stage in working:
        busy, lock = stage.busy_s_per_step or 0.0, _lock_s(stage)
        waits = stage.id in waiting
        demands.append(
            Demand(
                stage_id=stage.id,
                segment=stage.segment,
                cpu_s=min(busy, lock) if waits else busy * scale,
                busy_s=busy,
                most_slots=_most_slots(stage, as_written=as_written),
                waits=waits,
                lock_s=lock,
                bytes_in_flight=element_bytes(stage) or 0.0,
            )
        )
    return Demands(
        stages=tuple(demands), read_bytes=_read_bytes(analysis, view.record), assumptions=_assumptions(working, waiting)
    )


def solve(demands: Demands, machine: Machine) -> Bound:
    """Solve the linear programme: maximise the steps per second over the cores of each stage."""
    from scipy.optimize import linprog

    stages = demands.stages
    count = len(stages)
    rows, limits, names = _constraints(demands, machine)
    for index, stage in enumerate(stages):  # steps per second times CPU seconds are no more than the stage's cores
        row = [0.0] * (count + 1)
        row[0], row[index + 1] = stage.cpu_s, -1.0
        rows.append(row)
        limits.append(0.0)
    goal = [-1.0, *([1e-9] * count)]  # and no more cores than it takes
    found = linprog(goal, A_ub=rows, b_ub=limits, bounds=[(0, None)] * (count + 1), method="highs")
    rate = float(found.x[0])
    limit, stage_id = _binding(found.slack, limits, names, stages)  # the stages' own rows, which come last, are no limits
    return Bound(
        steps_per_s=rate,
        limited_by=limit,
        stage_id=stage_id,
        cores=machine.cores,
        stages=tuple(
            StageCores(stage_id=stage.stage_id, cores=float(used), waits=stage.waits, cpu_s_per_step=stage.cpu_s)
            for stage, used in zip(stages, found.x[1:], strict=True)
        ),
        assumptions=demands.assumptions,
    )


def wall_of(demands: Demands) -> tuple[float, str | None]:
    """Return the rate that no number of cores moves, and the stage it hangs on; infinite where there is no such stage."""
    endless = Machine(cores=1e6, threads=1e6)
    bound = solve(replace(demands, read_bytes=None), endless)
    if bound.limited_by in {BoundLimit.STAGE, BoundLimit.PYTHON}:
        return bound.steps_per_s, bound.stage_id
    return math.inf, None


def _constraints(
    demands: Demands, machine: Machine
) -> tuple[list[list[float]], list[float], list[tuple[BoundLimit, str | None]]]:
    """Return rows over (steps per second, cores of each stage), their limits, and what each stands for."""
    stages, count = demands.stages, len(demands.stages)
    rows, limits = [[0.0, *([1.0] * count)]], [machine.cores]
    names: list[tuple[BoundLimit, str | None]] = [(BoundLimit.CORES, None)]

    def at_most(per_rate: float, limit: float, name: BoundLimit, stage_id: str | None) -> None:
        if per_rate > 0 and math.isfinite(limit):
            rows.append([per_rate, *([0.0] * count)])
            limits.append(limit)
            names.append((name, stage_id))

    for segment in dict.fromkeys(stage.segment for stage in stages):
        members = [stage for stage in stages if stage.segment == segment and stage.most_slots <= 1]
        largest = max(members, key=lambda item: item.busy_s, default=None)
        seconds = sum(item.busy_s if item.waits else item.cpu_s for item in members)
        at_most(seconds, 1.0, BoundLimit.STAGE, largest.stage_id if largest else None)
    for stage in stages:
        if stage.most_slots > 1:
            at_most(stage.busy_s if stage.waits else stage.cpu_s, stage.most_slots, BoundLimit.STAGE, stage.stage_id)
        if stage.waits:
            at_most(stage.busy_s, machine.threads, BoundLimit.THREADS, stage.stage_id)
    locked = max(stages, key=lambda item: item.lock_s)
    at_most(sum(stage.lock_s for stage in stages), 1.0, BoundLimit.PYTHON, locked.stage_id)
    if machine.memory_bytes is not None:
        held = sum(stage.busy_s * stage.bytes_in_flight for stage in stages)  # Little's law: calls in flight = rate × seconds
        at_most(held, machine.memory_bytes, BoundLimit.MEMORY, None)
    if machine.read_bytes_per_s is not None and demands.read_bytes:
        at_most(demands.read_bytes, machine.read_bytes_per_s, BoundLimit.STORAGE, None)
    return rows, limits, names


def _binding(
    slack: Sequence[float], limits: Sequence[float], names: Sequence[tuple[BoundLimit, str | None]], stages: Sequence[Demand]
) -> tuple[BoundLimit, str | None]:
    """Return the limit that is used up; a shortage of cores names the stage that takes most of them."""
    used_up = [name for left, limit, name in zip(slack, limits, names, strict=False) if left <= _NEAR * limit]
    firm = [name for name in used_up if name[0] is not BoundLimit.CORES]
    return firm[0] if firm else (BoundLimit.CORES, max(stages, key=lambda item: item.cpu_s).stage_id)


def _waits(analysis: Analysis, view: PipelineView, stage: StageView) -> bool:
    """Tell whether a stage's CPU is known to be far below its busy time."""
    busy = stage.busy_s_per_step or 0.0
    if stage.stage.cpu_s is not None and stage.stage.busy_s:
        return stage.stage.cpu_s < _WAITS_BELOW * stage.stage.busy_s
    python = stage.written.python if stage.written is not None else None
    if python is not None and python.wall_s > 0:
        return python.cpu_s < _WAITS_BELOW * python.wall_s
    return waits_surely(analysis, view, busy, _WAITS_BELOW)


def _lock_s(stage: StageView) -> float:
    """Return the CPU seconds of a step in the stage's Python functions, which hold the interpreter's lock."""
    python = stage.written.python if stage.written is not None else None
    if python is None or not python.calls or not stage.visit_ratio:
        return 0.0
    return min(python.cpu_s / python.calls * stage.visit_ratio, stage.busy_s_per_step or 0.0)


def _most_slots(stage: StageView, *, as_written: bool) -> float:
    is_pooled = any(node.node.startswith(_POOLED) for node in stage.executed[:1])
    if as_written:
        if not is_pooled or (stage.is_sequential and not stage.is_parallel_by_autotune):
            return 1.0
        return math.inf if stage.is_parallel_by_autotune else max(1.0, stage.slots)
    function = stage.written.function if stage.written is not None else None
    if function is not None and function.assigns_variables:
        return 1.0
    return math.inf if is_pooled or stage.stage.op in _PARALLEL_OPS else 1.0


def _read_bytes(analysis: Analysis, record: PipelineRecord) -> float | None:
    """Return the bytes that one step read from storage, over the whole run."""
    host, steps = analysis.profile.host, record.loop.elements
    return host.read_bytes / steps if host.read_bytes is not None and steps else None


def _assumptions(working: Sequence[StageView], waiting: frozenset[str]) -> tuple[str, ...]:
    text = ["parallel stages scale with their cores"]
    unknown = [stage for stage in working if stage.id not in waiting and stage.stage.cpu_s is None]
    if unknown:
        text.append("stages whose CPU time was not measured apart compute while they are busy")
    if waiting:
        text.append("stages that wait take threads of the pool instead of cores")
    return tuple(text)
