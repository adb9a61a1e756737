"""What each kind of change does to the stages: one function for a kind, in readings that are as wide as the evidence is.

A new kind is one function with the entry in ``EFFECTS``. It states work and slots only; what becomes of the step is the step
model's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from pipeprof.analysis import doubt
from pipeprof.analysis.alignment import stem
from pipeprof.analysis.before_draws import share_before_draws
from pipeprof.analysis.cores import pool_threads
from pipeprof.analysis.effects_of_order import (
    filter_earlier,
    interleave,
    nondeterministic,
    prefetch,
    shuffle_earlier,
    skip_earlier,
)
from pipeprof.analysis.element_size import element_bytes
from pipeprof.analysis.memory_bounds import tuned_bytes
from pipeprof.analysis.place import Place
from pipeprof.analysis.stage_graph import consumer_of, downstream, elements_per_step, upstream
from pipeprof.analysis.step_model import Effect, stage_busy_s
from pipeprof.model.profile import LOCK_SEEN_S

if TYPE_CHECKING:
    from pipeprof.analysis.doubt import Readings

__all__ = ["EFFECTS", "Place"]

# Measured with TensorFlow 2.21 on this project's machines: seconds, low and high.
_DISPATCH_S = (4e-6, 20e-6)  # one call of a map's function, without its ops
_OP_S = (0.5e-6, 4e-6)  # one cheap op within it
_POOL_S = (0.0, 15e-6)  # one call more in a pool than in the thread that asks
_CACHE_READ_S = (0.3e-6, 3e-6)  # one element out of a memory cache: its tensors are shared, not copied, whatever their size
_STORE_S, _MOST_STORE_S = 6e-6, 100e-6  # one element into a memory cache: 1-6 us were seen of 8 B, 80-100 us of 150 kB,
_STORED_BYTES_PER_S = 1.5e9  # and less again beyond that: memory for large elements is new for each, cache or not
_BYTES_PER_S = (1e9, 8e9)  # of a cheap op on a batch
_SLOWEST_BYTES_PER_S = 1e7  # of any elementwise op (lgamma: 100 ns a number)
_DECODE = "DecodeJpeg"
_NOT_DECODED = (0.0, 0.7)  # of decoding, for a crop: columns beside it are decoded in part, rows above it are read
_NARROWEST = 0.125  # of an element's bytes, before its casts: int8 to float64
_HAND_OVER_LEFT = 0.2  # share of the unexplained time that may stay when elements are no longer handed on one by one, or made
_START_LEFT = 0.2  # likewise of an epoch's start behind a full cache, whose source is not even opened
_BETWEEN_CALLS_LEFT = 0.7  # of the unexplained time beside one call at a time: most lies between its calls, which then overlap
_AUTOTUNE_REACH = (0.85, 1.0)  # of the slots that it may use, those that it does
_SET_UP_AGAIN = (0.0, 0.15)  # of making an iterator: what a repeat does at the start of each pass
_LOCKED_SHARE = (0.5, 1.0)  # of a Python function's CPU seconds, those that hold the interpreter's lock
_SEEN_HELD = 0.9  # of the time in which the lock was seen held, what is surely so
_SEEN_CALL_S = 2 * LOCK_SEEN_S  # a call that is shorter tells hardly anything by the moments at which it was seen

_STEP_OF_BYTES = "how much of the step follows the length of a batch was not measured: from none of it to all, in proportion"


def parallel_calls(place: Place) -> Effect:
    """Calls at once in a pool: as many as asked for, but no more than have a thread, or files to read from."""
    asked, threads = place.number("num_parallel_calls"), pool_threads(place.analysis, place.view)
    most = float(threads)
    cycle = place.stage.written.arguments.get("cycle_length") if place.stage.written is not None else None
    if isinstance(cycle, int) and cycle > 0:
        most = min(most, float(cycle))
    slots = max(1.0, min(most, float(asked)) if asked > 0 else most)
    calls = elements_per_step(place.view, place.stage) or 1.0
    busy = place.busy_s + calls * doubt.between("a call in a pool", *_POOL_S)
    kept = _BETWEEN_CALLS_LEFT if place.stage.is_sequential else 1.0
    busies, slots_of = {place.stage.id: busy}, {place.stage.id: slots}
    return Effect(busy_s=busies, slots=slots_of, serial_s=_locked_s(place, calls), rest_kept=kept)


def parallel_inside(place: Place) -> Effect:
    """Calls at once of the map inside a stage's function; the reading around it stays one at a time."""
    nodes = place.stage.executed
    inner_s = sum(node.busy_s for node in nodes if stem(node.node) == "Map" and node.parallelism is None)
    share = inner_s / max(sum(node.busy_s for node in nodes), 1e-12)
    calls = elements_per_step(place.view, place.stage) or 1.0
    at_once = doubt.between("calls that AUTOTUNE reaches", *_AUTOTUNE_REACH) * pool_threads(place.analysis, place.view)
    inside = (place.busy_s * share + calls * doubt.between("a call in a pool", *_POOL_S)) / at_once.clip(min=1.0)
    return Effect(busy_s={place.stage.id: place.busy_s * (1 - share) + inside}, rest_kept=_BETWEEN_CALLS_LEFT)


