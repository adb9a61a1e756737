"""PP201: a map that keeps training waiting runs one call at a time.

The one idea: TensorFlow parallelises stateless maps by itself, so only the maps that it left sequential are looked at, and
the reason is named. Python code is left to PP501, where it computes, and to PP502, where it waits. Maps that are sequential for
want of AUTOTUNE alone are left to PP207.
"""

from __future__ import annotations

from collections.abc import Iterator

from pipeprof import units
from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.diagnosis import Evidence, Finding, Safety
from pipeprof.rules.base import COST_SHARE, Rule, Status, grade, name_stage, say_wait
from pipeprof.rules.cost import busy_of, is_input_bound, share_saved_at
from pipeprof.rules.needs import Need
from pipeprof.rules.overlap import is_autotune_off
from pipeprof.rules.python_work import computes_in_python, waits_in_python
from pipeprof.rules.room import Room, RoomParameters, describe_room, find_confidence, find_room
from pipeprof.rules.sequential_cause import find_sequential_cause, sequential_map_share, would_be_parallel


class SequentialMap(Rule[RoomParameters]):
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
        program keeps all cores busy by itself, and where the time is spent in
        Python that computes (PP501) or waits (PP502). Python that was not timed
        lowers the confidence.

    What to do:
        map(f, num_parallel_calls=tf.data.AUTOTUNE). Better for random
        augmentation: split it, a deterministic map first and one with
        tf.random.stateless_* operations after it; TensorFlow then runs both in
        parallel and the result stays reproducible. A function that assigns
        variables must not run in parallel: move the state out of it. A map
        inside flat_map takes the argument there, and keeps the order.

    What that can change:
        Elements keep their order. Random numbers are drawn in another order,
        so a seeded run differs from the one before and from run to run.

    References:
        tensorflow/tensorflow issues 13932, 34909, 44491; map_parallelization
        in tf.data.experimental.OptimizationOptions.
    """

    code = "PP201"
    name = "sequential-map"
    status = Status.STABLE
    remedy_safety = Safety.CHANGES_DATA
    needs = (Need.TRAINING, Need.VERDICT, Need.COUNTERS)
    rivals = ("PP601", "PP602")
    parameters = RoomParameters

    def check(self, analysis: Analysis, params: RoomParameters) -> Iterator[Finding]:
        """Yield a finding for each sequential map that training waits for."""
        train = analysis.train
        if train is None or not is_input_bound(analysis):
            return
        for view in train.stages:
            share_of_stage = sequential_map_share(view)
            if share_of_stage == 0 or _is_another_rules(view, train):
                continue
            room = find_room(analysis, train, view, params)
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
        room: Room,
        cost: float,
        params: RoomParameters,
    ) -> Finding:
        cause = find_sequential_cause(view)
        message = (
            f"{name_stage(view)} runs one call at a time because {cause.reason}, and its calls take "
            f"{units.duration(busy_of(view))} for each {units.duration(train.step_s)} step; {describe_room(room)}. "
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
            confidence=find_confidence(analysis, train, view, room),
            pipeline=train,
            view=view,
            evidence=evidence,
        )


def _is_another_rules(view: StageView, train: PipelineView) -> bool:
    """Tell whether another rule says why this map runs one call at a time."""
    waits = view.stage.op == "map" and waits_in_python(view, train)
    return computes_in_python(view) or waits or (is_autotune_off(train) and would_be_parallel(view))
