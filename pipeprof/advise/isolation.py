"""Measures every prefix of a pipeline alone at full speed, in rounds that go up and down the chain.

The one idea: neighbouring prefixes are measured within a round and compared within it, so that the drift of the machine is
not taken for the cost of a stage; each block has an iterator of its own and is warmed up. What a hand-over to Python costs is
measured beside them and taken off. It must not know TensorFlow: an arm is anything that can be iterated again and again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from pipeprof.advise.consumer import FullSpeed
from pipeprof.advise.replay import Block, Drive, Edge, EmptyPipelineError, measure_block
from pipeprof.errors import TrialError
from pipeprof.model.profile import IsolatedPrefix, PrefixBlock

MOST_ROUNDS = 10
_LEAST_ROUNDS = 3
_WANTED_ROUNDS = 6  # the interval of three is twice as wide as the scatter
_CALL_S = 0.004  # of one call of next: a hand-over of 0.1 ms is then little, and a block has many calls
_MOST_AT_ONCE = 4096  # elements of one call
_MOST_BYTES = 64_000_000  # that one call may hold
_UNKNOWN_BYTES = 64_000  # of an element whose size is not static
_PROBE_S = 0.1
_LEAST_GROWTH = 2
_WARM_SHARE = 0.25
_LEAST_BLOCK_S = 0.08
_MOST_BLOCK_S = 0.6


@dataclass(slots=True)
class Arm:
    """One prefix under measurement; ``load(size)`` gives an endless iterable whose items stand for ``size`` elements each."""

    id: str
    load: Callable[[int], Iterable[object]]
    element_bytes: int | None = None
    fill: Callable[[float, threading.Event, Callable[[], None]], None] | None = None  # its caches, before anything is timed
    size: int = 1
    drive: Drive | None = None
    blocks: list[PrefixBlock] = field(default_factory=list)
    note: str = ""

    @property
    def result(self) -> IsolatedPrefix:
        """What was measured so far."""
        return IsolatedPrefix(blocks=tuple(self.blocks), note=self.note)


@dataclass(frozen=True, kw_only=True, slots=True)
class IsolationPlan:
    """How long to measure, and what to tell meanwhile."""

    seconds: float
    stop: threading.Event
    edge: Edge = field(default_factory=Edge)
    beat: Callable[[], None] = lambda: None
    on_progress: Callable[[str, float], None] = lambda _text, _share: None
    what: str = "measuring each stage alone"


class Isolation:
    """Measures arms; what was measured stays readable whatever happens to a later block."""

    def __init__(self, arms: Mapping[str, Arm], handing_over: Arm, plan: IsolationPlan) -> None:
        """Prepare.

        Args:
            arms: the prefixes by stage, source first.
            handing_over: an arm that costs nothing but the hand-over of its items.
            plan: how long.
        """
        self.arms = arms
        self._handing_over = handing_over
        self._plan = plan
        self._origin = plan.edge.clock()
        self._probed_s = 0.0  # spent on finding sizes

    def run(self) -> None:
        """Measure rounds until the time is spent; at least one, and three where they fit into twice the time."""
        for arm in self.arms.values():
            self._guarded(arm, self._probe)
        self._probed_s = self._spent_s()
        block_s = self._block_s()
        for number in range(MOST_ROUNDS):
            began = self._spent_s()
            if self._plan.stop.is_set() or not self._alive() or (number and not self._has_time(number, began)):
                return
            self._plan.on_progress(self._plan.what, min(1.0, began / self._plan.seconds))
            self._run_round(number, block_s)

    def _run_round(self, number: int, block_s: float) -> None:
        overhead = self._measure(self._handing_over, min(block_s, _PROBE_S))

        def add(arm: Arm) -> None:
            self._add_block(arm, number, overhead, block_s)

        arms = self._alive()
        for arm in arms if number % 2 == 0 else reversed(arms):
            self._guarded(arm, add)

    def _alive(self) -> list[Arm]:
        return [arm for arm in self.arms.values() if not arm.note]

    def _spent_s(self) -> float:
        return self._plan.edge.clock() - self._origin

    def _has_time(self, number: int, spent_s: float) -> bool:
        each_s = (spent_s - self._probed_s) / number
        return spent_s + each_s <= self._plan.seconds * (2 if number < _LEAST_ROUNDS else 1)

    def _block_s(self) -> float:
        arms = max(1, len(self._alive()))
        left_s = max(0.0, self._plan.seconds - self._spent_s())
        return min(_MOST_BLOCK_S, max(_LEAST_BLOCK_S, left_s / arms / _WANTED_ROUNDS))

    def _guarded(self, arm: Arm, action: Callable[[Arm], None]) -> None:
        """Keep the failure of one prefix from the others."""
        if arm.note or self._plan.stop.is_set():
            return
        try:
            action(arm)
        except EmptyPipelineError:
            arm.note = "it gives no element"
        except TrialError as error:
            arm.note = str(error)
        except Exception as error:  # noqa: BLE001 - a pipeline raises what its functions raise
            arm.note = f"it raised {type(error).__name__}"
        finally:
            if arm.drive is not None:
                arm.drive.close()

    def _probe(self, arm: Arm) -> None:
        """Fill its caches, and find out how many elements to draw at once."""
        if arm.fill is not None:
            arm.fill(self._plan.seconds, self._plan.stop, self._plan.beat)
        most = max(1, min(_MOST_AT_ONCE, _MOST_BYTES // max(1, arm.element_bytes or _UNKNOWN_BYTES)))
        while True:
            arm.drive = self._drive(arm, arm.size)
            arm.drive.open()
            self._block(arm.drive, steps=1)
            call_s = self._block(arm.drive, seconds=_PROBE_S / 2).step_s
            arm.drive.close()
            if call_s >= _CALL_S / 2 or arm.size >= most:
                return
            growth = max(_LEAST_GROWTH, int(_CALL_S / call_s) if call_s > 0 else _MOST_AT_ONCE)
            arm.size = min(most, arm.size * growth)  # a short call is handing over for the most part, so look again

    def _add_block(self, arm: Arm, number: int, overhead: Block, block_s: float) -> None:
        block = self._measure(arm, block_s)
        calls = block.steps / overhead.steps
        arm.blocks.append(
            PrefixBlock(
                round=number,
                elements=block.steps * arm.size,
                wall_s=max(0.0, block.wall_s - overhead.wall_s * calls),
                cpu_s=max(0.0, block.cpu_s - overhead.cpu_s * calls),
            )
        )

    def _measure(self, arm: Arm, block_s: float) -> Block:
        if arm.drive is None:
            arm.drive = self._drive(arm, arm.size)
        arm.drive.open()
        try:
            self._block(arm.drive, steps=1)
            self._block(arm.drive, seconds=block_s * _WARM_SHARE)
            return self._block(arm.drive, seconds=block_s * (1 - _WARM_SHARE))
        finally:
            arm.drive.close()

    def _drive(self, arm: Arm, size: int) -> Drive:
        return Drive(lambda: arm.load(size), edge=self._plan.edge, beat=self._plan.beat)

    def _block(self, drive: Drive, steps: int | None = None, seconds: float | None = None) -> Block:
        plan = self._plan
        return measure_block(drive.next_element, FullSpeed(), stop=plan.stop, steps=steps, seconds=seconds, edge=plan.edge)
