"""This module says how sure a measured ratio or share is, and when a trial has seen enough.

Its one idea: use the interval that covers, not the one that is customary. Simulated with normal, heavy-tailed and
autocorrelated block noise (``benchmarks/trial_calibration.py``), a bootstrap interval of the ratio of 3-18 pairs holds the
truth in 59-86 % of the cases where it claims 90 %; Student's t on the log-ratios, and from ten pairs on the signed-rank
interval, which a few disturbed blocks cannot move, hold it in 88-94 %. So those two are used, chosen by the number of pairs
alone. It must not measure, nor care which arm wins.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pipeprof import units
from pipeprof.model.profile import TrialState

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "LOOKS",
    "Interval",
    "Judgement",
    "SequentialTest",
    "mean_interval",
    "noise_allowance",
    "noise_margin",
    "ratio_interval",
    "share_interval",
]

LOOKS = (3, 5, 8, 12, 18)  # numbers of pairs after which a trial is judged
DEFAULT_LEVEL = 0.9
NO_DIFFERENCE_BAND = 0.05  # a change below 5 % is not worth a patch
CPU_BAND = 0.10  # nor one for a tenth of the CPU
MIN_MARGIN = 0.01  # no arm is believed to be measured better than this
TRIAL_MARGIN = 0.02  # of a trial: equal arms are confirmed in 1 of 100 trials, 1.1 in 94 (benchmarks/trial_calibration.py)
MAX_MARGIN = 0.10  # noise beyond it is in the scatter of the candidate's own pairs
_SIGNED_RANK_PAIRS = 10  # from here on the signed-rank interval; below it Student's t
_BATCH_BINS = 30  # from here on batch means are looked at too
_MAX_CORRELATION = 0.97


@dataclass(frozen=True, slots=True)
class Interval:
    """A value and the interval that holds the truth at the level asked for; an end may be infinite."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the pairs seen so far allow to say. ``state`` is None while more pairs are needed."""

    state: TrialState | None
    interval: Interval
    reason: str = ""


def ratio_interval(
    pairs: Sequence[tuple[float, float]], level: float = DEFAULT_LEVEL, same: Sequence[tuple[float, float]] = ()
) -> Interval:
    """Return the interval of baseline over candidate from pairs of step times measured next to each other.

    The logarithm of each pair's ratio is one observation, so that slow drift of the machine cancels when the order of the
    arms alternates. Fewer than ten pairs: mean and Student's t. Ten or more: Hodges-Lehmann estimate and the exact
    signed-rank interval, which a few disturbed blocks cannot move (Hollander & Wolfe, *Nonparametric Statistical Methods*,
    section 3.2-3.3). One pair alone gives an infinite interval. ``same`` are pairs of one arm with itself: they widen it.

    Raises:
        ValueError: there is no pair, or a time is not positive.
    """
    if not pairs:
        raise ValueError("no pairs")
    if any(baseline <= 0 or candidate <= 0 for baseline, candidate in (*pairs, *same)):
        raise ValueError("step times must be positive")
    logs = [math.log(baseline / candidate) for baseline, candidate in pairs]
    interval = mean_interval(logs, level, [math.log(one / two) for one, two in same])
    return Interval(math.exp(interval.value), math.exp(interval.low), math.exp(interval.high))


def mean_interval(values: Sequence[float], level: float = DEFAULT_LEVEL, same: Sequence[float] = ()) -> Interval:
    """Return the interval of the centre of independent observations (see ``ratio_interval`` for the method).

    A few observations can agree by chance, and their interval is then much too narrow. Observations of no difference at all
    (``same``: an arm against itself, so that their true centre is 0) scatter likewise: both are pooled into one estimate of the
    scatter, whose interval is returned where it is the wider one.

    Raises:
        ValueError: there is no observation.
    """
    import numpy as np

    if not values:
        raise ValueError("no observations")
    data = np.asarray(values, dtype=float)
    if len(data) == 1:
        return Interval(float(data[0]), -math.inf, math.inf)
    if len(data) >= _SIGNED_RANK_PAIRS:
        interval = _signed_rank(data, level)
    else:
        half = _t_quantile(level, len(data) - 1) * float(data.std(ddof=1)) / math.sqrt(len(data))
        centre = float(data.mean())
        interval = Interval(centre, centre - half, centre + half)
    return _widened(interval, data, np.asarray(same, dtype=float), level) if len(same) else interval


