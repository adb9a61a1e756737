"""Series and histograms whose size never grows with the run.

A :class:`BoundedSeries` covers the whole run with at most so many bins: when it is full, neighbours are merged in pairs and
every later bin takes twice as many items, so that resolution stays even from the first item to the last. A
:class:`LogHistogram` counts durations in buckets that grow by a fixed ratio, so that any quantile can be read back within
a known relative error. Nothing here reads a clock or knows what an item means.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from pipeprof.model.profile import MAX_BINS, Histogram

T = TypeVar("T")
S = TypeVar("S")

DEFAULT_BASE = Histogram().base
SHORTEST_S = 1e-9  # durations at or below it (zero and negative too) are counted in its bucket
_FEW = 64  # fewer values are counted faster one by one
LONGEST_S = 1e9  # durations at or above it (infinity too) are counted in its bucket


class BoundedSeries(Generic[T]):
    """Consecutive items in at most ``limit`` bins of equally many items each (the newest bin may still be filling).

    One thread adds; any thread may call :meth:`items` at any time, since bins are replaced and never changed in place.
    ``merge`` gets two neighbours, the earlier first, and returns a new bin for both.
    """

    def __init__(self, merge: Callable[[T, T], T], limit: int = MAX_BINS) -> None:
        """Start empty.

        Raises:
            ValueError: if ``limit`` is below one.
        """
        if limit < 1:
            raise ValueError(f"a series needs room for at least one bin, not {limit}")
        self._merge = merge
        self._limit = limit
        self._bins: list[T] = []
        self._per_bin = 1  # items of a full bin
        self._in_last = 0  # items of the newest bin

    def add(self, item: T) -> None:
        """Append one item: O(1) on average."""
        if self._in_last == self._per_bin and len(self._bins) == self._limit:
            self._halve()
        if self._bins and self._in_last < self._per_bin:
            self._bins[-1] = self._merge(self._bins[-1], item)
            self._in_last += 1
        else:
            self._bins.append(item)
            self._in_last = 1

    def extend(self, items: Sequence[S], fold: Callable[[Sequence[S]], T]) -> None:
        """Append many items as :meth:`add` would one by one; ``fold`` makes one bin of consecutive ones."""
        position = 0
        while position < len(items):
            if self._in_last == self._per_bin and len(self._bins) == self._limit:
                self._halve()
            is_open = bool(self._bins) and self._in_last < self._per_bin
            chunk = items[position : position + self._per_bin - (self._in_last if is_open else 0)]
            folded = fold(chunk)
            if is_open:
                self._bins[-1] = self._merge(self._bins[-1], folded)
                self._in_last += len(chunk)
            else:
                self._bins.append(folded)
                self._in_last = len(chunk)
            position += len(chunk)

    def items(self) -> tuple[T, ...]:
        """Return the bins so far, the earliest first."""
        return tuple(self._bins)

    def __len__(self) -> int:
        """Return the number of bins."""
        return len(self._bins)

    @property
    def items_per_bin(self) -> int:
        """How many items a full bin holds: a power of two."""
        return self._per_bin

    def _halve(self) -> None:
        """Merge neighbours in pairs; an odd one out stays, as a bin that is half full."""
        old = self._bins
        halved = [self._merge(first, second) for first, second in zip(old[::2], old[1::2], strict=False)]
        if len(old) % 2:
            halved.append(old[-1])
        else:
            self._in_last = 2 * self._per_bin
        self._per_bin *= 2
        self._bins = halved


class LogHistogram:
    """Counts durations: bucket ``k`` holds values in ``[base**k, base**(k+1))`` seconds.

    Between :data:`SHORTEST_S` and :data:`LONGEST_S` there are 436 buckets at the default base; everything outside is
    counted in the first or in the last of them. One thread adds; any thread may call :meth:`freeze`.
    """

    def __init__(self, base: float = DEFAULT_BASE) -> None:
        """Start empty.

        Raises:
            ValueError: if ``base`` is not above one.
        """
        if not base > 1:
            raise ValueError(f"buckets must grow: base {base} is not above 1")
        self._base = base
        self._log_base = math.log(base)
        self._counts: dict[int, int] = {}

    def add(self, seconds: float, count: int = 1) -> None:
        """Count ``seconds``, ``count`` times.

        Raises:
            ValueError: if ``seconds`` is not a number.
        """
        bucket = self._bucket(seconds)
        self._counts[bucket] = self._counts.get(bucket, 0) + count

    def add_all(self, values: Sequence[float]) -> None:
        """Count many durations at once, each as :meth:`add` would.

        Raises:
            ValueError: if one of them is not a number.
        """
        if len(values) < _FEW:
            for value in values:
                self.add(value)
            return
        import numpy as np

        seconds = np.clip(np.asarray(values, dtype=float), SHORTEST_S, LONGEST_S)
        if np.isnan(seconds).any():
            raise ValueError("a duration is not a number")
        buckets = np.floor(np.log(seconds) / self._log_base)
        buckets -= seconds < self._base**buckets
        buckets += seconds >= self._base ** (buckets + 1)
        for bucket, count in zip(*np.unique(buckets, return_counts=True), strict=True):
            self._counts[int(bucket)] = self._counts.get(int(bucket), 0) + int(count)

    def freeze(self) -> Histogram:
        """Return what was counted so far, in ascending order of buckets."""
        counts = dict(self._counts)
        return Histogram(base=self._base, counts={str(bucket): counts[bucket] for bucket in sorted(counts)})

    def _bucket(self, seconds: float) -> int:
        """Return the number of the bucket; the logarithm's rounding is corrected at the edges."""
        if seconds != seconds:  # noqa: PLR0124  (the fastest test for "not a number")
            raise ValueError("a duration is not a number")
        value = min(max(seconds, SHORTEST_S), LONGEST_S)
        bucket = math.floor(math.log(value) / self._log_base)
        if value < self._base**bucket:
            return bucket - 1
        if value >= self._base ** (bucket + 1):
            return bucket + 1
        return bucket
