"""Memory that a change can take at most, where AUTOTUNE chooses how much: from the threads that there are, and its own budget.

What is sure to be held is a kind's own ``memory_bytes``; these are upper bounds, and nothing is refused by them. AUTOTUNE runs
no more calls than the pool has threads, and its buffers share one budget (checked with TensorFlow 2.21). TensorFlow's own bytes
for each tensor are not counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

from pipeprof.analysis.alignment import stem
from pipeprof.analysis.cores import pool_threads
from pipeprof.analysis.element_size import element_bytes
from pipeprof.analysis.place import Place
from pipeprof.analysis.stage_graph import consumer_of
from pipeprof.model.analysis import PipelineView, StageView
from pipeprof.model.profile import ExecutedStage

__all__ = ["most_bytes", "saved_bytes", "tuned_bytes"]

# Of TensorFlow 2.21, from its sources and seen in its model.
_BATCHES_READY = 16  # that a map holds at most which runs in one with its batch, whatever its calls
_IN_HAND = 1  # element that is being handed on beside the calls
_OPENED = 3  # files or datasets for each of a cycle: itself, and two that are opened for later
_READER_BYTES = 256 * 1024  # of one open file
_BUDGET_SHARE = 0.5  # of the available memory, where the options name no budget
_FUSED = frozenset({"batch", "ragged_batch"})
_READS_ONE = frozenset({"FlatMap"})
_FUSED_NODE = "MapAndBatch"
_HOLDING = frozenset(
    {
        "Prefetch",
        "ParallelMap",
        _FUSED_NODE,
        "ParallelBatch",
        "ParallelInterleave",
        "Shuffle",
        "ShuffleAndRepeat",
        "MemoryCache",
    }
)
_CALLS, _CYCLE, _BLOCK, _POOL, _BUDGET = (
    "num_parallel_calls",
    "cycle_length",
    "block_length",
    "private_threadpool_size",
    "ram_budget",
)


def most_bytes(place: Place) -> int | None:
    """Return the bytes that a change can take at most, beyond what is sure; None where that is not known, or all is sure."""
    bound = _BOUNDS.get(place.change.kind)
    found = None if bound is None else bound(place)
    return None if found is None else math.ceil(found)


def saved_bytes(place: Place) -> int | None:
    """Return what a smaller budget gives back of what AUTOTUNE's buffers held; None for all that is no budget."""
    budget = most_bytes(place) if place.change.kind == "limit_memory" else None
    return None if budget is None else max(0, math.ceil(tuned_bytes(place.view)) - budget)


def tuned_bytes(view: PipelineView) -> float:
    """Return the most bytes that were seen in the buffers which AUTOTUNE sizes."""
    return sum(node.buffered_bytes_max or 0.0 for node in view.record.executed if _is_tuned(node))


def _is_tuned(node: ExecutedStage) -> bool:
    return node.parallelism_tuned or stem(node.node) == "Prefetch"


def _parallel_calls(place: Place) -> float | None:
    """Return what the calls hold, of a map or an interleave; as many as asked for, or as there are threads."""
    asked = place.number(_CALLS)
    if place.stage.stage.op == "map":
        return _calls_bytes(place.view, place.stage, asked if asked > 0 else pool_threads(place.analysis, place.view))
    cycle = _argument(place.stage, _CYCLE)
    if cycle is None:
        cycle = min(asked, _cores(place)) if asked > 0 else _own_cycle(place)
    return _files_bytes(place, cycle)


def _interleave(place: Place) -> float | None:
    cycle = place.number(_CYCLE)
    return _files_bytes(place, cycle if cycle > 0 else _own_cycle(place))


def _parallel_inside(place: Place) -> float | None:
    """Return what the inner maps hold: all calls of one for each inner dataset that is open, and the batches behind it."""
    inner = place.stage.executed[1:]
    maps = [node for node in inner if stem(node.node) in {"Map", _FUSED_NODE} and not node.parallelism_tuned]
    batches = [node for node in inner if stem(node.node) in {"Batch", _FUSED_NODE}]
    if len(maps) != 1 or any(_counted_bytes(node) is None for node in (*maps, *batches)):
        return None
    rows = (maps[0].known_ratio or 1.0) if maps[0] in batches else 1.0  # what it counts are batches then
    calls = pool_threads(place.analysis, place.view) + _IN_HAND
    held = calls * (_counted_bytes(maps[0]) or 0.0) / rows
    return _open_at_once(place) * (held + (_BATCHES_READY + _IN_HAND) * sum(_counted_bytes(node) or 0.0 for node in batches))


def _thread_pool(place: Place) -> float | None:
    """Return what all maps hold whose calls AUTOTUNE chooses, which may then be as many as the pool has threads."""
    return _maps_bytes(place, max(0, place.number(_POOL)), [item for item in _maps(place) if item.is_parallel_by_autotune])


def _prefetch(place: Place) -> float | None:
    """Return the whole budget, one element, or all elements that there are: the buffer grows as long as it is found empty."""
    last = place.view.stage(place.view.record.output)
    size, count = _element_bytes(place.view, last), -1 if last.written is None else last.written.cardinality
    budget = _budget(place)
    if size is not None and count >= 0:
        return size * count if budget is None else min(size * count, max(budget, size))
    return None if budget is None else max(budget, size or 0.0)


