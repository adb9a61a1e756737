"""PP604: elements are made at a cost and then left out by position: skip or shard after dear stages.

The one idea: what skip() and shard() leave out is known before it is made. A shard pays at every step, a skip at the start of
every pass. A take() is no such thing: it ends the pass, and nothing beyond it is made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeprof import units
from pipeprof.analysis.stage_graph import downstream, elements_per_step
from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.diagnosis import Confidence, Evidence, Finding, Safety
from pipeprof.rules.base import COST_SHARE, Parameters, Rule, Status, grade, name_stage, parameter, say_wait, weakest
from pipeprof.rules.cost import busy_of, is_input_bound
from pipeprof.rules.freshness import repeats
from pipeprof.rules.needs import Need
from pipeprof.rules.reordering import input_of, seconds_to_make, share_saved_by, walk_back

_PASSED_BY = frozenset({"map", "prefetch", "batch"})


@dataclass(frozen=True, kw_only=True, slots=True)
class SkipLateParameters(Parameters):
    """Thresholds of PP604."""

    min_share: float = parameter(0.05, unit="share of the loop", low=0, high=1, doc="leaving out earlier must save this much")


class SkipLate(Rule[SkipLateParameters]):
    """Skip late.

    What it looks for:
        A skip() or shard() behind maps and batches that are dear to make.

    Why it costs time:
        TensorFlow makes every element and then throws it away. A shard of four
        makes four elements for each that is used; a skip of 838 batches of 48
        was ten epochs of work before the first step of a validation.

    How it is measured:
        Of a shard, the busy time of the stages before it times the share that
        it leaves out. Of a skip, the elements that it leaves out times the time
        that one takes, but no more than the wait for the first element of each
        epoch, as a share of the whole loop, its first epoch included.

    When it is wrong:
        Where the position matters after a stage that drops or mixes elements: a
        walk back from the skip ends at a filter, a shuffle or a cache, and what
        lies before those is not counted.

    What to do:
        Put skip() or shard() right behind the source, before map() and batch();
        count elements there instead of batches.

    What that can change:
        Of a skip nothing. A shard that moves before a batch deals out elements
        where it dealt out batches.

    References:
        tf.data.Dataset.shard: "shard before you use any randomizing operator";
        tensorflow/tensorflow issue 28831.
    """

    code = "PP604"
    name = "skip-late"
    status = Status.STABLE
    remedy_safety = Safety.CHANGES_DATA
    needs = (Need.TRAINING, Need.COUNTERS)
    parameters = SkipLateParameters

    def check(self, analysis: Analysis, params: SkipLateParameters) -> Iterator[Finding]:
        """Yield a finding for each stage that leaves out what was dear to make."""
        train = analysis.train
        if train is None:
            return
        for view in train.stages:
            before = list(walk_back(train, view, _PASSED_BY))
            if not view.executed or not any(busy_of(item) for item in before):
                continue
            made = self._judge_shard(analysis, train, view, before) if view.stage.op == "shard" else None
            made = self._judge_skip(analysis, train, view, before) if view.stage.op == "skip" else made
            if made is not None and made.cost >= params.min_share and made.cost > 0:
                yield self._report_stage(analysis, train, view, made)

    def _judge_shard(self, analysis: Analysis, train: PipelineView, view: StageView, before: list[StageView]) -> _Judged | None:
        count = _argument(view, "num_shards")
        if count is None or count <= 1 or not is_input_bound(analysis):
            return None
        lost = 1 - 1 / count
        dearest = max(before, key=busy_of)
        cost = share_saved_by(analysis, train, {item.id: busy_of(item) * lost for item in before})
        busy_s = sum(busy_of(item) for item in before)
        text = (
            f"{name_stage(view)} throws away {units.percent(lost)} of what {name_stage(dearest)} makes, which takes "
            f"{units.duration(busy_s)} for each {units.duration(train.step_s)} step. {say_wait(analysis)}. Shard before it."
        )
        return _Judged(cost, text, lost, busy_s * lost, analysis.verdict.confidence)

    def _judge_skip(self, analysis: Analysis, train: PipelineView, view: StageView, before: list[StageView]) -> _Judged | None:
        count, source, loop = _argument(view, "count"), input_of(train, view), train.record.loop
        if count is None or count <= 0 or source is None or not loop.wall_s:
            return None
        dearest = max(before, key=busy_of)
        pass_s = count * seconds_to_make(analysis, train, before, source)
        passes, waited_s = _passes(train, view)
        lost_s = min(pass_s * passes, waited_s)
        what = units.count_of(count, "batch", "batches") if source.stage.op == "batch" else units.count_of(count, "element")
        text = (
            f"{name_stage(view)} throws away {what} that {name_stage(dearest)} has made, about "
            f"{units.duration(pass_s)} of waiting {_where(passes)}. {_cure(train, source, count, before)}."
        )
        return _Judged(
            lost_s / loop.wall_s, text, float(count), pass_s, weakest(Confidence.MEDIUM, analysis.verdict.confidence)
        )

    def _report_stage(self, analysis: Analysis, train: PipelineView, view: StageView, made: _Judged) -> Finding:
        return self.report(
            made.text,
            severity=grade(made.cost),
            confidence=made.confidence,
            pipeline=train,
            view=view,
            evidence=(
                Evidence(name=COST_SHARE, value=made.cost, unit="share", n=analysis.steps.count),
                Evidence(name="left_out", value=made.left_out, unit="share" if view.stage.op == "shard" else "elements"),
                Evidence(name="lost_s", value=made.lost_s, unit="s a step" if view.stage.op == "shard" else "s a pass"),
            ),
        )


@dataclass(frozen=True, slots=True)
class _Judged:
    """What one stage throws away."""

    cost: float
    text: str
    left_out: float
    lost_s: float
    confidence: Confidence


def _argument(view: StageView, name: str) -> int | None:
    value = view.written.arguments.get(name) if view.written is not None else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _passes(train: PipelineView, view: StageView) -> tuple[int, float]:
    """Return how often the elements were skipped, and the waiting that this can explain at most."""
    loop = train.record.loop
    if any(item.written is not None and repeats(item.written) for item in downstream(train, view.id)):
        return max(1, view.executed[0].incarnations), loop.wait_s
    first_s = sum(epoch.first_wait_s for epoch in loop.epochs)
    return max(1, loop.epoch_count), first_s if loop.epochs else (loop.first_batch_s or 0.0) + loop.boundary_wait_s


def _where(passes: int) -> str:
    return "before the first step" if passes == 1 else f"at the start of each of {passes} passes"


def _cure(train: PipelineView, source: StageView, count: int, before: list[StageView]) -> str:
    """Say where to skip, and how many there."""
    batched, first = elements_per_step(train, source), before[-1]
    given = elements_per_step(train, first)
    if not any(item.stage.op == "batch" for item in before) or not batched or not given:
        return "Skip before it"
    return f"Skip before it, {round(count * given / batched)} elements there"
