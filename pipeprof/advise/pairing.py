"""This module measures two versions of a pipeline in pairs of blocks, next to each other and with the same gaps.

Its one idea: everything that both arms share (consumer, block length, gaps, warm-up rule, clock of the budget) lives in one
``Bench``, so that nothing but the pipeline can differ between them. It must not judge the pairs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum

from pipeprof import units
from pipeprof.advise.consumer import PacedConsumer
from pipeprof.advise.guard import Pulse
from pipeprof.advise.replay import Block, Drive, Edge, StoppedError, WarmUp, fill, measure_block, settle_idle, warm_up
from pipeprof.analysis.significance import LOOKS, NO_DIFFERENCE_BAND, Interval, noise_margin, ratio_interval
from pipeprof.errors import TrialError

__all__ = ["Arm", "Bench", "Factory", "Phase", "TrialPlan"]

Factory = Callable[[], Iterable[object]]  # in practice a tf.data.Dataset; anything that can be iterated again

_FEWEST_STEPS = 3  # a block of slow steps may be this short before a trial is refused
_SCOUT_S = 0.5  # what a look at the baseline may take, where that is enough steps
_SLOW_FACTOR = 4.0  # a block is cut after this many times the baseline's time
_MOST_STEPS = 100_000


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialPlan:
    """How to try: the stand-in for the step, the budget, the test."""

    gaps: tuple[float, ...] = ()  # seconds the step takes between two calls of next, from gaps_from_histogram; none: full speed
    cpu_s: float = 0.0  # CPU seconds of one step without its input
    cores: int = 1
    idle_scale: float | None = None  # of the consumer, where it was settled before
    budget_s: float = 20.0  # no new pair is begun after it
    deadline_s: float | None = None  # given up after it; None: twice the budget and ten seconds
    stall_s: float | None = None  # given up when no element came for so long; None: the deadline
    noise: Interval | None = None  # A/A of an earlier trial of this pipeline; None: measured first
    noise_pairs: int = 3
    level: float = 0.9
    looks: tuple[int, ...] = LOOKS
    band: float = NO_DIFFERENCE_BAND
    block_steps: int = 10  # at least
    block_s: float = 0.3  # at least
    longest_block_s: float = 1.5  # where the budget has room
    warm_up: WarmUp = field(default_factory=WarmUp)
    epoch_steps: int | None = None  # elements per epoch of a finite dataset, where known
    count_boundaries: bool = True  # whether making a new iterator at an epoch's end counts
    fills_cache: bool = False  # either arm holds a cache: a whole pass is driven through both first
    fill_elements: int | None = None  # elements of a pass where the dataset repeats by itself

    @property
    def hard_deadline_s(self) -> float:
        """Seconds after which the trial is given up."""
        return self.deadline_s if self.deadline_s is not None else 2 * self.budget_s + 10


class Phase(StrEnum):
    """Which side is being driven, in words."""

    BASELINE = "the pipeline as it is"
    CANDIDATE = "the changed pipeline"


@dataclass(slots=True)
class Arm:
    """One side of the comparison and what is known of it."""

    phase: Phase
    drive: Drive
    warm_up: WarmUp
    is_rehearsed: bool = False
    is_endless: bool = False  # it goes on where the baseline's epoch ends
    repeats: int = 1  # a block is so many times the shared number of steps
    blocks: list[Block] = field(default_factory=list)

    def mean(self, value: Callable[[Block], float]) -> float | None:
        """Return the mean over blocks, weighted by steps."""
        steps = sum(block.steps for block in self.blocks)
        return sum(value(block) for block in self.blocks) / steps if steps else None

    def wait_share(self) -> float | None:
        """Return the share of the time spent waiting in next."""
        wall = sum(block.wall_s for block in self.blocks)
        return sum(block.wait_s for block in self.blocks) / wall if wall > 0 else None


@dataclass(slots=True)
class Bench:
    """The two arms, the consumer they share, and the clock of the budget."""

    plan: TrialPlan
    edge: Edge
    pulse: Pulse
    consumer: PacedConsumer
    baseline: Arm
    candidate: Arm
    started: float
    noise: Interval | None
    steps: int = 0
    epochs: int = 0  # a block is so many whole epochs, started anew; 0: a part of one, warmed up
    block_s: float = 0.0
    fill_s: float | None = None
    rss_before: int | None = None
    rss_peak: int = 0
    pairs: list[tuple[Block, Block]] = field(default_factory=list)
    same: list[tuple[Block, Block]] = field(default_factory=list)  # A/A: the baseline with itself

    @classmethod
    def make(cls, baseline: Factory, candidate: Factory, plan: TrialPlan, edge: Edge, pulse: Pulse) -> Bench:
        """Set the two arms up; nothing is driven yet."""
        consumer = PacedConsumer(
            plan.gaps, stop=pulse.halt, cpu_s=plan.cpu_s, cores=plan.cores, sleep=edge.sleep, clock=edge.clock
        )
        consumer.idle_scale = 1.0 if plan.idle_scale is None else plan.idle_scale
        first = Arm(Phase.BASELINE, Drive(baseline, edge, pulse.beat), plan.warm_up)
        second = Arm(Phase.CANDIDATE, Drive(candidate, edge, pulse.beat), plan.warm_up)
        return cls(plan, edge, pulse, consumer, first, second, edge.clock(), plan.noise)

    @property
    def remaining_s(self) -> float:
        """Seconds of the budget that are left."""
        return self.plan.budget_s - (self.edge.clock() - self.started)

    @property
    def margin(self) -> float:
        """By how much a ratio must exceed 1 to mean anything."""
        return noise_margin(self.noise)

    def prepare(self) -> None:
        """Fill caches, settle the consumer, choose the block's length, measure the noise."""
        if self.plan.fills_cache:
            before = self._fill(self.baseline)
            self.fill_s = max(0.0, self._fill(self.candidate) - before)
        self._scout()
        if self.noise is None:
            self.same = [self._pair(self.baseline, self.baseline, index) for index in range(self.plan.noise_pairs)]
            self.noise = ratio_interval([(one.step_s, two.step_s) for one, two in self.same]) if self.same else None

    def add_pair(self) -> None:
        """Measure one more pair, A B or B A in turn."""
        pair = self._pair(self.baseline, self.candidate, len(self.pairs))
        self.pairs.append(pair)
        self.baseline.blocks.append(pair[0])
        self.candidate.blocks.append(pair[1])

    def step_pairs(self) -> list[tuple[float, float]]:
        """Return the pairs' step times, baseline first."""
        return [(baseline.step_s, candidate.step_s) for baseline, candidate in self.pairs]

    def report(self, text: str) -> None:
        """Hand a line of progress to the caller's thread."""
        self.pulse.report(text, min(1.0, 1 - self.remaining_s / self.plan.budget_s) if self.plan.budget_s > 0 else 1.0)

    def _fill(self, arm: Arm) -> float:
        self._enter(arm)
        self.report(f"filling the caches of {arm.phase}")
        if self.plan.fill_elements is None and _is_endless(arm.drive.dataset()):
            raise TrialError("the dataset repeats by itself and its length is not known, so a cache cannot be filled")
        seconds = fill(arm.drive, self.pulse.halt, elements=self.plan.fill_elements, limit_s=self.remaining_s / 3)
        self._watch_memory(arm, self.edge.rss())
        return seconds

    def _enter(self, arm: Arm) -> None:
        if self.pulse.halt.is_set():
            raise StoppedError("stopped")
        if arm.phase is Phase.CANDIDATE and self.rss_before is None:
            self.rss_before = self.edge.rss()
        self.pulse.enter(arm.phase)

    def _watch_memory(self, arm: Arm, rss: int) -> None:
        if arm.phase is Phase.CANDIDATE:
            self.rss_peak = max(self.rss_peak, rss)

    def _scout(self) -> None:
        """Drive the baseline once to learn how long its start, its ramp and its steps take."""
        arm = self.baseline
        self._enter(arm)
        self.report("warming up")
        arm.drive.dataset()  # made once: its making is no part of a block
        before = self.edge.clock()
        arm.drive.open()
        opening_s = self.edge.clock() - before
        ramp = self._warm(arm)
        overhead_s = self.edge.clock() - before
        ramp_step_s = max(1e-9, (ramp.wall_s - (ramp.first_wait_s or 0.0)) / max(1, ramp.steps - 1))
        few = max(_FEWEST_STEPS, min(self.plan.block_steps, int(_SCOUT_S / ramp_step_s)))
        if self.plan.idle_scale is None:
            settle_idle(arm.drive, self.consumer, few, self.pulse.halt)
        probe = measure_block(
            arm.drive.next_element, self.consumer, stop=self.pulse.halt, steps=few,
            seconds=max(self.remaining_s / 4, 0.0), edge=self.edge,
        )  # fmt: skip
        arm.drive.close()
        mean = (probe.wall_s + ramp.wall_s - (ramp.first_wait_s or 0.0)) / (probe.steps + max(1, ramp.steps - 1))
        step_s = max(min(mean, probe.step_s), 1e-9)
        if not self._choose_epochs(step_s, opening_s + (ramp.first_wait_s or 0.0)):
            self._choose_length(step_s, overhead_s)

    def _choose_epochs(self, step_s: float, start_s: float) -> bool:
        """Let a block be whole epochs, as the user's loop runs them, where the budget holds enough of them.

        An epoch's start (a new iterator, a shuffle buffer to fill, AUTOTUNE's ramp) is then measured as it is in the run, and
        nothing is warmed up.
        """
        plan = self.plan
        epoch = plan.epoch_steps or self.baseline.drive.epoch_elements
        if not epoch or not plan.count_boundaries:
            return False
        epoch_s = start_s + epoch * step_s
        noise_pairs = plan.noise_pairs if self.noise is None else 0
        if 2 * (noise_pairs + plan.looks[0]) * epoch_s + epoch_s > self.remaining_s:
            return False
        self.epochs = max(1, math.ceil(plan.block_s / epoch_s))
        self.steps = self.epochs * epoch
        self.block_s = self.epochs * epoch_s
        return True

    def _rehearse(self, arm: Arm) -> None:
        """Run an arm's first epoch unmeasured; one that is over too soon runs several times in a block.

        An arm that goes on beyond the epoch starts once in a run, not once in an epoch: its start is no part of a block.
        """
        arm.is_rehearsed = True
        limit = max(_SLOW_FACTOR * self.block_s, self.plan.block_s)
        arm.drive.close()
        block = measure_block(
            arm.drive.next_element, self.consumer, stop=self.pulse.halt, steps=self.steps, seconds=limit, edge=self.edge
        )
        self._watch_memory(arm, block.rss_peak_bytes)
        arm.repeats = max(1, min(math.ceil(self.plan.block_s / max(block.wall_s, 1e-9)), _MOST_STEPS // self.steps))
        try:
            arm.drive.next_in_epoch()
        except StopIteration:
            return
        arm.is_endless = block.steps == self.steps
        arm.warm_up = replace(arm.warm_up, until_stable=False)

    def _warm(self, arm: Arm) -> Block:
        """Warm the open iterator up; the length that the arm's first warm-up took is kept for the next ones.

        A fast candidate runs through the same gaps several times in a block: 50 ms of it would measure the machine's hiccups.
        """
        ramp = warm_up(arm.drive, self.consumer, arm.warm_up, self.pulse.halt)
        if arm.warm_up.until_stable:
            after_start = (ramp.wall_s - (ramp.first_wait_s or 0.0)) / max(1, ramp.steps)
            lasts_s = max(self.steps * after_start, 1e-9)
            arm.repeats = max(1, min(math.ceil(self.plan.block_s / lasts_s), _MOST_STEPS // self.steps)) if self.steps else 1
            arm.warm_up = replace(arm.warm_up, elements=ramp.steps, seconds=0.0, until_stable=False)
        return ramp

    def _choose_length(self, step_s: float, overhead_s: float) -> None:
        """Choose the steps of a block: long enough to mean something, short enough for the pairs of two looks.

        Raises:
            TrialError: the budget does not hold the pairs of the first look.
        """
        plan = self.plan
        noise_pairs = plan.noise_pairs if self.noise is None else 0
        wanted = max(plan.block_steps, math.ceil(plan.block_s / step_s))
        roomy = self.remaining_s / (2 * (noise_pairs + plan.looks[min(1, len(plan.looks) - 1)])) - overhead_s
        affordable = self.remaining_s / (2 * (noise_pairs + plan.looks[0])) - overhead_s
        most = int(affordable / step_s)
        steps = min(max(wanted, int(min(roomy, plan.longest_block_s) / step_s)), most, _MOST_STEPS)
        if steps < _FEWEST_STEPS:
            block = overhead_s + _FEWEST_STEPS * step_s
            count = 2 * (noise_pairs + plan.looks[0])
            need = f"{count} blocks of {units.duration(block)}, their starts included, in {units.duration(self.remaining_s)}"
            times = max(2, math.ceil(count * block / max(self.remaining_s, _SCOUT_S)))
            raise TrialError(f"too slow for the budget: {need}; about {times} times the --budget would do")
        self.steps, self.block_s = steps, steps * step_s

    def _pair(self, first: Arm, second: Arm, index: int) -> tuple[Block, Block]:
        """Measure both arms next to each other with the same gaps; even pairs begin with the first."""
        position = index * self.steps
        if index % 2 == 0:
            one = self._block(first, position)
            return one, self._block(second, position)
        two = self._block(second, position)
        return self._block(first, position), two

    def _block(self, arm: Arm, position: int) -> Block:
        self._enter(arm)
        try:
            if self.epochs and not arm.is_rehearsed and arm.phase is Phase.CANDIDATE:
                self._rehearse(arm)
            if self.epochs and not arm.is_endless:
                arm.drive.close()
            else:
                arm.drive.open()
                self._watch_memory(arm, self._warm(arm).rss_peak_bytes)
            self.consumer.rewind(position, self.steps)
            block = measure_block(
                arm.drive.next_element, self.consumer, stop=self.pulse.halt, steps=self.steps * arm.repeats,
                seconds=max(_SLOW_FACTOR * self.block_s, self.plan.block_s), edge=self.edge,
                excluded_s=lambda: 0.0 if self.plan.count_boundaries else arm.drive.boundary_s,
            )  # fmt: skip
        finally:
            arm.drive.close()
        self._watch_memory(arm, block.rss_peak_bytes)
        if self.pulse.halt.is_set():
            raise StoppedError("stopped")
        return block


def _is_endless(dataset: object) -> bool:
    cardinality = getattr(dataset, "cardinality", None)
    return callable(cardinality) and int(cardinality()) == -1
