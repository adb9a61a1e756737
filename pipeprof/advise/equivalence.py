"""Proves, on elements, that a change leaves the data as they were.

Both pipelines are read from the same state with the same shuffle seeds and with their randomness held still; specs,
cardinality, order and multiset of the elements are compared, and on the real graphs whether randomness stays fresh from
epoch to epoch. What could not be compared is said, never passed over.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pipeprof import units
from pipeprof.advise.before_batch import cut_before_batch
from pipeprof.advise.digest import equal_within_rounding
from pipeprof.advise.neutralise import HeldStill, neutralise, random_ops, reshuffles
from pipeprof.advise.reading import Bounds, Epoch, read_epochs, read_in_one, read_repeated
from pipeprof.advise.replayable import Replayable
from pipeprof.advise.sampling import batch_sizes, ends_with_batch, limit_records, records_for
from pipeprof.advise.sampling_files import limit_files
from pipeprof.advise.specs import cardinality_difference, spec_difference, unsupported_spec
from pipeprof.advise.steadiness import Steadiness, find_steadiness
from pipeprof.model.profile import ElementsState
from pipeprof.units import percent

_FRESHNESS_MARGIN = 0.1  # of the share of elements that come again, beyond chance
_FRESHNESS_ELEMENTS = (256, 64)  # unbatched; fewer where a pass over so many takes too long
_FRESHNESS_BATCHES = (32, 8)  # likewise, of a pipeline whose batches cannot be taken apart
_FEWEST_BATCHES = 2
_REORDERED_RECORDS = 200  # of an epoch in which orders are compared
_UNBATCHED_ELEMENTS = 100_000
_SAME_SOURCE_SHARE = 0.5  # overlap from which two partial epochs are taken for one epoch in two orders
_MIN_ORDER = 4  # elements from which an equal order of two epochs is no accident
_STEADINESS_SHARE = 0.3  # of the time budget
_COMPARISON_SHARE = 0.6  # likewise, where freshness is compared too
_FRESHNESS_PASSES = 8  # two epochs of two sides, in two ways


@dataclass(frozen=True, kw_only=True, slots=True)
class Equivalence:
    """What became of the elements under a change."""

    state: ElementsState
    elements_compared: int = 0
    epochs_compared: int = 0
    note: str = ""
    lacks_time: bool = False  # what is missing was not compared for want of time


@dataclass(frozen=True, kw_only=True, slots=True)
class Leeway:
    """What a change does by its nature, beside leaving the elements as they are."""

    may_reorder: bool = False  # it is one of the order: then parts of epochs say nothing of the elements
    cuts_functions: bool = False  # random ops get other arguments than the element: then all elements draw the same values
    in_one: bool = False  # it makes the pipeline endless: one iterator is then what several of the original's are


def compare(
    original: Replayable,
    changed: Replayable,
    *,
    limit_elements: int,
    epochs: int = 2,
    time_budget_s: float,
    kept_at: str = "",
    leeway: Leeway | None = None,
) -> Equivalence:
    """Compare the elements of a pipeline with those of its changed form.

    Args:
        original: the pipeline.
        changed: made from ``original`` by a change.
        limit_elements: at most so many elements (of the output) an epoch.
        epochs: passes, each with a new iterator of one load.
        time_budget_s: seconds; what was not compared by then is left out and counted.
        kept_at: node of the original whose elements the change keeps for later epochs, where it does so.
        leeway: what the change is known to do.

    Raises:
        TrialError: one of them cannot be loaded.
    """
    reason = unsupported_spec(original.element_spec)
    if reason:
        return Equivalence(state=ElementsState.UNCHECKED, note=reason)
    difference, leeway = spec_difference(original.element_spec, changed.element_spec), leeway or Leeway()
    if not leeway.in_one:
        difference = difference or cardinality_difference(original, changed)
    if difference:
        return Equivalence(state=ElementsState.DIFFERENT, note=difference)
    deadline = time.monotonic() + time_budget_s
    with original.preserve_random_state():
        steady = Steadiness(is_steady=True)
        if kept_at:
            steady = find_steadiness(original, kept_at, time.monotonic() + time_budget_s * _STEADINESS_SHARE)
            if steady.is_steady is False:
                return Equivalence(state=ElementsState.DIFFERENT, note=steady.note)
        if leeway.may_reorder:  # only whole epochs say something then
            batch = max(batch_sizes(original.graph), default=1)
            limit_elements = min(limit_elements, max(_FEWEST_BATCHES, _REORDERED_RECORDS // batch))
        bounds = _Limits(limit_elements, epochs, deadline, leeway)
        result = _compare_elements(original, changed, bounds)
        if result.state is not ElementsState.DIFFERENT and steady.is_steady is None and original.has_python:
            return replace(result, state=ElementsState.UNCHECKED, note=_join(result.note, steady.note))
        return result


@dataclass(frozen=True, slots=True)
class _Limits:
    elements: int
    epochs: int
    deadline_s: float
    leeway: Leeway


def _compare_elements(original: Replayable, changed: Replayable, limits: _Limits) -> Equivalence:
    now = time.monotonic()
    until = now + (limits.deadline_s - now) * (_COMPARISON_SHARE if random_ops(original.graph) else 1.0)
    pair, limits_now = _sampled(original, changed, limits.elements), replace(limits, deadline_s=until)
    result = _Comparison(pair, limits_now).judge()
    if result.elements_compared == 0 and pair.is_sampled:
        pair = _Pair(original, changed, is_sampled=False)
        result = _Comparison(pair, limits_now).judge()
    if result.state is ElementsState.DIFFERENT or result.elements_compared == 0:
        return result
    if limits.leeway.in_one and result.epochs_compared < limits.epochs:
        note = _join(result.note, "the end of an epoch was not compared (time budget)")
        return replace(result, state=ElementsState.UNCHECKED, note=note, lacks_time=True)
    return _with_freshness(result, pair, limits)


@dataclass(frozen=True, slots=True)
class _Pair:
    original: Replayable
    changed: Replayable
    is_sampled: bool


def _sampled(original: Replayable, changed: Replayable, limit: int) -> _Pair:
    limited = limit_records(original.graph, changed.graph, limit) or limit_files(
        original.graph, changed.graph, records_for(original.graph, limit)
    )
    if limited is None:
        return _Pair(original, changed, is_sampled=False)
    return _Pair(original.with_graph(limited[0]), changed.with_graph(limited[1]), is_sampled=True)


class _Comparison:
    """Reads both sides once and judges."""

    def __init__(self, pair: _Pair, limits: _Limits) -> None:
        still = [neutralise(side.graph, by_element=not limits.leeway.cuts_functions) for side in (pair.original, pair.changed)]
        self._original = pair.original.with_graph(still[0].graph)
        self._changed = pair.changed.with_graph(still[1].graph)
        self._randomness = HeldStill.of(*still, by_element=not limits.leeway.cuts_functions)
        self._limits, self._deadline_s = limits, limits.deadline_s

    def judge(self) -> Equivalence:
        """Return the state of the elements, freshness apart."""
        ours, theirs = self._read_both()
        count, whole = sum(map(len, ours)), min(len(ours), len(theirs))
        result = Equivalence(state=ElementsState.UNCHECKED, elements_compared=count, epochs_compared=whole)
        failed = _error_difference(ours, theirs)
        if failed:
            return replace(result, state=ElementsState.DIFFERENT, note=failed)
        if count == 0:
            return replace(result, note="the pipeline gave no element")
        pairs = list(zip(ours, theirs, strict=False))
        if all(_equal_prefix(one, other) for one, other in pairs):
            return self._equal(result)
        if all(_close_prefix(one, other) for one, other in pairs):
            return replace(result, state=ElementsState.EQUAL_WITHIN_ROUNDING, note=self._randomness.note)
        return self._unequal(result, pairs)

    def _read_both(self) -> tuple[list[Epoch], list[Epoch]]:
        now = time.monotonic()
        half = now + (self._deadline_s - now) * 0.4
        limits = self._limits
        bounds = Bounds(elements=limits.elements, deadline_s=half, epochs=limits.epochs, keep_arrays=True, whole_epochs=True)
        ours = read_epochs(self._original, bounds)
        longest = max((len(epoch) for epoch in ours), default=0)
        if limits.leeway.in_one:
            return ours, read_in_one(self._changed, [len(epoch) for epoch in ours], self._deadline_s)
        limit = limits.elements if all(epoch.complete for epoch in ours) else longest
        theirs = read_epochs(self._changed, replace(bounds, elements=limit, deadline_s=self._deadline_s, epochs=len(ours)))
        return ours, theirs

    def _equal(self, result: Equivalence) -> Equivalence:
        state = ElementsState.SAME_BUT_RANDOM if self._randomness.is_random else ElementsState.IDENTICAL
        return replace(result, state=state, note=self._randomness.note)

    def _unequal(self, result: Equivalence, pairs: Sequence[tuple[Epoch, Epoch]]) -> Equivalence:
        if all(_same_multiset(one, other) for one, other in pairs):
            return replace(result, state=ElementsState.REORDERED, note=_order_note(pairs))
        apart = self._same_apart() if self._limits.leeway.may_reorder else None
        unsteady = not apart and self._original_is_unsteady([one for one, _ in pairs])
        if not apart and (unsteady or self._randomness.left):
            return self._only_layouts(result, pairs)
        apart = apart if self._limits.leeway.may_reorder else self._same_apart()
        if apart:
            note = "the same elements, spread over the batches in another order"
            return replace(result, state=ElementsState.REORDERED, note=note)
        is_whole = all(one.complete and other.complete for one, other in pairs)
        share = min(_overlap(one, other) for one, other in pairs)
        if not is_whole and (share >= _SAME_SOURCE_SHARE or self._limits.leeway.may_reorder):
            note = f"the order changed, and of the part of an epoch that was compared {percent(share)} was on both sides"
            return replace(result, note=note)
        if apart is None and self._limits.leeway.may_reorder and batch_sizes(self._original.graph):
            return replace(result, note="the order changed, and the elements before the batch could not be compared")
        return replace(result, state=ElementsState.DIFFERENT, note=_first_difference(pairs))

    def _original_is_unsteady(self, ours: Sequence[Epoch]) -> bool:
        """Say whether the original itself gives other elements at a second replay."""
        if time.monotonic() > self._deadline_s:
            return False
        bounds = Bounds(elements=max(map(len, ours)) + 1, deadline_s=self._deadline_s, epochs=len(ours))
        again = read_epochs(self._original, bounds)
        return not all(_same_multiset(one, other) or _equal_prefix(one, other) for one, other in zip(ours, again, strict=False))

    def _only_layouts(self, result: Equivalence, pairs: Sequence[tuple[Epoch, Epoch]]) -> Equivalence:
        """Compare what is left to compare of elements that differ from replay to replay."""
        for one, other in pairs:
            both = one.complete and other.complete
            if (both and len(one) != len(other)) or (both and Counter(one.layouts) != Counter(other.layouts)):
                return replace(result, state=ElementsState.DIFFERENT, note="the number or the shapes of the elements changed")
        cause = ", ".join(self._randomness.left) or "the pipeline's own functions"
        note = f"values differ from replay to replay ({cause}); element_spec, number and shapes were equal"
        return replace(result, state=ElementsState.UNCHECKED, note=note)

    def _same_apart(self) -> bool | None:
        """Say whether the elements before the last batch are the same in another order; None where that was not seen whole."""
        if self._limits.leeway.in_one:
            return None
        cut = cut_before_batch(self._original, self._changed)
        both = (self._original, self._changed) if cut is None else cut
        if cut is None and not all(ends_with_batch(side.graph) for side in both):
            return None
        bounds = Bounds(elements=_UNBATCHED_ELEMENTS, deadline_s=self._deadline_s, epochs=1)
        ours, theirs = (read_epochs(side, bounds, unbatched=cut is None) for side in both)
        if not ours or not theirs or not (ours[0].complete and theirs[0].complete):
            return None
        return _same_multiset(ours[0], theirs[0])


# --- freshness ---------------------------------------------------------------------------------------------------


def _with_freshness(result: Equivalence, pair: _Pair, limits: _Limits) -> Equivalence:
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
        note = _join(result.note, "freshness across epochs was not compared (time budget)")
        return replace(result, state=ElementsState.UNCHECKED, note=note, lacks_time=True)
    return replace(result, state=ElementsState.DIFFERENT, note=frozen) if frozen else result


def _freshness_pairs(pair: _Pair, limit: int, *, apart: bool) -> Iterator[_Pair]:
    """Yield shorter and shorter epochs to compare, for passes that take too long, then the epochs as they are."""
    batch = max(batch_sizes(pair.original.graph), default=1)
    sizes = [max(_FEWEST_BATCHES, elements // batch) for elements in _FRESHNESS_ELEMENTS] if apart else _FRESHNESS_BATCHES
    for size in dict.fromkeys(min(limit, size) for size in sizes):
        sampled = _sampled(pair.original, pair.changed, size)
        if apart or sampled.is_sampled:
            yield sampled
    yield pair


def _freshness(pair: _Pair, limits: _Limits, *, apart: bool) -> str | None:
    """Return how the changed side is less fresh, "" where it is not, None where that could not be seen."""
    deadline_s = limits.deadline_s
    left_s = deadline_s - time.monotonic()
    if left_s <= 0:
        return None
    bounds = Bounds(
        elements=_UNBATCHED_ELEMENTS if apart and pair.is_sampled else limits.elements, deadline_s=deadline_s, epochs=2,
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
    can_repeat = not limits.leeway.in_one and ours[0].complete and not ours[0].error and time.monotonic() < deadline_s
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
    if len(ours[0]) >= _MIN_ORDER and theirs[0].digests == theirs[1].digests and ours[0].digests != ours[1].digests:
        return "the change freezes the order: the second epoch repeats the first"
    return ""


def _repeated_share(epochs: Sequence[Epoch]) -> float:
    seen = set(epochs[0].digests)
    return sum(item in seen for item in epochs[1].digests) / len(epochs[1])


# --- single comparisons ------------------------------------------------------------------------------------------


def _error_difference(ours: Sequence[Epoch], theirs: Sequence[Epoch]) -> str:
    for one, other in zip(ours, theirs, strict=False):
        if bool(one.error) != bool(other.error):
            return (
                f"the changed pipeline raises {other.error}"
                if other.error
                else f"the original raises {one.error}, the changed does not"
            )
    return ""


def _equal_prefix(one: Epoch, other: Epoch) -> bool:
    return _same_length(one, other) and all(left == right for left, right in zip(one.digests, other.digests, strict=False))


def _close_prefix(one: Epoch, other: Epoch) -> bool:
    """Say whether elements are equal, or kept and equal within rounding."""
    if not _same_length(one, other):
        return False
    for index, (left, right) in enumerate(zip(one.digests, other.digests, strict=False)):
        if left == right:
            continue
        if index >= min(len(one.arrays), len(other.arrays)) or not equal_within_rounding(
            one.arrays[index], other.arrays[index]
        ):
            return False
    return True


def _same_length(one: Epoch, other: Epoch) -> bool:
    """Say whether lengths agree as far as both were read."""
    if one.complete and other.complete:
        return len(one) == len(other)
    if one.complete:
        return len(other) <= len(one)
    return len(one) <= len(other) if other.complete else True


def _same_multiset(one: Epoch, other: Epoch) -> bool:
    return one.complete and other.complete and Counter(one.digests) == Counter(other.digests)


def _overlap(one: Epoch, other: Epoch) -> float:
    shared = sum((Counter(one.digests) & Counter(other.digests)).values())
    return shared / max(1, min(len(one), len(other)))


def _order_note(pairs: Sequence[tuple[Epoch, Epoch]]) -> str:
    moved = sum(left != right for one, other in pairs for left, right in zip(one.digests, other.digests, strict=True))
    return f"the same elements, {percent(moved / sum(len(one) for one, _ in pairs))} of them in another place"


def _first_difference(pairs: Sequence[tuple[Epoch, Epoch]]) -> str:
    for number, (one, other) in enumerate(pairs, start=1):
        for index, (left, right) in enumerate(zip(one.digests, other.digests, strict=False)):
            if left != right:
                return f"element {index} of epoch {number} differs"
        if not _same_length(one, other):
            return f"epoch {number} has {units.count_of(len(one), 'element')}, {len(other)} with the change"
    return "the elements differ"


def _join(*parts: str) -> str:
    return "; ".join(part for part in parts if part)
