"""PP201: a map that keeps training waiting runs one call at a time.

The one idea: TensorFlow parallelises stateless maps by itself, so only the maps that it left sequential are looked at, and
the reason is named. Computing Python code is left to PP501: the interpreter lock makes parallel calls useless there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeprof import units
from pipeprof.analysis.cores import granted_cores, is_host_crowded, pool_threads, used_cores, waits_surely
from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.diagnosis import Confidence, Evidence, Finding
from pipeprof.rules.base import COST_SHARE, Parameters, Rule, grade, name_stage, parameter, say_wait, weakest
from pipeprof.rules.cost import busy_of, is_input_bound, share_saved_at
from pipeprof.rules.needs import Need
from pipeprof.rules.python_work import computes_in_python, find_python_calls, runs_python
from pipeprof.rules.sequential_cause import find_sequential_cause, sequential_map_share


@dataclass(frozen=True, kw_only=True, slots=True)
class SequentialMapParameters(Parameters):
    """Thresholds of PP201."""

    min_share: float = parameter(0.05, unit="share of the step", low=0, high=1, doc="parallel calls must save this much")
    busy_cores: float = parameter(
        0.85, unit="share of the cores", low=0.1, high=1, doc="a program that uses this much leaves no core free"
    )
    waits_below: float = parameter(0.5, unit="CPU s per busy s", low=0, high=1, doc="a stage with less CPU waits")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Room:
    """What there is to run calls on."""

    calls: float  # that would run at once
    waits: bool  # the stage is known to wait rather than compute
    used: float | None  # cores busy now
    cores: float


class SequentialMap(Rule[SequentialMapParameters]):
    """Sequential map.

    What it looks for:
        A map (or one inside an interleave or flat_map) whose calls TensorFlow
        runs one after the other, that takes longer for one step than the
        consumer, while cores are free or the function waits.

    Why it costs time:
        One core prepares each batch while the others stand by. TensorFlow
        parallelises a stateless map by itself, but not one that draws random
        numbers, reads a lookup table or a variable, calls Python, prints, runs
        inside an interleave, or was told to be synchronous.

    How it is measured:
        From the executed graph: no parallelism, or a fixed one of 1. The cost
        is the part of the wait that goes away when the stage's busy time is
        spread over the free cores (over the threads of the pool, where the
        process uses so little CPU that the function must be waiting).

    When it is wrong:
        TensorFlow's busy time is wall time: with other processes on the
        machine it looks longer, which lowers the confidence. Silent where the
        program keeps all cores busy by itself, and where the time is spent
        computing in Python (PP501). Python that was not timed lowers the
        confidence.

    What to do:
        map(f, num_parallel_calls=tf.data.AUTOTUNE). Better for random
        augmentation: split it, a deterministic map first and one with
        tf.random.stateless_* operations after it; TensorFlow then runs both in
        parallel and the result stays reproducible. A function that assigns
        variables must not run in parallel: move the state out of it.

    What that can change:
        Elements keep their order. Random numbers are drawn in another order,
        so a seeded run differs from the one before and from run to run.

    References:
        tensorflow/tensorflow issues 13932, 34909, 44491; map_parallelization
        in tf.data.experimental.OptimizationOptions.
    """

    code = "PP201"
    name = "sequential-map"
    needs = (Need.TRAINING, Need.VERDICT, Need.COUNTERS)
    rivals = ("PP601",)
    parameters = SequentialMapParameters

    def check(self, analysis: Analysis, params: SequentialMapParameters) -> Iterator[Finding]:
        """Yield a finding for each sequential map that training waits for."""
        train = analysis.train
        if train is None or not is_input_bound(analysis):
            return
        for view in train.stages:
            share_of_stage = sequential_map_share(view)
            if share_of_stage == 0 or computes_in_python(view):
                continue
            room = _find_room(analysis, train, view, params)
            busy_s = busy_of(view)
            faster_s = busy_s * (1 - share_of_stage) + busy_s * share_of_stage / room.calls
            cost = share_saved_at(analysis, train, view, faster_s) if room.calls > 1 else 0.0
            if cost >= params.min_share and cost > 0:
                yield self._report_map(analysis, train, view, room, cost, params)

    def _report_map(
        self,
        analysis: Analysis,
        train: PipelineView,
        view: StageView,
        room: _Room,
        cost: float,
        params: SequentialMapParameters,
    ) -> Finding:
        cause = find_sequential_cause(view)
        message = (
            f"{name_stage(view)} runs one call at a time because {cause.reason}, and its calls take "
            f"{units.duration(busy_of(view))} for each {units.duration(train.step_s)} step; {_describe_room(room)}. "
            f"{say_wait(analysis)}. {cause.remedy}"
        )
        evidence = [
            Evidence(name=COST_SHARE, value=cost, unit="share", threshold=params.min_share, n=analysis.steps.count),
            Evidence(name="busy_s_per_step", value=busy_of(view), unit="s"),
            Evidence(name="calls_at_once", value=1, unit="calls"),
            Evidence(name="calls_possible", value=room.calls, unit="calls"),
            Evidence(name="cause", value=cause.kind),
        ]
        if room.used is not None:
            evidence.append(
                Evidence(name="used_cores", value=room.used, unit="cores", threshold=params.busy_cores * room.cores)
            )
        return self.report(
            message,
            severity=grade(cost),
            confidence=_find_confidence(analysis, train, view, room),
            pipeline=train,
            view=view,
            evidence=evidence,
        )


def _find_room(analysis: Analysis, train: PipelineView, view: StageView, params: SequentialMapParameters) -> _Room:
    """Return how many calls could run at once: on free cores for work that computes, on all threads for work that waits."""
    cores, used = granted_cores(analysis), used_cores(analysis, train)
    threads = float(pool_threads(analysis, train))
    waits = computes_in_python(view) is False or waits_surely(analysis, train, busy_of(view), params.waits_below)
    if waits:
        return _Room(calls=threads, waits=True, used=used, cores=cores)
    if used is None:
        return _Room(calls=min(cores, threads), waits=False, used=None, cores=cores)
    free = 0.0 if used >= params.busy_cores * cores else cores - used
    return _Room(calls=max(1.0, min(threads, 1 + free)), waits=False, used=used, cores=cores)


def _find_confidence(analysis: Analysis, train: PipelineView, view: StageView, room: _Room) -> Confidence:
    own = Confidence.HIGH if room.used is not None else Confidence.MEDIUM
    if runs_python(view) and find_python_calls(view) is None:
        own = Confidence.LOW  # computing Python would not gain from parallel calls
    if is_host_crowded(analysis, train) and not room.waits:
        own = Confidence.LOW  # other processes may take the cores that this one leaves
    return weakest(own, analysis.verdict.confidence)


def _describe_room(room: _Room) -> str:
    if room.waits:
        return f"it waits rather than computes, and {room.calls:.0f} calls could wait at once"
    if room.used is None:
        return f"there are {room.cores:g} cores"
    return f"{units.significant(room.used)} of {room.cores:g} cores are in use"