def _widened(interval: Interval, data: NDArray[np.float64], same: NDArray[np.float64], level: float) -> Interval:
    """Return the interval by the pooled scatter where it is wider: of ``data`` about its mean, of ``same`` about 0."""
    degrees = len(data) - 1 + len(same)
    squares = float(((data - data.mean()) ** 2).sum() + (same**2).sum())
    half = _t_quantile(level, degrees) * math.sqrt(squares / degrees / len(data))
    return Interval(interval.value, min(interval.low, interval.value - half), max(interval.high, interval.value + half))


def _signed_rank(data: NDArray[np.float64], level: float) -> Interval:
    """Return the median of the pairwise means and the exact interval from the null distribution of Wilcoxon's statistic."""
    import numpy as np

    count = len(data)
    rows, columns = np.triu_indices(count)
    means = np.sort((data[rows] + data[columns]) / 2)
    ways = np.zeros(len(means) + 1)
    ways[0] = 1.0
    for rank in range(1, count + 1):
        ways[rank:] = ways[rank:] + ways[:-rank].copy()
    below = np.cumsum(ways) / 2.0**count
    outside = int(np.searchsorted(below, (1 - level) / 2, side="right"))
    if outside == 0:
        return Interval(float(np.median(means)), -math.inf, math.inf)
    return Interval(float(np.median(means)), float(means[outside - 1]), float(means[len(means) - outside]))


def share_interval(blocks: Sequence[tuple[float, float]], level: float = DEFAULT_LEVEL) -> Interval:
    """Return the interval of a wait share from consecutive time bins, each ``(wait_s, wall_s)``.

    Neighbouring bins resemble each other, so n bins hold less than n bins' worth of evidence. The residuals
    ``wait - share * wall`` of the ratio estimate give the lag-1 correlation r (with its small-sample bias taken off) and the
    effective number ``n (1 - r) / (1 + r)``; from 30 bins on, batch means with Andrews' AR(1) batch length (*Econometrica* 59,
    1991) are calculated too and the wider of both is returned. Simulated coverage at a nominal 90 % with 12-500 bins
    (``benchmarks/trial_calibration.py``): 90-93 % (independent bins), 86-92 % (r = 0.5), 82-92 % (r = 0.8, least with few
    bins, since too little was seen to know r). A moving-block bootstrap was tried and covered less.

    Raises:
        ValueError: no time was observed.
    """
    import numpy as np

    data = np.asarray([block for block in blocks if block[1] > 0], dtype=float).reshape(-1, 2)
    if len(data) == 0:
        raise ValueError("no time was observed")
    wait, wall = data[:, 0], data[:, 1]
    share = float(wait.sum() / wall.sum())
    if len(data) == 1:
        return Interval(share, 0.0, 1.0)
    residuals = wait - share * wall
    half = _effective_half_width(residuals, level)
    if len(data) >= _BATCH_BINS:
        half = max(half, _batch_half_width(residuals, level))
    half /= float(wall.mean())
    return Interval(share, max(0.0, share - half), min(1.0, share + half))


def _effective_half_width(residuals: NDArray[np.float64], level: float) -> float:
    correlation = _lag_correlation(residuals)
    effective = max(2.0, len(residuals) * (1 - correlation) / (1 + correlation))
    return _t_quantile(level, effective - 1) * float(residuals.std(ddof=1)) / math.sqrt(effective)