def thread_pool(place: Place) -> Effect:
    """A pool of another size lets so many calls of a blocking map wait at once, as far as the map asks for them."""
    size = float(place.number("private_threadpool_size"))
    if size <= 0:
        return Effect()
    calls = elements_per_step(place.view, place.stage) or 1.0
    if place.stage.is_parallel_by_autotune:
        slots: Readings | float = doubt.between("calls that AUTOTUNE reaches", *_AUTOTUNE_REACH) * size
    else:
        slots = min(size, max(1.0, place.stage.slots, place.stage.stage.parallelism or 1.0))
    busy = place.busy_s + calls * doubt.between("a call in a pool", *_POOL_S)
    return Effect(
        busy_s={place.stage.id: busy},
        slots={place.stage.id: slots},
        threads=size,
        serial_s=_locked_s(place, calls),
    )


def cache(place: Place) -> Effect:
    """From the second epoch on nothing above the cache runs; its elements are read, not copied."""
    above = {item.id: stage_busy_s(item) for item in upstream(place.view, place.stage.id)}
    reader = consumer_of(place.view, place.stage.id)
    spared = dict.fromkeys(above, 0.0)
    return _kept_for_later(place, above, spared, 0 if reader is None else reader.segment, element_bytes(place.stage))


def split_map(place: Place) -> Effect:
    """From the second epoch on only what the map does from its first draw on is left, which now takes a call of its own."""
    share = share_before_draws(place.stage)
    above = {item.id: stage_busy_s(item) for item in upstream(place.view, place.stage.id)}
    saved = {**above, place.stage.id: stage_busy_s(place.stage) * share}
    written = place.stage.written
    size = None if written is None or written.function is None else written.function.drawn_from_bytes
    left: dict[str, Readings | float] = {**dict.fromkeys(above, 0.0), place.stage.id: place.busy_s * (1 - share)}
    return _kept_for_later(place, saved, left, place.stage.segment, size)


def fuse_decode_crop(place: Place) -> Effect:
    """Of the time that decoding takes some stays: which part of a picture its crop keeps is not known."""
    decoding = sum(item.share for item in place.stage.stage.ops if item.op == _DECODE)
    saved = decoding * doubt.between("pixels that are not decoded", *_NOT_DECODED)
    whole = place.view.busy_s_per_step or stage_busy_s(place.stage)
    share = stage_busy_s(place.stage) / whole if whole > 0 else 0.0
    return Effect(busy_s={place.stage.id: place.busy_s * (1 - saved)}, cpu_kept=1 - share * saved)


def cast_later(place: Place) -> Effect:
    """What stands between the map and its batch copies fewer bytes; how much of its time is copying is not known."""
    written = place.stage.written
    function = None if written is None else written.function
    size, narrow = element_bytes(place.stage), None if function is None else function.narrow_bytes
    least = narrow / size if size and narrow else _NARROWEST
    left = doubt.between("bytes that are still copied", least, 1.0)
    busy: dict[str, Readings | float] = {}
    for item in downstream(place.view, place.stage.id):
        busy[item.id] = stage_busy_s(item) * left
        if item.stage.op == "batch":
            break
    return Effect(busy_s=busy)


