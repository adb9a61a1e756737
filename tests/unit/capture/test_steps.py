"""Steps of a loop: bounded for ever, the first step apart, and every sum accounted for."""

from __future__ import annotations

import random

import pytest

from pipeprof.analysis.histograms import quantile, total
from pipeprof.capture.steps import MAX_EPOCHS, LoopRecorder
from pipeprof.model.profile import MAX_BINS, Loop


def binned_wall(loop: Loop) -> float:
    return sum(item.wait_s + item.gap_s for item in loop.bins)


def run_epoch(recorder: LoopRecorder, number: int, start_s: float, steps: int, *, wait_s: float, gap_s: float) -> float:
    """Record one epoch with a creation of 10 ms; return its end."""
    recorder.creation(number, start_s, start_s + 0.01)
    now = start_s + 0.01
    for _ in range(steps):
        recorder.step(number, now, wait_s, gap_s)
        now += wait_s + gap_s
    recorder.close(number)
    return now


def test_the_first_step_of_a_run_is_kept_apart_and_is_in_no_bin() -> None:
    recorder = LoopRecorder()
    recorder.creation(1, 0.0, 0.5)

    recorder.step(1, 0.5, 2.0, 7.0)
    recorder.step(1, 9.5, 0.1, 0.3)
    loop = recorder.freeze()

    assert (loop.elements, loop.steps_in_bins) == (2, 1)
    assert loop.first_batch_s == pytest.approx(2.5)
    assert loop.first_step_s == pytest.approx(9.5)
    assert [(item.wait_s, item.gap_s) for item in loop.bins] == [(0.1, 0.3)]
    assert total(loop.steps_histogram) == 1
    assert loop.wall_s == pytest.approx(0.5 + 2.0 + 7.0 + 0.4)


def test_later_creations_and_first_waits_are_boundary_waits_and_are_in_bins() -> None:
    recorder = LoopRecorder()

    end = run_epoch(recorder, 1, 0.0, 5, wait_s=0.1, gap_s=0.2)
    run_epoch(recorder, 2, end, 5, wait_s=0.4, gap_s=0.2)
    loop = recorder.freeze()

    assert loop.boundary_wait_s == pytest.approx(0.01 + 0.4)
    assert loop.creation_s == pytest.approx(0.02)
    assert binned_wall(loop) == pytest.approx(loop.wall_s - (loop.first_step_s or 0.0))
    assert [(epoch.elements, epoch.first_wait_s) for epoch in loop.epochs] == [(5, 0.1), (5, 0.4)]


def test_the_end_of_the_data_is_waited_for_and_ends_the_epoch() -> None:
    recorder = LoopRecorder()
    recorder.creation(1, 0.0, 0.0)
    recorder.step(1, 0.0, 0.1, 0.1)

    recorder.end_of_data(1, 0.25, 0.2)
    loop = recorder.freeze()

    assert loop.wait_s == pytest.approx(0.35)
    assert (loop.epoch_count, loop.epochs[0].wait_s) == (1, pytest.approx(0.35))
    assert (loop.bins[-1].steps, loop.bins[-1].wait_s) == (0, 0.25)


def test_a_million_steps_take_no_more_room_than_the_limit_and_all_sums_are_kept() -> None:
    recorder = LoopRecorder()
    recorder.creation(1, 0.0, 0.0)
    generator = random.Random(5)
    waits = [generator.uniform(0.0, 0.002) for _ in range(1000)]
    now = wait_sum = 0.0
    for number in range(1_000_000):
        wait = waits[number % 1000]
        recorder.step(1, now, wait, 0.001)
        now += wait + 0.001
        wait_sum += wait
    loop = recorder.freeze()

    assert loop.elements == 1_000_000
    assert len(loop.bins) <= MAX_BINS
    assert sum(item.steps for item in loop.bins) == loop.steps_in_bins == 999_999
    assert loop.wait_s == pytest.approx(wait_sum)
    assert binned_wall(loop) == pytest.approx(now - (loop.first_step_s or 0.0))
    assert sum(item.wait_s for item in loop.bins) == pytest.approx(wait_sum - waits[0])
    assert total(loop.wait_histogram) == 999_999
    assert quantile(loop.gap_histogram, 0.5) == pytest.approx(0.001, rel=0.05)
    assert max(item.wait_max_s for item in loop.bins) == max(waits[1:])
    assert all(first.end_s <= second.start_s + 1e-6 for first, second in zip(loop.bins, loop.bins[1:], strict=False))


@pytest.mark.parametrize("count", [MAX_EPOCHS - 1, MAX_EPOCHS, MAX_EPOCHS + 1, 500])
def test_epochs_beyond_the_limit_are_merged_into_the_last_and_sums_stay(count: int) -> None:
    recorder = LoopRecorder()
    now = 0.0
    for number in range(count - 1):
        now = run_epoch(recorder, number, now, 3, wait_s=0.1, gap_s=0.2)
    recorder.creation(count, now, now + 0.01)
    recorder.step(count, now, 0.5, 0.2)  # an epoch that is still open
    loop = recorder.freeze()

    assert len(loop.epochs) == min(count, MAX_EPOCHS)
    assert loop.epoch_count == count
    assert sum(epoch.elements for epoch in loop.epochs) == loop.elements == 3 * (count - 1) + 1
    assert sum(epoch.wait_s for epoch in loop.epochs) == pytest.approx(loop.wait_s)
    assert loop.epochs[-1].first_wait_s == 0.5


