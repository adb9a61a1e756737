"""What the edges between epochs cost, and what they are made of; shared by the rules that speak of them.

The one idea: of an edge, making and taking down the iterator is one cause, and filling what stands before the first element
another. The larger of the two decides which rule speaks.
"""

from __future__ import annotations

from pipeprof.model.analysis import PipelineView
from pipeprof.model.diagnosis import Steps

_MANY = 5  # epochs
_FEWEST_EDGES = 2  # the first one often costs the most, once: up to 2.4 s to take an iterator down


def share_of_edges(steps: Steps, train: PipelineView) -> float:
    """Return the share of the loop that its usual edge costs, 0 where too few were seen to know what is usual."""
    wall_s = sum(item.wait_s + item.gap_s for item in train.record.loop.bins)
    edges = steps.epochs - 1
    if steps.edge_s is None or edges < _FEWEST_EDGES or wall_s <= 0:
        return 0.0
    later = train.record.loop.epochs[1:]
    all_s = sum(item.creation_s + item.teardown_s + item.first_wait_s for item in later) if len(later) == edges else wall_s
    return min(steps.edge_s * edges, all_s, wall_s) / wall_s  # of few edges the median can be above the mean


def is_rebuilding(steps: Steps) -> bool:
    """Tell whether making and taking down iterators is the larger part of the usual edge, of many."""
    return steps.epochs >= _MANY and (steps.teardown_s or 0.0) + (steps.creation_s or 0.0) > (steps.epoch_first_wait_s or 0.0)
