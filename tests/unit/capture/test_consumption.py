"""Consumers that TensorFlow and Keras drive, put together from planted events: waits and gaps are exactly those planted."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from pipeprof.capture.consumption import Consumption, Created, KerasStep
from pipeprof.capture.next_calls import Next
from pipeprof.capture.steps import LoopRecorder
from pipeprof.model.profile import Loop
from tests.support.consumers import binned, snapshot

US = 1e-6


# --- Keras -------------------------------------------------------------------------------------------------------


class KerasLoop:
    """Plants Keras' requests for steps, and the gaps that TensorFlow counts beside them."""

    def __init__(self, recorder: LoopRecorder, now_s: float = 0.0) -> None:
        self.consumption = Consumption()
        self.recorder = recorder
        self.now_s = now_s
        self.gaps_us: list[float] = []
        self.delivered = 0
        self.iterator = 0
        self._free_since_s: float | None = None  # the end of the last GetNext

    def create(self, took_s: float = 0.01) -> None:
        self.poll()
        self.iterator += 1
        self.consumption.handle(Created(self.iterator, self.now_s, self.now_s + took_s, 1, self.recorder))
        self.now_s += took_s
        self.gaps_us, self.delivered, self._free_since_s = [], 0, None
        self.consumption.poll(self.iterator, self.now_s, snapshot(0))

    def step(self, waits_s: Iterable[float], own_s: float, before_s: float = 0.0, request_s: float = 0.001) -> None:
        """Ask for a step; ``before_s`` of it pass before the first fetch (tracing), ``own_s`` after each fetch."""
        waits = list(waits_s)
        enter, self.now_s = self.now_s, self.now_s + request_s
        self.consumption.handle(KerasStep(self.iterator, len(waits), enter, self.now_s, 1))
        self.now_s += before_s
        for wait in waits:
            if self._free_since_s is not None and self.now_s - self._free_since_s < 10.0:
                self.gaps_us.append((self.now_s - self._free_since_s) / US)
            self.now_s += wait
            self._free_since_s = self.now_s
            self.delivered += 1
            self.now_s += own_s

    def end_epoch(self, then_s: float = 0.0) -> None:
        self.consumption.handle(KerasStep(None, 0, self.now_s, self.now_s, 1))
        self.now_s += then_s

    def poll(self) -> None:
        self.consumption.poll(self.iterator, self.now_s, snapshot(self.delivered, self.gaps_us))

    def finish(self) -> Loop:
        self.poll()
        self.consumption.finish_all()
        return self.recorder.freeze()


def test_the_waits_inside_keras_steps_are_what_the_gaps_leave() -> None:
    keras = KerasLoop(LoopRecorder())
    keras.create()
    for wait in (0.5, 0.02, 0.04, 0.0, 0.03):
        keras.step([wait], 0.1)
        keras.poll()
    keras.end_epoch()
    measured = keras.finish()

    assert (measured.method, measured.elements, measured.epoch_count) == ("keras", 5, 1)
    assert [item.wait_s for item in measured.bins] == pytest.approx([0.02, 0.04, 0.0, 0.03], abs=2e-6)
    assert [item.gap_s for item in measured.bins] == pytest.approx([0.101, 0.101, 0.101, 0.1], abs=2e-6)
    assert measured.seen_share == 1.0


def test_the_last_step_of_an_epoch_has_no_gap_and_is_taken_for_a_usual_one() -> None:
    keras = KerasLoop(LoopRecorder())
    keras.create()
    for _ in range(9):
        keras.step([0.01], 0.1)
    keras.step([0.25], 0.1)
    keras.end_epoch()
    measured = keras.finish()

    assert measured.bins[-1].wait_s == pytest.approx(0.25, abs=1e-5)
    assert measured.seen_share == 1.0


