"""Intervals and the sequential test on planted numbers; coverage by seeded simulation."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from pipeprof.analysis.significance import (
    Interval,
    Judgement,
    SequentialTest,
    break_tie,
    mean_interval,
    noise_allowance,
    noise_margin,
    ratio_interval,
    share_interval,
)
from pipeprof.model.profile import TrialState


def _noisy_pairs(generator: np.random.Generator, count: int, speedup: float = 1.0) -> list[tuple[float, float]]:
    """Pairs with Student-t noise (3 degrees of freedom) and, in one block of twelve, a pause."""

    def noise() -> float:
        return float(0.02 * generator.standard_t(3) + (generator.random() < 1 / 12) * generator.exponential(0.3))

    return [(0.02 * speedup * math.exp(noise()), 0.02 * math.exp(noise())) for _ in range(count)]


def test_the_ratio_of_equal_pairs_is_exact():
    interval = ratio_interval([(0.03, 0.02)] * 4)

    assert interval.value == pytest.approx(1.5)
    assert interval.low == pytest.approx(1.5)
    assert interval.high == pytest.approx(1.5)


def test_a_small_sample_gets_students_t_on_the_log_ratios():
    pairs = [(1.0, 1.0), (1.1, 1.0), (1.21, 1.0)]

    interval = ratio_interval(pairs, level=0.9)

    half = 2.9199856 * math.log(1.1) / math.sqrt(3)  # t quantile of 2 degrees of freedom from a table
    assert interval.value == pytest.approx(1.1)
    assert interval.low == pytest.approx(1.1 * math.exp(-half))
    assert interval.high == pytest.approx(1.1 * math.exp(half))


def test_one_pair_says_nothing_about_the_interval():
    interval = ratio_interval([(2.0, 1.0)])

    assert (interval.value, interval.low, interval.high) == (pytest.approx(2.0), 0.0, math.inf)


def test_ten_values_get_the_exact_signed_rank_interval():
    interval = mean_interval([float(value) for value in range(1, 11)], level=0.9)

    # P(T <= 10) = 0.0420 and P(T <= 11) = 0.0527 for n = 10 (tables of the signed-rank statistic): the 11th of the 55 sorted
    # pairwise means and its mirror image, which brute force over the 55 means gives as 3.5 and 7.5.
    assert (interval.value, interval.low, interval.high) == (5.5, 3.5, 7.5)


def test_a_few_disturbed_blocks_do_not_move_a_long_trial():
    pairs = [(1.5 * (1 + 0.002 * index), 1.0) for index in range(11)] + [(15.0, 1.0)]

    interval = ratio_interval(pairs)

    assert interval.value == pytest.approx(1.515, rel=0.01)
    assert interval.high < 1.6


def test_swapping_the_arms_inverts_the_interval():
    pairs = _noisy_pairs(np.random.default_rng(3), 12, 1.3)

    forward, backward = ratio_interval(pairs), ratio_interval([(two, one) for one, two in pairs])

    assert backward.value == pytest.approx(1 / forward.value)
    assert (backward.low, backward.high) == (pytest.approx(1 / forward.high), pytest.approx(1 / forward.low))


@pytest.mark.parametrize("pairs", [[], [(0.0, 1.0)], [(1.0, -1.0)]])
def test_pairs_without_meaning_are_refused(pairs: list[tuple[float, float]]):
    with pytest.raises(ValueError, match=r"pairs|positive"):
        ratio_interval(pairs)


@pytest.mark.parametrize("count", [3, 5, 8, 12, 18])
def test_ninety_percent_intervals_hold_the_truth_under_heavy_tails(count: int):
    generator = np.random.default_rng(count)

    intervals = [ratio_interval(_noisy_pairs(generator, count, 1.2)) for _ in range(600)]

    assert sum(item.low <= 1.2 <= item.high for item in intervals) / 600 >= 0.87  # 0.9 less three standard errors


def test_the_share_of_even_bins_is_exact():
    interval = share_interval([(0.2, 1.0)] * 20)

    assert (interval.value, interval.low, interval.high) == (pytest.approx(0.2), pytest.approx(0.2), pytest.approx(0.2))


def test_one_bin_leaves_the_share_open():
    assert share_interval([(0.2, 1.0)]) == Interval(0.2, 0.0, 1.0)


def test_bins_weigh_by_their_length():
    assert share_interval([(1.0, 1.0), (0.0, 3.0)]).value == pytest.approx(0.25)


def test_a_share_stays_between_nothing_and_everything():
    interval = share_interval([(0.0, 1.0), (0.0, 1.0), (1.0, 1.0)])

    assert interval.low == 0.0
    assert interval.high <= 1.0


def test_bins_that_resemble_their_neighbours_widen_the_interval():
    generator = np.random.default_rng(5)
    shares = generator.random(64)

    shuffled = share_interval([(float(share), 1.0) for share in shares])
    in_runs = share_interval([(float(share), 1.0) for share in np.sort(shares)])

    assert in_runs.value == pytest.approx(shuffled.value)
    assert in_runs.high - in_runs.low > 2 * (shuffled.high - shuffled.low)


@pytest.mark.parametrize(("correlation", "bins", "least"), [(0.0, 30, 0.85), (0.5, 100, 0.82), (0.8, 500, 0.8)])
def test_share_intervals_hold_the_truth_of_correlated_bins(correlation: float, bins: int, least: float):
    generator = np.random.default_rng(7)
    hits = 0
    for _ in range(400):
        noise = generator.normal(size=bins + 50)
        for index in range(1, len(noise)):
            noise[index] = correlation * noise[index - 1] + math.sqrt(1 - correlation**2) * noise[index]
        interval = share_interval([(0.4 + 0.1 * float(value), 1.0) for value in noise[50:]])
        hits += interval.low <= 0.4 <= interval.high

    assert hits / 400 >= least


def test_no_observed_time_is_refused():
    with pytest.raises(ValueError, match="no time"):
        share_interval([(0.0, 0.0)])


def test_the_margin_is_what_the_a_a_interval_proves():
    assert noise_margin(Interval(1.06, 1.04, 1.08)) == pytest.approx(0.04)
    assert noise_margin(Interval(1 / 1.06, 1 / 1.08, 1 / 1.04)) == pytest.approx(0.04)


@pytest.mark.parametrize(
    "noise", [None, Interval(1.0, 1.0, 1.0), Interval(1.08, 0.9, 1.3), Interval(1.5, 0.2, 11.0), Interval(1.0, 0.0, math.inf)]
)
def test_an_a_a_difference_that_may_be_chance_raises_no_margin(noise: Interval | None):
    assert noise_margin(noise) == 0.02


def test_the_margin_never_refuses_a_large_gain():
    assert noise_margin(Interval(1.5, 1.4, 1.6)) == 0.10


def test_two_measurements_may_differ_by_the_a_a_difference_and_half_its_half_width():
    assert noise_allowance(Interval(1.02, 1.02 / 1.04, 1.02 * 1.04)) == pytest.approx(1.02 * math.sqrt(1.04) - 1)
    assert noise_allowance(Interval(1 / 1.02, 1 / 1.02 / 1.04, 1.04 / 1.02)) == pytest.approx(1.02 * math.sqrt(1.04) - 1)
    assert noise_allowance(Interval(1.0, 1.0, 1.0)) == noise_allowance(None) == 0.01
    assert noise_allowance(Interval(1.5, 0.2, 11.0)) == noise_allowance(Interval(1.0, 0.0, math.inf)) == 0.10


def simulated_states(ratio: float, trials: int = 300) -> list[TrialState | None]:
    """Return how trials of arms of this true ratio end, with 5 % of noise in each block, after an A/A run of three pairs."""
    generator, ends = np.random.default_rng(11), []
    for _ in range(trials):
        same = np.exp(generator.normal(0, 0.05, (3, 2)))
        test = SequentialTest(margin=noise_margin(ratio_interval(same.tolist())))
        pairs = (np.exp(generator.normal(0, 0.05, (test.max_pairs, 2))) * (ratio, 1.0)).tolist()
        judged = (test.judge(pairs[:count]).state for count in test.looks)
        ends.append(next(state for state in judged if state is not None))
    return ends


def test_equal_arms_are_hardly_ever_confirmed_and_a_tenth_nearly_always_is():
    assert simulated_states(1.0).count(TrialState.CONFIRMED) <= 0.03 * 300
    assert simulated_states(1.1).count(TrialState.CONFIRMED) >= 0.9 * 300


def test_a_clear_gain_is_confirmed_at_the_first_look():
    judgement = SequentialTest().judge([(2.0, 1.0), (2.02, 1.0), (1.98, 1.0)])

    assert judgement.state is TrialState.CONFIRMED
    assert judgement.interval.low > 1.8


def test_a_gain_within_the_noise_margin_is_not_confirmed():
    pairs = [(1.080, 1.0), (1.081, 1.0), (1.079, 1.0)]

    assert SequentialTest(margin=0.02).judge(pairs).state is TrialState.CONFIRMED
    assert SequentialTest(margin=0.10).judge(pairs).state is None


def test_a_clear_loss_is_worse():
    assert SequentialTest().judge([(1.0, 2.0), (1.01, 2.0), (0.99, 2.0)]).state is TrialState.WORSE


def test_equal_arms_end_early_when_a_gain_is_ruled_out():
    judgement = SequentialTest().judge([(1.0, 1.0), (1.002, 1.0), (0.998, 1.0)])

    assert judgement.state is TrialState.NO_DIFFERENCE
    assert "ruled out" in judgement.reason


def test_nothing_is_concluded_between_the_looks():
    pairs = [(2.0, 1.0), (2.02, 1.0), (1.98, 1.0), (2.0, 1.0)]

    assert SequentialTest().judge(pairs).state is None


def test_a_spent_budget_ends_the_trial_between_the_looks():
    pairs = [(1.5, 1.0), (1.0, 1.5), (1.4, 1.0), (1.0, 1.4)]

    judgement = SequentialTest().judge(pairs, is_last=True)

    assert judgement.state is TrialState.NO_DIFFERENCE
    assert "not told apart" in judgement.reason


def test_looks_share_the_error_between_them():
    assert SequentialTest(level=0.9, looks=(3, 5, 8, 12)).look_level == pytest.approx(0.975)


def test_looking_five_times_does_not_confirm_identical_arms_more_often_than_claimed():
    generator = np.random.default_rng(11)
    test = SequentialTest()
    states = []
    for _ in range(600):
        pairs = _noisy_pairs(generator, test.max_pairs)
        judged = (test.judge(pairs[:count]).state for count in test.looks)
        states.append(next(state for state in judged if state is not None))

    assert states.count(TrialState.CONFIRMED) / 600 <= 0.05  # one side of the 10 % that the level leaves
    assert states.count(TrialState.WORSE) / 600 <= 0.05


def test_a_few_pairs_that_agree_by_chance_are_as_uncertain_as_the_loop_against_itself():
    agreeing = [(0.0157, 0.01098), (0.0157, 0.01101), (0.0157, 0.01096)]
    same = [(0.0157, 0.0157 / 1.62), (0.0157, 0.0157 / 0.96)]

    alone, widened = ratio_interval(agreeing), ratio_interval(agreeing, same=same)

    assert alone.high - alone.low < 0.02
    assert widened.value == alone.value
    assert widened.low < 1.15
    assert widened.high > 1.75


def test_a_quiet_loop_against_itself_does_not_narrow_what_scatters():
    pairs = [(0.02, 0.010), (0.02, 0.014), (0.02, 0.012)]

    assert ratio_interval(pairs, same=[(0.02, 0.02), (0.02, 0.02)]) == ratio_interval(pairs)


def test_the_pooled_interval_covers_what_it_says():
    generator = np.random.default_rng(7)
    covered = 0
    for _ in range(400):
        noise = generator.normal(scale=0.2, size=5)
        interval = mean_interval([0.3 + value for value in noise[:3]], same=list(noise[3:]))
        covered += interval.low <= 0.3 <= interval.high

    assert covered >= 0.88 * 400


TIE = Judgement(TrialState.NO_DIFFERENCE, Interval(1.0, 0.97, 1.03), "a gain above 5 % is ruled out")
LESS = Interval(1.4, 1.2, 1.6)


def test_cpu_breaks_a_tie_of_times():
    broken = break_tie(TIE, LESS)

    assert (broken.state, broken.reason, broken.interval) == (TrialState.LESS_CPU, "as fast as before", TIE.interval)


@pytest.mark.parametrize(
    ("judgement", "cpu"),
    [
        (TIE, None),
        (TIE, Interval(1.3, 1.09, 1.5)),
        (TIE, Interval(0.5, 0.4, 0.6)),
        (replace(TIE, interval=Interval(0.98, 0.9, 1.03)), LESS),
        (replace(TIE, interval=Interval(1.02, 0.97, 1.2)), LESS),
        (replace(TIE, interval=Interval(1.0, 0.0, math.inf)), LESS),
        (replace(TIE, state=TrialState.WORSE), LESS),
        (replace(TIE, state=TrialState.CONFIRMED), Interval(0.5, 0.4, 0.6)),
    ],
)
def test_cpu_decides_nothing_where_it_is_not_clear_or_the_times_are_no_tie(judgement: Judgement, cpu: Interval | None):
    assert break_tie(judgement, cpu) is judgement
