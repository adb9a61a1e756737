"""When a window of the profiler is due and how long it is, on a planted clock."""

from __future__ import annotations

import pytest

from pipeprof.capture.windows import Taken, WindowSchedule, window_cost


def drive(schedule: WindowSchedule, until_s: float, *, events_per_s: float, step_s: float, cost_per_event_s: float = 1e-5):
    """Run a program of equal steps and return the windows that were taken: (start, length, cost)."""
    now, windows = 0.0, []
    while now < until_s:
        length = schedule.next_length(now, 0.0)
        if length is None:
            now += 0.05
            continue
        events = int(events_per_s * length)
        cost = window_cost(length, length + events * cost_per_event_s, events)
        windows.append((now, length, cost))
        now += length + cost
        schedule.took(Taken(length, cost, events, max(0, int(length / step_s) - 1)), now, 0.0)
    return windows


def test_nothing_is_taken_before_the_program_has_settled() -> None:
    schedule = WindowSchedule()

    assert schedule.next_length(0.9, 0.0) is None
    assert schedule.next_length(10.9, 10.0) is None
    assert schedule.next_length(11.0, 10.0) is not None


@pytest.mark.parametrize("events_per_s", [1e3, 1e5, 2e6])
@pytest.mark.parametrize("step_s", [0.0002, 0.02, 0.3])
def test_windows_cost_no_more_than_their_share_of_a_long_run(events_per_s: float, step_s: float) -> None:
    windows = drive(WindowSchedule(), 600.0, events_per_s=events_per_s, step_s=step_s)

    assert windows
    assert sum(cost for _, _, cost in windows) <= 0.4 + 0.02 * 600 + windows[-1][2]


def test_windows_grow_until_they_hold_the_steps_that_are_wanted() -> None:
    windows = drive(WindowSchedule(), 60.0, events_per_s=1e3, step_s=0.02)

    assert windows[0][1] == pytest.approx(0.05)
    assert all(length / 0.02 >= 10 for _, length, _ in windows[2:])


def test_a_window_holds_no_more_events_than_can_be_read_quickly() -> None:
    windows = drive(WindowSchedule(), 60.0, events_per_s=1e6, step_s=0.02)

    assert all(length * 1e6 <= 60_000 + 1 for _, length, _ in windows[1:])


def test_a_short_run_has_some_windows_too() -> None:
    assert len(drive(WindowSchedule(), 4.0, events_per_s=5e4, step_s=0.01)) >= 2


def test_where_the_profiler_is_taken_it_is_tried_again_later() -> None:
    schedule = WindowSchedule()
    schedule.refused(5.0)

    assert schedule.next_length(6.9, 0.0) is None
    assert schedule.next_length(7.0, 0.0) is not None


def test_a_window_costs_what_lies_behind_it_and_the_recording_of_its_events() -> None:
    assert window_cost(0.5, 0.62, 40_000) == pytest.approx(0.12 + 40_000 * 1.25e-6)


def test_windows_that_hold_few_events_cover_most_of_a_short_run() -> None:
    windows = drive(WindowSchedule(), 6.0, events_per_s=2e3, step_s=0.055)

    assert sum(length for _, length, _ in windows) > 2.0
