"""The paired trial on pipelines whose every wait is planted, under a clock that only they and the consumer move."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from pipeprof.advise import guard
from pipeprof.advise.consumer import FullSpeed, PacedConsumer
from pipeprof.advise.replay import (
    Drive,
    Edge,
    EmptyPipelineError,
    WarmUp,
    fill,
    measure_alone,
    measure_block,
    settle_idle,
    warm_up,
)
from pipeprof.advise.trial import TrialOutcome, TrialPlan, measure_control, reproduces, run_trial
from pipeprof.analysis.significance import Interval
from pipeprof.errors import TrialError
from pipeprof.model.profile import TrialState


class _World:
    """A clock, a CPU clock and a memory gauge that move only when a planted pipeline or the consumer says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self.cpu = 0.0
        self.rss = 1_000_000
        self.live = 0
        self.most_live = 0

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    @property
    def edge(self) -> Edge:
        return Edge(clock=lambda: self.now, cpu_clock=lambda: self.cpu, sleep=self.sleep, rss=lambda: self.rss)


class _Pipeline:
    """Yields ``length`` elements a pass (None: endless); each takes ``waits`` seconds in turn, the first ``start_s`` more."""

    def __init__(
        self, world: _World, waits: tuple[float, ...], *, length: int | None = None, start_s: float = 0.0, cpu_s: float = 0.0
    ) -> None:
        self.world = world
        self.waits = waits
        self.length = length
        self.start_s = start_s
        self.cpu_s = cpu_s
        self.passes = 0
        self.on_element: Callable[[int], None] = lambda _index: None

    def __iter__(self) -> Iterator[int]:
        self.passes += 1
        self.world.live += 1
        self.world.most_live = max(self.world.most_live, self.world.live)
        try:
            self.world.now += self.start_s
            for index in itertools.count() if self.length is None else range(self.length):
                self.on_element(index)
                self.world.now += self.waits[index % len(self.waits)]
                self.world.cpu += self.cpu_s
                yield index
        finally:
            self.world.live -= 1


@pytest.fixture
def world() -> _World:
    return _World()


STOP = threading.Event()
PLAN = TrialPlan(gaps=(0.01,), budget_s=60.0)


def _try(world: _World, baseline: object, candidate: object, plan: TrialPlan = PLAN) -> TrialOutcome:
    return run_trial(lambda: baseline, lambda: candidate, plan, STOP, edge=world.edge)  # type: ignore[arg-type, return-value]


def test_a_block_tells_waits_from_gaps(world: _World):
    waits = iter(_Pipeline(world, (0.03,)))
    consumer = PacedConsumer((0.01,), stop=STOP, sleep=world.sleep, clock=world.edge.clock)

    block = measure_block(lambda: next(waits), consumer, stop=STOP, steps=5, edge=world.edge)

    assert block.steps == 5
    assert block.wait_s == pytest.approx(0.15)
    assert block.gap_s == pytest.approx(0.05)
    assert block.step_s == pytest.approx(0.04)
    assert block.wait_share == pytest.approx(0.75)
    assert block.first_wait_s == pytest.approx(0.03)


def test_a_block_bounded_by_seconds_has_at_least_one_step(world: _World):
    waits = iter(_Pipeline(world, (2.0,)))

    assert measure_block(lambda: next(waits), FullSpeed(), stop=STOP, seconds=0.5, edge=world.edge).steps == 1


def test_a_finite_dataset_wraps_around_and_its_boundary_counts(world: _World):
    drive = Drive(lambda: _Pipeline(world, (0.01,), length=4, start_s=0.5), world.edge)
    drive.open()

    block = measure_block(drive.next_element, FullSpeed(), stop=STOP, steps=8, edge=world.edge)

    assert block.wall_s == pytest.approx(8 * 0.01 + 2 * 0.5)
    assert (drive.boundaries, drive.epoch_elements) == (1, 4)