@pytest.mark.parametrize("epochs", [1, 3])
def test_a_step_that_found_no_element_is_none(epochs: int) -> None:
    keras = KerasLoop(LoopRecorder())
    for _ in range(epochs):
        keras.create()
        for _ in range(4):
            keras.step([0.01], 0.1)
        keras.poll()
        keras.consumption.handle(KerasStep(keras.iterator, 1, keras.now_s, keras.now_s, 1))  # asked for, and out of range
        keras.now_s += 0.05
    measured = keras.finish()

    assert measured.elements == 4 * epochs
    assert [epoch.elements for epoch in measured.epochs] == [4] * epochs


def test_tracing_in_the_first_step_is_not_taken_for_waiting() -> None:
    keras = KerasLoop(LoopRecorder())
    keras.create()
    keras.step([0.0], 0.0, before_s=3.0)  # the graph is traced, nothing was asked for yet
    keras.consumption.poll(1, keras.now_s - 0.3, snapshot(0))
    keras.poll()
    keras.step([0.01], 0.1)
    keras.end_epoch()
    measured = keras.finish()

    assert measured.first_step_s == pytest.approx(0.01 + 3.001, abs=1e-3)
    assert measured.first_batch_s == pytest.approx(0.01 + 0.3, abs=1e-3)
    assert measured.steps_in_bins == 1


def test_each_later_epoch_begins_with_its_own_first_wait() -> None:
    keras = KerasLoop(LoopRecorder())
    for first in (0.9, 0.4, 0.6):
        keras.create()
        for wait in (first, 0.02, 0.02):
            keras.step([wait], 0.1)
        keras.end_epoch(then_s=2.0)  # validation
    measured = keras.finish()

    assert [epoch.first_wait_s for epoch in measured.epochs[1:]] == pytest.approx([0.4, 0.6], abs=1e-5)
    assert measured.boundary_wait_s == pytest.approx(2 * 0.01 + 0.4 + 0.6, abs=1e-5)
    assert measured.wall_s < 3 * (0.01 + 0.9 + 0.04 + 3 * 0.11)  # validation is no part of this loop


def test_an_epoch_whose_steps_are_not_settled_yet_is_no_look_at_one_element() -> None:
    keras = KerasLoop(LoopRecorder())
    for _ in range(2):
        keras.create()  # the gap behind the last step of the epoch before has not come
        for _ in range(2):
            keras.step([0.02], 0.1)
        keras.end_epoch()
    measured = keras.finish()

    assert (measured.elements, measured.epoch_count) == (4, 2)


@pytest.mark.parametrize("validation_s", [1.0, 12.0])
def test_an_iterator_that_goes_on_through_the_epochs_stays_aligned(validation_s: float) -> None:
    keras = KerasLoop(LoopRecorder())
    keras.create()
    for _ in range(3):
        for wait in (0.05, 0.01, 0.03):
            keras.step([wait], 0.1)
            keras.poll()
        keras.end_epoch(then_s=validation_s)
    measured = keras.finish()

    assert measured.elements == 9
    assert [item.wait_s for item in measured.bins] == pytest.approx([0.01, 0.03, 0.05, 0.01, 0.03, 0.05, 0.01, 0.03], abs=1e-5)
    assert binned(measured)[1] == pytest.approx(8 * 0.1, abs=0.01)


def test_steps_of_several_executions_are_counted_by_their_elements() -> None:
    keras = KerasLoop(LoopRecorder())
    keras.create()
    for _ in range(5):
        keras.step([0.02, 0.01, 0.03, 0.04], 0.1)
        keras.poll()
    keras.step([0.02, 0.02], 0.1)
    keras.consumption.handle(KerasStep(None, 0, keras.now_s, keras.now_s, 1))
    measured = keras.finish()

    assert (measured.elements, measured.steps_in_bins) == (22, 18)
    assert [item.steps for item in measured.bins] == [4, 4, 4, 4, 2]
    assert [item.wait_s for item in measured.bins[:4]] == pytest.approx([0.1] * 4, abs=1e-5)