def bucket(place: Place) -> Effect | None:
    """Less of a batch is padding: what copies it, works on it behind the batch, and the step itself, as far as it follows that.

    None where the padding was not measured yet, or is no less in buckets.
    """
    now, then = (place.change.params.get(name) for name in ("padding_now", "padding_then"))
    if not isinstance(now, float) or not isinstance(then, float) or not 0 <= then < now < 1:
        return None
    fewer = 1 - (1 - now) / (1 - then)  # of the bytes of a batch
    stages = [place.stage, *downstream(place.view, place.stage.id)]
    saved = fewer * doubt.between("work that follows the bytes of a batch", 0.0, 1.0)
    busy: dict[str, Readings | float] = {item.id: stage_busy_s(item) * (1 - saved) for item in stages}
    spent, whole = sum(map(stage_busy_s, stages)), place.view.busy_s_per_step or 0.0
    return Effect(
        busy_s=busy,
        cpu_kept=1 - saved * (spent / whole if whole > 0 else 0.0),
        consumer_kept=1 - fewer * doubt.between("step that follows the bytes of a batch", 0.0, 1.0),
        unmeasured=_STEP_OF_BYTES,
    )


def limit_memory(place: Place) -> Effect | None:
    """Nothing is made faster; where the buffers held more than they may now, the last one is smaller by as much."""
    budget, held = place.number("ram_budget"), tuned_bytes(place.view)
    if budget <= 0:
        return None
    last = place.view.stages[-1].executed if place.view.stages else ()
    most = max((node.buffered_elements_max or 0.0 for node in last), default=0.0)
    return Effect() if held <= budget else Effect(buffer=max(1, math.floor(most * budget / held)))


def shrink_prefetch(place: Place) -> Effect:
    """Nothing is made faster; where the loop reads from this buffer it bridges less."""
    is_last = consumer_of(place.view, place.stage.id) is None
    return Effect(buffer=max(1, round(place.number("buffer_size")))) if is_last else Effect()


def synchronous(place: Place) -> Effect:
    """The map, and what ran on its thread, run on the thread that asks for its elements; no call goes through a pool."""
    reader, calls = consumer_of(place.view, place.stage.id), elements_per_step(place.view, place.stage) or 1.0
    moved = {item.id: stage_busy_s(item) for item in place.view.stages if item.segment == place.stage.segment}
    spared = calls * doubt.between("a call in a pool", *_POOL_S)
    spent = (sum(moved.values()) - spared).clip(min=0.0)
    return Effect(busy_s=dict.fromkeys(moved, 0.0), added_s={0 if reader is None else reader.segment: spent})


def repeat_once(place: Place) -> Effect:
    """Of the iterators one is left; what its stages still set up at an epoch's start is a small part of making one."""
    steps = place.analysis.steps
    edges = max(0, steps.epochs - 1) / max(1, steps.count)  # of a step
    usual_s = max(0.0, (steps.edge_s or 0.0) - (steps.epoch_first_wait_s or 0.0))  # to take one down and make another
    return Effect(iterators_s=(1 - doubt.between("iterators within one", *_SET_UP_AGAIN)) * usual_s * edges)


def _store_s(size: float | None) -> float:
    """Return the seconds for storing one element of so many bytes, at most: fresh memory for each, and a longer way."""
    return _MOST_STORE_S if size is None else min(_MOST_STORE_S, _STORE_S + size / _STORED_BYTES_PER_S)


def _kept_for_later(
    place: Place, saved_s: Mapping[str, float], busy_s: Mapping[str, Readings | float], segment: int, size: float | None
) -> Effect:
    """Return what a cache of elements of this size gives that spares these seconds of a step, and is read by a segment."""
    spared = sum(saved_s.values())
    whole = place.view.busy_s_per_step or spared
    reads = (elements_per_step(place.view, place.stage) or 0.0) * doubt.between("an element out of a cache", *_CACHE_READ_S)
    kept = max(0.0, 1 - spared / whole) if whole > 0 else 1.0
    return Effect(
        busy_s=busy_s,
        added_s={segment: reads},
        cpu_kept=kept,
        handing_kept=kept,
        rest_kept=max(kept, _HAND_OVER_LEFT),
        start_kept=_START_LEFT,
        fill_s=(elements_per_step(place.view, place.stage) or 0.0) * doubt.between("storing an element", 0.0, _store_s(size)),
    )