def test_a_boundary_can_be_left_out(world: _World):
    drive = Drive(lambda: _Pipeline(world, (0.01,), length=4, start_s=0.5), world.edge)
    drive.open()
    measure_block(drive.next_element, FullSpeed(), stop=STOP, steps=1, edge=world.edge)

    block = measure_block(
        drive.next_element, FullSpeed(), stop=STOP, steps=7, edge=world.edge, excluded_s=lambda: drive.boundary_s
    )

    assert block.wall_s == pytest.approx(6 * 0.01)  # the element made at the boundary goes with it


def test_warming_up_goes_on_while_the_rate_still_changes(world: _World):
    ramp = tuple(0.1 / (index + 1) for index in range(60))
    drive = Drive(lambda: _Pipeline(world, (*ramp, *(0.0016,) * 10_000)), world.edge)

    block = warm_up(drive, FullSpeed(), WarmUp(elements=9, seconds=0.0), STOP)

    assert block.steps > 27
    assert block.wall_s < 3.2


def test_a_long_start_is_not_taken_for_warming_up(world: _World):
    drive = Drive(lambda: _Pipeline(world, (0.01,), start_s=30.0), world.edge)

    block = warm_up(drive, FullSpeed(), WarmUp(elements=10, seconds=0.25), STOP)

    assert block.first_wait_s == pytest.approx(30.01)
    assert block.wall_s - 30.01 >= 0.25


def test_a_pass_that_yields_nothing_is_said_so(world: _World):
    with pytest.raises(EmptyPipelineError):
        Drive(lambda: _Pipeline(world, (0.01,), length=0), world.edge).next_element()


def test_filling_takes_one_element_more_than_a_repeating_cache_holds(world: _World):
    pipeline = _Pipeline(world, (0.01,))
    taken: list[int] = []
    pipeline.on_element = taken.append

    fill(Drive(lambda: pipeline, world.edge), STOP, elements=20, limit_s=10)

    assert len(taken) == 21


def test_a_pass_longer_than_its_limit_is_refused(world: _World):
    with pytest.raises(TrialError, match="does not fit"):
        fill(Drive(lambda: _Pipeline(world, (1.0,), length=100), world.edge), STOP, elements=None, limit_s=10)


def test_the_pipeline_alone_has_its_own_cpu(world: _World):
    block = measure_alone(Drive(lambda: _Pipeline(world, (0.01,), cpu_s=0.004), world.edge), WarmUp(), STOP)

    assert block.cpu_s / block.steps == pytest.approx(0.004)
    assert block.step_s == pytest.approx(0.01)


def test_sleep_is_shortened_until_the_gap_is_the_one_measured(world: _World):
    class _SlowBurner:
        def burn(self, seconds_each: float) -> float:
            world.now += 1.5 * seconds_each  # the pipeline holds the cores for a third of the time
            return seconds_each

        def close(self) -> None:
            pass

    consumer = PacedConsumer(
        (0.02,), stop=STOP, cpu_s=0.01, sleep=world.sleep, clock=world.edge.clock, burner=_SlowBurner()  # type: ignore[arg-type]
    )  # fmt: skip

    scale = settle_idle(Drive(lambda: _Pipeline(world, (0.0,)), world.edge), consumer, 10, STOP)
    before = world.now
    consumer.consume()

    assert scale == pytest.approx(0.5)
    assert world.now - before == pytest.approx(0.02)


def test_a_faster_candidate_is_confirmed_with_its_ratio(world: _World):
    outcome = _try(world, _Pipeline(world, (0.03,), cpu_s=0.002), _Pipeline(world, (0.01,), cpu_s=0.001))

    assert outcome.state is TrialState.CONFIRMED
    assert outcome.speedup == pytest.approx(2.0)
    assert (outcome.low, outcome.high) == (pytest.approx(2.0), pytest.approx(2.0))
    assert outcome.pairs == 3
    assert outcome.baseline_step_s == pytest.approx(0.04)
    assert outcome.candidate_step_s == pytest.approx(0.02)
    assert outcome.baseline_wait_share == pytest.approx(0.75)
    assert outcome.candidate_wait_share == pytest.approx(0.5)
    assert outcome.baseline_cpu_s == pytest.approx(0.002)
    assert outcome.candidate_cpu_s == pytest.approx(0.001)
    assert outcome.cpu is not None
    assert outcome.cpu.value == pytest.approx(2.0)
    assert outcome.cpu.low > 1.5
    assert outcome.noise is not None
    assert outcome.noise.value == pytest.approx(1.0)


