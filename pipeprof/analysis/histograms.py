"""Reading quantiles back from log-bucketed histograms."""

from __future__ import annotations

import math

from pipeprof.model.profile import Histogram


def total(histogram: Histogram) -> int:
    """Return how many durations a histogram counts."""
    return sum(histogram.counts.values())


def quantile(histogram: Histogram, q: float) -> float | None:
    """Return the ``q`` quantile of a histogram in seconds, ``None`` when it is empty.

    It is the geometric middle of the bucket that holds the order statistic of rank ``ceil(q * n)`` (the inverse of the
    empirical distribution), and is therefore within a factor ``sqrt(base)`` of it: 4.9 % at base 1.1. In the first
    bucket, which also holds zero and negative values, the error is one nanosecond plus the value's own distance from zero.

    Raises:
        ValueError: if ``q`` is outside 0-1.
    """
    if not 0 <= q <= 1:
        raise ValueError(f"a quantile is between 0 and 1, not {q}")
    rank = max(1, math.ceil(q * total(histogram)))
    seen = 0
    for bucket, count in sorted((int(key), count) for key, count in histogram.counts.items()):
        seen += count
        if seen >= rank:
            return float(histogram.base ** (bucket + 0.5))
    return None