def _batch_half_width(residuals: NDArray[np.float64], level: float) -> float:
    correlation = _lag_correlation(residuals)
    length = 2 * math.ceil((2 * correlation / (1 - correlation**2)) ** (2 / 3) * len(residuals) ** (1 / 3))
    length = min(max(1, length), len(residuals) // 4)
    count = len(residuals) // length
    batches = residuals[: count * length].reshape(count, length).mean(axis=1)
    return _t_quantile(level, count - 1) * float(batches.std(ddof=1)) / math.sqrt(count)


def _lag_correlation(residuals: NDArray[np.float64]) -> float:
    """Return the lag-1 correlation, not below 0, with the bias of short series taken off (Kendall 1954)."""
    centred = residuals - residuals.mean()
    power = float((centred * centred).sum())
    if power <= 0:
        return 0.0
    raw = float((centred[1:] * centred[:-1]).sum()) / power
    return min(max(raw + (1 + 3 * raw) / len(residuals), 0.0), _MAX_CORRELATION)


def _t_quantile(level: float, degrees: float) -> float:
    from scipy import special

    quantile: Any = special.stdtrit(degrees, (1 + level) / 2)  # Any: scipy has no types
    return float(quantile)


def noise_margin(noise: Interval | None) -> float:
    """Return by how much a ratio must exceed 1 before it means anything, from the A/A interval at the 90 % level.

    The pairs' own scatter is in the candidate's interval already; what an A/A run adds is a difference between arms that
    are the same. Only what its interval proves of it counts, the end that is nearest to 1: a few A/A pairs differ by chance
    as much as the candidate's do, and a margin of that width asks for the same scatter twice (of true gains of 1.1 in 5 %
    of noise it confirmed 26 %, not 94 %). As a ratio above 1, never below 2 % and never above 10 %.
    """
    if noise is None or not (noise.low > 0 and math.isfinite(noise.high)):
        return TRIAL_MARGIN
    proven = max(math.log(noise.low), -math.log(noise.high))
    return min(max(TRIAL_MARGIN, math.exp(proven) - 1), MAX_MARGIN)


def noise_allowance(noise: Interval | None) -> float:
    """Return by how much two measurements of one loop may differ, from the A/A interval at the 90 % level.

    The difference that was seen, plus half the half-width of its interval (about one standard error); a ratio above 1, from
    1 % to 10 %.
    """
    if noise is None or not (noise.low > 0 and math.isfinite(noise.high)):
        return MIN_MARGIN if noise is None else MAX_MARGIN
    half_width = math.log(noise.high / noise.low) / 2
    return min(max(MIN_MARGIN, math.exp(abs(math.log(noise.value)) + half_width / 2) - 1), MAX_MARGIN)


@dataclass(frozen=True, kw_only=True, slots=True)
class SequentialTest:
    """A test that may look early without being fooled more often.

    The pairs are judged only at ``looks``; the error ``1 - level`` is divided evenly among them (Bonferroni), so that the
    intervals of all looks together hold the truth with probability ``level``, however they depend on each other (repeated
    confidence intervals: Jennison & Turnbull, *Group Sequential Methods*, chapter 9). A trial cut short by its budget spends
    the next look's part. The interval reported is the one of the look at which it stopped.
    """

    level: float = DEFAULT_LEVEL
    looks: tuple[int, ...] = LOOKS
    margin: float = TRIAL_MARGIN  # from noise_margin
    band: float = NO_DIFFERENCE_BAND

    @property
    def look_level(self) -> float:
        """The level of one look's interval."""
        return 1 - (1 - self.level) / len(self.looks)

    @property
    def max_pairs(self) -> int:
        """The number of pairs at the last look."""
        return self.looks[-1]

    def judge(self, pairs: Sequence[tuple[float, float]], *, is_last: bool = False) -> Judgement:
        """Judge the pairs; ``is_last`` when there will be no more of them (the budget is spent).

        Raises:
            ValueError: there is no pair.
        """
        interval = ratio_interval(pairs, self.look_level)
        final = is_last or len(pairs) >= self.max_pairs
        if not final and len(pairs) not in self.looks:
            return Judgement(None, interval)
        found = self._conclude(interval)
        if found is not None or not final:
            return found or Judgement(None, interval)
        few = "" if math.isfinite(interval.high) else " (too few pairs for an interval)"
        return Judgement(TrialState.NO_DIFFERENCE, interval, f"not told apart from no change{few}")

    def _conclude(self, interval: Interval) -> Judgement | None:
        if interval.low > 1 + self.margin:
            return Judgement(TrialState.CONFIRMED, interval, "the input is faster")
        if interval.high < 1:
            return Judgement(TrialState.WORSE, interval, "the input is slower")
        if interval.high <= 1 + self.band:
            return Judgement(TrialState.NO_DIFFERENCE, interval, f"a gain above {units.percent(self.band)} is ruled out")
        return None


def break_tie(judgement: Judgement, cpu: Interval | None) -> Judgement:
    """Let CPU decide where time does not: of two forms that are as fast the one that takes less CPU is the better.

    As fast is an interval of the time's ratio within the band of no difference on both sides; an open one decides nothing.

    Args:
        judgement: of the times.
        cpu: ratio of CPU seconds an element, baseline over candidate; None where it was not measured.
    """
    time = judgement.interval
    is_tie = time.low >= 1 - NO_DIFFERENCE_BAND and time.high <= 1 + NO_DIFFERENCE_BAND
    if judgement.state is not TrialState.NO_DIFFERENCE or not is_tie or cpu is None or cpu.low <= 1 + CPU_BAND:
        return judgement
    return replace(judgement, state=TrialState.LESS_CPU, reason="as fast as before")
