"""PP804: every core is busy with the input, and sharing them out otherwise would give nothing.

The one idea: where the pipeline is as fast as the best split of the cores allows, only more cores or less work help. How many
more is calculated, never guessed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeprof import units
from pipeprof.analysis.bound import find_bound
from pipeprof.analysis.cores import granted_cores, used_cores
from pipeprof.analysis.outlook import look_ahead
from pipeprof.errors import UserError
from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.diagnosis import Bound, BoundLimit, Confidence, Evidence, Finding, Safety
from pipeprof.model.outlook import Outlook
from pipeprof.rules.base import COST_SHARE, Parameters, Rule, Status, grade, name_stage, parameter, say_wait, weakest
from pipeprof.rules.cache_weight import is_served_by_cache
from pipeprof.rules.cost import explained_share, is_input_bound
from pipeprof.rules.needs import Need

_LEAST_OWN_WORK = 0.02  # of a step, by the loop itself


@dataclass(frozen=True, kw_only=True, slots=True)
class HostSaturatedParameters(Parameters):
    """Thresholds of PP804."""

    min_share: float = parameter(0.05, unit="share of the step", low=0, high=1, doc="more cores must save this much")
    busy_cores: float = parameter(0.85, unit="share of the cores", low=0.1, high=1, doc="in use by the program")
    of_bound: float = parameter(
        0.8, unit="share of the bound", low=0.1, high=1, doc="of the rate that the best split of the cores allows, reached"
    )


class HostSaturated(Rule[HostSaturatedParameters]):
    """Host saturated.

    What it looks for:
        Training that waits while the program keeps all cores busy, with a
        pipeline that is nearly as fast as these cores can make it.

    Why it costs time:
        There is nothing left to share out: prefetching, parallel calls and
        AUTOTUNE only move the same work between the same cores.

    How it is measured:
        CPU time of the process against the cores that it may use, and the rate
        of steps against the bound: the best split of the cores over the stages,
        by linear programming. How many cores or workers would do is from the
        same model, as in `pipeprof predict`.

    When it is wrong:
        Where the work itself is wasteful in a way that no rule knows: the
        largest part is named. Where other programs took the cores, it is silent.

    What to do:
        Do less for each element, use a larger machine, or run the pipeline on
        other machines with tf.data service.

    What that can change:
        With tf.data service the order of the elements, and how often each is
        seen: that depends on the sharding policy. Network traffic.

    References:
        tf.data service (arXiv 2210.14826); Plumber (MLSys 2022), section 4.3.
    """

    code = "PP804"
    name = "host-saturated"
    status = Status.STABLE
    remedy_safety = Safety.REORDERS
    needs = (Need.TRAINING, Need.CONSUMER, Need.VERDICT, Need.COUNTERS, Need.PROCESS_CPU)
    follows_from = ("PP003", "PP403")
    yields_to = ("PP201", "PP202", "PP203", "PP401", "PP501", "PP601", "PP602", "PP608", "PP703", "PP705", "PP801", "PP802")
    yields_within = ("PP603", "PP604")  # while work is thrown away there is less to do first
    parameters = HostSaturatedParameters

    def check(self, analysis: Analysis, params: HostSaturatedParameters) -> Iterator[Finding]:
        """Yield one finding where more cores are all that would help."""
        train = analysis.train
        if train is None or not is_input_bound(analysis) or not train.step_s:
            return
        used, cores = used_cores(analysis, train), granted_cores(analysis)
        if used is None or used < params.busy_cores * cores:
            return
        cost = explained_share(analysis, train, {segment.index: 0.0 for segment in train.segments})
        bound = find_bound(analysis, train)
        if cost < params.min_share or cost <= 0 or bound is None or not _is_reached(bound, 1 / train.step_s, params):
            return
        view = train.stage(bound.stage_id) if bound.stage_id is not None else None
        if view is not None and not is_served_by_cache(analysis, train, view):
            yield self._report_run(analysis, train, view, bound, cost)

    def _report_run(self, analysis: Analysis, train: PipelineView, view: StageView, bound: Bound, cost: float) -> Finding:
        used, cores = used_cores(analysis, train) or 0.0, granted_cores(analysis)
        outlook = _look_ahead(analysis) if _has_own_work(train) else None
        return self.report(
            f"{units.significant(used)} of {cores:g} cores are in use, most of them by {name_stage(view)}, and no other split "
            f"of them gives much more than the {units.rate(1 / (train.step_s or 1.0), ' steps/s')} of this run. "
            f"{say_wait(analysis)}. {_describe_need(train, outlook, cores)}",
            severity=grade(cost),
            confidence=weakest(Confidence.MEDIUM, analysis.verdict.confidence),
            pipeline=train,
            view=view,
            evidence=(
                Evidence(name=COST_SHARE, value=cost, unit="share", n=analysis.steps.count),
                Evidence(name="used_cores", value=used, unit="cores"),
                Evidence(name="bound_steps_per_s", value=bound.steps_per_s, unit="steps/s"),
                Evidence(name="cores_needed", value=outlook.cores_needed if outlook else None, unit="cores"),
                Evidence(name="workers_needed", value=outlook.workers_needed if outlook else None, unit="workers"),
            ),
        )


def _is_reached(bound: Bound, rate: float, params: HostSaturatedParameters) -> bool:
    """Tell whether the cores are what limits the pipeline at best, and the run came near to that."""
    return bound.limited_by is BoundLimit.CORES and rate >= params.of_bound * bound.steps_per_s


def _look_ahead(analysis: Analysis) -> Outlook | None:
    try:
        return look_ahead(analysis, workers=1)
    except UserError:
        return None


def _has_own_work(train: PipelineView) -> bool:
    """Tell whether the loop does anything but read: without that there is no rate that an input could keep up with."""
    return (train.gap_s or 0.0) >= _LEAST_OWN_WORK * (train.step_s or 0.0)


def _describe_need(train: PipelineView, outlook: Outlook | None, cores: float) -> str:
    if not _has_own_work(train):
        return (
            "The loop does next to nothing but read, so no rate would be enough: do less for each element, or run the input "
            f"elsewhere, where each tf.data service worker with {cores:g} cores adds about as much again."
        )
    workers = outlook.workers_needed if outlook is not None else None
    if workers is None:
        return "Do less for each element, or give the input more cores."
    return (
        f"Do less for each element, or run the input elsewhere: {units.count_of(workers, 'tf.data service worker')} with "
        f"{cores:g} cores would keep up."
    )
