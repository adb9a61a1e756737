"""PP206: finished elements wait behind a slow one, because their order is kept.

The one idea: where training waits although the stages are fast enough on average, and a parallel stage has finished elements
lying ready all the while, what is waited for is the one element whose turn it is. A map fused with its batch is left alone,
since TensorFlow fills the batch in any order already, and so is an interleave, whose buffers fill in any case.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeprof import units
from pipeprof.analysis.alignment import stem
from pipeprof.analysis.stage_graph import elements_per_step
from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.diagnosis import Confidence, Evidence, Finding, Safety
from pipeprof.rules.base import COST_SHARE, Parameters, Rule, Status, grade, name_stage, parameter, say_wait, weakest
from pipeprof.rules.cost import CONSUMER_SEGMENT, busy_of, effective_slots, is_input_bound, segment_of, segment_s, share_between
from pipeprof.rules.needs import Need
from pipeprof.rules.overlap import boundary_s, has_free_core, held_behind, own_thread_s, slowest_other_s

_SAMPLED = 0.1  # of the time: how far the samples of a buffer may be off


@dataclass(frozen=True, kw_only=True, slots=True)
class StragglersParameters(Parameters):
    """Thresholds of PP206."""

    min_share: float = parameter(0.2, unit="share of the step", low=0.05, high=1, doc="that no stage's average time explains")
    min_ready: float = parameter(
        0.25, unit="elements a call", low=0.05, high=1, doc="that lie finished behind the slow one, on average"
    )
    busy_cores: float = parameter(
        0.85, unit="share of the cores", low=0.1, high=1, doc="a program that uses this much has no idle workers"
    )
    hand_over_s: float = parameter(
        100e-6, unit="s an element", low=1e-6, high=0.01, doc="less than this may be the cost of handing elements over"
    )


class OrderedStragglers(Rule[StragglersParameters]):
    """Ordered stragglers.

    What it looks for:
        A parallel map that keeps the order, in front of which training waits
        while finished elements lie ready, whose average time would be short
        enough, and beside which a core is free.

    Why it costs time:
        Elements take different times. The stage hands over in order, so that
        all others wait for a slow one; with as many finished as there are
        calls, no new call begins and the workers are idle.

    How it is measured:
        The step against the slowest stage by its average time: what is longer
        is not explained by work. The elements that lie finished in the stage's
        buffer, on average over the samples: next to none where a stage is just
        slow, most of its calls where they wait for one.

    When it is wrong:
        Where something outside the pipeline stops it now and then: other
        programs, storage that stalls. It is silent where the buffer behind it held
        elements more often than the loop did not wait. A larger
        num_parallel_calls may help as well and keeps the order.

    What to do:
        options.deterministic = False, or deterministic=False in this call.

    What that can change:
        The order of the elements, and it differs from run to run. The elements
        of an epoch stay the same.

    References:
        tf.data.Options.deterministic; tf.data.Dataset.map.
    """

    code = "PP206"
    name = "ordered-stragglers"
    status = Status.STABLE
    remedy_safety = Safety.REORDERS
    needs = (Need.TRAINING, Need.CONSUMER, Need.VERDICT, Need.COUNTERS)
    parameters = StragglersParameters

    def check(self, analysis: Analysis, params: StragglersParameters) -> Iterator[Finding]:
        """Yield a finding for the ordered stage in which most elements lie finished while training waits."""
        train = analysis.train
        if train is None or not is_input_bound(analysis):
            return
        cost, hidden_s = _unexplained(analysis, train)
        if cost < params.min_share or not has_free_core(analysis, train, params.busy_cores):
            return
        held = [
            view
            for view in train.stages
            if _ready_share(train, view) >= params.min_ready and not _is_held_up(analysis, train, view)
        ]
        view = max(held, key=busy_of, default=None)
        if view is None or held_behind(train, view) > 1.0 - (analysis.steps.wait_share or 0.0) + _SAMPLED:
            return  # ready more often than the loop does not wait: what it waits for is not made here
        if hidden_s > params.hand_over_s * (elements_per_step(train, view) or 1.0):
            yield self._report_stage(analysis, train, view, cost, params)

    def _report_stage(
        self, analysis: Analysis, train: PipelineView, view: StageView, cost: float, params: StragglersParameters
    ) -> Finding:
        node, segment = view.executed[0], segment_of(train, view)
        slots = 1.0 if segment is None else effective_slots(analysis, train, segment)
        message = (
            f"{name_stage(view)} keeps the order, and on average {units.significant(node.buffered_elements or 0.0)} finished "
            f"elements lie behind a slow one: its {node.parallelism:.0f} calls at once would need "
            f"{units.duration(busy_of(view) / slots)} for each {units.duration(train.step_s)} step. {say_wait(analysis)}. "
            f"Where the order does not matter: deterministic=False."
        )
        return self.report(
            message,
            severity=grade(cost),
            confidence=weakest(Confidence.MEDIUM, analysis.verdict.confidence),
            pipeline=train,
            view=view,
            evidence=(
                Evidence(name=COST_SHARE, value=cost, unit="share", threshold=params.min_share, n=analysis.steps.count),
                Evidence(name="ready_elements", value=node.buffered_elements, unit="elements", n=node.snapshots),
                Evidence(name="calls_at_once", value=node.parallelism, unit="calls"),
                Evidence(name="busy_s_per_step", value=busy_of(view), unit="s"),
            ),
        )


def _unexplained(analysis: Analysis, train: PipelineView) -> tuple[float, float]:
    """Return what of the step no stage's average time explains, as a share and in seconds; epoch boundaries are taken off."""
    step_s, gap_s = train.step_s, train.gap_s
    if not step_s or gap_s is None:
        return 0.0, 0.0
    explained_s = max(gap_s + own_thread_s(train), slowest_other_s(analysis, train)) + boundary_s(train)
    return share_between(analysis, train, step_s, explained_s), step_s - explained_s


def _ready_share(train: PipelineView, view: StageView) -> float:
    """Return the finished elements in an ordered stage's buffer for each of its calls: 0 for any other stage."""
    node = view.executed[0] if view.executed and view.written is not None else None
    if node is None or stem(node.node) != "ParallelMap" or (node.parallelism or 1.0) <= 1 or _is_unordered(train, view):
        return 0.0
    return (node.buffered_elements or 0.0) / (node.parallelism or 1.0)


def _is_held_up(analysis: Analysis, train: PipelineView, view: StageView) -> bool:
    """Tell whether a slower stage with calls of its own stands behind: then that is why finished elements lie there."""
    own = segment_of(train, view)
    if own is None:
        return False
    behind = {item.id for item in train.stages[train.stages.index(view) + 1 :]}
    later = [
        item for item in train.segments if item is not own and item.index != CONSUMER_SEGMENT and behind & set(item.stage_ids)
    ]
    return any(segment_s(analysis, train, item) > segment_s(analysis, train, own) for item in later)


def _is_unordered(train: PipelineView, view: StageView) -> bool:
    own = None if view.written is None else view.written.arguments.get("deterministic")
    if own in {"true", "false", True, False}:
        return own in {"false", False}
    return train.record.deterministic is False
