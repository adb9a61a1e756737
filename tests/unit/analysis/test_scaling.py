"""Rates at several numbers of calls at once, from planted rounds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeprof.analysis.scaling import probe_counts, scaled_rates
from pipeprof.model.profile import IsolatedPrefix, PrefixBlock, ScalingPoint
from tests.support.trees import chain, record, steady_loop


def point(calls: int, *rates: float) -> ScalingPoint:
    blocks = tuple(PrefixBlock(round=number, elements=100, wall_s=100 / rate, cpu_s=1.0) for number, rate in enumerate(rates))
    return ScalingPoint(calls=calls, prefix=IsolatedPrefix(blocks=blocks))


def rates_of(*points: ScalingPoint) -> list[tuple[int, float, float]]:
    made = replace(record(chain("range", "map"), (), loop=steady_loop()), scaling_stage="s1", scaling=points)
    return [(item.calls, item.elements_per_s, item.speedup) for item in scaled_rates(made)]


def test_rates_are_compared_with_one_call_within_a_round() -> None:
    found = rates_of(point(1, 100, 50, 100), point(2, 190, 95, 190))

    assert [calls for calls, _, _ in found] == [1, 2]
    assert found[1][1:] == (pytest.approx((190 + 95 + 190) / 3), pytest.approx(1.9))


def test_without_a_single_call_to_compare_with_nothing_is_said() -> None:
    assert rates_of(point(2, 100, 100)) == []
    assert rates_of() == []


@pytest.mark.parametrize(("cores", "counts"), [(1, (1, 2)), (2, (1, 2, 4)), (8, (1, 2, 8, 16))])
def test_three_or_four_numbers_of_calls_are_tried_where_there_are_cores(cores: int, counts: tuple[int, ...]) -> None:
    assert probe_counts(cores) == counts


def test_the_threads_of_an_own_pool_and_the_number_that_autotune_chose_are_tried_as_well() -> None:
    assert probe_counts(2, threads=16, chosen=5) == (1, 2, 4, 5, 16)
    assert probe_counts(2, threads=1, chosen=2) == (1, 2, 4)
