"""Reads whole epochs of a Replayable and keeps what a comparison needs.

One iterator at a time. An epoch is a list of digests, and the arrays themselves up to a limit, for judging rounding. An
error that the pipeline raises ends the epoch and is part of it; where memory ran out, nothing was read. Nothing here judges.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any  # elements are nests of TensorFlow's values

import numpy as np
import numpy.typing as npt

from pipeprof.advise.digest import digest, flatten
from pipeprof.advise.replayable import Replayable, first_line
from pipeprof.errors import RanOutError, TrialError

MAX_KEPT_BYTES = 64 * 1000 * 1000

Arrays = list[npt.NDArray[np.generic] | None]


@dataclass(slots=True)
class Epoch:
    """One pass over a dataset."""

    digests: list[bytes] = field(default_factory=list)
    layouts: list[bytes] = field(default_factory=list)
    arrays: list[Arrays] = field(default_factory=list)  # of the first elements
    complete: bool = False  # the dataset ended by itself
    error: str = ""  # what it raised, and with that its end

    def __len__(self) -> int:
        """Return the number of elements."""
        return len(self.digests)


def is_reordered(one: Epoch, other: Epoch) -> bool:
    """Tell whether what two passes have in common comes in another order; what only one of them has is left out."""
    common = Counter(one.digests) & Counter(other.digests)
    return _restricted(one.digests, common) != _restricted(other.digests, common)


def _restricted(digests: Sequence[bytes], common: Counter[bytes]) -> list[bytes]:
    """Return the first of each digest, as many of it as are common."""
    left = Counter(common)
    kept = []
    for item in digests:
        if left[item] > 0:
            left[item] -= 1
            kept.append(item)
    return kept


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far to read."""

    elements: int
    deadline_s: float  # of time.monotonic()
    epochs: int = 1
    keep_arrays: bool = False
    epoch_s: float = math.inf  # of one epoch, at most
    whole_epochs: bool = False  # stop after an epoch that was cut short: read-ahead leaves shuffles at an unknown place


def read_epochs(replayable: Replayable, bounds: Bounds, *, unbatched: bool = False) -> list[Epoch]:
    """Read epochs of one load, a new iterator for each.

    Args:
        replayable: what is loaded.
        bounds: how far to read; after the deadline fewer elements and epochs are returned.
        unbatched: take batches apart again.

    Raises:
        TrialError: it cannot be loaded, or ran out of memory.
    """
    loaded = replayable.load()
    if unbatched:
        loaded = _unbatched(loaded)
    epochs: list[Epoch] = []
    while len(epochs) < bounds.epochs and (not epochs or time.monotonic() < bounds.deadline_s):
        epochs.append(_read_epoch(loaded, bounds))
        if bounds.whole_epochs and not epochs[-1].complete:
            break
    return epochs


def _unbatched(loaded: Any) -> Any:
    """Return the rows of batches.

    Raises:
        TrialError: the parts of a batch have not as many rows as each other.
    """
    try:
        return loaded.unbatch()
    except ValueError as error:
        raise TrialError("the parts of an element are no rows that belong together") from error


def read_repeated(replayable: Replayable, length: int, deadline_s: float, *, unbatched: bool = False) -> list[Epoch]:
    """Read two epochs of ``length`` elements through one iterator (``repeat(2)``).

    Raises:
        TrialError: it cannot be loaded, or ran out of memory.
    """
    loaded = replayable.load().repeat(2)
    if unbatched:
        loaded = _unbatched(loaded)
    both = _read_epoch(loaded, Bounds(elements=2 * length, deadline_s=deadline_s))
    if len(both) < 2 * length:
        return []
    return [Epoch(digests=both.digests[:length]), Epoch(digests=both.digests[length:])]


def read_in_one(replayable: Replayable, lengths: Sequence[int], deadline_s: float, *, unbatched: bool = False) -> list[Epoch]:
    """Read through one iterator what several epochs of these lengths are, each as far as the deadline allows.

    Raises:
        TrialError: it cannot be loaded, or ran out of memory.
    """
    loaded = replayable.load()
    if unbatched:
        loaded = _unbatched(loaded)
    whole = _read_epoch(loaded, Bounds(elements=sum(lengths), deadline_s=deadline_s, keep_arrays=True))
    epochs: list[Epoch] = []
    done = 0
    for length in lengths:
        part = slice(done, done + length)
        epoch = Epoch(digests=whole.digests[part], layouts=whole.layouts[part], arrays=whole.arrays[part])
        done += length
        epoch.complete = len(epoch) == length or whole.complete
        epochs.append(epoch)
        if done >= len(whole) and (whole.error or not whole.complete):
            epoch.error = whole.error
            break
    return epochs


def _read_epoch(dataset: Any, bounds: Bounds) -> Epoch:
    import tensorflow as tf

    epoch = Epoch()
    kept = 0
    try:
        for element in _bounded(dataset, bounds, epoch):
            arrays = flatten(element)
            found = digest(arrays)
            epoch.digests.append(found.content)
            epoch.layouts.append(found.layout)
            kept += found.size
            if bounds.keep_arrays and kept <= MAX_KEPT_BYTES:
                epoch.arrays.append([None if array is None else array.copy() for array in arrays])
    except (MemoryError, tf.errors.ResourceExhaustedError) as error:
        raise RanOutError(f"{type(error).__name__}: {first_line(error)}") from error
    except tf.errors.OpError as error:
        epoch.error = f"{type(error).__name__}: {first_line(error)}"
        epoch.complete = True
    return epoch


def _bounded(dataset: Any, bounds: Bounds, epoch: Epoch) -> Iterator[Any]:
    """Yield elements up to the bounds, and say in ``epoch`` whether the dataset had ended by then."""
    deadline_s = min(bounds.deadline_s, time.monotonic() + bounds.epoch_s)
    iterator = iter(dataset)
    while True:
        try:
            element = next(iterator)
        except StopIteration:
            epoch.complete = True
            return
        if len(epoch) >= bounds.elements or time.monotonic() > deadline_s:
            return
        yield element
