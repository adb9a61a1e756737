"""PP003: the container's limits hold the run back, or AUTOTUNE plans with more than they grant.

The one idea: TensorFlow sees the machine's cores and memory, not what the control group allows; threads beyond the quota are
stopped all at once, the model's with them. It looks at limits alone: whether the cores were busy is for other rules.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from pipeprof import units
from pipeprof.analysis.cores import pool_threads
from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.diagnosis import Confidence, Evidence, Finding, Safety, Severity
from pipeprof.rules.base import Parameters, Rule, parameter
from pipeprof.rules.cost import busy_of
from pipeprof.rules.needs import Need

_FUNCTIONS = frozenset({"map", "interleave", "filter", "flat_map"})
_BUFFERS = frozenset({"prefetch", "shuffle", "map", "interleave", "batch"})


@dataclass(frozen=True, kw_only=True, slots=True)
class ThrottledParameters(Parameters):
    """Thresholds of PP003."""

    min_throttled: float = parameter(
        0.05,
        unit="core seconds per s and core of the quota",
        low=0,
        high=10,
        doc="for which threads were stopped, to report it",
    )
    max_memory: float = parameter(
        1.0, unit="share of the memory limit", low=0.1, high=10, doc="that AUTOTUNE may plan to fill with buffers"
    )


class ThrottledContainer(Rule[ThrottledParameters]):
    """Throttled container.

    What it looks for:
        Threads that the CPU quota of the control group stopped, while the
        pipeline has more threads than the quota has cores; and a budget for
        buffers, by which AUTOTUNE sizes them, above the memory limit.

    Why it costs time:
        A quota is used up in bursts: with more threads than it grants, all of
        them are stopped for the rest of each period, those of the model too. A
        budget above the memory limit ends in a kill, not in a slow run.

    How it is measured:
        The control group's own count of throttled time over the run; its quota
        and memory limit against AUTOTUNE's budgets.

    When it is wrong:
        Throttled time is counted for each core and for everything in the
        group: another program in the same container may be the cause.

    What to do:
        Give the dataset no more threads than the quota has cores
        (options.threading.private_threadpool_size), and bound AUTOTUNE's memory
        (options.autotune.ram_budget). Or ask for a larger quota.

    What that can change:
        Nothing in the elements or their order.

    References:
        Linux kernel documentation, "CFS Bandwidth Control"; TensorFlow,
        AutotuneOptions.cpu_budget and .ram_budget.
    """

    code = "PP003"
    name = "throttled-container"
    remedy_safety = Safety.SAFE
    needs = (Need.PIPELINES, Need.CONTAINER)
    parameters = ThrottledParameters

    def check(self, analysis: Analysis, params: ThrottledParameters) -> Iterator[Finding]:
        """Yield a finding for a quota that stopped threads, and one for a budget above the memory limit."""
        pipeline = analysis.train or analysis.pipelines[0]
        yield from self._check_quota(analysis, pipeline, params)
        for item in analysis.pipelines:
            yield from self._check_memory(analysis, item, params)

    def _check_quota(self, analysis: Analysis, pipeline: PipelineView, params: ThrottledParameters) -> Iterator[Finding]:
        quota, stopped_s, wall_s = _quota(analysis), analysis.resources.throttled_s, analysis.profile.run.wall_s
        if quota is None or stopped_s is None or wall_s <= 0 or stopped_s / wall_s / quota < params.min_throttled:
            return
        threads, wanted = pool_threads(analysis, pipeline), max(1, math.ceil(quota))
        has_cure = threads > wanted
        cure = (
            f"its functions run on {threads} threads: give it {wanted}, private_threadpool_size = {wanted}"
            if has_cure
            else "its functions run on no more threads than that: less work at once, or a larger quota"
        )
        evidence = [
            Evidence(
                name="throttled_s", value=stopped_s, unit="s", threshold=params.min_throttled * wall_s * quota, n=round(wall_s)
            ),
            Evidence(name="cpu_quota", value=quota, unit="cores"),
            Evidence(name="pool_threads", value=threads, unit="threads"),
        ]
        if has_cure:
            evidence.append(Evidence(name="wanted_threads", value=wanted, unit="threads"))
        yield self.report(
            f"The container's quota of {units.significant(quota)} cores stopped threads for {units.duration(stopped_s)} in "
            f"all, in {units.duration(wall_s)}; {cure}.",
            severity=Severity.MEDIUM,
            confidence=Confidence.MEDIUM,
            pipeline=pipeline,
            view=_dearest(pipeline),
            evidence=evidence,
        )

    def _check_memory(self, analysis: Analysis, pipeline: PipelineView, params: ThrottledParameters) -> Iterator[Finding]:
        limit, tuned = analysis.profile.run.host.memory_limit_bytes, pipeline.record.autotune
        budget = tuned.ram_budget_bytes if tuned is not None and tuned.enabled else None
        if limit is None or budget is None or budget <= params.max_memory * limit:
            return
        yield self.report(
            f"AUTOTUNE may fill {units.byte_count(budget)} with buffers, but the container has {units.byte_count(limit)}: "
            "TensorFlow reads the machine's memory, not the limit. Bound it: options.autotune.ram_budget.",
            severity=Severity.LOW,
            confidence=Confidence.MEDIUM,
            pipeline=pipeline,
            view=next((view for view in reversed(pipeline.stages) if view.stage.op in _BUFFERS), None),
            evidence=(
                Evidence(name="ram_budget_bytes", value=budget, unit="B", threshold=params.max_memory * limit),
                Evidence(name="memory_limit_bytes", value=limit, unit="B"),
            ),
        )


def _quota(analysis: Analysis) -> float | None:
    """Return the quota where it is below the cores that the process may use: only then it can be the limit."""
    host = analysis.profile.run.host
    return host.cpu_quota if host.cpu_quota is not None and host.cpu_quota < host.cores else None


def _dearest(pipeline: PipelineView) -> StageView | None:
    """Return the busiest stage that runs functions on the pool."""
    found = [view for view in pipeline.stages if view.stage.op in _FUNCTIONS and view.written is not None]
    return max(found, key=busy_of, default=None)
