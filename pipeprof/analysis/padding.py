"""How much of padded batches of rows is padding, and which buckets of length leave little of it.

From lengths alone, in the order in which the rows come: what TensorFlow's ``bucket_by_sequence_length`` would make of them.
Nothing here reads a row.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

MOST_BUCKETS = 8
_NEARLY_BEST = 0.02  # of the bytes: fewer buckets are as good when they leave so little more


def padding_share(lengths: Sequence[int], batch: int, boundaries: Sequence[int] = ()) -> float:
    """Return the share of padding in the batches that rows of these lengths make.

    Args:
        lengths: of the rows, in elements.
        batch: rows of a batch.
        boundaries: where the next bucket begins: a row shorter than the first is in the first bucket.
    """
    open_batches: list[list[int]] = [[] for _ in range(len(boundaries) + 1)]
    padded = 0
    for length in lengths:
        rows = open_batches[bisect_right(boundaries, length)]
        rows.append(length)
        if len(rows) == batch:
            padded += max(rows) * batch
            rows.clear()
    padded += sum(max(rows) * len(rows) for rows in open_batches if rows)
    return 1 - sum(lengths) / padded if padded else 0.0


def choose_boundaries(lengths: Sequence[int], batch: int, most: int = MOST_BUCKETS) -> tuple[int, ...]:
    """Return the boundaries of the fewest buckets that leave nearly as little padding as any; none where nothing is gained.

    Buckets hold about equally many rows; more of them leave less padding, and more short batches at an epoch's end: no more
    than ``most`` are made.
    """
    tried = [(), *(_quantiles(lengths, count) for count in range(2, min(most, MOST_BUCKETS) + 1))]
    shares = [padding_share(lengths, batch, boundaries) for boundaries in tried]
    enough = min(shares) + _NEARLY_BEST
    return next(boundaries for boundaries, share in zip(tried, shares, strict=True) if share <= enough)


def _quantiles(lengths: Sequence[int], buckets: int) -> tuple[int, ...]:
    """Return the lengths that part rows into buckets of about equally many."""
    ordered = sorted(lengths)
    found = {ordered[len(ordered) * index // buckets] for index in range(1, buckets)} if ordered else set()
    return tuple(sorted(length for length in found if length > ordered[0]))  # no bucket is empty