def test_a_last_execution_that_finds_fewer_elements_counts_only_those() -> None:
    keras = KerasLoop(LoopRecorder())
    keras.create()
    for _ in range(3):
        keras.step([0.02] * 4, 0.1)
    keras.step([0.02] * 2, 0.1)
    keras.consumption._keras[1][1].elements = 4  # Keras asked for four
    keras.end_epoch()
    measured = keras.finish()

    assert measured.elements == 14


def test_gaps_that_were_lost_between_two_polls_do_not_shift_the_others() -> None:
    keras = KerasLoop(LoopRecorder())
    keras.create()
    for number in range(400):
        keras.step([0.002], 0.01)
        if number == 3:
            keras.poll()
    keras.poll()  # 296 gaps are gone
    for wait in (0.5, 0.002, 0.7, 0.002):
        keras.step([wait], 0.01)
    keras.end_epoch()
    measured = keras.finish()

    waits = sorted(item.wait_max_s for item in measured.bins)
    assert waits[-2:] == pytest.approx([0.5, 0.7], abs=1e-4)
    assert measured.elements == 404
    assert binned(measured)[0] == pytest.approx(0.5 + 0.7 + 401 * 0.002, rel=0.01)


def test_a_pause_of_ten_seconds_whose_gap_is_dropped_does_not_shift_the_others() -> None:
    keras = KerasLoop(LoopRecorder())
    keras.create()
    for own in (0.1, 0.1, 15.0, 0.1, 0.1):
        keras.step([0.02], own)
        keras.poll()
    keras.step([0.3], 0.1)
    keras.step([0.02], 0.1)
    keras.end_epoch()
    measured = keras.finish()

    waits = [item.wait_s for item in measured.bins]
    assert waits[0] == pytest.approx(0.02, abs=1e-5)
    assert waits[2:] == pytest.approx([0.02, 0.02, 0.3, 0.02], abs=1e-5)


def test_the_epochs_of_keras_are_counted_though_one_iterator_serves_them_all() -> None:
    keras = KerasLoop(LoopRecorder())
    keras.create()
    for _ in range(4):
        for _ in range(3):
            keras.step([0.02], 0.1)
        keras.end_epoch()
    measured = keras.finish()

    assert (measured.elements, measured.epoch_count, measured.consumer_epochs) == (12, 1, 4)


def test_a_step_in_which_the_loop_was_left_is_no_wait() -> None:
    keras = KerasLoop(LoopRecorder())
    keras.create()
    for _ in range(4):
        keras.step([0.02], 0.1)
    keras.now_s += 500.0  # an exception, and other work
    other = LoopRecorder()
    keras.consumption.handle(Created(9, keras.now_s, keras.now_s, 1, other))
    keras.consumption.handle(KerasStep(9, 1, keras.now_s, keras.now_s, 1))
    measured = keras.finish()

    assert measured.elements == 4
    assert measured.wall_s < 2.0
    assert measured.seen_share == pytest.approx(3 / 4)


# --- gaps alone --------------------------------------------------------------------------------------------------


class GraphLoop:
    """Plants a consumer inside a graph, which only polls of TensorFlow's counters see."""

    def __init__(self, recorder: LoopRecorder) -> None:
        self.consumption = Consumption()
        self.recorder = recorder
        self.now_s = 0.0
        self.gaps_us: list[float] = []
        self.delivered = 0
        self.consumption.handle(Created(1, 0.0, 0.0, 1, recorder))
        self.poll()

    def poll(self) -> int:
        return self.consumption.poll(1, self.now_s, snapshot(self.delivered, self.gaps_us))

    def step(self, wait_s: float, own_s: float) -> None:
        self.now_s += wait_s
        self.delivered += 1
        self.now_s += own_s
        self.gaps_us.append(own_s / US)


def test_waits_of_a_loop_in_a_graph_are_the_wall_time_less_the_gaps() -> None:
    graph = GraphLoop(LoopRecorder())
    graph.step(0.4, 0.0)
    for _ in range(60):
        graph.step(0.03, 0.01)
        graph.poll()
    graph.consumption.finish(1)
    measured = graph.recorder.freeze()

    assert (measured.method, measured.elements) == ("gaps", 61)
    wait, gap = binned(measured)
    assert wait / (wait + gap) == pytest.approx(0.75, abs=0.01)
    assert measured.first_batch_s == pytest.approx(0.44, abs=0.01)


