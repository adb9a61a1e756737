"""Hand-made pipelines for tests of the analysis: a written chain or tree, and an executed tree with planted counters."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from pipeprof.model.profile import (
    EpochRecord,
    ExecutedStage,
    Loop,
    LoopBin,
    PipelineRecord,
    Role,
    StageFunction,
    WrittenStage,
)

IDENTITY = StageFunction(name="f", op_types=("Identity", "Placeholder"), op_count=2)
WORK = StageFunction(name="f", op_types=("AddV2", "Identity", "Placeholder"), op_count=3)


def written(op: str, *inputs: WrittenStage | str, **details: Any) -> WrittenStage:
    """Make a written stage without an id; ``chain`` and ``tree`` give ids."""
    return WrittenStage(id="", op=op, class_name="", inputs=tuple(str(item) for item in inputs), **details)


def work_map(**details: Any) -> WrittenStage:
    """Make a map that does something."""
    return written("map", function=WORK, **details)


def chain(*stages: WrittenStage | str) -> tuple[WrittenStage, ...]:
    """Number stages as s0, s1, …, each the input of the next unless inputs are given."""
    found: list[WrittenStage] = []
    for number, item in enumerate(stages):
        stage = written(item) if isinstance(item, str) else item
        inputs = stage.inputs or ((f"s{number - 1}",) if number else ())
        found.append(replace(stage, id=f"s{number}", inputs=() if inputs == ("-",) else inputs))
    return tuple(found)


@dataclass(frozen=True)
class Node:
    """One executed node with what is above it; a slot of None is its place among its siblings."""

    name: str
    elements: int = 0
    busy_s: float = 0.0
    above: tuple[Node, ...] = ()
    slot: int | None = None
    details: dict[str, Any] = field(default_factory=dict)


def node(name: str, *above: Node, elements: int = 0, busy_s: float = 0.0, slot: int | None = None, **details: Any) -> Node:
    """Describe a node; keyword arguments are those of an ExecutedStage."""
    return Node(name, elements, busy_s, above, slot, details)


def executed(*below_root: Node, steps: int = 100, root_busy_s: float = 0.0) -> tuple[ExecutedStage, ...]:
    """Return the executed tree under a Root that delivered ``steps`` elements."""
    root = Node("Root", steps, root_busy_s, below_root, None, {"known_ratio": 1.0})
    found: list[ExecutedStage] = []
    stack = [("0", root)]
    while stack:
        stage_id, item = stack.pop()
        ids: list[str] = []
        for index, child in enumerate(item.above):
            own = f"{stage_id}.{index if child.slot is None else child.slot}"
            ids.append(own if own not in ids else f"{own}~{index}")
        found.append(
            ExecutedStage(
                id=stage_id, node=item.name, inputs=tuple(ids), elements=item.elements, busy_s=item.busy_s, **item.details
            )
        )
        stack.extend(reversed(list(zip(ids, item.above, strict=True))))
    return tuple(found)


def record(
    stages: tuple[WrittenStage, ...], nodes: tuple[ExecutedStage, ...], *, loop: Loop | None = None, **details: Any
) -> PipelineRecord:
    """Make a pipeline's record."""
    return PipelineRecord(
        id="p0",
        role=Role.TRAIN,
        output=stages[-1].id,
        written=stages,
        executed=nodes,
        loop=loop or Loop(method="next", elements=100),
        **details,
    )


def steady_loop(*, steps: int = 100, wait_s: float = 0.03, gap_s: float = 0.01, **details: Any) -> Loop:
    """Make a loop of equal steps, one in each bin."""
    length = wait_s + gap_s
    bins = tuple(step_bin(number * length, wait_s, gap_s) for number in range(steps))
    planted: dict[str, Any] = {
        "method": "next",
        "elements": steps + 1,
        "wall_s": steps * length,
        "wait_s": steps * wait_s,
        "steps_in_bins": steps,
        "bins": bins,
        "epoch_count": 1,
    }
    return Loop(**(planted | details))


def step_bin(start_s: float, wait_s: float, gap_s: float, steps: int = 1) -> LoopBin:
    """Make a bin of a loop."""
    return LoopBin(
        start_s=start_s,
        end_s=start_s + wait_s + gap_s,
        steps=steps,
        wait_s=wait_s,
        gap_s=gap_s,
        wait_max_s=wait_s,
        step_max_s=wait_s + gap_s,
        step_min_s=(wait_s + gap_s) if steps else 0.0,
    )


def loop_with_boundaries(count: int, steps: int, boundary_s: float, *, jitter_s: float = 0.0) -> Loop:
    """Make epochs of steps that never wait; each but the first begins with a boundary that is nothing but waiting."""
    bins: list[LoopBin] = []
    epochs: list[EpochRecord] = []
    now = boundary = 0.0
    for number in range(count):
        wait = 0.0 if number == 0 else boundary_s + jitter_s * (number % 2)
        epochs.append(
            EpochRecord(start_s=now, elements=steps, creation_s=wait / 3, first_wait_s=wait * 2 / 3, wait_s=0.0, wall_s=1.0)
        )
        if number:
            bins.append(step_bin(now, wait / 3, 0.0, steps=0))
            now += wait / 3
            boundary += wait
        for index in range(steps):
            bins.append(step_bin(now, wait * 2 / 3 if index == 0 else 0.0, 0.01))
            now = bins[-1].end_s
    return Loop(
        method="next",
        elements=count * steps,
        wall_s=now,
        steps_in_bins=count * steps,
        bins=tuple(bins),
        epochs=tuple(epochs),
        epoch_count=count,
        boundary_wait_s=boundary,
    )
