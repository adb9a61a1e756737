"""Compares how fresh the randomness of two pipelines is from epoch to epoch, on their real graphs.

A change must neither freeze what was drawn anew nor draw anew what was the same in each epoch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from pipeprof.advise.neutralise import random_ops, reshuffles
from pipeprof.advise.reading import Bounds, Epoch, is_reordered, read_epochs, read_in_one, read_repeated
from pipeprof.advise.sampling import batch_sizes, ends_with_batch
from pipeprof.advise.sides import FEWEST_BATCHES, UNBATCHED_ELEMENTS, Equivalence, Limits, Pair, join
from pipeprof.model.profile import ElementsState
from pipeprof.units import percent

_FRESHNESS_MARGIN = 0.1  # of the share of elements that come again, beyond chance
_FRESHNESS_ELEMENTS = (256, 64)  # unbatched; fewer where a pass over so many takes too long
_FRESHNESS_BATCHES = (32, 8)  # likewise, of a pipeline whose batches cannot be taken apart
_FRESHNESS_PASSES = 8  # two epochs of two sides, in two ways
_MORE_EPOCHS = 7  # that are alike by chance in one of 1,000 cases, where each draws one element anew in the mean
_MIN_ORDER = 4  # elements from which an equal order of two epochs is no accident


def with_freshness(result: Equivalence, pair: Pair, limits: Limits) -> Equivalence:
    """Add whether randomness is as fresh as before, for both ways of making epochs.

    Where shuffles are all there is, equal ordered epochs have already shown it: their seeds are fixed on both sides.
    """
    equal = result.state in {ElementsState.IDENTICAL, ElementsState.EQUAL_WITHIN_ROUNDING}
    equal = equal or (limits.leeway.may_reorder and result.state is ElementsState.REORDERED)  # then Python gave the same twice
    draws = random_ops(pair.original.graph) or (pair.original.has_python and not equal)
    if not draws and (result.state is not ElementsState.REORDERED or not reshuffles(pair.original.graph)):
        return result
    apart = ends_with_batch(pair.original.graph) and ends_with_batch(pair.changed.graph)
    seen = (_freshness(part, limits, apart=apart) for part in _freshness_pairs(pair, limits.elements, apart=apart))
    frozen = next((found for found in seen if found is not None), None)
    if frozen is None:  # randomness that a change may have frozen is not called the same
        note = join(result.note, "freshness across epochs was not compared (time budget)")
        return replace(result, state=ElementsState.UNCHECKED, note=note, lacks_time=True)
    if frozen:
        return replace(result, state=ElementsState.DIFFERENT, note=frozen)
    return replace(result, also_compared=(*result.also_compared, "freshness across epochs"))


def _freshness_pairs(pair: Pair, limit: int, *, apart: bool) -> Iterator[Pair]:
    """Yield shorter and shorter epochs to compare, for passes that take too long, then the epochs as they are."""
    batch = max(batch_sizes(pair.original.graph), default=1)
    sizes = [max(FEWEST_BATCHES, elements // batch) for elements in _FRESHNESS_ELEMENTS] if apart else _FRESHNESS_BATCHES
    for size in dict.fromkeys(min(limit, size) for size in sizes):
        few = Pair.of_few(pair.original, pair.changed, size)
        if apart or few.is_sampled:
            yield few
    yield pair


def _freshness(pair: Pair, limits: Limits, *, apart: bool) -> str | None:
    """Return how the changed side is less fresh, "" where it is not, None where that could not be seen."""
    deadline_s = limits.deadline_s
    left_s = deadline_s - time.monotonic()
    if left_s <= 0:
        return None
    bounds = Bounds(
        elements=UNBATCHED_ELEMENTS if apart and pair.is_sampled else limits.elements, deadline_s=deadline_s, epochs=2,
        epoch_s=left_s / _FRESHNESS_PASSES,
    )  # fmt: skip
    ours = read_epochs(pair.original, bounds, unbatched=apart)
    if not ours[0].complete and reshuffles(pair.original.graph):
        return None  # of a shuffled pass cut short, little comes again whether it is frozen or not
    if limits.leeway.in_one:
        theirs = read_in_one(pair.changed, [len(epoch) for epoch in ours], deadline_s, unbatched=apart)
    else:
        theirs = read_epochs(pair.changed, bounds, unbatched=apart)
    frozen = _frozen(ours, theirs)
    if frozen is None:
        return None
    if frozen:
        return frozen
    if limits.leeway.in_one:
        return _no_longer_repeated(ours, theirs) if ours[0].complete else None
    more = replace(bounds, epochs=_MORE_EPOCHS)
    rarely = _rarely_frozen(ours, theirs, lambda: read_epochs(pair.changed, more, unbatched=apart))
    if rarely != "":
        return rarely
    can_repeat = ours[0].complete and not ours[0].error and time.monotonic() < deadline_s
    sides = (pair.original, pair.changed) if can_repeat else ()
    repeated = [read_repeated(side, len(ours[0]), deadline_s, unbatched=apart) for side in sides]
    again = _frozen(*repeated) if repeated else None
    if again is None and _repeated_share(ours) > 1 - _FRESHNESS_MARGIN:
        return None  # seeded: a new iterator draws the same in any case, only a repeat draws anew
    return again or ""


def _frozen(ours: Sequence[Epoch], theirs: Sequence[Epoch]) -> str | None:
    """Return how the changed side repeats itself more than the original, "" where it does not, None where it was not seen."""
    if min(len(ours), len(theirs)) <= 1 or not len(ours[1]) or not len(theirs[1]):
        return None
    before, after = _repeated_share(ours), _repeated_share(theirs)
    chance = 3.0 * math.sqrt((before * (1 - before) + after * (1 - after)) / len(theirs[1]))  # binomial, three sigma
    if after > before + _FRESHNESS_MARGIN + chance:
        return f"the change freezes randomness: {percent(after)} of the second epoch came before, {percent(before)} without it"
    if len(ours[0]) >= _MIN_ORDER and theirs[0].digests == theirs[1].digests and is_reordered(*ours[:2]):
        return "the change freezes the order: the second epoch repeats the first"
    return ""


def _rarely_frozen(ours: Sequence[Epoch], theirs: Sequence[Epoch], read_more: Callable[[], Sequence[Epoch]]) -> str | None:
    """Return that a change froze what is drawn so rarely that two epochs hardly tell, "" where it did not, None if not known.

    ``read_more`` gives further epochs of the changed side: one that draws differs in some of them.
    """
    drawn = sum(one != two for one, two in zip(ours[0].digests, ours[1].digests, strict=False))
    length = min(len(epoch) for epoch in theirs[:2])
    if not drawn or is_reordered(*ours[:2]) or theirs[0].digests[:length] != theirs[1].digests[:length]:
        return ""
    more = [epoch.digests[:length] for epoch in read_more() if len(epoch) >= length]
    if any(digests != more[0] for digests in more):
        return ""
    if len(more) < _MORE_EPOCHS:
        return None
    return (
        f"the change freezes what is rarely drawn: {drawn} elements of a second epoch were new without it, none in {len(more)}"
    )


def _no_longer_repeated(ours: Sequence[Epoch], theirs: Sequence[Epoch]) -> str:
    """Return that draws which a new iterator repeats are drawn anew by one that goes on, "" where they are not."""
    before, after = _repeated_share(ours), _repeated_share(theirs)
    if after >= before - _FRESHNESS_MARGIN:
        return ""
    return (
        f"seeded draws no longer repeat in each epoch: {percent(after)} of the second came before, {percent(before)} without it"
    )


def _repeated_share(epochs: Sequence[Epoch]) -> float:
    """Return which share of the second epoch the first had too; of one that was cut short, as far as that went."""
    seen = set(epochs[0].digests)
    compared = epochs[1].digests if epochs[0].complete else epochs[1].digests[: len(epochs[0])]
    return sum(item in seen for item in compared) / max(1, len(compared))
