"""PP204: num_parallel_calls is far above the threads that there are, and what the extra calls make lies in memory.

The one idea: calls of a map run on the threads of a pool; beyond those a larger number makes no call run at once, but keeps as
many more elements. Only the memory is judged: that fewer calls are faster would have to be measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeprof import units
from pipeprof.analysis.alignment import stem
from pipeprof.analysis.cores import pool_threads
from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.diagnosis import Confidence, Evidence, Finding, Safety, Severity
from pipeprof.rules.base import COST_SHARE, Rule, Status, name_stage, parameter, weakest
from pipeprof.rules.held import Held, HeldParameters, find_held, is_memory_short
from pipeprof.rules.needs import Need

_MAPS = frozenset({"ParallelMap", "MapAndBatch"})


@dataclass(frozen=True, kw_only=True, slots=True)
class OverParallelismParameters(HeldParameters):
    """Thresholds of PP204."""

    excess: float = parameter(4.0, unit="calls a thread", low=1, high=100, doc="a number of calls from here on is too large")


class OverParallelism(Rule[OverParallelismParameters]):
    """Over-parallelism.

    What it looks for:
        A map with a fixed num_parallel_calls several times as large as its
        pool has threads, whose finished elements take a notable part of the
        memory while the loop does not wait.

    Why it costs time:
        It costs memory: a map keeps up to num_parallel_calls elements, in work
        or finished. No more calls run at once than the pool has threads, one a
        core unless private_threadpool_size says otherwise.

    How it is measured:
        The fixed number against the threads of the pool, and TensorFlow's count
        of the bytes that lie ready behind the map. What as many elements as
        threads do not need is counted as held for nothing.

    When it is wrong:
        Where the calls take very different times and order is kept: a larger
        number bridges the slow ones. Where the input stalls seldom but long.

    What to do:
        num_parallel_calls=tf.data.AUTOTUNE, or about the number of threads.

    What that can change:
        Nothing in the elements.

    References:
        tf.data.Dataset.map; tf.data.ThreadingOptions.private_threadpool_size;
        TensorFlow guide "Better performance with the tf.data API", on reducing
        the memory footprint.
    """

    code = "PP204"
    name = "over-parallelism"
    status = Status.STABLE
    remedy_safety = Safety.CHANGES_DATA
    needs = (Need.TRAINING, Need.CONSUMER, Need.VERDICT, Need.COUNTERS, Need.MEMORY)
    parameters = OverParallelismParameters

    def check(self, analysis: Analysis, params: OverParallelismParameters) -> Iterator[Finding]:
        """Yield a finding for each map whose extra calls only hold memory."""
        train = analysis.train
        if train is None:
            return
        threads = pool_threads(analysis, train)
        for view in train.stages:
            calls = _fixed_calls(view)
            if calls is None or calls < params.excess * threads:
                continue
            held = find_held(analysis, train, view, _needed(view, threads), params)
            if held is not None:
                yield self._report_map(analysis, train, view, held, (calls, threads), params)

    def _report_map(
        self,
        analysis: Analysis,
        train: PipelineView,
        view: StageView,
        held: Held,
        numbers: tuple[float, int],
        params: OverParallelismParameters,
    ) -> Finding:
        calls, threads = numbers
        message = (
            f"{name_stage(view)} asks for {calls:.0f} calls at once where {units.count_of(threads, 'thread')} can run them; "
            f"the others only hold memory: {held.elements:.0f} elements lie ready, {units.byte_count(held.bytes)} or "
            f"{units.percent(held.bytes / held.memory_bytes)} of it, and training does not wait. Let TensorFlow choose: "
            f"num_parallel_calls=tf.data.AUTOTUNE."
        )
        return self.report(
            message,
            severity=Severity.MEDIUM if is_memory_short(analysis, params) else Severity.LOW,
            confidence=weakest(Confidence.MEDIUM, analysis.verdict.confidence),
            pipeline=train,
            view=view,
            evidence=(
                Evidence(name=COST_SHARE, value=0.0, unit="share", n=analysis.steps.count),
                Evidence(name="calls_asked_for", value=calls, unit="calls", threshold=params.excess * threads),
                Evidence(name="pool_threads", value=threads, unit="threads"),
                Evidence(name="spare_memory_share", value=held.share, unit="share", threshold=params.min_memory),
            ),
        )


def _fixed_calls(view: StageView) -> float | None:
    """Return the fixed number of calls of a map that runs in parallel."""
    node = view.executed[0] if view.executed else None
    if node is None or view.stage.op != "map" or stem(node.node) not in _MAPS or node.parallelism_tuned:
        return None
    return node.parallelism


def _needed(view: StageView, threads: int) -> float:
    """Return the elements that lie ready where each thread has made one; two batches where map and batch are one node."""
    node = view.executed[0]
    return float(threads) if stem(node.node) == "ParallelMap" else max(2.0, threads / (node.known_ratio or 1.0))
