"""Prefixes are measured in rounds; planted clocks stand for the machine."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from pipeprof.advise.isolation import Arm, Isolation, IsolationPlan
from pipeprof.advise.replay import Edge


class _Machine:
    """A clock that only moves when an element is made."""

    def __init__(self) -> None:
        self.now = self.cpu = 0.0
        self.order: list[str] = []

    def edge(self) -> Edge:
        return Edge(clock=lambda: self.now, cpu_clock=lambda: self.cpu, rss=lambda: 0)

    def arm(self, name: str, wall_s: float, cpu_s: float, call_s: float = 0.0, last: int | None = None) -> Arm:
        def load(size: int) -> _Endless:
            return _Endless(lambda: self._make(name, size * wall_s + call_s, size * cpu_s + call_s), last)

        return Arm(id=name, load=load, element_bytes=8)

    def _make(self, name: str, wall_s: float, cpu_s: float) -> None:
        self.now += wall_s
        self.cpu += cpu_s
        if not self.order or self.order[-1] != name:
            self.order.append(name)


class _Endless:
    def __init__(self, make, last: int | None) -> None:
        self._make = make
        self._last = last

    def __iter__(self) -> Iterator[int]:
        count = 0
        while self._last is None or count < self._last:
            self._make()
            count += 1
            yield count


def _run(machine: _Machine, *arms: Arm, seconds: float = 6.0, call_s: float = 1e-4, stop: threading.Event | None = None):
    plan = IsolationPlan(seconds=seconds, stop=stop or threading.Event(), edge=machine.edge())
    isolation = Isolation({arm.id: arm for arm in arms}, machine.arm("hand", 0.0, 0.0, call_s), plan)
    isolation.run()
    return {arm.id: arm.result for arm in arms}


def test_what_handing_over_costs_is_taken_off():
    machine = _Machine()

    found = _run(machine, machine.arm("slow", 0.003, 0.001, 1e-4), machine.arm("cheap", 2e-6, 1e-6, 1e-4))

    for name, wall_s, cpu_s in (("slow", 0.003, 0.001), ("cheap", 2e-6, 1e-6)):
        blocks = found[name].blocks
        assert len(blocks) >= 3
        for block in blocks:
            assert block.wall_s / block.elements == pytest.approx(wall_s, rel=1e-3)
            assert block.cpu_s / block.elements == pytest.approx(cpu_s, rel=1e-3)


def test_rounds_go_up_and_down_the_chain():
    machine = _Machine()

    _run(machine, machine.arm("a", 0.01, 0.01), machine.arm("b", 0.01, 0.01), machine.arm("c", 0.01, 0.01))

    rounds = "".join(machine.order).split("hand")
    assert rounds[:3] == ["abc", "abc", "cba"]  # the probes first


def test_a_prefix_that_fails_leaves_the_others_measured():
    machine = _Machine()

    def explode(_size: int):
        raise ValueError("no")

    found = _run(machine, machine.arm("good", 0.001, 0.001), Arm(id="bad", load=explode), machine.arm("empty", 1, 1, last=0))

    assert found["good"].blocks
    assert not found["good"].note
    assert found["bad"].note == "it raised ValueError"
    assert found["empty"].note == "it gives no element"


def test_a_very_slow_pipeline_still_has_one_round():
    machine = _Machine()

    found = _run(machine, machine.arm("a", 30.0, 1.0), seconds=6.0)

    assert len(found["a"].blocks) == 1


def test_a_stop_keeps_what_was_measured():
    machine, stop = _Machine(), threading.Event()
    first = machine.arm("a", 0.01, 0.01)
    load = first.load

    def stopping(size: int):
        if len(first.blocks) >= 1:
            stop.set()
        return load(size)

    second = Arm(id="b", load=stopping, element_bytes=8)
    found = _run(machine, first, second, stop=stop)

    assert found["a"].blocks


def test_caches_are_filled_before_anything_is_timed():
    machine, filled = _Machine(), []
    arm = machine.arm("cache", 0.01, 0.01)
    arm.fill = lambda limit_s, _stop, _beat: filled.append((limit_s, list(machine.order)))

    _run(machine, arm, seconds=5.0)

    assert filled == [(5.0, [])]


def test_cheap_elements_are_drawn_by_the_thousand_so_that_handing_over_is_little_beside_them():
    machine = _Machine()
    cheap, slow, large = (machine.arm(*arm, 1e-4) for arm in (("a", 2e-6, 2e-6), ("b", 0.05, 0.01), ("c", 2e-6, 2e-6)))
    large.element_bytes = 8_000_000

    _run(machine, cheap, slow, large)

    assert 1000 <= cheap.size <= 4096
    assert slow.size == 1
    assert large.size == 8
