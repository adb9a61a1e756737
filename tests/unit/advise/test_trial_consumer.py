"""The stand-in for the step, with planted clocks."""

from __future__ import annotations

import threading

import pytest

from pipeprof.advise.consumer import Burner, PacedConsumer, gaps_from_histogram
from pipeprof.model.profile import Histogram


class _Clock:
    """A clock that only the code under test moves; sleeping is late by a planted amount."""

    def __init__(self, late_s: float = 0.0) -> None:
        self.now = 0.0
        self.late_s = late_s
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds + self.late_s


class _Core:
    """A core whose thread clock advances by the rounds hashed; every call costs a little on top."""

    def __init__(self, rounds_per_s: float, per_call_s: float = 0.0) -> None:
        self.rounds_per_s = rounds_per_s
        self.per_call_s = per_call_s
        self.used_s = 0.0

    def rounds(self, count: int) -> None:
        self.used_s += count / self.rounds_per_s + self.per_call_s

    def clock(self) -> float:
        return self.used_s


def _consumer(gaps: tuple[float, ...], clock: _Clock, **more: object) -> PacedConsumer:
    return PacedConsumer(gaps, stop=threading.Event(), sleep=clock.sleep, clock=clock, **more)  # type: ignore[arg-type]


def test_gaps_keep_the_histograms_proportions():
    histogram = Histogram(base=10.0, counts={"-3": 75, "-1": 25})

    gaps = gaps_from_histogram(histogram, 200, seed=1)

    assert len(gaps) == 200
    assert sum(1e-3 <= gap < 1e-2 for gap in gaps) == 150
    assert sum(1e-1 <= gap < 1 for gap in gaps) == 50


def test_gaps_are_the_same_for_the_same_seed_and_shuffled_for_another():
    histogram = Histogram(counts={"-40": 10, "-30": 10})

    assert gaps_from_histogram(histogram, 32, seed=1) == gaps_from_histogram(histogram, 32, seed=1)
    assert gaps_from_histogram(histogram, 32, seed=1) != gaps_from_histogram(histogram, 32, seed=2)
    assert sorted(gaps_from_histogram(histogram, 32, seed=1)) == sorted(gaps_from_histogram(histogram, 32, seed=2))


def test_a_rare_pause_does_not_hit_a_short_sequence_by_chance():
    histogram = Histogram(base=10.0, counts={"-3": 9_999, "1": 1})

    assert max(gaps_from_histogram(histogram, 100, seed=1)) < 0.01


def test_an_empty_histogram_has_no_gaps():
    assert gaps_from_histogram(Histogram(), 10, seed=1) == ()


def test_a_consumer_without_gaps_takes_no_time():
    clock = _Clock()

    _consumer((), clock).consume()

    assert (clock.now, clock.slept) == (0.0, [])


def test_gaps_are_taken_in_turn_and_rewound():
    clock = _Clock()
    consumer = _consumer((0.01, 0.02), clock)

    for _ in range(3):
        consumer.consume()
    consumer.rewind(1)
    consumer.consume()

    assert clock.slept == [0.01, 0.02, 0.01, 0.02]


def test_a_window_of_gaps_is_repeated():
    clock = _Clock()
    consumer = _consumer((0.01, 0.02, 0.03, 0.04), clock)

    consumer.rewind(3, window=2)
    for _ in range(5):
        consumer.consume()

    assert clock.slept == [0.04, 0.01, 0.04, 0.01, 0.04]


def test_a_late_timer_is_made_up_for_at_the_next_step():
    clock = _Clock(late_s=0.0001)
    consumer = _consumer((0.01,), clock)

    for _ in range(10):
        consumer.consume()

    assert clock.now == pytest.approx(0.1001)


def test_waiting_for_a_core_is_not_made_up_for():
    clock = _Clock(late_s=0.005)
    consumer = _consumer((0.01,), clock)

    for _ in range(10):
        consumer.consume()

    assert clock.now > 0.14


def test_tiny_gaps_are_gathered_into_one_sleep():
    clock = _Clock()
    consumer = _consumer((0.00004,), clock)

    for _ in range(30):
        consumer.consume()

    assert clock.now == pytest.approx(30 * 0.00004)
    assert len(clock.slept) == 10


def test_the_cpu_seconds_of_a_step_are_burned_and_the_rest_is_slept():
    clock, core = _Clock(), _Core(1e6)
    burner = Burner(1, threading.Event(), core.rounds, core.clock)
    consumer = _consumer((0.01, 0.03), clock, cpu_s=0.005, cores=2, burner=burner)

    for _ in range(10):
        consumer.consume()

    assert consumer.threads == 1
    assert core.used_s == pytest.approx(0.05, rel=0.01)
    assert consumer.burned_s == pytest.approx(core.used_s)
    assert clock.now == pytest.approx(0.15)  # ten gaps of 20 ms less the CPU, which this clock does not see


@pytest.mark.parametrize(("cpu_s", "threads"), [(0.0, 1), (0.01, 1), (0.015, 2), (0.02, 2), (0.09, 4)])
def test_cpu_is_spread_over_as_many_threads_as_the_gap_needs(cpu_s: float, threads: int):
    consumer = _consumer((0.01,), _Clock(), cpu_s=cpu_s, cores=4)

    assert consumer.threads == threads
    consumer.close()


def test_burning_is_measured_not_counted():
    slow = _Core(1e5)  # ten times slower than the burner believes at first
    burner = Burner(1, threading.Event(), slow.rounds, slow.clock)

    for _ in range(20):
        burner.burn(0.01)

    assert slow.used_s == pytest.approx(0.2, rel=0.01)


def test_burning_too_much_is_paid_back():
    core = _Core(1e6, per_call_s=0.004)
    burner = Burner(1, threading.Event(), core.rounds, core.clock)

    for _ in range(20):
        burner.burn(0.001)

    assert core.used_s == pytest.approx(0.02, abs=0.005)


def test_every_thread_burns_its_own_seconds():
    stop = threading.Event()
    burner = Burner(3, stop)

    burned = burner.burn(0.005)
    burner.close()

    assert burned >= 3 * 0.0049


def test_nothing_is_burned_once_the_stop_is_set():
    core, stop = _Core(1e6), threading.Event()
    burner = Burner(1, stop, core.rounds, core.clock)
    stop.set()

    assert burner.burn(1.0) == 0.0
    assert core.used_s == 0.0
