"""PP407: a map does dear work before it first draws at random, so that the work could be kept, though the map could not.

The one idea: a cache may stand wherever all before it repeats exactly, also in the middle of a function: what hangs on the
arguments alone is followed through its graph, and what those ops cost was seen in a trace window. It writes no code.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeprof import units
from pipeprof.analysis.before_draws import share_before_draws
from pipeprof.analysis.stage_graph import elements_per_step, upstream
from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.diagnosis import Confidence, Evidence, Finding, Safety
from pipeprof.rules.base import COST_SHARE, Parameters, Rule, Status, grade, name_stage, parameter, say_wait, weakest
from pipeprof.rules.cache_point import count_passes, is_repeated, reads_everything
from pipeprof.rules.cost import busy_of, is_input_bound
from pipeprof.rules.freshness import Difference, judge_freshness
from pipeprof.rules.needs import Need
from pipeprof.rules.reordering import share_saved_by

_NAMED = 2  # ops in the message


@dataclass(frozen=True, kw_only=True, slots=True)
class CacheableInsideParameters(Parameters):
    """Thresholds of PP407."""

    min_share: float = parameter(0.1, unit="share of the step", low=0, high=1, doc="that the kept work must give back")


class CacheableInside(Rule[CacheableInsideParameters]):
    """Cacheable inside.

    What it looks for:
        A map that draws at random, most of whose work hangs on its arguments
        alone: it decodes or resizes first, and then crops, flips or adds noise.

    Why it costs time:
        The random part must be made anew in every epoch, and so everything in
        the same function is, the decoding too. Behind the map a cache would
        freeze the draws; there is no place for it before the dear part ends.

    How it is measured:
        The function's graph is followed from its arguments: ops that no random
        op, Python function or variable leads to repeat exactly. Their share of
        the map's time comes from a trace window. Work of ops whose type also
        occurs behind a draw is not counted.

    When it is wrong:
        Where what lies between the two parts is larger than memory: a decoded
        picture is ten times its file. Where the files are read once only.

    What to do:
        Split the function: what comes before the draws in a map of its own,
        cache() behind it, then shuffle() and a map with the rest.

    What that can change:
        The elements stay the same, and are still drawn anew in every epoch. A
        shuffle that stood before the map belongs behind the cache, or the cache
        would keep the first epoch's order.

    References:
        TensorFlow guide "Better performance with the tf.data API", on caching;
        Plumber (MLSys 2022), on the caching of what is random in part.
    """

    code = "PP407"
    name = "cacheable-inside"
    status = Status.STABLE
    remedy_safety = Safety.USES_MEMORY
    needs = (Need.TRAINING, Need.VERDICT, Need.COUNTERS)
    parameters = CacheableInsideParameters

    def check(self, analysis: Analysis, params: CacheableInsideParameters) -> Iterator[Finding]:
        """Yield a finding for each map that training waits for, and that could keep most of its work."""
        train = analysis.train
        if train is None or not is_input_bound(analysis):
            return
        for view in train.stages:
            kept = share_before_draws(view)
            if (
                kept == 0
                or not is_repeated(train, view)
                or not _repeats_before(train, view)
                or not reads_everything(train, view)
            ):
                continue
            cost = share_saved_by(analysis, train, {view.id: kept * busy_of(view)})
            if cost >= params.min_share and cost > 0:
                yield self._report_map(analysis, train, view, kept, cost)

    def _report_map(self, analysis: Analysis, train: PipelineView, view: StageView, kept: float, cost: float) -> Finding:
        size = _stored_bytes(train, view)
        memory = "how much memory that takes is not known" if size is None else f"it takes {units.byte_count(size)}"
        return self.report(
            f"{name_stage(view)} spends {units.percent(kept)} of its time on what it does before it first draws at random "
            f"({_name_ops(view)}), and does so again in every epoch: {units.duration(busy_of(view) * kept)} for each "
            f"{units.duration(train.step_s)} step. {say_wait(analysis)}. Split the function there, and put .cache() between "
            f"the two maps{_with_shuffle(train, view)}; {memory}.",
            severity=grade(cost),
            confidence=weakest(Confidence.MEDIUM, analysis.verdict.confidence),
            pipeline=train,
            view=view,
            evidence=(
                Evidence(name=COST_SHARE, value=cost, unit="share", n=analysis.steps.count),
                Evidence(name="kept_share", value=kept, unit="share"),
                Evidence(name="busy_s_per_step", value=busy_of(view), unit="s"),
                Evidence(name="cache_bytes", value=size, unit="bytes"),
                Evidence(name="passes", value=count_passes(train, view), unit="epochs"),
            ),
        )


def _differences_before(train: PipelineView, view: StageView) -> list[tuple[StageView, Difference]]:
    """Return the written stages before the map, source first, with what each changes from pass to pass."""
    before = [item for item in upstream(train, view.id) if item.id != view.id]
    return [(item, judge_freshness(item.written).change) for item in before if item.written is not None]


def _repeats_before(train: PipelineView, view: StageView) -> bool:
    """Tell whether all before the map repeats, in whatever order."""
    return all(change in {Difference.NOTHING, Difference.ORDER} for _, change in _differences_before(train, view))


def _with_shuffle(train: PipelineView, view: StageView) -> str:
    moved = [item for item, change in _differences_before(train, view) if change is Difference.ORDER]
    return f", with {name_stage(moved[-1])} behind it" if moved else ""


def _stored_bytes(train: PipelineView, view: StageView) -> float | None:
    """Return what one pass over the data takes between the two parts, None where a size is not known."""
    function = view.written.function if view.written is not None else None
    visits, loop = elements_per_step(train, view), train.record.loop
    if function is None or function.drawn_from_bytes is None or not visits:
        return None
    return function.drawn_from_bytes * visits * loop.elements / max(1, loop.epoch_count)


def _name_ops(view: StageView) -> str:
    function = view.written.function if view.written is not None else None
    known = () if function is None else function.before_draws
    dearest = sorted((item for item in view.stage.ops if item.op in known), key=lambda item: -item.share)[:_NAMED]
    return ", ".join(f"{item.op} {item.where}" if item.where else item.op for item in dearest)
