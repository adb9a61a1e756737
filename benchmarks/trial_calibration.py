"""This program checks that a trial is wrong no more often than it says, and prints a table.

Its one idea: identical arms must not be confirmed. Simulated trials (block noise: normal; heavy-tailed with pauses;
autocorrelated) go through the very test that a trial uses, the A/A margin included; real ones drive one sleeping tf.data
pipeline against itself. Run it as ``python benchmarks/trial_calibration.py [--trials 2000] [--real 20]``; a real trial takes
some seconds. It must not tune anything: thresholds live in ``pipeprof.analysis.significance``.
"""

from __future__ import annotations

import argparse
import math
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats

from pipeprof.advise.replay import WarmUp
from pipeprof.advise.trial import TrialPlan, run_trial
from pipeprof.analysis.significance import SequentialTest, noise_margin, ratio_interval, share_interval
from pipeprof.model.profile import TrialState

Noise = Callable[[np.random.Generator, int], np.ndarray]
NOISE_PAIRS = 3


def _normal(generator: np.random.Generator, count: int) -> np.ndarray:
    return generator.normal(0, 0.05, count)


def _heavy(generator: np.random.Generator, count: int) -> np.ndarray:
    pauses = (generator.random(count) < 0.08) * generator.exponential(0.4, count)
    return 0.03 * generator.standard_t(3, count) + pauses


def _correlated(generator: np.random.Generator, count: int) -> np.ndarray:
    drift = np.zeros(count)
    for index in range(1, count):
        drift[index] = 0.8 * drift[index - 1] + generator.normal(0, 0.03)
    return drift + 0.02 * generator.standard_t(3, count)


NOISES: dict[str, Noise] = {"normal 5 %": _normal, "heavy tails, pauses": _heavy, "autocorrelated": _correlated}


def _pairs(generator: np.random.Generator, noise: Noise, count: int, speedup: float) -> list[tuple[float, float]]:
    """Blocks in the order A B B A, as a trial measures them."""
    blocks = np.exp(noise(generator, 2 * count))
    pairs = []
    for index in range(count):
        one, two = blocks[2 * index], blocks[2 * index + 1]
        baseline, candidate = (one, two) if index % 2 == 0 else (two, one)
        pairs.append((float(speedup * baseline), float(candidate)))
    return pairs


def _simulate(noise: Noise, speedup: float, trials: int, seed: int) -> tuple[Counter[str], float, float]:
    """Return the states of simulated trials, the share of intervals that hold the truth, and the mean number of pairs."""
    generator, states, holds, used = np.random.default_rng(seed), Counter[str](), 0, 0
    for _ in range(trials):
        margin = noise_margin(ratio_interval(_pairs(generator, noise, NOISE_PAIRS, 1.0)))
        test = SequentialTest(margin=margin)
        pairs = _pairs(generator, noise, test.max_pairs, speedup)
        for count in test.looks:
            judged = test.judge(pairs[:count])
            if judged.state is not None:
                states[judged.state] += 1
                holds += judged.interval.low <= speedup <= judged.interval.high
                used += count
                break
    return states, holds / trials, used / trials


def _naive(noise: Noise, trials: int, seed: int) -> float:
    """Return how often peeking after every pair with a plain 90 % t-interval and no margin would confirm identical arms."""
    generator, wrong = np.random.default_rng(seed), 0
    for _ in range(trials):
        pairs = _pairs(generator, noise, 18, 1.0)
        logs = np.log([one / two for one, two in pairs])
        lows = [
            logs[:count].mean() - stats.t.ppf(0.95, count - 1) * logs[:count].std(ddof=1) / math.sqrt(count)
            for count in range(3, 19)
        ]
        wrong += any(low > 0 for low in lows)
    return wrong / trials


