"""PP403: a cache that is never filled to its end, so that it is made again in every epoch and read in none.

The one idea: what stands before a full cache runs once; where it was seen to run in every epoch, the cache never became one.
It judges caches alone, never where one should be.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeprof import units
from pipeprof.analysis.stage_graph import downstream, upstream
from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.diagnosis import Confidence, Evidence, Finding, Safety, Severity
from pipeprof.rules.base import COST_SHARE, Parameters, Rule, Status, grade, name_stage, parameter
from pipeprof.rules.cache_point import NEVER_FULL_SHARE, count_passes, share_made_again
from pipeprof.rules.cost import busy_of, is_input_bound, share_saved_without
from pipeprof.rules.needs import Need


@dataclass(frozen=True, kw_only=True, slots=True)
class NeverCompletesParameters(Parameters):
    """Thresholds of PP403."""

    made_again: float = parameter(
        NEVER_FULL_SHARE,
        unit="share of the passes",
        low=0.5,
        high=1,
        doc="in which what stands before the cache ran, to report it",
    )


class CacheNeverCompletes(Rule[NeverCompletesParameters]):
    """Cache never completes.

    What it looks for:
        A cache() that is read in several epochs, while what stands before it
        still runs in every one of them.

    Why it costs time:
        TensorFlow keeps a cache only once a pass over it came to its end. A
        take() behind it, or a loop that is left early, ends each pass before;
        the elements kept so far are thrown away and made anew.

    How it is measured:
        Elements of the stage before the cache for each element of the cache,
        over all epochs: one pass of several where the cache is full, all of
        them where it never is.

    When it is wrong:
        In a run that was ended within its second epoch.

    What to do:
        Put take() before cache(), or let the first epoch run to its end.

    What that can change:
        Nothing in the elements. The cache then really holds them: see the
        memory that it takes.

    References:
        tf.data.Dataset.cache: "the first time the dataset is iterated over";
        TensorFlow's warning on partially cached contents.
    """

    code = "PP403"
    name = "cache-never-completes"
    status = Status.STABLE
    remedy_safety = Safety.USES_MEMORY
    needs = (Need.PIPELINES, Need.COUNTERS)
    cures_upstream = True
    parameters = NeverCompletesParameters

    def check(self, analysis: Analysis, params: NeverCompletesParameters) -> Iterator[Finding]:
        """Yield a finding for each cache that was made anew in every epoch."""
        for pipeline in analysis.pipelines:
            for cache in pipeline.stages:
                share = share_made_again(pipeline, cache)
                if share is not None and share >= params.made_again:
                    yield self._report_cache(analysis, pipeline, cache, share, params)

    def _report_cache(
        self, analysis: Analysis, pipeline: PipelineView, cache: StageView, share: float, params: NeverCompletesParameters
    ) -> Finding:
        before = [view for view in upstream(pipeline, cache.id) if view.id != cache.id]
        busy_s = sum(busy_of(view) for view in before)
        is_waited_for = pipeline is analysis.train and is_input_bound(analysis)
        cost = share_saved_without(analysis, pipeline, {view.id for view in before}) if is_waited_for else 0.0
        passes = count_passes(pipeline, cache)
        return self.report(
            f"{name_stage(cache)} is read in {units.count_of(passes, 'epoch')} and was full in none: "
            f"{_cause(pipeline, cache)}, so that everything before it is made again each time, "
            f"{units.duration(busy_s)} of work for each step. Put take() before the cache, or let the first epoch run to its "
            f"end.",
            severity=grade(cost) if cost > 0 else Severity.LOW,
            confidence=Confidence.HIGH,
            pipeline=pipeline,
            view=cache,
            evidence=(
                Evidence(name=COST_SHARE, value=cost, unit="share", n=analysis.steps.count),
                Evidence(name="made_again", value=share, unit="share of the passes", threshold=params.made_again),
                Evidence(name="passes", value=passes, unit="epochs"),
                Evidence(name="busy_s_before", value=busy_s, unit="s"),
            ),
        )


def _cause(pipeline: PipelineView, cache: StageView) -> str:
    take = next((view for view in downstream(pipeline, cache.id) if view.stage.op == "take"), None)
    return "the loop leaves before its end" if take is None else f"{name_stage(take)} ends each pass before its end"
