"""What each stage costs by itself, from prefixes of the chain that were replayed alone at full speed.

The one idea: CPU seconds add up along a chain, so a stage's own are those of the prefix that ends with it less those of the
prefixes it reads, each times the elements that one step takes of it; neighbours are subtracted within a round, so that the
machine's drift cancels, and the rounds' scatter is the interval. Wall time adds up only where stages take turns: it is
shown, and not used where the counters say more. A difference that is not clear of zero is never called a cost.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from pipeprof.analysis.significance import Interval, mean_interval
from pipeprof.model.analysis import StageView
from pipeprof.model.diagnosis import IsolatedCost, Work
from pipeprof.model.profile import PipelineRecord, PrefixBlock

CPU_SOURCE = "isolated prefixes"
_WAITS_BELOW = 0.5  # CPU seconds for each busy second; planted cases: 0.92 computing, 0.10 waiting
_PYTHON_WAITS_BELOW = 0.25  # likewise inside Python functions, where waiting for the interpreter's lock counts as its use
_MANY_CORES = 1.2  # CPU seconds for each busy second

Read = Callable[[PrefixBlock], float]


def add_isolated(views: Sequence[StageView], record: PipelineRecord, run_delay_s: float | None) -> tuple[StageView, ...]:
    """Return the views with what was measured of their stages alone.

    Args:
        views: the stages of one pipeline, brought to one step.
        record: the pipeline.
        run_delay_s: for one step, what its threads waited for a core: busy time that is neither CPU nor waiting.
    """
    if all(stage.isolated is None for stage in record.written):
        return tuple(views)
    visits = _visits(views, record)
    own = {view.id: _own_cost(view, views, visits) for view in views if view.written is not None}
    root = record.executed[0].elements if record.executed else record.loop.elements
    return tuple(_with_cost(view, own, root, run_delay_s or 0.0) for view in views)


def _visits(views: Sequence[StageView], record: PipelineRecord) -> dict[str, float]:
    """Return the elements of each stage for one step; a stage that TensorFlow removed passes on what its consumer takes."""
    known = {view.id: view.visit_ratio for view in views}
    found: dict[str, float] = {}
    for stage in reversed(record.written):
        ratio = known.get(stage.id)
        if ratio is None:
            ratio = next((found[item.id] for item in record.written if stage.id in item.inputs and item.id in found), 1.0)
        found[stage.id] = ratio
    return found


class _Own:
    """A stage's own CPU and wall seconds for one step."""

    def __init__(self, rate: float, cpu: Sequence[float], wall: Sequence[float]) -> None:
        self.rate = rate
        self.rounds = len(cpu)
        self.cpu = mean_interval(cpu)
        self.wall = mean_interval(wall)


def _own_cost(view: StageView, views: Sequence[StageView], visits: Mapping[str, float]) -> _Own | None:
    """Subtract the prefixes a stage reads from the one that ends with it; None where one of them was not measured."""
    blocks = {item.id: _by_round(item) for item in views}
    mine = blocks[view.id]
    inputs = [blocks.get(name, {}) for name in view.stage.inputs]
    rounds = [number for number in mine if all(number in item for item in inputs)]
    if not rounds:
        return None

    def differences(read: Read) -> list[float]:
        return [
            visits[view.id] * read(mine[number])
            - sum(visits[name] * read(item[number]) for name, item in zip(view.stage.inputs, inputs, strict=True))
            for number in rounds
        ]

    whole = sum(block.wall_s for block in mine.values())
    rate = sum(block.elements for block in mine.values()) / whole if whole > 0 else 0.0
    return _Own(
        rate, differences(lambda block: block.cpu_s / block.elements), differences(lambda block: block.wall_s / block.elements)
    )


def _by_round(view: StageView) -> dict[int, PrefixBlock]:
    isolated = view.written.isolated if view.written is not None else None
    return {} if isolated is None else {block.round: block for block in isolated.blocks if block.elements}


def _with_cost(view: StageView, own: Mapping[str, _Own | None], root: int, run_delay_s: float) -> StageView:
    cost = own.get(view.id)
    if cost is None:
        return view
    together = [own[name] for name in view.shares_node_with if own.get(name) is not None]
    cpu = _sum([cost.cpu, *(item.cpu for item in together if item is not None)])
    busy_s = view.busy_s_per_step or 0.0
    work = classify(cost.cpu, cost.wall, _Counted(view, busy_s, cpu, run_delay_s))
    is_cost = cost.cpu.value > 0 and work is not Work.NOT_SEPARABLE
    isolated = IsolatedCost(
        work=work,
        elements_per_s=cost.rate,
        rounds=cost.rounds,
        cpu_s=cost.cpu.value,
        wall_s=cost.wall.value,
        low=_finite(cost.cpu.low),
        high=_finite(cost.cpu.high),
        wall_low=_finite(cost.wall.low),
        wall_high=_finite(cost.wall.high),
        cores=cpu.value / busy_s if work is Work.COMPUTING and busy_s > 0 and cpu.low > _MANY_CORES * busy_s else None,
    )
    stage = replace(view.stage, isolated=isolated)
    if is_cost:
        stage = replace(stage, cpu_s=cost.cpu.value * root, cpu_source=CPU_SOURCE)
    return replace(view, stage=stage)


class _Counted:
    """What else is known of a stage: TensorFlow's counters and the Python functions."""

    def __init__(self, view: StageView, busy_s: float, cpu: Interval, run_delay_s: float) -> None:
        calls = view.written.python if view.written is not None else None
        self.python_share = calls.cpu_s / calls.wall_s if calls is not None and calls.wall_s > 0 else None
        self.busy_s = busy_s
        self.cpu = cpu  # of all stages whose work is in the busy time
        self.run_delay_s = run_delay_s


def classify(cpu: Interval, wall: Interval, counted: _Counted) -> Work:
    """Say what a stage spends its time on.

    Python functions are timed by themselves. Else the busy time that TensorFlow counted is compared with the CPU: far more
    than CPU and waiting for a core together is waiting for something else. Stages without a busy time of their own (fused
    into another, or handing over only) are judged by the differences alone.
    """
    if counted.python_share is not None:
        return Work.WAITING if counted.python_share < _PYTHON_WAITS_BELOW else Work.PYTHON
    if counted.busy_s <= 0:
        if cpu.low > 0:
            return Work.COMPUTING
        return Work.WAITING if wall.low > 0 and cpu.high < _WAITS_BELOW * wall.low else Work.NOT_SEPARABLE
    if counted.cpu.high + counted.run_delay_s < _WAITS_BELOW * counted.busy_s:
        return Work.WAITING
    if cpu.low > 0 and counted.cpu.value + counted.run_delay_s >= _WAITS_BELOW * counted.busy_s:
        return Work.COMPUTING
    return Work.NOT_SEPARABLE


def _sum(parts: Sequence[Interval]) -> Interval:
    """Return the interval of a sum, its ends as wide as if all parts erred together."""
    return Interval(sum(item.value for item in parts), sum(item.low for item in parts), sum(item.high for item in parts))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
