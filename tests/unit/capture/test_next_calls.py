"""Calls of ``next`` put together from planted events: waits, gaps and epochs are exactly those that were planted."""

from __future__ import annotations

import pytest

from pipeprof.capture.consumption import Consumption, Created, Gone
from pipeprof.capture.next_calls import Next, Told
from pipeprof.capture.steps import LoopRecorder
from tests.support.consumers import PythonLoop, binned, snapshot


def test_a_step_is_the_wait_for_its_element_and_the_time_until_the_next_is_asked_for() -> None:
    recorder, consumption = LoopRecorder(), Consumption()
    loop = PythonLoop(consumption)
    loop.create(1, recorder)
    for wait, gap in ((0.5, 3.0), (0.1, 0.2), (0.3, 0.4)):
        loop.next(1, wait, gap)
    loop.next(1, 0.05, 0.0, ok=False)
    measured = recorder.freeze()

    assert (measured.method, measured.elements, measured.epoch_count) == ("next", 3, 1)
    assert (measured.first_batch_s, measured.first_step_s) == (pytest.approx(0.51), pytest.approx(3.51))
    assert binned(measured) == (pytest.approx(0.1 + 0.3 + 0.05), pytest.approx(0.2 + 0.4))


def test_the_time_between_two_epochs_of_one_pipeline_is_its_own() -> None:
    recorder, consumption = LoopRecorder(), Consumption()
    loop = PythonLoop(consumption)
    for iterator in (1, 2):
        loop.create(iterator, recorder)
        loop.next(iterator, 0.1, 0.2)
        loop.next(iterator, 0.1, 0.2)
        loop.next(iterator, 0.0, 5.0, ok=False)
    measured = recorder.freeze()

    assert measured.epoch_count == 2
    assert binned(measured)[1] == pytest.approx(3 * 0.2 + 5.0)
    assert measured.boundary_wait_s == pytest.approx(0.01 + 0.1)


def test_time_on_another_pipeline_between_two_epochs_is_not_this_loops() -> None:
    train, validation, consumption = LoopRecorder(), LoopRecorder(), Consumption()
    loop = PythonLoop(consumption)
    for epoch in range(2):
        loop.create(10 + epoch, train)
        loop.next(10 + epoch, 0.1, 0.2)
        loop.next(10 + epoch, 0.0, 1.0, ok=False)
        loop.create(20 + epoch, validation)
        loop.next(20 + epoch, 0.3, 0.4)
        loop.next(20 + epoch, 0.0, 1.0, ok=False)

    assert train.freeze().wall_s == pytest.approx(2 * (0.01 + 0.1 + 0.2))
    assert validation.freeze().wall_s == pytest.approx(2 * (0.01 + 0.3 + 0.4))


def test_two_pipelines_taken_in_turns_each_see_the_whole_step() -> None:
    images, labels, consumption = LoopRecorder(), LoopRecorder(), Consumption()
    loop = PythonLoop(consumption)
    loop.create(1, images)
    loop.create(2, labels)
    for _ in range(5):
        loop.next(1, 0.3, 0.0)
        loop.next(2, 0.1, 0.5)
    consumption.finish_all()

    one, two = images.freeze(), labels.freeze()
    assert (one.elements, two.elements) == (5, 5)
    assert (one.wait_s, two.wait_s) == (pytest.approx(5 * 0.3), pytest.approx(5 * 0.1))
    # what follows the last element is not known: of the images' last step only what came before the labels
    assert one.wall_s == pytest.approx(0.01 + 4 * 0.9 + 0.3)
    assert two.wall_s == pytest.approx(0.01 + 4 * 0.9 + 0.1)


def test_a_pipeline_read_now_and_then_does_not_end_the_others_steps() -> None:
    often, seldom, consumption = LoopRecorder(), LoopRecorder(), Consumption()
    loop = PythonLoop(consumption)
    loop.create(1, often)
    loop.create(2, seldom)
    for _ in range(3):
        for _ in range(4):
            loop.next(1, 0.2, 0.3)
        loop.next(2, 0.4, 0.1)
    loop.next(1, 0.2, 0.3)
    consumption.finish_all()

    assert often.freeze().wall_s == pytest.approx(0.01 + 3 * (4 * 0.5 + 0.5) + 0.2)
    assert seldom.freeze().wait_s == pytest.approx(3 * 0.4)
    assert seldom.freeze().wall_s == pytest.approx(0.01 + 2 * (0.5 + 4 * 0.5) + 0.4)


def test_a_validation_inside_a_step_is_no_part_of_it() -> None:
    train, validation, consumption = LoopRecorder(), LoopRecorder(), Consumption()
    loop = PythonLoop(consumption)
    loop.create(1, train)
    for _ in range(3):
        loop.next(1, 0.1, 0.2)
    loop.create(2, validation)
    for _ in range(10):
        loop.next(2, 0.5, 0.5)
    loop.next(2, 0.0, 0.0, ok=False)
    loop.next(1, 0.1, 0.2)
    consumption.finish_all()

    assert train.freeze().wall_s == pytest.approx(0.01 + 3 * 0.3 + 0.1)
    assert validation.freeze().wall_s == pytest.approx(0.01 + 10 * 1.0)


