"""PP209: a map is so cheap that handing its elements from thread to thread costs more than running it on one.

The one idea: where all calls one after the other would take less time than the step takes now, parallel calls cannot be what
the map needs. A map that is fused with its batch, or can be put behind it, is PP601's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeprof import units
from pipeprof.analysis.alignment import stem
from pipeprof.analysis.stage_graph import elements_per_step
from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.diagnosis import Confidence, Evidence, Finding, Safety
from pipeprof.rules.base import COST_SHARE, Parameters, Rule, grade, name_stage, parameter, say_wait, weakest
from pipeprof.rules.cost import busy_of, busy_of_others, is_input_bound, share_between
from pipeprof.rules.needs import Need
from pipeprof.rules.overlap import boundary_s
from pipeprof.rules.python_work import runs_python


@dataclass(frozen=True, kw_only=True, slots=True)
class CheapMapParameters(Parameters):
    """Thresholds of PP209."""

    min_share: float = parameter(0.2, unit="share of the step", low=0.01, high=1, doc="one thread must be faster by this much")
    max_element_s: float = parameter(100e-6, unit="s", low=1e-6, high=0.01, doc="a dearer call is worth a thread")
    call_s: float = parameter(30e-6, unit="s", low=1e-6, high=1e-3, doc="one call on the asking thread takes no more than this")
    min_elements: float = parameter(32.0, unit="elements per step", low=2, high=1e6, doc="fewer calls do not matter")


class CheapMapParallelised(Rule[CheapMapParameters]):
    """Cheap map parallelised.

    What it looks for:
        A map that runs in parallel, at less than 100 microseconds for each of
        many elements, in a loop whose step is longer than all its calls would
        take one after the other.

    Why it costs time:
        A parallel map wakes a thread for each element and takes the result back
        from it. Where waking is slow, as on many virtual machines, that is
        dearer than a function of a few operations: scaling a number and
        filtering took 68 microseconds an element with num_parallel_calls=2 and
        31 with synchronous=True. On another machine it took 24 and 25, and
        there is nothing to fix.

    How it is measured:
        The map's busy time on one thread, but at least 30 microseconds for each
        call, and with it the time of all stages before and after it: a
        generous bound of what a synchronous map would need. The cost is the
        part of the wait by which the step is longer.

    When it is wrong:
        Where the step is longer for a reason outside the pipeline, other
        programs above all.

    What to do:
        Best: batch first and map whole batches. Where the map must stand
        before the batch: map(f, synchronous=True). Leaving num_parallel_calls
        out is not enough, since TensorFlow makes the map parallel by itself.

    What that can change:
        Nothing in the elements.

    References:
        tf.data.Dataset.map, on synchronous; TensorFlow guide "Better
        performance with the tf.data API", on vectorizing.
    """

    code = "PP209"
    name = "cheap-map-parallelised"
    remedy_safety = Safety.SAFE
    needs = (Need.TRAINING, Need.CONSUMER, Need.VERDICT, Need.COUNTERS)
    rivals = ("PP601",)
    parameters = CheapMapParameters

    def check(self, analysis: Analysis, params: CheapMapParameters) -> Iterator[Finding]:
        """Yield a finding for each cheap map that would be faster on one thread."""
        train = analysis.train
        if train is None or not is_input_bound(analysis) or not train.step_s:
            return
        for view in train.stages:
            visits = elements_per_step(train, view) or 0.0
            if not _is_parallel_map(view) or visits < params.min_elements or busy_of(view) >= params.max_element_s * visits:
                continue
            alone_s = _on_one_thread(train, view, visits, params)
            cost = share_between(analysis, train, train.step_s, max(train.gap_s or 0.0, alone_s) + boundary_s(train))
            hidden_s = train.step_s - alone_s - boundary_s(train)
            if cost >= params.min_share and hidden_s <= params.max_element_s * visits:
                yield self._report_map(analysis, train, view, (visits, alone_s), cost, params)

    def _report_map(
        self,
        analysis: Analysis,
        train: PipelineView,
        view: StageView,
        numbers: tuple[float, float],
        cost: float,
        params: CheapMapParameters,
    ) -> Finding:
        visits, alone_s = numbers
        message = (
            f"{name_stage(view)} hands each of the {visits:.0f} elements of a step to another thread and back, which costs "
            f"more than its work: on one thread they would take at most {units.duration(alone_s)} of the "
            f"{units.duration(train.step_s)} step. {say_wait(analysis)}. Map whole batches, or say synchronous=True."
        )
        return self.report(
            message,
            severity=grade(cost),
            confidence=weakest(Confidence.MEDIUM, analysis.verdict.confidence),
            pipeline=train,
            view=view,
            evidence=(
                Evidence(name=COST_SHARE, value=cost, unit="share", threshold=params.min_share, n=analysis.steps.count),
                Evidence(name="busy_s_per_element", value=busy_of(view) / visits, unit="s", threshold=params.max_element_s),
                Evidence(name="elements_per_step", value=visits, unit="elements", threshold=params.min_elements),
                Evidence(name="one_thread_s_per_step", value=alone_s, unit="s"),
            ),
        )


def _is_parallel_map(view: StageView) -> bool:
    node = view.executed[0] if view.executed and view.written is not None else None
    return node is not None and view.stage.op == "map" and stem(node.node) == "ParallelMap" and not runs_python(view)


def _on_one_thread(train: PipelineView, view: StageView, visits: float, params: CheapMapParameters) -> float:
    """Return a bound of what the map and all other stages would take for one step on one thread."""
    return busy_of_others(train, view) + max(busy_of(view), visits * params.call_s)
