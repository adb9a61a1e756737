"""Doubt as numbers: each quantity that is not known exactly is a few hundred readings, and so is all that follows from it.

The readings of one quantity are spread evenly over its range (a Latin hypercube) and paired at random, by its name alone, with
those of the others: the same evidence always gives the same interval, and a new quantity moves no other. It must not know
what the quantities mean.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Readings: TypeAlias = NDArray[np.float64]

READINGS = 400
LOW, HIGH = 0.05, 0.95  # the interval is at 90 %
_SEED = 20_240_229


def between(name: str, low: float | Readings, high: float | Readings) -> Readings:
    """Return readings spread evenly between two values, which may be readings themselves."""
    return low + (high - low) * _uniform(name)


def around(name: str, sigma: float) -> Readings:
    """Return factors around 1: log-normal with this standard deviation of the logarithm."""
    import numpy as np
    from scipy.special import ndtri

    return np.asarray(np.exp(sigma * ndtri(_uniform(name))), dtype=np.float64)


def steps(name: str, mean: float | Readings, spread: float | Readings, count: int) -> Readings:
    """Return ``count`` rows of gamma-distributed durations for each reading, with this mean and coefficient of variation."""
    import numpy as np

    shape = 1 / np.maximum(np.broadcast_to(spread, READINGS), 0.02) ** 2
    drawn = _generator(name).gamma(shape, 1 / shape, (count, READINGS))
    return np.asarray(drawn / drawn.mean(axis=0) * mean, dtype=np.float64)


def summary(values: Readings) -> tuple[float, float, float]:
    """Return the median and the two ends of the interval."""
    import numpy as np

    low, middle, high = np.quantile(values, [LOW, 0.5, HIGH])
    return float(middle), float(low), float(high)


def _uniform(name: str) -> Readings:
    import numpy as np

    generator = _generator(name)
    return np.asarray((generator.permutation(READINGS) + generator.random(READINGS)) / READINGS, dtype=np.float64)


def _generator(name: str) -> np.random.Generator:
    import numpy as np

    return np.random.default_rng([_SEED, zlib.crc32(name.encode())])
