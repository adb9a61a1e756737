"""What each stage costs by itself, from prefixes of the chain that were replayed alone at full speed.

The one idea: CPU seconds add up along a chain, so a stage's own are those of the prefix that ends with it less those of the
prefixes it reads, each times the elements that one step takes of it; neighbours are subtracted within a round, so that the
machine's drift cancels, and the rounds' scatter is the interval. Wall time adds up only where stages take turns: it is
shown, and not used where the counters say more. A difference that is not clear of zero is never called a cost.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from pipeprof.analysis.significance import Interval, mean_interval
from pipeprof.model.analysis import PipelineView, StageView
from pipeprof.model.diagnosis import IsolatedCost, Work
from pipeprof.model.profile import PipelineRecord, PrefixBlock

CPU_SOURCE = "isolated prefixes"
_WAITS_BELOW = 0.5  # CPU seconds for each busy second; planted cases: 0.92 computing, 0.10 waiting
_PYTHON_WAITS_BELOW = 0.25  # likewise inside Python functions, where waiting for the interpreter's lock counts as its use
_HOLDS_ALL = frozenset({"cache"})  # once full it reads nothing; prefixes are measured with full caches
_MANY_CORES = 1.2  # CPU seconds for each busy second

Read = Callable[[PrefixBlock], float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Around:
    """What the stages share."""

    cores: float = math.inf
    run_delay_s: float = 0.0  # of a step's threads, for a core: busy time that is neither CPU nor waiting


def add_isolated(views: Sequence[StageView], record: PipelineRecord, around: Around) -> tuple[StageView, ...]:
    """Return the views with what was measured of their stages alone.

    Args:
        views: the stages of one pipeline, brought to one step.
        record: the pipeline.
        around: the machine they ran on.
    """
    if all(stage.isolated is None for stage in record.written):
        return tuple(views)
    visits = _visits(views, record)
    own = {view.id: _own_cost(view, views, visits) for view in views if view.written is not None}
    root = record.executed[0].elements if record.executed else record.loop.elements
    return tuple(_with_cost(view, own, root, around) for view in views)


def cpu_coverage(view: PipelineView) -> float | None:
    """Return the CPU of all stages measured alone, as a share of what the whole pipeline used; None unless all were measured.

    The two are measured apart: the whole at full speed, hand-over to Python included, the stages in prefixes, without it.
    """
    written = [item for item in view.stages if item.written is not None]
    costs = [item.stage.isolated.cpu_s for item in written if item.stage.isolated is not None]
    if not costs or len(costs) < len(written) or not view.cpu_s_per_step:
        return None
    return sum(costs) / view.cpu_s_per_step


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

    def __init__(self, rate: float | None, cpu: Sequence[float], wall: Sequence[float]) -> None:
        self.rate = rate
        self.rounds = len(cpu)
        self.cpu = mean_interval(cpu)
        self.wall = mean_interval(wall)


def _own_cost(view: StageView, views: Sequence[StageView], visits: Mapping[str, float]) -> _Own | None:
    """Subtract the prefixes a stage reads from the one that ends with it; None where one of them was not measured."""
    blocks = {item.id: _by_round(item) for item in views}
    mine = blocks[view.id]
    names = () if view.stage.op in _HOLDS_ALL else view.stage.inputs
    inputs = [blocks.get(name, {}) for name in names]
    rounds = [number for number in mine if all(number in item for item in inputs)]
    if not rounds:
        return None

    def differences(read: Read) -> list[float]:
        return [
            visits[view.id] * read(mine[number])
            - sum(visits[name] * read(item[number]) for name, item in zip(names, inputs, strict=True))
            for number in rounds
        ]

    whole = sum(block.wall_s for block in mine.values())
    rate = sum(block.elements for block in mine.values()) / whole if whole > 0 else None
    return _Own(
        rate, differences(lambda block: block.cpu_s / block.elements), differences(lambda block: block.wall_s / block.elements)
    )


def _by_round(view: StageView) -> dict[int, PrefixBlock]:
    isolated = view.written.isolated if view.written is not None else None
    return {} if isolated is None else {block.round: block for block in isolated.blocks if block.elements}


def _with_cost(view: StageView, own: Mapping[str, _Own | None], root: int, around: Around) -> StageView:
    cost = own.get(view.id)
    if cost is None:
        return view
    together = [own[name] for name in view.shares_node_with if own.get(name) is not None]
    cpu = _sum([cost.cpu, *(item.cpu for item in together if item is not None)])
    busy_s = view.busy_s_per_step or 0.0
    counted = Counted(busy_s=busy_s, cpu=cpu, run_delay_s=around.run_delay_s, python_share=_python_share(view))
    work = classify(cost.cpu, cost.wall, counted)
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
        cores=_cores(work, cpu, busy_s, around.cores),
    )
    stage = replace(view.stage, isolated=isolated)
    if is_cost:
        stage = replace(stage, cpu_s=cost.cpu.value * root, cpu_source=CPU_SOURCE)
    return replace(view, stage=stage)


@dataclass(frozen=True, kw_only=True, slots=True)
class Counted:
    """What else is known of a stage: TensorFlow's counters, for one step, and its Python functions."""

    busy_s: float = 0.0
    cpu: Interval | None = None  # of all stages whose work is in the busy time; None: of this one alone
    run_delay_s: float = 0.0
    python_share: float | None = None  # CPU seconds for each second inside Python functions, None where it calls none


def classify(cpu: Interval, wall: Interval, counted: Counted) -> Work:
    """Say what a stage spends its time on.

    Python functions are timed by themselves. Else the busy time that TensorFlow counted is compared with the CPU: far more
    than CPU and waiting for a core together is waiting for something else. Stages without a busy time of their own (fused
    into another, or handing over only) are judged by the differences alone.
    """
    if counted.python_share is not None:
        return Work.WAITING if counted.python_share < _PYTHON_WAITS_BELOW else Work.PYTHON
    if cpu.high < 0:  # less than nothing: the neighbours did not run alike
        return Work.NOT_SEPARABLE
    if counted.busy_s <= 0:
        if cpu.low > 0:
            return Work.COMPUTING
        return Work.WAITING if wall.low > 0 and cpu.high < _WAITS_BELOW * wall.low else Work.NOT_SEPARABLE
    together = counted.cpu or cpu
    most_s = together.high + max(0.0, -together.value) + counted.run_delay_s  # its noise is no smaller for lying below zero
    if most_s < _WAITS_BELOW * counted.busy_s:
        return Work.WAITING
    if cpu.low > 0 and together.value + counted.run_delay_s >= _WAITS_BELOW * counted.busy_s:
        return Work.COMPUTING
    return Work.NOT_SEPARABLE


def _python_share(view: StageView) -> float | None:
    calls = view.written.python if view.written is not None else None
    return calls.cpu_s / calls.wall_s if calls is not None and calls.wall_s > 0 else None


def _cores(work: Work, cpu: Interval, busy_s: float, most: float) -> float | None:
    """Return the cores that a stage's ops ran on at once, where that is clearly more than one and can be."""
    if work is not Work.COMPUTING or busy_s <= 0 or not _MANY_CORES * busy_s < cpu.low or cpu.value > most * busy_s:
        return None
    return cpu.value / busy_s


def _sum(parts: Sequence[Interval]) -> Interval:
    """Return the interval of a sum, its ends as wide as if all parts erred together."""
    return Interval(sum(item.value for item in parts), sum(item.low for item in parts), sum(item.high for item in parts))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