def _bootstrap_coverage(values: np.ndarray, generator: np.random.Generator) -> bool:
    means = values[generator.integers(0, len(values), (500, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [0.05, 0.95])
    return bool(low <= 0 <= high)


def _coverage(noise: Noise, count: int, trials: int, seed: int) -> tuple[float, float]:
    """Return the coverage of our 90 % interval and of a percentile bootstrap with so many pairs."""
    generator, ours, bootstrap = np.random.default_rng(seed), 0, 0
    for _ in range(trials):
        pairs = _pairs(generator, noise, count, 1.0)
        interval = ratio_interval(pairs)
        ours += interval.low <= 1 <= interval.high
        bootstrap += _bootstrap_coverage(np.log([one / two for one, two in pairs]), generator)
    return ours / trials, bootstrap / trials


def _share_coverage(correlation: float, bins: int, trials: int, seed: int) -> float:
    generator, holds = np.random.default_rng(seed), 0
    for _ in range(trials):
        noise = generator.normal(size=bins + 50)
        for index in range(1, len(noise)):
            noise[index] = correlation * noise[index - 1] + math.sqrt(1 - correlation**2) * noise[index]
        interval = share_interval([(0.4 + 0.1 * float(value), 1.0) for value in noise[50:]])
        holds += interval.low <= 0.4 <= interval.high
    return holds / trials


def _real(trials: int) -> tuple[Counter[str], list[float], float]:
    """Return the states of real A/A trials, their ratios, and the seconds each took in the mean."""
    import tensorflow as tf

    def nap(value: object) -> object:
        time.sleep(0.002)
        return value

    def make() -> object:
        mapped = tf.data.Dataset.range(10**9).map(lambda value: tf.numpy_function(nap, [value], tf.int64))
        return mapped.batch(4).prefetch(2)

    plan = TrialPlan(gaps=(0.004,), budget_s=5.0, warm_up=WarmUp(elements=8, seconds=0.1, cap_s=1.0))
    states, ratios, wall_s = Counter[str](), [], 0.0
    for _ in range(trials):
        outcome = run_trial(make, make, plan, threading.Event())  # type: ignore[arg-type]
        states[outcome.state] += 1
        wall_s += outcome.wall_s
        if outcome.speedup is not None:
            ratios.append(outcome.speedup)
    return states, ratios, wall_s / max(1, trials)


def _row(*cells: object) -> None:
    sys.stdout.write("| " + " | ".join(str(cell) for cell in cells) + " |\n")


def _head(*cells: str) -> None:
    sys.stdout.write("\n")
    _row(*cells)
    _row(*("---" for _ in cells))


def _percent(share: float) -> str:
    return f"{share:.1%}"


def _print_simulated(trials: int) -> None:
    _head(
        "noise", "true ratio", "confirmed", "worse", "no difference", "interval holds truth", "mean pairs", "peeking, no margin"
    )
    for name, noise in NOISES.items():
        for speedup in (1.0, 1.1, 1.3, 2.0):
            states, holds, used = _simulate(noise, speedup, trials, seed=17)
            shares = [
                _percent(states[state] / trials) for state in (TrialState.CONFIRMED, TrialState.WORSE, TrialState.NO_DIFFERENCE)
            ]
            naive = _percent(_naive(noise, min(trials, 500), seed=17)) if speedup == 1.0 else ""
            _row(name, speedup, *shares, _percent(holds), f"{used:.1f}", naive)


def _print_coverage(trials: int) -> None:
    _head("noise", "pairs", "coverage of our 90 %", "coverage of a percentile bootstrap")
    for name, noise in NOISES.items():
        for count in (3, 5, 8, 12, 18):
            ours, bootstrap = _coverage(noise, count, trials, seed=23)
            _row(name, count, _percent(ours), _percent(bootstrap))
    _head("correlation of bins", "bins", "coverage of a share's 90 %")
    for correlation in (0.0, 0.5, 0.8):
        for bins in (12, 100, 500):
            _row(correlation, bins, _percent(_share_coverage(correlation, bins, min(trials, 400), seed=29)))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="How often is a trial wrong?")
    parser.add_argument("--trials", type=int, default=2000, help="simulated trials a row")
    parser.add_argument("--real", type=int, default=20, help="real A/A trials of a tf.data pipeline (0: none)")
    options = parser.parse_args(arguments)
    _print_simulated(options.trials)
    _print_coverage(min(options.trials, 1000))
    if options.real:
        states, ratios, wall_s = _real(options.real)
        spread = f"{min(ratios):.3f} to {max(ratios):.3f}" if ratios else "none"
        _head("real A/A trials", *TrialState, "ratios", "seconds a trial")
        _row(options.real, *(states[state] for state in TrialState), spread, f"{wall_s:.1f}")


if __name__ == "__main__":
    main()
