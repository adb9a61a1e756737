"""What changes of the order of stages, of elements and of threads do to the stages, in readings as wide as the evidence is.

One function for a kind; the entry is in ``effects.EFFECTS``. It states work and slots only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeprof.analysis import doubt
from pipeprof.analysis.cores import pool_threads
from pipeprof.analysis.place import Place
from pipeprof.analysis.stage_graph import elements_per_step, neighbours, upstream
from pipeprof.analysis.step_model import Effect, stage_busy_s

if TYPE_CHECKING:
    from pipeprof.analysis.doubt import Readings

_POOL_S = (0.0, 15e-6)  # one call more in a pool than in the thread that asks, measured with TensorFlow 2.21
_MOST_FILES = 16.0  # that AUTOTUNE opens at once, as far as there are threads
_BUFFER = 16  # elements: AUTOTUNE lets a buffer grow until it is not found empty
_CONSUMER_SEGMENT = 0


def prefetch(place: Place) -> Effect:
    """What the consumer's own thread did is done beside it, one element at a time; what other threads did stays theirs."""
    own = [item for item in place.view.stages if item.segment == _CONSUMER_SEGMENT and stage_busy_s(item) > 0]
    if not own:
        return Effect()
    largest = max(own, key=stage_busy_s)
    busy: dict[str, Readings | float] = {item.id: 0.0 for item in own}
    busy[largest.id] = sum(stage_busy_s(item) for item in own)
    return Effect(busy_s=busy, slots={largest.id: 1.0}, buffer=_BUFFER)


def interleave(place: Place) -> Effect:
    """Several files are read at once: as many as asked for and as have a thread. How many there are is not known."""
    most = min(float(pool_threads(place.analysis, place.view)), _MOST_FILES)
    asked = place.number("cycle_length")
    most = max(1.0, min(most, float(asked)) if asked > 0 else most)
    calls = elements_per_step(place.view, place.stage) or 1.0
    busy = place.busy_s + calls * doubt.between("a call in a pool", *_POOL_S)
    slots = doubt.between("files that are read at once", 1.0, most)
    return Effect(busy_s={place.stage.id: busy}, slots={place.stage.id: slots})


def nondeterministic(place: Place) -> Effect:  # noqa: ARG001 - one signature for all kinds
    """Nothing waits behind a slow element: of the time that no stage explains some, all or none was that."""
    return Effect(rest_ratio=0.0, rest_kept=1.0, start_kept=1.0)


def skip_earlier(place: Place) -> Effect:
    """The map works on what is kept alone; a skip's saving lies in the start of an epoch, and is in doubt for the rest."""
    pair = neighbours(place.view, place.stage.id)
    made, kept = (None, None) if pair is None else (elements_per_step(place.view, item) for item in pair)
    if pair is None or not made or kept is None:
        return Effect()
    mapped, share = pair[0], min(1.0, kept / made)
    is_skip = pair[1].stage.op == "skip"
    left = doubt.between("calls that stay", share, 1.0) if is_skip else doubt.between("calls that stay", share, share)
    whole = place.view.busy_s_per_step or stage_busy_s(mapped)
    saved = (1 - left) * (stage_busy_s(mapped) / whole if whole > 0 else 0.0)
    return Effect(
        busy_s={mapped.id: stage_busy_s(mapped) * left},
        cpu_kept=1 - saved,
        start_kept=share if is_skip else 1.0,
    )


def filter_earlier(place: Place) -> Effect:
    """The map works on what is kept alone; how much of it the predicate needs, and runs for everything, is not known."""
    pair = neighbours(place.view, place.stage.id)
    made, kept = (None, None) if pair is None else (elements_per_step(place.view, item) for item in pair)
    if pair is None or not made or kept is None:
        return Effect()
    (mapped, rejecting), share = pair, min(1.0, kept / made)
    needed = stage_busy_s(mapped) * doubt.between("what a predicate needs of its map", 0.0, 1.0) * (1 - share)
    whole = place.view.busy_s_per_step or stage_busy_s(mapped)
    saved = (stage_busy_s(mapped) * (1 - share) - needed) / whole if whole > 0 else 0.0
    return Effect(
        busy_s={mapped.id: stage_busy_s(mapped) * share, rejecting.id: stage_busy_s(rejecting) + needed}, cpu_kept=1 - saved
    )


def shuffle_earlier(place: Place) -> Effect:
    """The buffer fills without the map, which an epoch's start no longer waits for; a step between is as long as before."""
    pair = neighbours(place.view, place.stage.id)
    if pair is None:
        return Effect()
    mapped = pair[0]
    above = [item for item in upstream(place.view, mapped.id) if item.id != mapped.id]
    spent = sum(stage_busy_s(item) for item in above)
    whole = spent + stage_busy_s(mapped)
    return Effect(no_fill=frozenset({mapped.id}), start_kept=spent / whole if whole > 0 else 1.0)
