"""TensorFlow's model of a running iterator, brought into positions that survive its incarnations.

Every repetition and every new iterator makes new nodes with new numbers and counters that start at zero. A *position*
(the path of slots and node names below the root) stays the same, so that counters can be summed over incarnations.
Reads the proto only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# Stages that make one subtree for each input element: the first input is the source, all others share one slot.
_FAN_OUT = ("Interleave", "FlatMap", "ParallelInterleave", "LegacyParallelInterleave", "GroupByWindow")
# Stages that read one input after the other, and only name the one that they are reading.
_ONE_AFTER_ANOTHER = ("Concatenate",)


@dataclass(frozen=True, slots=True)
class Sample:
    """One node at one instant. Counters are since the node was made; times are seconds."""

    number: int
    parent: int | None
    position: str
    slot: int  # below the parent: which of its inputs, and 1 for all inner pipelines of an interleave
    node: str
    elements: int
    busy_s: float
    bytes_produced: int
    bytes_consumed: int
    buffered_elements: int
    buffered_bytes: int
    known_ratio: float | None
    parallelism: float | None
    parallelism_max: float | None
    tuned: bool
    buffer_size: float | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One reading of an iterator's model."""

    samples: tuple[Sample, ...]  # parents before their children
    gaps_us: tuple[int, ...]  # the consumer's last gaps, at most 100, oldest first
    cpu_budget: float | None
    ram_budget_bytes: float | None

    @property
    def root_elements(self) -> int:
        """Elements that the consumer has received."""
        return self.samples[0].elements if self.samples else 0

    @property
    def is_busy(self) -> bool:
        """Whether any stage has begun to work."""
        return any(sample.elements or sample.busy_s > 0 for sample in self.samples)


class TreeReader:
    """Turns model protos of one iterator into snapshots with stable positions."""

    def __init__(self) -> None:
        """Start without a history."""
        self._slots: dict[int, int] = {}  # node number -> slot below its parent
        self._taken: dict[int, int] = {}  # parent number -> slots given so far

    def read(self, proto: Any) -> Snapshot:  # Any: ModelProto
        """Read one proto; nodes are visited from the root, so that parents come first, and inputs in their order."""
        samples: list[Sample] = []
        nodes = proto.nodes
        stack: list[tuple[int, int | None, str, int]] = [(proto.output, None, "", 0)]
        while stack:
            number, parent, prefix, slot = stack.pop()
            if number not in nodes:
                continue
            node = nodes[number]
            position = f"{prefix}{node.name}"
            samples.append(_sample(node, number, parent, position, slot))
            children = [child for child in node.inputs if child in nodes]
            slots = [self._slot(number, child, index, node.name) for index, child in enumerate(children)]
            below = [(child, number, f"{position}/{slot}:", slot) for child, slot in zip(children, slots, strict=True)]
            stack.extend(reversed(below))
        self._forget({sample.number for sample in samples})
        budgets = proto.optimization_params
        return Snapshot(tuple(samples), tuple(proto.gap_times), budgets.cpu_budget or None, budgets.ram_budget or None)

    def _slot(self, parent: int, child: int, index: int, parent_name: str) -> int:
        known = self._slots.get(child)
        if known is not None:
            return known
        taken = self._taken.get(parent, 0)
        if parent_name.startswith(_FAN_OUT):
            slot = int(taken > 0)
        else:
            slot = taken if parent_name.startswith(_ONE_AFTER_ANOTHER) else index
        self._taken[parent] = taken + 1
        self._slots[child] = slot
        return slot

    def _forget(self, alive: set[int]) -> None:
        """Numbers are never used again: what is gone need not be kept, however long the run."""
        self._slots = {number: slot for number, slot in self._slots.items() if number in alive}
        self._taken = {number: count for number, count in self._taken.items() if number in alive}


def _sample(node: Any, number: int, parent: int | None, position: str, slot: int) -> Sample:
    cycle = _parameter(node, "cycle_length")
    # The oldest parallel interleave has no parameter for its parallelism: it reads its whole cycle at once.
    parallelism = _parameter(node, "parallelism") or (cycle if node.name.startswith("LegacyParallel") else None)
    parallel = parallelism or cycle
    buffer_size = _parameter(node, "buffer_size")
    return Sample(
        number=number,
        parent=parent,
        position=position,
        slot=slot,
        node=node.name,
        elements=node.num_elements,
        busy_s=node.processing_time * 1e-9,
        bytes_produced=node.bytes_produced,
        bytes_consumed=node.bytes_consumed,
        buffered_elements=node.buffered_elements,
        buffered_bytes=node.buffered_bytes,
        known_ratio=_known_ratio(node),
        parallelism=None if parallelism is None else _value(parallelism),
        parallelism_max=None if parallel is None or not parallel.tunable else parallel.max,
        tuned=parallelism is not None and parallelism.tunable,
        buffer_size=None if buffer_size is None else _value(buffer_size),
    )


def _known_ratio(node: Any) -> float | None:
    """Return the inputs that one element takes, where TensorFlow states it rightly (checked with 2.21).

    It states 1 for nodes without inputs too, where it says nothing; for Shard the inverse; for Window the size, also where
    windows overlap.
    """
    if node.ratio <= 0 or not node.inputs or node.name.startswith("Window"):
        return None
    if node.name.startswith("Shard") and node.ratio < 1:
        return float(1 / node.ratio)
    return float(node.ratio)


def _parameter(node: Any, name: str) -> Any:
    return next((parameter for parameter in node.parameters if parameter.name == name), None)


def _value(parameter: Any) -> float:
    """Return the value in force: of a tunable parameter the state, of a fixed one the value (its state may be 0)."""
    return float(parameter.state_value if parameter.tunable else parameter.value)
