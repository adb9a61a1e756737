"""Compares what draws are to a batch and to a seed: as varied within the one, as repeatable from the other, as they were.

The one idea: of one record, given again and again, everything that differs within a batch was drawn; of two loads of one graph,
everything that differs was not fixed by its seeds. Both are read on the real graphs of both sides. It times nothing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any  # element specs of TensorFlow's

from pipeprof.advise.neutralise import random_ops
from pipeprof.advise.reading import Bounds, Epoch, read_epochs
from pipeprof.advise.replayable import Replayable
from pipeprof.advise.sampling import batch_sizes, repeat_first_record, shrink_batches
from pipeprof.advise.sides import Equivalence, Limits, Pair
from pipeprof.errors import TrialError
from pipeprof.model.profile import ElementsState
from pipeprof.units import percent

WITHIN_BATCH = "draws within a batch"
FROM_SEED = "two loads from the same seeds"
_ROWS = 64
_BATCH = 8
_LARGEST_BATCH = 64  # of those that cannot be made smaller
_ELEMENTS = 48  # of a load
_FEWEST = 4  # elements whose equality is no accident
_PASS_S = 0.5
_MARGIN = 0.1  # of the share of different rows, beyond chance


def with_draws(result: Equivalence, pair: Pair, limits: Limits) -> Equivalence:
    """Add whether draws are as varied within a batch and as repeatable as before; what could not be read is left out.

    Args:
        result: of the comparison so far.
        pair: the whole pipelines.
        limits: how far to go.
    """
    if result.state is ElementsState.DIFFERENT or not random_ops(pair.original.graph):
        return result
    checks = [(WITHIN_BATCH, _drawn_once)] + ([] if limits.leeway.may_reorder else [(FROM_SEED, _not_repeated)])
    for name, check in checks:
        try:
            found = check(pair, limits) if time.monotonic() < limits.deadline_s else None
        except TrialError:
            found = None
        if found:
            return replace(result, state=ElementsState.DIFFERENT, note=found)
        if found is not None:
            result = replace(result, also_compared=(*result.also_compared, name))
    return result


def _drawn_once(pair: Pair, limits: Limits) -> str | None:
    """Return that the changed side draws for several elements at once, "" where it does not, None where that was not seen."""
    batch = math.prod(batch_sizes(pair.original.graph))
    if batch == 1 or not _has_rows(pair.original.element_spec):
        return None
    graphs = (pair.original.copy_graph(), pair.changed.copy_graph())
    if _is_free(pair.original.element_spec):
        for graph in graphs:
            shrink_batches(graph, _BATCH)
        batch = math.prod(batch_sizes(graphs[0]))
    if batch > _LARGEST_BATCH:
        return None
    edited = repeat_first_record(*graphs, 2 * batch)
    if edited is None:
        return None
    sides = (pair.original.with_graph(edited[0]), pair.changed.with_graph(edited[1]))
    rows = min(_ROWS, 2 * batch)  # of a pipeline that repeats no more than one pass
    before, after = (_read(side, limits, rows, unbatched=True) for side in sides)
    if min(len(before), len(after)) < _FEWEST:
        return None
    were, are = (len(set(epoch.digests)) / len(epoch) for epoch in (before, after))
    chance = 3.0 * math.sqrt((were * (1 - were) + are * (1 - are)) / len(after))  # binomial, three sigma
    if are >= were - _MARGIN - chance:
        return ""
    shares = f"of one record {percent(are)} of the rows differ, {percent(were)} before"
    return f"the change draws for several elements at once: {shares}"


def _not_repeated(pair: Pair, limits: Limits) -> str | None:
    """Return that seeds fix less on the changed side, "" where they do not, None where that was not seen."""
    if _has_state(random_ops(pair.original.graph)):
        return None
    ours = [_read(pair.original, limits, _ELEMENTS) for _ in range(2)]
    if not _is_repeated(*ours):
        return "" if all(map(len, ours)) else None
    theirs = [_read(pair.changed, limits, _ELEMENTS) for _ in range(2)]
    if min(map(len, theirs)) < _FEWEST:
        return None
    return "" if _is_repeated(*theirs) else "two loads from the same seeds gave equal elements, and with the change other ones"


def _has_state(ops: Sequence[str]) -> bool:
    """Say whether draws come from a state that each load has a copy of: then loads are equal whether a seed was set or not."""
    return any(op.startswith(("Rng", "Keras")) for op in ops)


def _is_repeated(one: Epoch, other: Epoch) -> bool:
    length = min(len(one), len(other))
    return length >= _FEWEST and one.digests[:length] == other.digests[:length]


def _read(side: Replayable, limits: Limits, elements: int, *, unbatched: bool = False) -> Epoch:
    bounds = Bounds(elements=elements, deadline_s=limits.deadline_s, epochs=1, epoch_s=_PASS_S)
    (epoch,) = read_epochs(side, bounds, unbatched=unbatched)
    if epoch.error:
        raise TrialError(epoch.error)
    return epoch


def _has_rows(spec: Any) -> bool:
    """Say whether an element may be a batch: parts of as many rows as each other, as far as that is known."""
    import tensorflow as tf

    parts = tf.nest.flatten(spec)
    if not all(isinstance(part, tf.TensorSpec) and (part.shape.rank or 0) >= 1 for part in parts):
        return False
    return len({part.shape[0] for part in parts} - {None}) <= 1


def _is_free(spec: Any) -> bool:
    """Say whether batches may have any size, as those with a short last one do."""
    import tensorflow as tf

    return all(part.shape[0] is None for part in tf.nest.flatten(spec))
