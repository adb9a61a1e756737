"""Visit ratios: how many elements of an input one element of a stage takes (Denning & Buzen 1978).

Where TensorFlow states the ratio it is taken as stated; else it is measured while both stages lived; where too little was
seen, it follows from the lengths of the passes. Counts of nodes that come and go are never divided by each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeprof.analysis.alignment import Alignment, slot_of, stem
from pipeprof.model.profile import ExecutedStage, PipelineRecord

_FAN_OUT = ("FlatMap", "Interleave", "ParallelInterleave", "LegacyParallelInterleave", "GroupByWindow")
_CACHES = ("MemoryCacheImpl", "FileCacheImpl")
_FEW = 10  # elements that are too few to tell a ratio


def pass_lengths(record: PipelineRecord, alignment: Alignment) -> dict[str, int]:
    """Return the length of one pass by node, where TensorFlow states the stage's cardinality.

    Of fused stages the outermost counts, and of a stage with inner pipelines only its own node.
    """
    stages = {stage.id: stage.cardinality for stage in record.written if stage.cardinality >= 0}
    found: dict[str, int] = {}
    for key, nodes in alignment.nodes.items():
        own = [node for index, node in enumerate(nodes) if index == 0 or node.node in _CACHES]
        for node in own if key in stages else ():
            found.setdefault(node.id, stages[key])
    return found


@dataclass(frozen=True, slots=True)
class Inputs:
    """A node with its inputs by slot; several nodes of one slot are what different iterators had there."""

    parent: ExecutedStage
    pairs: tuple[tuple[int, ExecutedStage], ...]

    @classmethod
    def of(cls, parent: ExecutedStage, by_id: Mapping[str, ExecutedStage]) -> Inputs:
        """Find a node's inputs."""
        children = [by_id[child_id] for child_id in parent.inputs]
        return cls(parent, tuple((slot_of(parent, child, index), child) for index, child in enumerate(children)))

    @property
    def is_fan_out(self) -> bool:
        """Whether all inputs but the first are inner pipelines, made from the first one's elements."""
        return stem(self.parent.node) in _FAN_OUT

    def of_slot(self, slot: int) -> list[ExecutedStage]:
        """Return the nodes of one slot."""
        return [child for other, child in self.pairs if other == slot]


def visit_ratio(inputs: Inputs, slot: int, child: ExecutedStage, lengths: Mapping[str, int], *, delivered: float) -> float:
    """Return how many elements of ``child`` one of the ``delivered`` elements of its consumer takes."""
    parent = inputs.parent
    if stem(parent.node) == "Concatenate":
        if child.id in lengths and lengths.get(parent.id):
            return lengths[child.id] / lengths[parent.id]
        return _share(child, [item for _, item in inputs.pairs], lengths)
    share = _share(child, inputs.of_slot(slot), {})
    if parent.node in _CACHES:
        return share * _fill_share(child, parent, lengths, delivered)
    if inputs.is_fan_out and slot > 0:
        return share
    if parent.known_ratio is None:
        return _measured_ratio(parent, child, lengths, delivered, share)
    if stem(parent.node) == "FiniteSkip" and parent.elements:  # what is skipped is made all the same
        return max(parent.known_ratio, child.elements / parent.elements) * share
    return parent.known_ratio * share


def _measured_ratio(
    parent: ExecutedStage, child: ExecutedStage, lengths: Mapping[str, int], delivered: float, share: float
) -> float:
    """Return a ratio that TensorFlow does not state; where too little was seen, from the length of the passes."""
    if child.elements < _FEW and child.id in lengths and delivered:
        return max(1, parent.incarnations) * lengths[child.id] / delivered
    if child.elements_per_parent is not None:
        return child.elements_per_parent * share
    return child.elements / parent.elements if parent.elements else share


def _share(child: ExecutedStage, siblings: Sequence[ExecutedStage], lengths: Mapping[str, int]) -> float:
    """Return the part of its consumer's elements that comes from one of several inputs, read in turn."""
    if len(siblings) == 1:
        return 1.0
    is_stated = all(item.id in lengths for item in siblings)
    sizes = {item.id: float(lengths[item.id] if is_stated else item.elements) for item in siblings}
    whole = sum(sizes.values())
    return sizes[child.id] / whole if whole else 1 / len(siblings)


def _fill_share(child: ExecutedStage, cache: ExecutedStage, lengths: Mapping[str, int], delivered: float) -> float:
    """Return the share of a cache's elements that had to be made: once it is full, nothing above it runs."""
    made = float(child.elements)
    if cache.id in lengths:
        made = max(made, float(child.incarnations * lengths[cache.id]))
    elif not made:
        return min(1.0, child.incarnations / cache.incarnations) if cache.incarnations else 1.0
    return min(1.0, made / delivered) if delivered else 1.0