def test_an_iterator_that_delivered_nothing_is_no_epoch() -> None:
    recorder = LoopRecorder()
    run_epoch(recorder, 1, 0.0, 2, wait_s=0.1, gap_s=0.1)

    recorder.creation(2, 1.0, 1.3)
    recorder.close(2)
    loop = recorder.freeze()

    assert (loop.epoch_count, len(loop.epochs)) == (1, 1)
    assert loop.boundary_wait_s == pytest.approx(0.3)


def test_waits_that_were_not_measured_lower_the_share_that_was_seen() -> None:
    recorder = LoopRecorder()
    recorder.creation(1, 0.0, 0.0)
    recorder.step(1, 0.0, 0.1, 0.1)
    recorder.step(1, 0.2, None, 0.4)
    recorder.step(1, 0.6, 0.1, 0.1)
    recorder.pass_over(1)
    loop = recorder.freeze()

    assert loop.elements == 4
    assert loop.seen_share == pytest.approx(2 / 4)
    assert loop.wait_s == pytest.approx(0.2)


def test_elements_that_were_seen_together_are_steps_of_equal_length() -> None:
    recorder = LoopRecorder()
    recorder.creation(1, 0.0, 0.0)
    recorder.step(1, 0.0, 0.1, 0.1)
    recorder.step(1, 0.2, 0.04, 0.36, elements=4)
    loop = recorder.freeze()

    assert (loop.elements, loop.steps_in_bins) == (5, 4)
    assert (loop.bins[0].steps, loop.bins[0].step_max_s) == (4, pytest.approx(0.1))
    assert quantile(loop.steps_histogram, 1.0) == pytest.approx(0.1, rel=0.05)
    assert total(loop.steps_histogram) == 4


def test_a_block_of_steps_counts_its_steps_and_its_known_gaps() -> None:
    recorder = LoopRecorder()

    recorder.block(1.0, 3.0, 100, 0.5, [0.015] * 60)
    loop = recorder.freeze()

    assert (loop.elements, loop.steps_in_bins) == (100, 100)
    assert (loop.wait_s, loop.wall_s) == (0.5, 2.0)
    assert loop.seen_share == pytest.approx(0.6)
    assert (total(loop.gap_histogram), total(loop.steps_histogram)) == (60, 100)


def test_the_consumers_own_time_between_two_epochs_is_a_gap_without_a_step() -> None:
    recorder = LoopRecorder()
    end = run_epoch(recorder, 1, 0.0, 2, wait_s=0.1, gap_s=0.1)

    recorder.boundary(end, 2.0)
    loop = recorder.freeze()

    assert (loop.bins[-1].steps, loop.bins[-1].gap_s) == (0, 2.0)
    assert loop.wall_s == pytest.approx(end + 2.0)


def test_two_threads_that_take_turns_are_counted_and_nothing_is_lost() -> None:
    recorder = LoopRecorder()
    recorder.creation(1, 0.0, 0.0)
    for number in range(100):
        recorder.step(1, number * 0.2, 0.1, 0.1, thread=number % 2)
    loop = recorder.freeze()

    assert (loop.elements, loop.threads, loop.steps_in_bins) == (100, 2, 99)
    assert loop.wall_s == pytest.approx(20.0)


@pytest.mark.parametrize("steps", [1, 2, 400, 600, 5000])
def test_what_is_asked_for_while_the_loop_runs_is_up_to_date(steps: int) -> None:
    recorder = LoopRecorder()
    recorder.creation(1, 0.0, 0.0)
    for number in range(steps):
        recorder.step(1, number * 0.3, 0.1, 0.2)

    assert recorder.elements == steps
    assert recorder.wall_s == pytest.approx(0.3 * steps)
    assert recorder.bins_wall_s == pytest.approx(0.3 * (steps - 1))
    assert recorder.freeze() == recorder.freeze()
    assert recorder.freeze().epochs[0].elements == steps


def test_a_loop_without_steps_is_empty() -> None:
    loop = LoopRecorder().freeze()

    assert (loop.elements, loop.wall_s, loop.first_batch_s, loop.bins, loop.cpu_s) == (0, 0.0, None, (), None)


def test_a_look_at_one_element_before_the_loop_is_no_part_of_it() -> None:
    recorder = LoopRecorder()
    recorder.creation(1, 0.0, 0.1)
    recorder.step(1, 0.1, 2.0, 3.0)
    recorder.close(1)
    for iterator in (2, 3):
        start = 10.0 * iterator
        recorder.creation(iterator, start, start + 0.5)
        for number in range(3):
            recorder.step(iterator, start + 1 + number, 0.25, 0.75)
        recorder.end_of_data(iterator, 0.0, start + 4)
    loop = recorder.freeze()

    assert (loop.elements, loop.epoch_count) == (6, 2)
    assert loop.first_batch_s == 0.75
    assert loop.wait_s == 6 * 0.25


def test_a_loop_of_one_element_is_shown_and_epochs_of_one_element_count() -> None:
    once, often = LoopRecorder(), LoopRecorder()
    once.creation(1, 0.0, 0.1)
    once.step(1, 0.1, 2.0, 3.0)
    for iterator in range(4):
        often.creation(iterator, iterator, iterator + 0.1)
        often.step(iterator, iterator + 0.1, 0.2, 0.3)
        often.end_of_data(iterator, 0.0, iterator + 0.6)

    assert once.freeze().elements == 1
    assert (often.freeze().elements, often.freeze().epoch_count) == (4, 4)
