"""PP603: a filter throws away much of what a dear map before it has made.

The one idea: how much a filter drops is counted, and whether it could stand before the map is read from the graphs: its
predicate must not read what the map makes. Where all of that is read the order is needed, and nothing is said.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from pipeprof import units
from pipeprof.analysis.stage_graph import elements_per_step
from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.diagnosis import Confidence, Evidence, Finding, Safety
from pipeprof.rules.base import COST_SHARE, Parameters, Rule, Status, grade, name_stage, parameter, say_wait, weakest
from pipeprof.rules.cost import busy_of, is_input_bound
from pipeprof.rules.needs import Need
from pipeprof.rules.reordering import input_of, share_saved_by, walk_back

_PASSED_BY = frozenset({"map", "prefetch", "shuffle", "repeat"})


@dataclass(frozen=True, kw_only=True, slots=True)
class FilterLateParameters(Parameters):
    """Thresholds of PP603."""

    min_share: float = parameter(0.05, unit="share of the step", low=0, high=1, doc="filtering earlier must save this much")
    min_dropped: float = parameter(0.1, unit="share of the elements", low=0.01, high=1, doc="a filter that drops fewer is left")


class _Reads(Enum):
    """What a predicate reads of what a map gives."""

    NOTHING_MADE = "only what the map hands on unchanged"
    SOME = "something that the map makes, though not all of it"
    NOT_KNOWN = "not known"


class FilterLate(Rule[FilterLateParameters]):
    """Filter late.

    What it looks for:
        A filter that drops a good part of its elements after a map that training
        waits for, with a predicate that does not read all that the map makes.

    Why it costs time:
        The map's work on the elements that are dropped is thrown away.

    How it is measured:
        Elements of the filter's input for each element that it lets through, as
        TensorFlow counted them, and the busy time of the maps before it. What
        the predicate reads is followed through the traced graphs.

    When it is wrong:
        Where the predicate reads something that the map makes, though not all
        of it, or where the graph does not tell, it says so at low confidence:
        then the order holds only if what the predicate needs can be made first,
        by a cheap map of its own.

    What to do:
        Put filter() before the dear map(); where the predicate needs a part of
        what the map makes, split the map: make that part, filter, do the rest.

    What that can change:
        Nothing in the elements. Random draws of a map fall on other elements, as
        they do in any two runs without a seed.

    References:
        TensorFlow guide "Better performance with the tf.data API"; Plumber,
        MLSys 2022, on visit ratios.
    """

    code = "PP603"
    name = "filter-late"
    status = Status.STABLE
    remedy_safety = Safety.CHANGES_DATA
    needs = (Need.TRAINING, Need.VERDICT, Need.COUNTERS)
    parameters = FilterLateParameters

    def check(self, analysis: Analysis, params: FilterLateParameters) -> Iterator[Finding]:
        """Yield a finding for each filter that drops much of what was dear to make."""
        train = analysis.train
        if train is None or not is_input_bound(analysis):
            return
        for view in train.stages:
            dropped = _dropped_share(train, view)
            if dropped is None or dropped < params.min_dropped:
                continue
            maps, reads = _maps_to_pass(train, view)
            cost = share_saved_by(analysis, train, {item.id: busy_of(item) * dropped for item in maps})
            if cost >= params.min_share and cost > 0:
                yield self._report_filter(analysis, train, view, maps, reads, dropped, cost)

    def _report_filter(
        self,
        analysis: Analysis,
        train: PipelineView,
        view: StageView,
        maps: list[StageView],
        reads: _Reads,
        dropped: float,
        cost: float,
    ) -> Finding:
        busy_s = sum(busy_of(item) for item in maps)
        dearest = max(maps, key=busy_of)
        sure = reads is _Reads.NOTHING_MADE
        return self.report(
            f"{name_stage(view)} drops {units.percent(dropped)} of what {name_stage(dearest)} makes, which takes "
            f"{units.duration(busy_s)} for each {units.duration(train.step_s)} step: that work is thrown away. "
            f"{say_wait(analysis)}. {_cure(reads)}",
            severity=grade(cost),
            confidence=analysis.verdict.confidence if sure else weakest(Confidence.LOW, analysis.verdict.confidence),
            pipeline=train,
            view=view,
            evidence=(
                Evidence(name=COST_SHARE, value=cost, unit="share", n=analysis.steps.count),
                Evidence(name="dropped", value=dropped, unit="share of the elements"),
                Evidence(name="busy_s_before", value=busy_s, unit="s"),
                Evidence(name="reads", value=reads.value),
            ),
        )


def _dropped_share(train: PipelineView, view: StageView) -> float | None:
    """Return the share of its input that a filter drops; None where the stage is none, or was not seen."""
    before = input_of(train, view)
    if view.stage.op != "filter" or not view.executed or before is None or view.visit_ratio is None:
        return None
    given = elements_per_step(train, before)
    return max(0.0, 1 - view.visit_ratio / given) if given else None


def _maps_to_pass(train: PipelineView, view: StageView) -> tuple[list[StageView], _Reads]:
    """Return the maps that the filter could stand before, nearest first, with what is known of what its predicate reads."""
    predicate = view.written.function if view.written is not None else None
    wanted = set(predicate.reads) if predicate is not None and predicate.reads is not None else None
    found: list[StageView] = []
    for item in walk_back(train, view, _PASSED_BY):
        if item.stage.op != "map":
            continue
        function = item.written.function if item.written is not None else None
        if wanted is None or function is None or not function.passes:
            return (found, _Reads.NOTHING_MADE) if found else ([item], _Reads.NOT_KNOWN)
        made = {index for index, source in enumerate(function.passes) if source < 0}
        if wanted & made:
            return (found, _Reads.NOTHING_MADE) if found or made <= wanted else ([item], _Reads.SOME)
        found.append(item)
        wanted = {function.passes[index] for index in wanted}
    return found, _Reads.NOTHING_MADE


def _cure(reads: _Reads) -> str:
    if reads is _Reads.NOTHING_MADE:
        return "Its predicate reads nothing that is made there: filter first."
    if reads is _Reads.SOME:
        return (
            "Its predicate reads something that is made there, though not all of it: where that can be made first by a cheap "
            "map, filter after that and do the rest behind the filter."
        )
    return "Filter first; that holds only if the predicate needs earlier fields only."
