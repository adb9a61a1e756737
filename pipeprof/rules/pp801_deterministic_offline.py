"""PP801: the same expensive work is done again in every epoch, and its result does not fit into memory.

The one idea: what PP401 would cache in memory can be written to files once. It speaks only where a cache in memory cannot save
nearly as much, and where reading the result takes less time than making it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeprof import units
from pipeprof.analysis.stage_graph import elements_per_step
from pipeprof.model.analysis import Analysis, PipelineView
from pipeprof.model.diagnosis import Confidence, Evidence, Finding, Safety
from pipeprof.rules.base import COST_SHARE, Parameters, Rule, Status, grade, name_stage, parameter, say_wait, weakest
from pipeprof.rules.cache_point import count_passes
from pipeprof.rules.cache_weight import CacheablePrefixParameters, CachePoint, find_best, find_points, free_bytes, smallest_near
from pipeprof.rules.cost import is_input_bound
from pipeprof.rules.needs import Need


@dataclass(frozen=True, kw_only=True, slots=True)
class DeterministicOfflineParameters(Parameters):
    """Thresholds of PP801."""

    min_share: float = parameter(0.10, unit="share of the step", low=0, high=1, doc="work done once must save this much")
    beyond_cache: float = parameter(
        2.0, unit="times", low=1, high=100, doc="as much as the best cache in memory would save, at least"
    )
    bytes_per_s: float = parameter(3e8, unit="bytes/s", low=1e6, high=1e11, doc="at which the result can be read from disk")


class DeterministicOffline(Rule[DeterministicOfflineParameters]):
    """Deterministic, offline.

    What it looks for:
        A first part of the training pipeline that gives the same elements in
        every epoch and costs a good part of each step, and whose result is too
        large for memory.

    Why it costs time:
        Decoding, resizing and the like are paid again in every epoch and every
        run, although the result never changes.

    How it is measured:
        As for cacheable-prefix, for places whose result does not fit. The
        bytes that one step would read instead, at a rate that a disk gives,
        must take less time than the work. Of places that save nearly the
        same, the smallest is taken.

    When it is wrong:
        Where storage is slower than assumed, or lacks the space. In a run that
        reads its data once, and never again.

    What to do:
        Do that work once and write the result to TFRecord files or with
        dataset.save; train from those.

    What that can change:
        The files must be made again when the preprocessing changes. Lossy
        formats change the data.

    References:
        PRESTO (SIGMOD 2022), on where to cut a preprocessing pipeline: the last
        step is often not the best place, since the output grows.
    """

    code = "PP801"
    name = "deterministic-offline"
    status = Status.STABLE
    remedy_safety = Safety.CHANGES_DATA
    needs = (Need.TRAINING, Need.VERDICT, Need.COUNTERS, Need.MEMORY)
    cures_upstream = True
    rivals = ("PP401",)
    parameters = DeterministicOfflineParameters

    def check(self, analysis: Analysis, params: DeterministicOfflineParameters) -> Iterator[Finding]:
        """Yield one finding for the best place to write the result, where memory cannot hold it."""
        train = analysis.train
        if train is None or not is_input_bound(analysis):
            return
        caching = CacheablePrefixParameters()
        points = find_points(analysis, train, caching)
        worth = [point for point in points if _reads_faster(train, point, params.bytes_per_s)]
        best = max((point.cost for point in worth), default=0.0)
        in_memory = find_best(analysis, points, caching)
        enough = max(params.min_share, params.beyond_cache * in_memory.cost if in_memory is not None else 0.0)
        if best >= enough and best > 0:
            point = smallest_near(worth, caching.near_best)
            if point.stored_bytes > caching.max_of_free * free_bytes(analysis):
                yield self._report_point(analysis, train, point)

    def _report_point(self, analysis: Analysis, train: PipelineView, point: CachePoint) -> Finding:
        passes = count_passes(train, point.view)
        own = Confidence.LOW if point.assumptions else Confidence.MEDIUM
        assumed = f", assuming that {' and '.join(point.assumptions)}" if point.assumptions else ""
        return self.report(
            f"Everything up to {name_stage(point.view)} gives the same elements in every epoch{assumed}, "
            f"{units.duration(point.busy_s)} of work for each {units.duration(train.step_s)} step. The result takes "
            f"{units.byte_count(point.stored_bytes)}, too much for a cache in the {units.byte_count(free_bytes(analysis))} "
            f"that are free. {say_wait(analysis)}. Do this work once, write the result to files, and train from those.",
            severity=grade(point.cost),
            confidence=weakest(own, analysis.verdict.confidence),
            pipeline=train,
            view=point.view,
            evidence=(
                Evidence(name=COST_SHARE, value=point.cost, unit="share", n=analysis.steps.count),
                Evidence(name="saved_s_per_step", value=point.busy_s, unit="s"),
                Evidence(name="stored_bytes", value=point.stored_bytes, unit="bytes"),
                Evidence(name="elements_per_epoch", value=point.stored.elements, unit="elements"),
                Evidence(name="passes", value=passes, unit="epochs"),
            ),
        )


def _reads_faster(train: PipelineView, point: CachePoint, bytes_per_s: float) -> bool:
    """Tell whether reading what one step takes from disk is faster than making it."""
    elements = elements_per_step(train, point.view)
    return elements is not None and elements * point.stored.element_bytes / bytes_per_s < point.busy_s
