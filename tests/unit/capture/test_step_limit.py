"""A program ends with the step after its last one, counted over all iterators of the one pipeline."""

from __future__ import annotations

from pipeprof.capture.step_limit import StepLimit


def test_the_steps_of_all_iterators_of_the_pipeline_count_and_no_others() -> None:
    limit = StepLimit("p0", 3, lambda: None)
    limit.watch(1, "p0")
    limit.watch(2, "p1")
    limit.watch(3, "p0")

    assert [limit.is_over(number, 1) for number in (1, 1, 2, 2, 2, 3)] == [False] * 6
    assert limit.is_over(3, 1)


def test_several_elements_of_one_call_count_as_many() -> None:
    limit = StepLimit("p0", 4, lambda: None)
    limit.watch(1, "p0")

    assert [limit.is_over(1, 2) for _ in range(3)] == [False, False, True]
