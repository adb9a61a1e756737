"""Per-stage counters of one pipeline, summed over its iterators and over all incarnations of its nodes.

Counters of nodes that come and go between two snapshots are lost; what is known for certain are rates (busy time per
element, children per parent), so those are kept apart and the analysis scales them by the root's count, which is never
lost. Pure bookkeeping: reads no clock and no TensorFlow object.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from pipeprof.capture.model_tree import Sample, Snapshot
from pipeprof.model.profile import ExecutedStage


@dataclass(slots=True)
class _Totals:
    """Everything about one position, over all its incarnations."""

    node: str
    parent_position: str | None
    elements: int = 0
    busy_s: float = 0.0
    bytes_produced: int = 0
    bytes_consumed: int = 0
    incarnations: int = 0
    snapshots: int = 0
    pair_children: int = 0  # elements of this node while its parent ...
    pair_parents: int = 0  # ... delivered so many, both alive at both ends
    buffered_sum: int = 0
    buffered_max: int = 0
    buffered_bytes_max: int = 0
    empty: int = 0
    known_ratio: float | None = None
    last: Sample | None = None


@dataclass(slots=True)
class IteratorCounters:
    """The last snapshot of one iterator, so that the next can be compared with it."""

    samples: dict[int, Sample] = field(default_factory=dict)
    vanished: int = 0  # nodes that were gone at the last snapshot


class PipelineCounters:
    """Sums snapshots of all iterators of one pipeline by position."""

    def __init__(self) -> None:
        """Start empty."""
        self._totals: dict[str, _Totals] = {}
        self.root_elements = 0

    def add(self, iterator: IteratorCounters, snapshot: Snapshot) -> None:
        """Add what happened since this iterator's last snapshot."""
        previous, current = iterator.samples, {sample.number: sample for sample in snapshot.samples}
        iterator.vanished = len(previous.keys() - current.keys())
        children: dict[tuple[int, str], int] = {}
        for sample in snapshot.samples:
            before = previous.get(sample.number)
            self._add_sample(sample, before, current)
            if sample.parent is not None and before is not None and sample.parent in previous:
                key = (sample.parent, sample.position)
                children[key] = children.get(key, 0) + sample.elements - before.elements
        for (parent, position), count in children.items():
            totals = self._totals[position]
            totals.pair_children += count
            totals.pair_parents += current[parent].elements - previous[parent].elements
        iterator.samples = current

    def _add_sample(self, sample: Sample, before: Sample | None, current: dict[int, Sample]) -> None:
        parent = None if sample.parent is None else current[sample.parent].position
        totals = self._totals.setdefault(sample.position, _Totals(sample.node, parent))
        totals.incarnations += before is None
        totals.snapshots += 1
        totals.elements += sample.elements - (before.elements if before else 0)
        totals.busy_s += sample.busy_s - (before.busy_s if before else 0.0)
        totals.bytes_produced += sample.bytes_produced - (before.bytes_produced if before else 0)
        totals.bytes_consumed += sample.bytes_consumed - (before.bytes_consumed if before else 0)
        totals.buffered_sum += sample.buffered_elements
        totals.buffered_max = max(totals.buffered_max, sample.buffered_elements)
        totals.buffered_bytes_max = max(totals.buffered_bytes_max, sample.buffered_bytes)
        totals.empty += sample.buffered_elements == 0
        totals.known_ratio = sample.known_ratio if sample.known_ratio is not None else totals.known_ratio
        totals.last = sample

    def freeze(self) -> tuple[ExecutedStage, ...]:
        """Return the executed tree, the root first."""
        ids = {position: str(index) for index, position in enumerate(self._totals)}
        inputs: dict[str, list[str]] = {position: [] for position in self._totals}
        for position, totals in self._totals.items():
            if totals.parent_position is not None:
                inputs[totals.parent_position].append(ids[position])
        return tuple(_freeze(ids[position], totals, inputs[position]) for position, totals in list(self._totals.items()))


def _freeze(stage_id: str, totals: _Totals, inputs: Iterable[str]) -> ExecutedStage:
    last = totals.last
    count = max(totals.snapshots, 1)
    has_buffer = totals.buffered_max > 0 or (last is not None and last.buffer_size is not None)
    return ExecutedStage(
        id=stage_id,
        node=totals.node,
        inputs=tuple(inputs),
        elements=totals.elements,
        busy_s=totals.busy_s,
        bytes_produced=totals.bytes_produced,
        bytes_consumed=totals.bytes_consumed,
        elements_per_parent=totals.pair_children / totals.pair_parents if totals.pair_parents else None,
        known_ratio=totals.known_ratio,
        parallelism=last.parallelism if last else None,
        parallelism_max=last.parallelism_max if last else None,
        parallelism_tuned=bool(last and last.tuned),
        buffer_size=last.buffer_size if last else None,
        buffered_elements=totals.buffered_sum / count if has_buffer else None,
        buffered_elements_max=float(totals.buffered_max) if has_buffer else None,
        buffered_bytes_max=float(totals.buffered_bytes_max) if has_buffer else None,
        empty_share=totals.empty / count if has_buffer else None,
        incarnations=totals.incarnations,
        snapshots=totals.snapshots,
    )