def _enable_autotune(place: Place) -> float | None:
    """Return the budget, or what the calls hold that it begins with where that is more: it does not take these back."""
    budget = _budget(place)
    least = _maps_bytes(place, pool_threads(place.analysis, place.view), _maps(place))
    return None if budget is None else max(budget, least or 0.0)


def _limit_memory(place: Place) -> float | None:
    """Return the new budget, or what the calls hold that AUTOTUNE begins with, likewise."""
    budget, tuned = place.number(_BUDGET), [item for item in _maps(place) if item.is_parallel_by_autotune]
    least = _maps_bytes(place, pool_threads(place.analysis, place.view), tuned)
    return None if budget <= 0 else max(float(budget), least or 0.0)


def _budget(place: Place) -> float | None:
    """Return AUTOTUNE's budget: TensorFlow states what its prefetches left of it, so that what they held is added.

    TensorFlow 2.17 states all of it: then that is more than will be held, and still an upper bound.
    Where it is off, and no budget was set, half of the machine's memory is more than half of what is available.
    """
    tuned, memory = place.view.record.autotune, place.analysis.profile.run.host.memory_bytes
    if tuned is None:
        return None
    if tuned.ram_budget_bytes is None:
        return None if tuned.enabled or memory is None else _BUDGET_SHARE * memory
    return tuned.ram_budget_bytes + sum(map(_granted_bytes, place.view.record.executed))


def _granted_bytes(node: ExecutedStage) -> float:
    """Return what a prefetch was granted of the budget: its size, in elements as it held them."""
    held, most = node.buffered_bytes_max or 0.0, node.buffered_elements_max or 0.0
    if stem(node.node) != "Prefetch":
        return 0.0
    size = held / most if held and most else _counted_bytes(node) or 0.0  # a buffer that was always empty when it was seen
    return max(held, size * (node.buffer_size or 0.0))


def _maps(place: Place) -> list[StageView]:
    return [item for item in place.view.stages if item.stage.op == "map"]


def _maps_bytes(place: Place, calls: int, maps: list[StageView]) -> float | None:
    """Return what all these maps hold with so many calls each; None where one is not known, or there are none."""
    held = [_calls_bytes(place.view, item, calls) for item in maps]
    known = [size for size in held if size is not None]
    return sum(known) if known and len(known) == len(held) else None


def _calls_bytes(view: PipelineView, stage: StageView, calls: int) -> float | None:
    """Return what a map's calls hold; with the batch directly behind it TensorFlow makes one node, which fills batches."""
    size, reader = element_bytes(stage), consumer_of(view, stage.id)
    if size is None or reader is None or reader.stage.op not in _FUSED:
        return None if size is None else (calls + _IN_HAND) * size
    batch = _element_bytes(view, reader)
    return None if batch is None else (calls + _IN_HAND) * size + (_BATCHES_READY + _IN_HAND) * batch


def _element_bytes(view: PipelineView, stage: StageView) -> float | None:
    """Return the bytes of an element; of a batch whose own are not known those of its rows."""
    size, rows = element_bytes(stage), _argument(stage, "batch_size")
    above = [item for item in view.stages if item.id in stage.stage.inputs]
    if size is not None or rows is None or stage.stage.op not in _FUSED or len(above) != 1:
        return size
    row = element_bytes(above[0])
    return None if row is None else rows * row


def _files_bytes(place: Place, cycle: int) -> float | None:
    """Return what a parallel interleave holds: a reader and its elements for each of its files, and for those opened early."""
    size, block = element_bytes(place.stage), _argument(place.stage, _BLOCK) or 1
    if size is None or any(stem(node.node) in _HOLDING for node in place.stage.executed[1:]):
        return None
    elements = 2 * block + 1 + _IN_HAND
    return _OPENED * cycle * (_READER_BYTES + elements * size)


def _open_at_once(place: Place) -> int:
    """Return how many inner datasets are open at the same time, at most."""
    if stem(place.stage.executed[0].node) in _READS_ONE:
        return 1
    cycle = _argument(place.stage, _CYCLE) or _cores(place)
    return cycle if stem(place.stage.executed[0].node) == "Interleave" else _OPENED * cycle


def _own_cycle(place: Place) -> int:
    """Return the cycle that TensorFlow takes by itself: files and those opened early are about as many as the cores."""
    return math.ceil(_cores(place) / _OPENED)


def _cores(place: Place) -> int:
    return place.analysis.profile.run.host.cores


def _argument(stage: StageView, name: str) -> int | None:
    """Return an argument as written, None where it is left to TensorFlow."""
    value = stage.written.arguments.get(name) if stage.written is not None else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _counted_bytes(node: ExecutedStage) -> float | None:
    return node.bytes_produced / node.elements if node.elements and node.bytes_produced else None


_BOUNDS: Mapping[str, Callable[[Place], float | None]] = MappingProxyType(
    {
        "parallel_calls": _parallel_calls,
        "parallel_inside": _parallel_inside,
        "interleave": _interleave,
        "thread_pool": _thread_pool,
        "prefetch": _prefetch,
        "enable_autotune": _enable_autotune,
        "limit_memory": _limit_memory,
    }
)
