"""Series and histograms: bounded for ever, nothing lost."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import pytest

from pipeprof.capture.bins import LONGEST_S, SHORTEST_S, BoundedSeries, LogHistogram

Span = tuple[int, int, int]  # first item, last item, largest item


def merge_spans(earlier: Span, later: Span) -> Span:
    """Merge two neighbours; that they are neighbours is part of the contract."""
    assert later[0] == earlier[1] + 1
    return (earlier[0], later[1], max(earlier[2], later[2]))


def filled(count: int, limit: int) -> BoundedSeries[Span]:
    series: BoundedSeries[Span] = BoundedSeries(merge_spans, limit)
    for number in range(count):
        series.add((number, number, number))
    return series


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8, 600])
@pytest.mark.parametrize("count", [0, 1, 2, 5, 599, 600, 601, 1199, 1200, 1201, 5000])
def test_any_number_of_items_fits_and_every_item_is_covered_once(count: int, limit: int) -> None:
    bins = filled(count, limit).items()

    assert len(bins) <= limit
    assert sum(last - first + 1 for first, last, _ in bins) == count
    assert [first for first, _, _ in bins] == [0, *[last + 1 for _, last, _ in bins[:-1]]][: len(bins)]


@pytest.mark.parametrize("count", [600, 601, 900, 4799, 4800, 4801, 100_000])
def test_all_bins_but_the_newest_hold_equally_many_items(count: int) -> None:
    series = filled(count, 600)
    sizes = [last - first + 1 for first, last, _ in series.items()]

    assert set(sizes[:-1]) == {series.items_per_bin}
    assert 1 <= sizes[-1] <= series.items_per_bin
    assert len(sizes) > 300  # half of the room is always in use


def test_items_are_kept_apart_as_long_as_there_is_room() -> None:
    assert filled(600, 600).items() == tuple((number, number, number) for number in range(600))


def test_extremes_that_the_merge_keeps_survive_any_number_of_merges() -> None:
    series: BoundedSeries[Span] = BoundedSeries(merge_spans, 4)
    for number in range(1000):
        series.add((number, number, 10**6 if number == 321 else 0))

    peaks = [span for span in series.items() if span[2] == 10**6]

    assert len(peaks) == 1
    assert peaks[0][0] <= 321 <= peaks[0][1]


def test_what_was_handed_out_does_not_change_when_more_is_added() -> None:
    series = filled(3, 2)
    before = series.items()
    copy = tuple(before)

    series.add((3, 3, 3))

    assert before == copy
    assert series.items() != before


def test_a_series_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one bin"):
        BoundedSeries(merge_spans, 0)


@pytest.mark.parametrize(
    ("base", "exponent"),
    [(base, exponent) for base, last in ((1.1, 210), (1.5, 50), (2.0, 28)) for exponent in range(-last, last + 1, 7)],
)
def test_a_bucket_holds_its_lower_edge_and_not_its_upper_edge(base: float, exponent: int) -> None:
    edge = base**exponent
    at, below = LogHistogram(base), LogHistogram(base)

    at.add(edge)
    below.add(math.nextafter(edge, 0))

    assert at.freeze().counts == {str(exponent): 1}
    assert below.freeze().counts == {str(exponent - 1): 1}


@pytest.mark.parametrize("seconds", [0.0, -0.0, -1.0, -math.inf, 1e-12, SHORTEST_S])
def test_zero_and_negative_durations_are_counted_in_the_first_bucket(seconds: float) -> None:
    histogram, first = LogHistogram(), LogHistogram()
    first.add(SHORTEST_S)

    histogram.add(seconds)

    assert histogram.freeze() == first.freeze()


@pytest.mark.parametrize("seconds", [LONGEST_S, 1e300, math.inf])
def test_endless_durations_are_counted_in_the_last_bucket(seconds: float) -> None:
    histogram = LogHistogram()

    histogram.add(seconds)

    (bucket, count), *rest = histogram.freeze().counts.items()
    assert (count, rest) == (1, [])
    assert 1.1 ** int(bucket) <= LONGEST_S < 1.1 ** (int(bucket) + 1)


def test_a_duration_that_is_not_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="not a number"):
        LogHistogram().add(math.nan)


def test_a_base_that_does_not_grow_is_refused() -> None:
    with pytest.raises(ValueError, match="not above 1"):
        LogHistogram(1.0)


def test_counts_add_up_and_stand_in_ascending_order() -> None:
    histogram = LogHistogram(2.0)
    for seconds, count in ((8.0, 2), (0.25, 1), (9.0, 1), (0.3, 4)):
        histogram.add(seconds, count)

    frozen = histogram.freeze()

    assert list(frozen.counts.items()) == [("-2", 5), ("3", 3)]


def test_the_number_of_buckets_is_bounded() -> None:
    histogram = LogHistogram()
    for exponent in range(-2400, 2400):
        histogram.add(10.0 ** (exponent / 200))

    assert len(histogram.freeze().counts) == 436


@pytest.mark.parametrize("count", [1, 63, 64, 500])
def test_many_durations_at_once_are_counted_as_one_by_one(count: int) -> None:
    generator = random.Random(count)
    edges = [1.1**exponent for exponent in range(-200, 200, 9)]
    values = [0.0, -1.0, math.inf, *edges, *(generator.lognormvariate(-5, 3) for _ in range(count))][:count]
    at_once, one_by_one = LogHistogram(), LogHistogram()

    at_once.add_all(values)
    for value in values:
        one_by_one.add(value)

    assert at_once.freeze() == one_by_one.freeze()


@pytest.mark.parametrize("count", [3, 100])
def test_a_duration_among_many_that_is_not_a_number_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match="not a number"):
        LogHistogram().add_all([*([0.1] * count), math.nan])


def fold_spans(numbers: Sequence[int]) -> Span:
    return (numbers[0], numbers[-1], max(numbers))


@pytest.mark.parametrize("limit", [1, 2, 7, 600])
@pytest.mark.parametrize("batch", [1, 3, 512, 5000])
def test_many_items_at_once_fall_into_the_same_bins_as_one_by_one(limit: int, batch: int) -> None:
    at_once: BoundedSeries[Span] = BoundedSeries(merge_spans, limit)

    for start in range(0, 5000, batch):
        at_once.extend(range(start, min(start + batch, 5000)), fold_spans)

    one_by_one = filled(5000, limit)
    assert at_once.items() == one_by_one.items()
    assert at_once.items_per_bin == one_by_one.items_per_bin
