"""Traced steps become the Profile's Loop without a change of sums."""

from __future__ import annotations

import pytest

from pipeprof.interop.as_loop import METHOD, traced_loop
from pipeprof.interop.traced import Consumption, TracedEpoch, TracedPipeline, TracedStep
from pipeprof.model.profile import MAX_BINS


def epoch(start_s: float, count: int, *, is_born: bool = False, made_s: float | None = None) -> TracedEpoch:
    steps = tuple(TracedStep(start_s=start_s + 0.01 * index, wait_s=0.004, gap_s=0.006) for index in range(count))
    return TracedEpoch(id=1, steps=steps, first_s=start_s, last_s=start_s + 0.01 * count, is_born=is_born, made_s=made_s)


def pipeline(*epochs: TracedEpoch) -> TracedPipeline:
    return TracedPipeline(consumption=Consumption.ITERATOR, stages=(), epochs=epochs)


def test_a_window_in_the_middle_of_a_run_has_no_first_step() -> None:
    loop = traced_loop(pipeline(epoch(0, 50)))

    assert (loop.method, loop.elements, loop.steps_in_bins, loop.first_step_s) == (METHOD, 50, 50, None)
    assert sum(item.wait_s for item in loop.bins) == pytest.approx(0.2)
    assert loop.wall_s == pytest.approx(0.5)


def test_the_first_step_of_a_pipeline_made_in_the_window_is_in_no_bin() -> None:
    loop = traced_loop(pipeline(epoch(1, 50, is_born=True, made_s=0.03)))

    assert (loop.elements, loop.steps_in_bins) == (50, 49)
    assert loop.first_batch_s == pytest.approx(0.034)
    assert loop.first_step_s == pytest.approx(0.04)


def test_the_making_of_later_iterators_is_waiting() -> None:
    loop = traced_loop(pipeline(epoch(0, 10), epoch(1, 10, is_born=True, made_s=0.05)))

    assert loop.epoch_count == 2
    assert loop.boundary_wait_s == pytest.approx(0.054)
    assert sum(item.wait_s for item in loop.bins) == pytest.approx(20 * 0.004 + 0.05)
    assert sum(item.steps for item in loop.bins) == 20


def test_many_steps_stay_within_the_limit_of_bins() -> None:
    loop = traced_loop(pipeline(epoch(0, 5 * MAX_BINS + 7)))

    assert len(loop.bins) <= MAX_BINS
    assert sum(item.steps for item in loop.bins) == loop.elements
    assert sum(loop.steps_histogram.counts.values()) == loop.elements
