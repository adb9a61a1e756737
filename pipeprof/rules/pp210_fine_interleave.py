"""PP210: a parallel interleave hands over elements that take less time to read than to hand over.

The one idea: each element of a parallel interleave goes from one thread to another; one reader alone hands on without that.
Where reading all of them on one thread would take much less than the step does, what hands over should be batches.
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
from pipeprof.rules.cost import busy_of, busy_of_others, is_input_bound, share_between
from pipeprof.rules.needs import Need
from pipeprof.rules.overlap import boundary_s
from pipeprof.rules.python_work import runs_python

_PARALLEL = frozenset({"ParallelInterleave", "LegacyParallelInterleave"})


@dataclass(frozen=True, kw_only=True, slots=True)
class FineInterleaveParameters(Parameters):
    """Thresholds of PP210."""

    min_share: float = parameter(0.2, unit="share of the step", low=0.01, high=1, doc="one reader must be faster by this much")
    max_element_s: float = parameter(100e-6, unit="s", low=1e-6, high=0.01, doc="more is no hand-over")
    read_s: float = parameter(1e-6, unit="s", low=1e-8, high=1e-3, doc="of one element on one thread, beside its own work")
    min_elements: float = parameter(64.0, unit="elements per step", low=2, high=1e6, doc="fewer do not matter")


class FineInterleave(Rule[FineInterleaveParameters]):
    """Fine interleave.

    What it looks for:
        An interleave with parallel calls, or a reader with num_parallel_reads,
        that hands over many small elements for each step, in a loop whose step
        is much longer than one thread would take to read them all.

    Why it costs time:
        A parallel interleave takes a lock and often wakes a thread for each
        element. With records of 150 bytes it took 8.5 microseconds each, and 15
        to 20 with AUTOTUNE, where a single reader took 0.8 and an interleave of
        batches 0.5.

    How it is measured:
        What is done inside the interleave, by TensorFlow's counters, plus one
        microsecond for each element, and with it the time of all other stages:
        a generous bound of what one thread would need. The cost is the part of
        the wait by which the step is longer.

    When it is wrong:
        Where the step is longer for a reason outside the pipeline: other
        programs, storage that stalls.

    What to do:
        Batch inside: interleave(lambda path: TFRecordDataset(path).batch(1000),
        ...), and behind it rebatch(n), or unbatch() where elements are shuffled.
        Less helps block_length=64.

    What that can change:
        The order: elements of one file come in blocks. A file's last batch is
        smaller, which rebatch evens out.

    References:
        tf.data.Dataset.interleave; TensorFlow guide "Better performance with
        the tf.data API", on vectorizing.
    """

    code = "PP210"
    name = "fine-interleave"
    status = Status.PREVIEW
    remedy_safety = Safety.REORDERS
    needs = (Need.TRAINING, Need.CONSUMER, Need.VERDICT, Need.COUNTERS)
    rivals = ("PP205",)
    parameters = FineInterleaveParameters

    def check(self, analysis: Analysis, params: FineInterleaveParameters) -> Iterator[Finding]:
        """Yield a finding for each parallel interleave of small elements."""
        train = analysis.train
        if train is None or not is_input_bound(analysis) or not train.step_s:
            return
        for view in train.stages:
            visits = elements_per_step(train, view) or 0.0
            if not _is_parallel_interleave(view) or visits < params.min_elements or runs_python(view):
                continue
            alone_s = _on_one_thread(train, view, visits, params) + boundary_s(train)
            explained_s = max(train.gap_s or 0.0, alone_s)
            cost = share_between(analysis, train, train.step_s, explained_s)
            if cost >= params.min_share and train.step_s - explained_s <= params.max_element_s * visits:
                yield self._report_stage(analysis, train, view, (visits, alone_s), cost, params)

    def _report_stage(
        self,
        analysis: Analysis,
        train: PipelineView,
        view: StageView,
        numbers: tuple[float, float],
        cost: float,
        params: FineInterleaveParameters,
    ) -> Finding:
        visits, alone_s = numbers
        message = (
            f"{name_stage(view)} hands {visits:,.0f} small elements of a step from thread to thread, which costs more than "
            f"reading them: one thread would take at most {units.duration(alone_s)} of each {units.duration(train.step_s)}. "
            f"{say_wait(analysis)}. Batch inside it, so that it hands over batches."
        )
        return self.report(
            message,
            severity=grade(cost),
            confidence=weakest(Confidence.MEDIUM, analysis.verdict.confidence),
            pipeline=train,
            view=view,
            evidence=(
                Evidence(name=COST_SHARE, value=cost, unit="share", threshold=params.min_share, n=analysis.steps.count),
                Evidence(name="elements_per_step", value=visits, unit="elements", threshold=params.min_elements),
                Evidence(name="one_thread_s_per_step", value=alone_s, unit="s"),
            ),
        )


def _is_parallel_interleave(view: StageView) -> bool:
    node = view.executed[0] if view.executed and view.written is not None else None
    return node is not None and stem(node.node) in _PARALLEL


def _on_one_thread(train: PipelineView, view: StageView, visits: float, params: FineInterleaveParameters) -> float:
    """Return a bound of what the work inside and all other stages would take for one step on one thread."""
    whole = sum(node.busy_s for node in view.executed)
    inside = sum(node.busy_s for node in view.executed[1:]) / whole if whole > 0 else 1.0
    return busy_of_others(train, view) + busy_of(view) * inside + visits * params.read_s
