"""The truth itself: what the clock makes of planted times."""

from __future__ import annotations

import pytest

from tests.ground_truth.clock import Clock


def test_what_is_left_of_the_time_after_the_first_step_is_waiting() -> None:
    clock = Clock()
    clock.steps = [(5.0, 6.0), (7.0, 10.0), (11.0, 14.0)]

    assert clock.wall_s == 8.0
    assert clock.wait_share == pytest.approx(2 / 8)


def test_what_a_framework_does_before_it_asks_is_no_waiting() -> None:
    clock = Clock()
    clock.steps = [(0.0, 1.0), (4.0, 5.0), (6.0, 9.0)]
    clock.asks = [-1.0, 3.0]

    assert clock.wait_share == pytest.approx((1 + 1) / 8)


def test_validation_between_two_steps_is_no_part_of_the_loop() -> None:
    clock = Clock()
    clock.steps = [(0.0, 1.0), (8.0, 9.0)]
    clock.asks = [7.0]
    clock.elsewhere = [(2.0, 6.0)]

    assert clock.wall_s == 4.0
    assert clock.wait_share == pytest.approx(1 / 4)


def test_one_step_has_no_share() -> None:
    clock = Clock()
    clock.step(lambda: None)

    assert clock.wait_share is None
    assert clock.truth()["steps"] == 1
