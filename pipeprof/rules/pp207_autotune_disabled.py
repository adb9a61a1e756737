"""PP207: AUTOTUNE was switched off, and what TensorFlow would have done by itself is missing.

The one idea: without AUTOTUNE TensorFlow makes no map parallel and puts no prefetch at the end. Only what it would do is
counted: maps that it leaves sequential for another reason stay PP201's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeprof import units
from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.diagnosis import Confidence, Evidence, Finding, Safety
from pipeprof.rules.base import COST_SHARE, Rule, Status, grade, name_stage, say_wait, weakest
from pipeprof.rules.cost import CONSUMER_SEGMENT, busy_of, is_input_bound, segment_s, share_between
from pipeprof.rules.needs import Need
from pipeprof.rules.overlap import has_free_core, is_autotune_off, last_executed, own_thread_s, slowest_other_s
from pipeprof.rules.room import RoomParameters, find_confidence, find_room
from pipeprof.rules.sequential_cause import would_be_parallel


@dataclass(frozen=True, kw_only=True, slots=True)
class Missing:
    """What AUTOTUNE would have done."""

    maps: tuple[StageView, ...]  # that it would have made parallel
    overlaps: bool  # it would have put a prefetch at the end
    cost: float


class AutotuneDisabled(Rule[RoomParameters]):
    """AUTOTUNE disabled.

    What it looks for:
        A pipeline whose options switch AUTOTUNE off, with maps that TensorFlow
        would else run in parallel, or without an asynchronous stage at its
        end.

    Why it costs time:
        With options.autotune.enabled = False no map becomes parallel that does
        not say so, no prefetch is put at the end, and AUTOTUNE in an argument
        is a fixed number.

    How it is measured:
        TensorFlow keeps no counters then: the times are those of short trace
        windows. The cost is the part of the wait that goes away when the
        sequential maps are spread over the free cores, and a step takes the
        longer of making and using.

    When it is wrong:
        Where AUTOTUNE was switched off to bound memory: it may take half of
        what is free. Options of autotune can bound that as well.

    What to do:
        Leave options.autotune.enabled out. To bound what it takes, set
        options.autotune.ram_budget and cpu_budget.

    What that can change:
        More elements are held at a time. The order stays.

    References:
        tf.data.experimental.AutotuneOptions; map_parallelization and
        inject_prefetch in tf.data.experimental.OptimizationOptions.
    """

    code = "PP207"
    name = "autotune-disabled"
    status = Status.STABLE
    remedy_safety = Safety.SAFE
    needs = (Need.TRAINING, Need.VERDICT, Need.COUNTERS)
    parameters = RoomParameters

    def check(self, analysis: Analysis, params: RoomParameters) -> Iterator[Finding]:
        """Yield one finding where AUTOTUNE is off and training waits for what it would have done."""
        train = analysis.train
        if train is None or not is_input_bound(analysis) or not is_autotune_off(train):
            return
        missing = _find_missing(analysis, train, params)
        if missing.cost >= params.min_share and missing.cost > 0:
            yield self._report_pipeline(analysis, train, missing, params)

    def _report_pipeline(self, analysis: Analysis, train: PipelineView, missing: Missing, params: RoomParameters) -> Finding:
        view = _options_stage(train) or last_executed(train)
        confidence = [find_confidence(analysis, train, item, find_room(analysis, train, item, params)) for item in missing.maps]
        message = (
            f"{'The pipeline' if view is None else name_stage(view)} runs with AUTOTUNE switched off: "
            f"{_describe(missing)}. {say_wait(analysis)}. Leave options.autotune.enabled on."
        )
        return self.report(
            message,
            severity=grade(missing.cost),
            confidence=weakest(Confidence.MEDIUM, *confidence, analysis.verdict.confidence),
            pipeline=train,
            view=view,
            evidence=(
                Evidence(name=COST_SHARE, value=missing.cost, unit="share", threshold=params.min_share, n=analysis.steps.count),
                Evidence(name="sequential_maps", value=len(missing.maps), unit="maps"),
                Evidence(name="sequential_s_per_step", value=sum(map(busy_of, missing.maps)), unit="s"),
                Evidence(name="own_thread_s_per_step", value=own_thread_s(train), unit="s"),
            ),
        )


def _find_missing(analysis: Analysis, train: PipelineView, params: RoomParameters) -> Missing:
    """Return what AUTOTUNE would have done, and what that would save."""
    gap_s, own_s = train.gap_s or 0.0, own_thread_s(train)
    rooms = {view.id: find_room(analysis, train, view, params).calls for view in train.stages if would_be_parallel(view)}
    maps = tuple(view for view in train.stages if rooms.get(view.id, 1.0) > 1)
    overlaps = own_s > 0 and has_free_core(analysis, train, params.busy_cores)
    before_s = max(gap_s + own_s, slowest_other_s(analysis, train))
    after_s = max([gap_s, *(busy_of(view) / rooms[view.id] for view in maps)])
    for segment in train.segments:
        parallel_s = sum(busy_of(view) for view in maps if view.id in segment.stage_ids)
        added_s = gap_s if segment.index == CONSUMER_SEGMENT and not overlaps else 0.0
        after_s = max(after_s, segment_s(analysis, train, segment) - parallel_s + added_s)
    return Missing(maps=maps, overlaps=overlaps, cost=share_between(analysis, train, before_s, after_s))


def _describe(missing: Missing) -> str:
    parts = []
    if missing.maps:
        busiest = max(missing.maps, key=busy_of)
        parts.append(f"{name_stage(busiest)} stays sequential, {units.duration(busy_of(busiest))} for each step")
    if missing.overlaps:
        parts.append("no prefetch overlaps making a batch with using it")
    return ", and ".join(parts) or "nothing is done ahead"


def _options_stage(train: PipelineView) -> StageView | None:
    """Return the last stage that sets options: nearest to where AUTOTUNE was switched off."""
    own = [view for view in train.stages if view.written is not None and view.stage.op == "with_options"]
    return own[-1] if own else None
