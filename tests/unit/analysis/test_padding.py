"""Padding from the lengths of rows alone."""

from __future__ import annotations

import pytest

from pipeprof.analysis.padding import choose_boundaries, padding_share

SHORT_AND_LONG = [2, 10] * 50


@pytest.mark.parametrize(
    ("lengths", "batch", "boundaries", "share"),
    [
        ([5, 5, 5, 5], 2, (), 0.0),
        ([1, 3], 2, (), 2 / 6),  # 4 of 6
        ([1, 3, 1, 3], 2, (2,), 0.0),
        ([1, 3, 2], 2, (2,), 1 / 7),  # 1; 3 and 2
        ([2, 3, 3, 2], 2, (3,), 0.0),  # a boundary begins the next bucket
        ([4], 8, (), 0.0),  # a batch that is not full
        ([], 2, (), 0.0),
    ],
)
def test_each_row_is_padded_to_the_longest_of_its_batch(lengths, batch, boundaries, share):
    assert padding_share(lengths, batch, boundaries) == pytest.approx(share)


def test_two_lengths_need_one_boundary():
    boundaries = choose_boundaries(SHORT_AND_LONG, 4)

    assert boundaries == (10,)
    assert padding_share(SHORT_AND_LONG, 4, boundaries) == 0.0


def test_more_buckets_than_pay_are_not_made():
    lengths = [index * 7919 % 1000 + 1 for index in range(4000)]

    few = choose_boundaries(lengths, 16)

    shares = [padding_share(lengths, 16, few[:count]) for count in range(len(few) + 1)]
    assert shares == sorted(shares, reverse=True)
    assert padding_share(lengths, 16, few) < 0.15
    assert padding_share(lengths, 16) > 0.4
    assert len(choose_boundaries(lengths, 16, most=3)) == 2


@pytest.mark.parametrize("lengths", [[7] * 100, list(range(1, 101)), []])
def test_rows_that_already_meet_their_like_need_no_buckets(lengths):
    assert choose_boundaries(lengths, 4) == ()