def test_a_loop_that_was_left_for_another_iterator_ends_where_it_was_left() -> None:
    first, second, consumption = LoopRecorder(), LoopRecorder(), Consumption()
    loop = PythonLoop(consumption)
    loop.create(1, first)
    loop.create(2, second)
    loop.next(1, 0.1, 0.2)
    loop.next(1, 0.1, 0.2)
    for _ in range(100):
        loop.next(2, 0.1, 0.2)
    consumption.handle(Gone(1, loop.now_s))
    consumption.finish_all()

    assert first.freeze().wall_s == pytest.approx(0.01 + 0.3 + 0.3)


def test_the_waits_of_all_replicas_are_one_steps() -> None:
    recorder, consumption = LoopRecorder(), Consumption()
    loop = PythonLoop(consumption)
    loop.create(1, recorder)
    for _ in range(4):
        loop.next(1, 0.2, 0.0)
        loop.more(1, 0.1, 0.4)
    loop.next(1, 0.0, 0.0, ok=False)
    measured = recorder.freeze()

    assert measured.elements == 4
    assert measured.wait_s == pytest.approx(4 * 0.3)
    assert measured.wall_s == pytest.approx(0.01 + 4 * 0.7)


def test_asking_an_optional_belongs_to_the_wait_for_it_and_one_without_a_value_ends_the_data() -> None:
    recorder, consumption = LoopRecorder(), Consumption()
    consumption.handle(Created(1, 0.0, 0.0, 1, recorder))
    for number in range(4):
        consumption.handle(Next(1, number, number + 0.25, 1, True))
        consumption.handle(Told(1, number + 0.25, number + 0.5, 1, number < 3))
    consumption.finish_all()
    measured = recorder.freeze()

    assert (measured.elements, measured.epoch_count) == (3, 1)
    assert measured.wait_s == pytest.approx(4 * 0.5)
    assert measured.wall_s - measured.wait_s == pytest.approx(3 * 0.5)


def test_two_threads_of_one_iterator_have_gaps_of_their_own() -> None:
    recorder, consumption = LoopRecorder(), Consumption()
    consumption.handle(Created(1, 0.0, 0.0, 1, recorder))
    for number in range(4):
        for thread, offset in ((1, 0.0), (2, 0.5)):
            start = number + offset
            consumption.handle(Next(1, start, start + 0.25, thread, True))
    consumption.finish_all()
    measured = recorder.freeze()

    assert (measured.elements, measured.threads) == (8, 2)
    assert measured.wait_s == pytest.approx(8 * 0.25)
    assert measured.wall_s - measured.wait_s == pytest.approx(6 * 0.75)


def test_calls_on_iterators_that_are_not_watched_are_passed_over() -> None:
    consumption = Consumption()

    consumption.handle(Next(7, 0.0, 1.0, 1, True))
    consumption.finish(7)

    assert consumption.poll(7, 1.0, snapshot(5)) == 0


def test_gaps_of_tensorflow_are_not_used_where_next_is_timed() -> None:
    recorder, consumption = LoopRecorder(), Consumption()
    loop = PythonLoop(consumption)
    loop.create(1, recorder)
    consumption.poll(1, loop.now_s, snapshot(0))
    loop.next(1, 0.1, 0.2)
    loop.next(1, 0.1, 0.2)
    consumption.poll(1, loop.now_s, snapshot(2, [200_000]))
    consumption.finish(1)

    assert (recorder.freeze().method, recorder.freeze().elements) == ("next", 2)


def test_an_element_that_a_poll_sees_before_the_call_of_next_is_known_counts_once() -> None:
    recorder, consumption = LoopRecorder(), Consumption()
    loop = PythonLoop(consumption)
    loop.create(1, recorder)
    consumption.poll(1, 0.05, snapshot(1))  # next has delivered, and has not returned yet
    loop.next(1, 0.1, 0.2)
    loop.next(1, 0.1, 0.2)
    consumption.poll(1, loop.now_s, snapshot(2, [200_000]))
    consumption.finish_all()

    assert (recorder.freeze().method, recorder.freeze().elements) == ("next", 2)


def test_a_loop_that_is_left_early_ends_when_its_iterator_goes() -> None:
    recorder, other, consumption = LoopRecorder(), LoopRecorder(), Consumption()
    loop = PythonLoop(consumption)
    loop.create(1, recorder)
    loop.next(1, 0.1, 0.2)
    loop.next(1, 0.1, 0.5)
    consumption.handle(Gone(1, loop.now_s))
    loop.now_s += 300.0
    loop.create(2, other)
    loop.next(2, 0.1, 0.2)
    consumption.finish(1)
    measured = recorder.freeze()

    assert (measured.elements, measured.epochs[0].elements) == (2, 2)
    assert measured.wall_s == pytest.approx(0.01 + 0.3 + 0.6)