def test_a_slower_candidate_is_worse(world: _World):
    outcome = _try(world, _Pipeline(world, (0.01,)), _Pipeline(world, (0.03,)))

    assert outcome.state is TrialState.WORSE
    assert outcome.speedup == pytest.approx(0.5)


def test_identical_arms_make_no_difference(world: _World):
    outcome = _try(world, _Pipeline(world, (0.01,)), _Pipeline(world, (0.01,)))

    assert outcome.state is TrialState.NO_DIFFERENCE


@pytest.mark.parametrize(
    ("cpu_s", "state"),
    [(0.002, TrialState.LESS_CPU), (0.0038, TrialState.NO_DIFFERENCE), (0.006, TrialState.NO_DIFFERENCE)],
)
def test_of_two_arms_that_are_as_fast_the_one_that_takes_clearly_less_cpu_is_the_better(
    world: _World, cpu_s: float, state: TrialState
):
    outcome = _try(world, _Pipeline(world, (0.01,), cpu_s=0.004), _Pipeline(world, (0.01,), cpu_s=cpu_s))

    assert outcome.state is state
    assert outcome.speedup == pytest.approx(1.0)


def test_cpu_decides_nothing_where_time_does(world: _World):
    outcome = _try(world, _Pipeline(world, (0.01,), cpu_s=0.008), _Pipeline(world, (0.03,), cpu_s=0.001))

    assert outcome.state is TrialState.WORSE


def test_a_machine_that_slows_down_steadily_is_no_difference(world: _World):
    def drifting() -> _Pipeline:
        pipeline = _Pipeline(world, (0.0,))

        def slow_down(_index: int) -> None:
            world.now += 0.01 * (1 + world.now / 60)

        pipeline.on_element = slow_down
        return pipeline

    outcome = _try(world, drifting(), drifting())

    assert outcome.state is TrialState.NO_DIFFERENCE


def test_a_fast_candidate_runs_as_long_as_a_block_must_last(world: _World):
    taken: list[int] = []
    candidate = _Pipeline(world, (0.0,))
    candidate.on_element = taken.append
    plan = replace(PLAN, gaps=(0.002,), budget_s=20.0, block_s=1.0)

    outcome = _try(world, _Pipeline(world, (0.098,)), candidate, plan)

    assert outcome.speedup == pytest.approx(50.0)
    assert max(taken) * 0.002 >= 1.0


def test_one_iterator_lives_at_a_time(world: _World):
    _try(world, _Pipeline(world, (0.02,)), _Pipeline(world, (0.01,)))

    assert world.most_live == 1
    assert world.live == 0


def test_a_noise_given_is_not_measured_again(world: _World):
    baseline = _Pipeline(world, (0.03,))

    outcome = _try(world, baseline, _Pipeline(world, (0.01,)), replace(PLAN, noise=Interval(1.0, 0.99, 1.01)))

    assert outcome.noise == Interval(1.0, 0.99, 1.01)
    assert baseline.passes == 4  # the scout and three blocks


def test_a_trial_too_slow_for_its_budget_is_not_tried(world: _World):
    outcome = _try(world, _Pipeline(world, (9.0,)), _Pipeline(world, (1.0,)))

    assert outcome.state is TrialState.NOT_TRIED
    assert outcome.reason.startswith("too slow for the budget")
    assert "times the --budget would do" in outcome.reason
    assert (outcome.fill_s, outcome.memory_bytes) == (None, None)


def test_a_long_start_that_fills_the_budget_is_not_tried(world: _World):
    outcome = _try(world, _Pipeline(world, (0.01,), start_s=20.0), _Pipeline(world, (0.01,)))

    assert outcome.state is TrialState.NOT_TRIED
    assert "their starts included" in outcome.reason


