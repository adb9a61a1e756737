"""What a cache that a change adds would hold, measured on a few elements, and whether there is room for it.

The one idea: the bytes of what the cache reads, times the elements of an epoch. The growth of the process does not tell it:
TensorFlow keeps what an earlier replay had taken, and a cache that moves in there seems to take nothing.
"""

from __future__ import annotations

import time

from pipeprof.advise import graph as graphs
from pipeprof.advise.changes.cache import elements_per_epoch
from pipeprof.advise.replayable import Replayable, tensor_bytes
from pipeprof.advise.steadiness import cut_at
from pipeprof.errors import TrialError
from pipeprof.model.analysis import Analysis, PipelineView
from pipeprof.rules.cache_weight import CacheablePrefixParameters, free_bytes
from pipeprof.rules.memory_room import TENSOR_OVERHEAD_BYTES, memory_limit
from pipeprof.units import byte_count

_ELEMENTS = 32
_LONGEST_S = 1.0


def held_by_new_cache(
    current: Replayable, changed: Replayable, view: PipelineView, stage_id: str, analysis: Analysis
) -> int | None:
    """Return the bytes that a cache holds which ``changed`` has and ``current`` has not; None where that is not known.

    Raises:
        TrialError: it would take more than half of the memory that is free.
    """
    known = {node.name for node in current.graph.node}
    new = [node for node in changed.graph.node if node.op == "CacheDatasetV2" and node.name not in known]
    count = elements_per_epoch(view, view.stage(stage_id))
    if len(new) != 1 or count is None:
        return None
    size = _element_bytes(changed, graphs.node_name(new[0].input[0]))
    if size is None:
        return None
    held, free = int(size * count), free_bytes(analysis)
    if memory_limit(analysis) is not None and held > CacheablePrefixParameters().max_of_free * free:
        raise TrialError(f"its cache would take {byte_count(held)}, and {byte_count(free)} of memory are free")
    return held


def _element_bytes(changed: Replayable, name: str) -> float | None:
    """Return the mean bytes of the first elements of a node, with TensorFlow's own for each tensor."""
    try:
        loaded = cut_at(changed, name).load()
        sizes, until = [], time.monotonic() + _LONGEST_S
        for element in loaded.take(_ELEMENTS):
            sizes.append(sum(tensor_bytes(part) + TENSOR_OVERHEAD_BYTES for part in element))
            if time.monotonic() > until:
                break
    except Exception:  # noqa: BLE001 - a size that cannot be seen is not known; whether the pipeline runs is asked elsewhere
        return None
    return sum(sizes) / len(sizes) if sizes else None
