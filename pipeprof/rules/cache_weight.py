"""What a cache would save at each place of a pipeline, and what it would take: the places weighed against each other.

The one idea: of the places where everything repeats exactly and fits into memory, the one that saves the most. Rules on work
that a cache would spare ask here first, so that one cause gives one finding. It reports nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeprof.analysis.stage_graph import changed_state, upstream
from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.rules.base import Parameters, parameter
from pipeprof.rules.cache_point import (
    StoredSize,
    find_assumptions,
    find_cached,
    find_disproved,
    find_suspects,
    is_built_anew,
    is_repeated,
    measure_stored,
    reads_everything,
)
from pipeprof.rules.cost import busy_of, share_saved_without
from pipeprof.rules.memory_room import memory_limit


@dataclass(frozen=True, kw_only=True, slots=True)
class CacheablePrefixParameters(Parameters):
    """Thresholds of PP401."""

    min_share: float = parameter(0.05, unit="share of the step", low=0, high=1, doc="the cache must save this much")
    max_of_free: float = parameter(0.5, unit="share of free memory", low=0.01, high=1, doc="the cache may take this much")
    near_best: float = parameter(
        0.95, unit="share of the best", low=0.1, high=1, doc="of points that save as much wait and work, the smallest is taken"
    )
    tensor_overhead_bytes: float = parameter(
        185.0, unit="bytes", low=0, high=10_000, doc="TensorFlow's own memory for each cached tensor"
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class CachePoint:
    """One place for a cache, with what it stores and what it saves."""

    view: StageView
    stored: StoredSize
    stored_bytes: float
    cost: float  # share of the step
    busy_s: float  # saved per step
    assumptions: tuple[str, ...]
    is_anew: bool  # each epoch reads an object of its own


def find_points(analysis: Analysis, train: PipelineView, params: CacheablePrefixParameters) -> tuple[CachePoint, ...]:
    """Return all places at which a cache would keep what repeats, whether it fits or not."""
    suspects = find_suspects(train, find_disproved(analysis, train))
    found = (_weigh(analysis, train, view, suspects, params) for view in train.stages)
    return tuple(point for point in found if point is not None)


def find_best(analysis: Analysis, points: Sequence[CachePoint], params: CacheablePrefixParameters) -> CachePoint | None:
    """Return the best of the places that fit into memory, None where none saves enough."""
    fitting = [point for point in points if point.stored_bytes <= params.max_of_free * free_bytes(analysis)]
    best = max((point.cost for point in fitting), default=0.0)
    if best < params.min_share or best <= 0:
        return None
    return smallest_near(fitting, params.near_best)


def find_withheld(
    analysis: Analysis, train: PipelineView, params: CacheablePrefixParameters
) -> tuple[CachePoint, StageView] | None:
    """Return the place that a cache would have if nothing that the program changes were read before it, and what reads it."""
    if not changed_state(train.stages):
        return None
    steady = replace(train, stages=tuple(_forget_changes(view) for view in train.stages))
    best = find_best(analysis, find_points(analysis, steady, params), params)
    if best is None:
        return None
    reader = next((view for view in upstream(train, best.view.id) if changed_state([view])), None)
    return None if reader is None else (best, reader)


def smallest_near(points: Sequence[CachePoint], share: float) -> CachePoint:
    """Return the smallest of the places that save this share of the most, of the wait and of the work.

    A stage behind the place may be in nobody's way as the pipeline is, and be the next limit once the others are gone.
    """
    most_s = max(point.busy_s for point in points)
    least = share * max(point.cost for point in points)
    near = [point for point in points if point.cost >= least and point.busy_s >= share * most_s]
    return min(
        near or [point for point in points if point.cost >= least], key=lambda point: (point.is_anew, point.stored_bytes)
    )


def is_served_by_cache(analysis: Analysis, train: PipelineView, view: StageView) -> bool:
    """Tell whether a cache that PP401 advises would spare the stage's work from the second epoch on."""
    params = CacheablePrefixParameters()
    best = find_best(analysis, find_points(analysis, train, params), params)
    return best is not None and view.id in {item.id for item in upstream(train, best.view.id)}


def free_bytes(analysis: Analysis) -> float:
    """Return the memory that was free at the peak of the run."""
    return max(0.0, (memory_limit(analysis) or 0.0) - (analysis.resources.rss_peak_bytes or 0))


def _weigh(
    analysis: Analysis,
    train: PipelineView,
    view: StageView,
    suspects: frozenset[str],
    params: CacheablePrefixParameters,
) -> CachePoint | None:
    assumptions = find_assumptions(train, view, suspects)
    comes_again = is_repeated(train, view) or is_built_anew(train, view)
    if assumptions is None or not comes_again or not reads_everything(train, view):
        return None
    stored = measure_stored(train, view)
    if stored is None or view.written is None:
        return None
    removed = {item.id for item in upstream(train, view.id)} - find_cached(train, view)
    return CachePoint(
        view=view,
        stored=stored,
        stored_bytes=stored.total_bytes(view.written.element_tensors or 1, params.tensor_overhead_bytes),
        cost=share_saved_without(analysis, train, removed),
        busy_s=sum(busy_of(item) for item in train.stages if item.id in removed),
        assumptions=assumptions,
        is_anew=is_built_anew(train, view),
    )


def _forget_changes(view: StageView) -> StageView:
    return view if view.written is None else replace(view, written=replace(view.written, changed_state=""))
