"""The simulation against cases that can be worked out by hand, and against queueing laws."""

from __future__ import annotations

import statistics
import time

import pytest

from pipeprof.analysis.simulation import SimulatedStage, simulate


def source() -> SimulatedStage:
    return SimulatedStage(times_s=(0.0,))


def test_work_in_the_consumers_thread_adds_to_every_step() -> None:
    loop = simulate([SimulatedStage(times_s=(0.003,))], [0.010], steps=50, seed=1)

    assert loop.step_s == pytest.approx(0.013 - 0.003 / 50)
    assert loop.waits_s[-1] == pytest.approx(0.003)


def test_behind_a_buffer_a_step_takes_the_slower_of_the_two() -> None:
    fast = simulate([SimulatedStage(times_s=(0.003,), buffer=2)], [0.010], steps=100, seed=1)
    slow = simulate([SimulatedStage(times_s=(0.025,), buffer=2)], [0.010], steps=100, seed=1)

    assert fast.step_s == pytest.approx(0.010)
    assert fast.first_wait_s == pytest.approx(0.003)
    assert slow.step_s == pytest.approx(0.025, rel=0.02)


def test_elements_of_a_step_are_made_one_after_the_other() -> None:
    stages = [SimulatedStage(times_s=(0.001,), per_step=8), SimulatedStage(times_s=(0.0,), buffer=1)]

    assert simulate(stages, [0.0], steps=50, seed=1).step_s == pytest.approx(0.008, rel=0.03)


def test_calls_run_at_once_in_as_many_slots_as_have_a_thread() -> None:
    def step_s(threads: int | None) -> float:
        pool = SimulatedStage(times_s=(0.008,), slots=8, threads=threads)
        return simulate([source(), pool], [0.0], steps=200, seed=1).step_s

    assert step_s(None) == pytest.approx(0.001, rel=0.1)
    assert step_s(2) == pytest.approx(0.004, rel=0.1)


def test_a_straggler_holds_up_ordered_delivery_but_not_unordered() -> None:
    times = (0.004,) * 19 + (0.08,)

    def step_s(*, is_ordered: bool) -> float:
        pool = SimulatedStage(times_s=times, slots=4, is_ordered=is_ordered)
        return simulate([source(), pool], [0.0], steps=2000, seed=3).step_s

    mean = statistics.mean(times) / 4
    assert step_s(is_ordered=False) == pytest.approx(mean, rel=0.1)
    assert step_s(is_ordered=True) > 1.5 * mean


def test_a_larger_buffer_takes_up_bursts() -> None:
    bursts = (0.001,) * 9 + (0.05,)

    def step_s(buffer: int) -> float:
        return simulate([SimulatedStage(times_s=bursts, buffer=buffer)], [0.007], steps=3000, seed=5).step_s

    assert step_s(1) > step_s(8) > step_s(64) >= 0.007
    assert step_s(64) == pytest.approx(0.007, rel=0.05)


def test_a_shuffle_buffer_fills_before_the_first_element_and_drains_at_the_end() -> None:
    stages = [
        SimulatedStage(times_s=(0.002,)),
        SimulatedStage(times_s=(0.0,), fill=40),
        SimulatedStage(times_s=(0.0,), buffer=1),
    ]

    loop = simulate(stages, [0.001], steps=100, seed=1)

    assert loop.first_wait_s == pytest.approx(0.002 * 41)
    assert loop.wall_s == pytest.approx(0.002 * 100 + 0.001 * 40, rel=0.02)  # all inputs, then the buffer's rest


def test_exponential_times_through_a_buffer_of_one_follow_the_law_of_a_small_queue() -> None:
    # Two exponential servers with room for one element between them and the one being made: the chain of states 0-2
    # (elements ready) has departure rate mu * (1 - p0) with p0 = 1/3 at equal rates.
    import random

    draws = random.Random(7)
    times = [draws.expovariate(100.0) for _ in range(5000)]

    loop = simulate([SimulatedStage(times_s=times, buffer=1)], times, steps=20_000, seed=11)

    assert loop.step_s == pytest.approx(0.01 / (2 / 3), rel=0.03)


def test_the_same_seed_gives_the_same_loop_and_another_seed_another() -> None:
    stages = [SimulatedStage(times_s=(0.001, 0.004), buffer=1)]

    first = simulate(stages, [0.002, 0.003], steps=50, seed=1)

    assert first == simulate(stages, [0.002, 0.003], steps=50, seed=1)
    assert first != simulate(stages, [0.002, 0.003], steps=50, seed=2)


def test_ten_thousand_elements_are_simulated_in_well_under_a_second_of_work() -> None:
    stages = [source(), SimulatedStage(times_s=(0.001,), per_step=32, slots=2), SimulatedStage(times_s=(0.0,), buffer=2)]

    before = time.process_time()
    simulate(stages, [0.01], steps=300, seed=1)

    assert time.process_time() - before < 5.0  # CPU seconds, far above the few hundredths it takes


@pytest.mark.parametrize(("gaps", "steps"), [((), 5), ((0.1,), 0)])
def test_a_loop_without_gaps_or_steps_is_refused(gaps: tuple[float, ...], steps: int) -> None:
    with pytest.raises(ValueError, match="needs"):
        simulate([source()], gaps, steps=steps, seed=1)