def test_noise_that_never_settles_ends_with_the_budget(world: _World):
    slow_then_fast = _Pipeline(world, (0.0,))
    steps = itertools.count()

    def noisy(_index: int) -> None:
        world.now += 0.01 if (next(steps) // 97) % 2 else 0.06

    slow_then_fast.on_element = noisy
    outcome = _try(world, slow_then_fast, slow_then_fast, replace(PLAN, budget_s=30.0))

    assert outcome.state is TrialState.NO_DIFFERENCE
    assert "not told apart" in outcome.reason
    assert world.now < 40


def test_a_candidate_that_raises_is_worse_with_the_reason(world: _World):
    candidate = _Pipeline(world, (0.01,))

    def fail(index: int) -> None:
        if index == 7:
            raise ValueError("bad record\nsecond line")

    candidate.on_element = fail
    outcome = _try(world, _Pipeline(world, (0.01,)), candidate)

    assert outcome.state is TrialState.WORSE
    assert outcome.reason == "the changed pipeline raises ValueError: bad record"


def test_a_baseline_that_raises_leaves_the_change_not_tried(world: _World):
    def broken() -> _Pipeline:
        raise OSError("gone")

    outcome = run_trial(broken, lambda: _Pipeline(world, (0.01,)), PLAN, STOP, edge=world.edge)

    assert outcome.state is TrialState.NOT_TRIED
    assert outcome.reason == "the pipeline as it is raises OSError: gone"


@pytest.mark.parametrize(
    ("baseline", "candidate", "state"), [(0, 9, TrialState.NOT_TRIED), (9, 0, TrialState.WORSE), (0, 0, TrialState.NOT_TRIED)]
)
def test_an_empty_pipeline_is_said_so(world: _World, baseline: int, candidate: int, state: TrialState):
    outcome = _try(world, _Pipeline(world, (0.01,), length=baseline), _Pipeline(world, (0.01,), length=candidate))

    assert outcome.state is state
    assert outcome.reason.endswith("yields no element")


@pytest.mark.parametrize(("hangs", "state"), [("candidate", TrialState.WORSE), ("baseline", TrialState.NOT_TRIED)])
def test_a_pipeline_that_never_yields_is_left_behind(
    world: _World, hangs: str, state: TrialState, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(guard, "_GRACE_S", 0.05)
    release = threading.Event()
    arms = {"candidate": _Pipeline(world, (0.01,)), "baseline": _Pipeline(world, (0.01,))}
    arms[hangs].on_element = lambda _index: release.wait() and None

    outcome = _try(world, arms["baseline"], arms["candidate"], replace(PLAN, stall_s=0.3))

    release.set()
    assert outcome.state is state
    assert outcome.reason.startswith("hung: ")
    assert outcome.left_behind


def test_a_stop_ends_the_trial_as_not_tried(world: _World):
    stop = threading.Event()
    candidate = _Pipeline(world, (0.01,))
    candidate.on_element = lambda _index: stop.set()
    unending = replace(PLAN, budget_s=1e9, looks=(10**6,))

    outcome = run_trial(lambda: _Pipeline(world, (0.01,)), lambda: candidate, unending, stop, edge=world.edge)

    assert (outcome.state, outcome.reason, outcome.left_behind) == (TrialState.NOT_TRIED, "stopped", False)


def test_a_cache_is_filled_first_and_its_later_passes_are_compared(world: _World):
    cached = _Pipeline(world, (0.0,), length=200)
    cached.on_element = lambda _index: world.sleep(0.05 if cached.passes == 1 else 0.0)

    outcome = _try(world, _Pipeline(world, (0.03,), length=200), cached, replace(PLAN, fills_cache=True))

    assert outcome.state is TrialState.CONFIRMED
    assert outcome.speedup == pytest.approx(4.0)
    assert outcome.fill_s == pytest.approx(200 * (0.05 - 0.03))


def test_a_cache_that_cannot_be_filled_in_time_is_not_tried(world: _World):
    plan = replace(PLAN, fills_cache=True)

    outcome = _try(world, _Pipeline(world, (0.03,), length=10_000), _Pipeline(world, (0.01,), length=10_000), plan)

    assert outcome.state is TrialState.NOT_TRIED
    assert "does not fit into the budget" in outcome.reason


def test_short_epochs_are_compared_whole_with_their_boundaries(world: _World):
    renewed = _Pipeline(world, (0.01,), length=20, start_s=0.2)
    repeated = _Pipeline(world, (0.01,), start_s=0.2)

    outcome = _try(world, renewed, repeated)

    assert outcome.speedup == pytest.approx((20 * 0.02 + 0.2) / (20 * 0.02))


def test_memory_is_the_growth_while_the_candidate_ran(world: _World):
    candidate = _Pipeline(world, (0.01,))

    def grow(_index: int) -> None:
        world.rss = max(world.rss, 5_000_000)

    candidate.on_element = grow
    outcome = _try(world, _Pipeline(world, (0.01,)), candidate)

    assert outcome.memory_bytes == 4_000_000


def test_the_control_gives_the_recoverable_share_and_the_ceiling(world: _World):
    baseline, ready = _Pipeline(world, (0.03,), cpu_s=0.005), _Pipeline(world, (0.002,), cpu_s=0.001)

    control = measure_control(lambda: baseline, lambda: ready, PLAN, "p0", STOP, edge=world.edge)

    assert control.pipeline_id == "p0"
    assert control.baseline_wait_share == pytest.approx(0.75)
    assert control.ready_wait_share == pytest.approx(0.002 / 0.012)
    assert control.recoverable_low == pytest.approx(0.028 / 0.04)
    assert control.recoverable_high == pytest.approx(0.028 / 0.04)
    assert control.ceiling == pytest.approx(0.04 / 0.012)
    assert control.pipeline_cpu_s_per_step == pytest.approx(0.004)


def test_a_control_that_fails_says_why(world: _World):
    broken = _Pipeline(world, (0.01,))

    def fail(_index: int) -> None:
        raise ValueError("no such file")

    broken.on_element = fail
    with pytest.raises(TrialError, match="ValueError: no such file"):
        measure_control(lambda: broken, lambda: _Pipeline(world, (0.0,)), PLAN, "p0", STOP, edge=world.edge)


@pytest.mark.parametrize(
    ("run", "replay", "expected"),
    [
        ((0.04, 0.5), (0.042, 0.55), True),
        ((0.04, 0.5), (0.049, 0.56), True),
        ((0.04, 0.5), (0.052, 0.56), False),
        ((0.04, 0.5), (0.03, 0.44), False),
        ((0.04, 0.5), (0.059, 0.5), True),  # slower alike, waiting and working
        ((0.04, 0.5), (0.061, 0.5), False),
        ((0.04, 0.5), (0.026, 0.5), False),
        ((0.04, 0.5), (0.04, 0.7), False),
        ((0.0, 0.5), (0.04, 0.5), False),
    ],
)
def test_a_replay_reproduces_the_run_within_its_tolerances(
    run: tuple[float, float], replay: tuple[float, float], expected: bool
):
    verdict, reason = reproduces(*run, *replay)

    assert verdict is expected
    assert bool(reason) is not expected


def test_noise_does_not_excuse_another_share_of_waiting():
    noisy = Interval(1.0, 0.39, 4.63)

    assert reproduces(0.04, 0.57, 0.04, 0.43, noisy)[0]
    assert not reproduces(0.04, 0.57, 0.04, 0.41, noisy)[0]


def test_the_control_is_as_uncertain_as_the_loop_against_itself(world: _World):
    waits = itertools.cycle([0.03] * 40 + [0.06] * 40)
    baseline, ready = _Pipeline(world, (0.0,)), _Pipeline(world, (0.002,))
    baseline.on_element = lambda _index: setattr(world, "now", world.now + next(waits))

    control = measure_control(lambda: baseline, lambda: ready, PLAN, "p0", STOP, edge=world.edge)

    assert control.noise_high / control.noise_low > 1.1
    assert math.log(control.ceiling_high / control.ceiling_low) > 0.1


def test_noise_widens_the_tolerances():
    noisy = Interval(1.0, 0.8, 1.25)

    assert not reproduces(0.04, 0.5, 0.053, 0.56)[0]
    assert reproduces(0.04, 0.5, 0.053, 0.56, noisy)[0]