def vectorize(place: Place) -> Effect:
    """One call for a batch: the dispatch of all others goes, and the kernels' own work on the elements stays."""
    calls = elements_per_step(place.view, place.stage) or 1.0
    function = place.stage.written.function if place.stage.written is not None else None
    ops = float(function.op_count if function is not None else 3)
    size = (element_bytes(place.stage) or 8.0) * calls
    once = doubt.between("one call", *_DISPATCH_S) + ops * doubt.between("one op", *_OP_S)
    work = ops * size / doubt.between("bytes of an op", *_BYTES_PER_S)
    spent = calls * (doubt.between("one call", *_DISPATCH_S) + ops * doubt.between("one op", *_OP_S))
    beyond = (place.busy_s - spent).clip(min=0.0)  # of single calls: kernels, or waiting for a core and a thread
    kernels = (beyond if function is None else beyond.clip(max=ops * size / _SLOWEST_BYTES_PER_S)) * doubt.between(
        "kernels that stay", 0.0, 1.0
    )
    busy = (once + work + kernels).clip(max=place.busy_s)
    saved = 1 - busy / place.busy_s.clip(min=1e-12)
    whole = place.view.busy_s_per_step or stage_busy_s(place.stage)
    share = stage_busy_s(place.stage) / whole if whole > 0 else 0.0
    single = 1 / max(1.0, calls)  # what is not explained is the handing on of each element
    return Effect(
        busy_s={place.stage.id: busy},
        cpu_kept=1 - share * saved,
        handing_kept=single,
        rest_ratio=single,
        rest_kept=_HAND_OVER_LEFT,
    )


def _locked_s(place: Place, calls: float) -> Readings | float:
    """Return the seconds of a step in which the stage's Python functions hold the interpreter's lock, one at a time."""
    written = place.stage.written
    if written is None or written.function is None or not written.function.python_ops:
        return 0.0
    python = written.python
    if python is None or not python.calls:
        return place.busy_s * doubt.between("Python that holds the lock", 0.0, 1.0)
    cpu_s = calls * python.cpu_s / python.calls
    held, call_s = place.analysis.resources.lock_held_share, python.cpu_s / python.calls
    least, most = _LOCKED_SHARE
    if held is not None and call_s >= _SEEN_CALL_S:
        in_sight = cpu_s * (1 - LOCK_SEEN_S / call_s)  # the end of a hold is not seen
        least = min(max(least, _SEEN_HELD * held * (place.view.step_s or 0.0) / in_sight), most)
    locked_s = cpu_s * doubt.between("Python that holds the lock", least, most)
    beside_s = (place.busy_s - calls * python.wall_s / python.calls).clip(min=0.0)  # arguments, results, waiting for the lock
    return locked_s + beside_s * doubt.between("calls under the lock", 0.0, 1.0)


def move_cache(place: Place) -> Effect:
    """A cache that fills at last spares what one that never did makes anew; one that moves up no longer spares the stage."""
    taken = consumer_of(place.view, place.stage.id)
    return cache(place) if taken is not None and taken.stage.op == "take" else Effect()


EFFECTS: Mapping[str, Callable[[Place], Effect | None]] = MappingProxyType(
    {
        "parallel_calls": parallel_calls,
        "parallel_inside": parallel_inside,
        "thread_pool": thread_pool,
        "prefetch": prefetch,
        "enable_autotune": prefetch,  # the parallel calls that it also sizes are not known
        "cache": cache,
        "move_cache": move_cache,
        "split_map": split_map,
        "fuse_decode_crop": fuse_decode_crop,
        "cast_later": cast_later,
        "bucket": bucket,
        "limit_memory": limit_memory,
        "shrink_prefetch": shrink_prefetch,
        "synchronous": synchronous,
        "vectorize": vectorize,
        "parse_batch": vectorize,
        "filter_earlier": filter_earlier,
        "skip_earlier": skip_earlier,
        "shuffle_earlier": shuffle_earlier,
        "interleave": interleave,
        "nondeterministic": nondeterministic,
        "repeat_once": repeat_once,
    }
)
