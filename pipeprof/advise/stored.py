"""What a cache that a change adds would hold, measured on a few elements, and whether there is room for it.

The one idea: the bytes of what the cache reads, times the elements of an epoch. The growth of the process does not tell it:
TensorFlow keeps what an earlier replay had taken, and a cache that moves in there seems to take nothing.
"""

from __future__ import annotations

import time
from typing import Any  # TensorFlow's values carry no types

from pipeprof.advise import graph as graphs
from pipeprof.advise.changes.cache import elements_per_epoch
from pipeprof.advise.replayable import Replayable
from pipeprof.advise.steadiness import element_spec
from pipeprof.errors import TrialError
from pipeprof.model.analysis import Analysis, PipelineView
from pipeprof.units import byte_count

_ELEMENTS = 32
_LONGEST_S = 1.0
_TENSOR_BYTES = 185  # TensorFlow's own for each cached tensor
_MOST_OF_FREE = 0.5


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
    held, resources = int(size * count), analysis.resources
    free = None if resources.memory_limit_bytes is None else resources.memory_limit_bytes - (resources.rss_peak_bytes or 0)
    if free is not None and held > _MOST_OF_FREE * free:
        raise TrialError(f"its cache would take {byte_count(held)}, and {byte_count(max(0, free))} of memory are free")
    return held


def _element_bytes(changed: Replayable, name: str) -> float | None:
    """Return the mean bytes of the first elements of a node, with TensorFlow's own for each tensor."""
    graph = changed.copy_graph()
    try:
        spec = element_spec(graph, name)
        graphs.set_output(graph, name)
        loaded = changed.with_graph(graph, spec).load()
        sizes, until = [], time.monotonic() + _LONGEST_S
        for element in loaded.take(_ELEMENTS):
            sizes.append(sum(_tensor_bytes(part) + _TENSOR_BYTES for part in element))
            if time.monotonic() > until:
                break
    except Exception:  # noqa: BLE001 - a size that cannot be seen is not known; whether the pipeline runs is asked elsewhere
        return None
    return sum(sizes) / len(sizes) if sizes else None


def _tensor_bytes(tensor: Any) -> int:
    if tensor.dtype.name == "string":
        return sum(len(item) for item in tensor.numpy().ravel()) if tensor.shape.rank else len(tensor.numpy())
    return int(tensor.numpy().nbytes)