def test_the_last_element_counts_though_nothing_is_known_of_its_use() -> None:
    recorder, consumption = LoopRecorder(), Consumption()
    loop = PythonLoop(consumption)
    loop.create(1, recorder)
    loop.next(1, 0.1, 0.2)
    loop.next(1, 0.1, 0.2)
    consumption.finish(1)

    assert recorder.freeze().elements == 2
    assert recorder.freeze().wall_s == pytest.approx(0.01 + 0.3 + 0.1)


# --- iterators that are taken down ----------------------------------------------------------------------------------


def test_taking_an_iterator_down_between_two_epochs_is_waiting_and_the_rest_is_the_loops_own() -> None:
    recorder, consumption = LoopRecorder(), Consumption()
    loop = PythonLoop(consumption)
    for iterator in (1, 2):
        loop.create(iterator, recorder)
        loop.next(iterator, 0.1, 0.2)
        loop.next(iterator, 0.1, 0.2)
        loop.next(iterator, 0.0, 0.0, ok=False)
        loop.tear_down(iterator, recorder, 0.7)
        loop.now_s += 5.0
    measured = recorder.freeze()

    assert [epoch.teardown_s for epoch in measured.epochs] == [0.0, 0.7]
    assert measured.boundary_wait_s == pytest.approx(0.7 + 0.01 + 0.1)
    assert binned(measured) == (pytest.approx(0.7 + 0.01 + 3 * 0.1), pytest.approx(3 * 0.2 + 5.0))


def test_an_iterator_that_is_replaced_is_taken_down_after_the_next_one_was_made() -> None:
    recorder, consumption = LoopRecorder(), Consumption()
    loop = PythonLoop(consumption)
    loop.create(1, recorder)
    loop.next(1, 0.1, 0.2)
    loop.next(1, 0.1, 0.2)
    loop.create(2, recorder)
    loop.tear_down(1, recorder, 0.7)
    loop.next(2, 0.1, 0.2)
    loop.next(2, 0.1, 0.2)
    measured = recorder.freeze()

    assert [epoch.teardown_s for epoch in measured.epochs] == [0.0, 0.7]
    assert measured.boundary_wait_s == pytest.approx(0.7 + 0.01 + 0.1)


def test_the_last_iterator_of_a_loop_and_one_of_another_loop_are_no_waiting() -> None:
    train, other, consumption = LoopRecorder(), LoopRecorder(), Consumption()
    loop = PythonLoop(consumption)
    loop.create(1, train)
    loop.next(1, 0.1, 0.2)
    loop.next(1, 0.0, 0.0, ok=False)
    loop.tear_down(1, train, 0.7)
    loop.create(2, other)
    loop.next(2, 0.1, 0.2)
    loop.next(2, 0.0, 0.0, ok=False)
    loop.tear_down(2, other, 0.7)

    assert train.freeze().wait_s == pytest.approx(0.1)
    assert other.freeze().wait_s == pytest.approx(0.1)


def test_an_old_iterator_that_goes_in_the_middle_of_a_step_is_in_that_steps_gap() -> None:
    recorder, consumption = LoopRecorder(), Consumption()
    loop = PythonLoop(consumption)
    loop.create(1, recorder)
    loop.next(1, 0.1, 0.2)
    loop.next(1, 0.1, 0.2)
    loop.create(2, recorder)
    loop.next(2, 0.1, 0.2)
    loop.next(2, 0.1, 0.0)
    loop.tear_down(1, recorder, 0.7)
    loop.next(2, 0.1, 0.2)
    loop.next(2, 0.0, 0.0, ok=False)
    measured = recorder.freeze()

    assert sum(epoch.teardown_s for epoch in measured.epochs) == 0.0
    assert binned(measured)[1] == pytest.approx(2 * 0.2 + 0.7 + 0.2)


def test_of_two_pipelines_read_in_turns_the_one_that_is_left_ends_its_last_step_where_the_other_was_asked() -> None:
    images, labels, consumption = LoopRecorder(), LoopRecorder(), Consumption()
    loop = PythonLoop(consumption)
    loop.create(1, images)
    loop.create(2, labels)
    for _ in range(3):
        loop.next(1, 0.1, 0.0)
        loop.next(2, 0.1, 0.5)
    loop.next(1, 0.1, 0.0)
    loop.next(2, 0.1, 0.0, ok=False)
    loop.now_s += 5.0  # what follows is no step
    consumption.handle(Gone(1, loop.now_s))

    assert binned(images.freeze())[1] == pytest.approx(2 * 0.6)
