"""Proves, on elements, that a change leaves the data as they were.

Both pipelines are read from the same state with the same shuffle seeds and with their randomness held still; specs,
cardinality, order and multiset of the elements are compared, and on the real graphs whether randomness stays fresh from
epoch to epoch. What could not be compared is said, never passed over.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from pipeprof import units
from pipeprof.advise.before_batch import cut_before_batch
from pipeprof.advise.digest import equal_within_rounding
from pipeprof.advise.draws_kept import with_draws
from pipeprof.advise.freshness import with_freshness
from pipeprof.advise.neutralise import HeldStill, neutralise, random_ops
from pipeprof.advise.reading import Bounds, Epoch, read_epochs, read_in_one
from pipeprof.advise.replayable import Replayable
from pipeprof.advise.sampling import batch_sizes, ends_with_batch
from pipeprof.advise.sides import FEWEST_BATCHES, UNBATCHED_ELEMENTS, Equivalence, Leeway, Limits, Pair, join
from pipeprof.advise.specs import cardinality_difference, spec_difference, unsupported_spec
from pipeprof.advise.steadiness import Steadiness, find_steadiness
from pipeprof.errors import RanOutError
from pipeprof.model.profile import ElementsState
from pipeprof.units import percent

_REORDERED_RECORDS = 200  # of an epoch in which orders are compared
_SAME_SOURCE_SHARE = 0.5  # overlap from which two partial epochs are taken for one epoch in two orders
_STEADINESS_SHARE = 0.3  # of the time budget
_COMPARISON_SHARE = 0.6  # likewise, where freshness is compared too


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
        RanOutError: one of them ran out of memory.
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
            limit_elements = min(limit_elements, max(FEWEST_BATCHES, _REORDERED_RECORDS // batch))
        bounds = Limits(limit_elements, epochs, deadline, leeway)
        result = _compare_elements(original, changed, bounds)
        specs = ("element_spec",) if leeway.in_one else ("element_spec", "cardinality")
        result = replace(result, also_compared=(*specs, *result.also_compared))
        if result.state is not ElementsState.DIFFERENT and steady.is_steady is None and original.has_python:
            return replace(result, state=ElementsState.UNCHECKED, note=join(result.note, steady.note))
        return result


def _compare_elements(original: Replayable, changed: Replayable, limits: Limits) -> Equivalence:
    now = time.monotonic()
    until = now + (limits.deadline_s - now) * (_COMPARISON_SHARE if random_ops(original.graph) else 1.0)
    pair, limits_now = Pair.of_few(original, changed, limits.elements), replace(limits, deadline_s=until)
    result = _Comparison(pair, limits_now).judge()
    if result.elements_compared == 0 and pair.is_sampled:
        pair = Pair(original, changed, is_sampled=False)
        result = _Comparison(pair, limits_now).judge()
    if result.state is ElementsState.DIFFERENT or result.elements_compared == 0:
        return result
    if limits.leeway.in_one and result.epochs_compared < limits.epochs:
        note = join(result.note, "the end of an epoch was not compared (time budget)")
        return replace(result, state=ElementsState.UNCHECKED, note=note, lacks_time=True)
    result = with_freshness(result, pair, limits)
    return with_draws(result, Pair(original, changed, is_sampled=False), limits)


class _Comparison:
    """Reads both sides once and judges."""

    def __init__(self, pair: Pair, limits: Limits) -> None:
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
        limit = limits.elements if all(epoch.complete for epoch in ours) else longest
        try:
            if limits.leeway.in_one:
                return ours, read_in_one(self._changed, [len(epoch) for epoch in ours], self._deadline_s)
            bounds = replace(bounds, elements=limit, deadline_s=self._deadline_s, epochs=len(ours))
            return ours, read_epochs(self._changed, bounds)
        except RanOutError as error:
            raise RanOutError(error.reason, is_of_change=True) from error

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
        bounds = Bounds(elements=UNBATCHED_ELEMENTS, deadline_s=self._deadline_s, epochs=1)
        ours, theirs = (read_epochs(side, bounds, unbatched=cut is None) for side in both)
        if not ours or not theirs or not (ours[0].complete and theirs[0].complete):
            return None
        return _same_multiset(ours[0], theirs[0])


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