def test_a_poll_in_the_middle_of_a_step_loses_no_wait_in_the_long_run() -> None:
    graph = GraphLoop(LoopRecorder())
    graph.step(0.1, 0.02)
    for number in range(300):
        graph.now_s += 0.01
        graph.delivered += 1
        if number % 3 == 0:
            graph.poll()  # before the gap is over: it is counted one poll too late
        graph.now_s += 0.03
        graph.gaps_us.append(30_000)
    graph.poll()
    measured = graph.recorder.freeze()

    wait, gap = binned(measured)
    assert wait / (wait + gap) == pytest.approx(0.25, abs=0.02)
    assert min(item.wait_s for item in measured.bins) >= 0.0


def test_the_time_in_which_nothing_came_is_a_wait_of_the_poll_that_sees_the_element() -> None:
    graph = GraphLoop(LoopRecorder())
    graph.step(0.1, 0.01)
    graph.poll()
    for _ in range(10):
        graph.now_s += 0.2
        graph.poll()
    graph.step(0.0, 0.01)
    graph.poll()
    measured = graph.recorder.freeze()

    assert measured.wait_s - (measured.first_batch_s or 0.0) == pytest.approx(2.0, abs=0.01)


def test_steps_faster_than_the_polls_are_scaled_by_the_gaps_that_were_kept() -> None:
    graph = GraphLoop(LoopRecorder())
    graph.step(0.001, 0.001)
    graph.poll()
    for _ in range(10):
        for _ in range(500):  # of which TensorFlow keeps the last hundred
            graph.step(0.001, 0.003)
        assert graph.poll() == 100
    measured = graph.recorder.freeze()

    wait, gap = binned(measured)
    assert measured.elements == 5001
    assert wait / (wait + gap) == pytest.approx(0.25, abs=0.01)
    assert measured.seen_share == pytest.approx(0.2, abs=0.01)


def test_equal_gaps_in_a_full_window_are_told_apart_by_the_elements_that_were_delivered() -> None:
    graph = GraphLoop(LoopRecorder())
    for _ in range(150):
        graph.step(0.001, 0.002)
    graph.poll()
    for _ in range(40):
        graph.step(0.001, 0.002)

    assert graph.poll() == 40


def test_elements_of_a_later_iterator_that_were_there_at_the_first_look_are_counted_but_not_timed() -> None:
    graph = GraphLoop(LoopRecorder())
    graph.step(0.1, 0.01)
    graph.poll()
    graph.step(0.1, 0.01)
    graph.poll()
    graph.consumption.finish(1)
    graph.consumption.handle(Created(2, graph.now_s, graph.now_s, 1, graph.recorder))
    graph.consumption.poll(2, graph.now_s + 1.0, snapshot(30, [1000] * 29))
    graph.consumption.finish(2)
    measured = graph.recorder.freeze()

    assert measured.elements == 32
    assert measured.seen_share == pytest.approx(2 / 32)
    assert measured.wall_s < 1.0


def test_elements_that_keras_asks_for_by_calls_of_next_are_counted_once() -> None:
    recorder, consumption = LoopRecorder(), Consumption()
    consumption.handle(Created(1, 0.0, 0.01, 1, recorder))
    now = 0.01
    for _ in range(5):  # Keras' predict: a step, in which it calls next itself
        consumption.handle(KerasStep(1, 1, now, now + 0.001, 1))
        consumption.handle(Next(1, now + 0.001, now + 0.101, 1, ok=True))
        now += 0.301
    consumption.handle(KerasStep(None, 0, now, now, 1))
    consumption.finish_all()
    measured = recorder.freeze()

    assert (measured.method, measured.elements) == ("next", 5)
    assert sum(item.wait_s for item in measured.bins) == pytest.approx(4 * 0.1)
