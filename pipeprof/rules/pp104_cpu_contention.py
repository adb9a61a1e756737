"""PP104: the pipeline keeps up, and yet the model's own work takes longer for it: both want the same cores.

The one idea: the same loop fed with one ready element shows what the consumer's work takes with the pipeline off its cores;
what that gives beyond the waiting was taken from the model. It says nothing of waiting, which is PP101's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from pipeprof import units
from pipeprof.analysis.cores import granted_cores, pool_threads, used_cores
from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.diagnosis import Confidence, Evidence, Finding, Safety
from pipeprof.model.profile import Control
from pipeprof.rules.base import COST_SHARE, Parameters, Rule, Status, describe_wait, grade, name_stage, parameter
from pipeprof.rules.cost import busy_of
from pipeprof.rules.needs import Need

_FUNCTIONS = frozenset({"map", "interleave", "filter", "flat_map"})
_MANY_PAIRS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class ContentionParameters(Parameters):
    """Thresholds of PP104."""

    min_share: float = parameter(
        0.05, unit="share of the step", low=0, high=1, doc="that the model's own work is longer for the pipeline, to report it"
    )
    max_wait: float = parameter(0.20, unit="share of the step", low=0, high=1, doc="a loop that waits longer needs PP101 first")
    busy_cores: float = parameter(0.6, unit="share of the cores", low=0, high=1, doc="a program that uses less has cores left")


class CpuContention(Rule[ContentionParameters]):
    """CPU contention.

    What it looks for:
        A loop that hardly waits for its input, whose own work is nevertheless
        done sooner when the pipeline is replaced by one ready element.

    Why it costs time:
        The pipeline's threads and the model's ops share the cores. While the
        pipeline works ahead, each step computes on what is left of them.

    How it is measured:
        By replay: the loop as it is and the loop with one ready element, in
        turn. What the second gains beyond the waiting that goes away is the
        cost, at the low end of its interval.

    When it is wrong:
        Where the replay feeds the model with something that it computes faster
        than the real batches. Where memory bandwidth is what both want, fewer
        threads help less than the share suggests.

    What to do:
        Make the pipeline cheaper first: cache, decode less, work on batches.
        Or leave it fewer threads (private_threadpool_size). With a GPU give its
        launches threads of their own: TF_GPU_THREAD_MODE=gpu_private.

    What that can change:
        Nothing in the elements or their order. With too few threads the loop
        begins to wait for its input instead.

    References:
        TensorFlow guide "Optimize TensorFlow GPU performance with the
        TensorFlow Profiler", on thread contention.
    """

    code = "PP104"
    name = "cpu-contention"
    status = Status.STABLE
    remedy_safety = Safety.SAFE
    needs = (Need.TRAINING, Need.CONSUMER, Need.VERDICT, Need.WAITS, Need.CONTROL, Need.PROCESS_CPU)
    follows_from = ("PP204",)
    parameters = ContentionParameters

    def check(self, analysis: Analysis, params: ContentionParameters) -> Iterator[Finding]:
        """Yield one finding where the ready element makes the consumer's own work shorter."""
        train = analysis.train
        control = None if train is None else analysis.control(train.record.id)
        if train is None or control is None or (analysis.steps.wait_share or 0.0) > params.max_wait:
            return
        used, cores = used_cores(analysis, train), granted_cores(analysis)
        cost = _taken_share(control)
        if cost < params.min_share or used is None or used < params.busy_cores * cores:
            return
        yield self._report_loop(analysis, train, control, cost, used, params)

    def _report_loop(
        self,
        analysis: Analysis,
        train: PipelineView,
        control: Control,
        cost: float,
        used: float,
        params: ContentionParameters,
    ) -> Finding:
        cores = granted_cores(analysis)
        view = _dearest(train)
        wanted = max(1, math.floor(cores) - 1)
        threads = pool_threads(analysis, train)
        before_s, after_s = _own_s(control)
        evidence = [
            Evidence(name=COST_SHARE, value=cost, unit="share", threshold=params.min_share, n=control.pairs),
            Evidence(name="own_s", value=before_s, unit="s"),
            Evidence(name="own_s_with_a_ready_input", value=after_s, unit="s"),
            Evidence(name="used_cores", value=used, unit="cores", threshold=params.busy_cores * cores),
        ]
        if wanted < threads:
            evidence.append(Evidence(name="wanted_threads", value=wanted, unit="threads"))
        worker = "" if view is None else f" Most of that work is {name_stage(view)}."
        return self.report(
            f"Training waits {describe_wait(analysis)}, but the input takes cores from the model: the step's own work takes "
            f"{units.duration(before_s)}, and {units.duration(after_s)} with an input that is ready; {units.significant(used)} "
            f"of {cores:g} cores are in use.{worker} Make the pipeline cheaper, or give it fewer threads.",
            severity=grade(cost),
            confidence=Confidence.HIGH if control.pairs >= _MANY_PAIRS and used >= 0.85 * cores else Confidence.MEDIUM,
            pipeline=train,
            view=view,
            evidence=evidence,
        )


def _taken_share(control: Control) -> float:
    """Return the share of the step that a ready input gives back beyond the waiting, at the low end.

    The ceiling compares whole steps; the control's recoverable share is of the waiting alone, and holds nothing of this.
    """
    given_back = 1.0 - 1.0 / control.ceiling_low if control.ceiling_low > 0 else 0.0
    ready_wait = control.ready_wait_share * control.ready_step_s / control.baseline_step_s
    return given_back - max(0.0, control.baseline_wait_share - ready_wait)


def _own_s(control: Control) -> tuple[float, float]:
    """Return the consumer's own time in a step, with the pipeline and with a ready element."""
    before = control.baseline_step_s * (1 - control.baseline_wait_share)
    return before, control.ready_step_s * (1 - control.ready_wait_share)


def _dearest(train: PipelineView) -> StageView | None:
    found = [view for view in train.stages if view.stage.op in _FUNCTIONS and view.written is not None]
    return max(found, key=busy_of, default=None)
