"""Quantiles read back from log-bucketed histograms are within the stated error of the true ones."""

from __future__ import annotations

import math
import random

import pytest

from pipeprof.analysis.histograms import quantile, total
from pipeprof.capture.bins import LONGEST_S, LogHistogram
from pipeprof.model.profile import Histogram


@pytest.mark.parametrize("q", [0.0, 0.01, 0.5, 0.9, 0.95, 0.999, 1.0])
@pytest.mark.parametrize("seed", range(5))
def test_quantiles_are_within_the_stated_error_of_the_true_ones(seed: int, q: float) -> None:
    generator = random.Random(seed)
    values = [generator.lognormvariate(-5, 2) for _ in range(1 + seed * 500)]
    histogram = LogHistogram()
    for value in values:
        histogram.add(value)

    found = quantile(histogram.freeze(), q)

    truth = sorted(values)[max(1, math.ceil(q * len(values))) - 1]
    assert found is not None
    assert truth / math.sqrt(1.1) * (1 - 1e-9) <= found <= truth * math.sqrt(1.1) * (1 + 1e-9)


def test_an_empty_histogram_has_no_quantile() -> None:
    assert quantile(Histogram(), 0.5) is None
    assert total(Histogram()) == 0


@pytest.mark.parametrize("q", [-0.1, 1.1, math.nan])
def test_a_quantile_outside_its_range_is_refused(q: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        quantile(Histogram(counts={"0": 1}), q)


def test_the_total_is_the_number_of_durations() -> None:
    assert total(Histogram(counts={"-2": 5, "3": 3})) == 8


def test_the_quantile_of_endless_durations_is_the_longest_that_is_counted() -> None:
    histogram = LogHistogram()

    histogram.add(math.inf)

    assert quantile(histogram.freeze(), 0.5) == pytest.approx(LONGEST_S, rel=0.05)
