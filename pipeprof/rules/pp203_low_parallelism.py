"""PP203: a map that keeps training waiting runs fewer calls at once than there is room for.

The one idea: a number that somebody wrote down stays as it is when the machine changes; AUTOTUNE would not have stopped there.
Maps that run one call at a time are PP201's, those with a call on every thread of their pool PP202's.
"""

from __future__ import annotations

from collections.abc import Iterator

from pipeprof import units
from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.diagnosis import Evidence, Finding, Safety
from pipeprof.rules.base import COST_SHARE, Rule, Status, grade, name_stage, say_wait
from pipeprof.rules.cost import busy_of, is_input_bound, share_saved_at
from pipeprof.rules.needs import Need
from pipeprof.rules.python_work import computes_in_python
from pipeprof.rules.room import Room, RoomParameters, describe_room, find_confidence, find_room


class LowParallelism(Rule[RoomParameters]):
    """Low parallelism.

    What it looks for:
        A map with a fixed num_parallel_calls of two or more that takes longer
        for one step than the consumer, while cores are free or the function
        waits and threads of the pool are free.

    Why it costs time:
        The number suited another machine or another model. Cores stand by
        while training waits for the map.

    How it is measured:
        From the executed graph: a parallelism that AUTOTUNE does not tune. The
        cost is the part of the wait that goes away when the stage's busy time
        is spread over the calls that there is room for.

    When it is wrong:
        Where the number is low on purpose: to bound memory, or to spare a
        remote service. Where other programs need the cores that are free now.

    What to do:
        num_parallel_calls=tf.data.AUTOTUNE, or a larger number.

    What that can change:
        More elements are held at a time. The order stays; random draws of an
        unseeded function fall on other elements, as they do in any two runs.

    References:
        TensorFlow guide "Better performance with the tf.data API", on
        parallelising data transformation.
    """

    code = "PP203"
    name = "low-parallelism"
    status = Status.STABLE
    remedy_safety = Safety.CHANGES_DATA
    needs = (Need.TRAINING, Need.VERDICT, Need.COUNTERS)
    rivals = ("PP601", "PP602")
    parameters = RoomParameters

    def check(self, analysis: Analysis, params: RoomParameters) -> Iterator[Finding]:
        """Yield a finding for each map with a fixed number of calls that training waits for."""
        train = analysis.train
        if train is None or not is_input_bound(analysis):
            return
        for view in train.stages:
            now = _fixed_calls(view)
            if now is None or computes_in_python(view):
                continue
            room = find_room(analysis, train, view, params, now)
            if room.calls <= now:
                continue
            cost = share_saved_at(analysis, train, view, busy_of(view) / room.calls)
            if cost >= params.min_share and cost > 0:
                yield self._report_map(analysis, train, view, room, now, cost)

    def _report_map(
        self, analysis: Analysis, train: PipelineView, view: StageView, room: Room, now: float, cost: float
    ) -> Finding:
        message = (
            f"{name_stage(view)} runs {now:.0f} calls at once because num_parallel_calls says so, and its calls take "
            f"{units.duration(busy_of(view))} for each {units.duration(train.step_s)} step; {describe_room(room)}. "
            f"{say_wait(analysis)}. Let TensorFlow choose: num_parallel_calls=tf.data.AUTOTUNE."
        )
        evidence = [
            Evidence(name=COST_SHARE, value=cost, unit="share", n=analysis.steps.count),
            Evidence(name="busy_s_per_step", value=busy_of(view), unit="s"),
            Evidence(name="calls_at_once", value=now, unit="calls"),
            Evidence(name="calls_possible", value=room.calls, unit="calls"),
        ]
        return self.report(
            message,
            severity=grade(cost),
            confidence=find_confidence(analysis, train, view, room),
            pipeline=train,
            view=view,
            evidence=evidence,
        )


def _fixed_calls(view: StageView) -> float | None:
    """Return how many calls of a map run at once where somebody wrote that down and it is two or more."""
    node = next((node for node in view.executed if node.parallelism is not None), None)
    if view.stage.op != "map" or node is None or node.parallelism_tuned or node.parallelism is None:
        return None
    return node.parallelism if node.parallelism > 1 else None
