"""Per-stage counters of one pipeline, summed over its iterators and over all incarnations of its nodes.

Counters of nodes that come and go between two snapshots are lost; what is known for certain are rates (busy time per
element, children per parent), so those are kept apart and the analysis scales them by the root's count, which is never
lost. Pure bookkeeping: reads no clock and no TensorFlow object.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from pipeprof.capture.model_tree import Sample, Snapshot
from pipeprof.model.profile import ExecutedStage

_FILLS = "Shuffle"  # nodes that fill a buffer first; TensorFlow 2.21 counts their waiting for the elements of it as work


@dataclass(slots=True)
class _Totals:
    """Everything about one position, over all its incarnations."""

    node: str
    parent_position: str | None
    slot: int
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
    filled_elements: int = 0  # of a node that fills a buffer: what it gave, and its work, since that was full
    filled_busy_s: float = 0.0
    last: Sample | None = None

    @property
    def work_s(self) -> float:
        """The busy time: of a node that fills a buffer at the pace that it has once the buffer is full."""
        if not self.node.startswith(_FILLS):
            return self.busy_s
        return self.filled_busy_s / self.filled_elements * self.elements if self.filled_elements else 0.0


@dataclass(slots=True)
class IteratorCounters:
    """The last snapshot of one iterator, so that the next can be compared with it."""

    samples: dict[int, Sample] = field(default_factory=dict)
    vanished: int = 0  # nodes that were gone at the last snapshot
    unused: list[str] = field(default_factory=list)  # positions of nodes that were made before anything was delivered


class PipelineCounters:
    """Sums snapshots of all iterators of one pipeline by position."""

    def __init__(self) -> None:
        """Start empty."""
        self._totals: dict[str, _Totals] = {}

    def add(self, iterator: IteratorCounters, snapshot: Snapshot) -> None:
        """Add what happened since this iterator's last snapshot."""
        previous, current = iterator.samples, {sample.number: sample for sample in snapshot.samples}
        iterator.vanished = len(previous.keys() - current.keys())
        is_used = snapshot.root_elements > 0
        children: dict[tuple[int, str], int] = {}
        for sample in snapshot.samples:
            before = previous.get(sample.number)
            totals = self._totals_of(sample, current)
            _add_counts(totals, sample, before)
            if is_used:
                _add_state(totals, sample)
            if before is None:
                iterator.unused.append(sample.position)
            elif sample.parent is not None and sample.parent in previous:
                key = (sample.parent, sample.position)
                children[key] = children.get(key, 0) + sample.elements - before.elements
        for (parent, position), count in children.items():
            totals = self._totals[position]
            totals.pair_children += count
            totals.pair_parents += current[parent].elements - previous[parent].elements
        if is_used:  # an iterator that is thrown away unused is none of its nodes' incarnations
            for position in iterator.unused:
                self._totals[position].incarnations += 1
            iterator.unused.clear()
        iterator.samples = current

    def _totals_of(self, sample: Sample, current: Mapping[int, Sample]) -> _Totals:
        parent = None if sample.parent is None else current[sample.parent].position
        return self._totals.setdefault(sample.position, _Totals(sample.node, parent, sample.slot))

    def freeze(self) -> tuple[ExecutedStage, ...]:
        """Return the executed tree, the root first; a stage's id is its parent's id and its slot."""
        totals = dict(self._totals)
        return tuple(_freeze(stage_id, totals[position], inputs) for position, stage_id, inputs in _walk(totals))

    def ids(self) -> dict[str, str]:
        """Return the id of the executed stage at each position."""
        return {position: stage_id for position, stage_id, _ in _walk(dict(self._totals))}


def _add_counts(totals: _Totals, sample: Sample, before: Sample | None) -> None:
    """Add what a node did since its last snapshot; the last words of an iterator can be older than a reading beside them."""
    totals.elements += max(0, sample.elements - (before.elements if before else 0))
    totals.busy_s += max(0.0, sample.busy_s - (before.busy_s if before else 0.0))
    if before is not None and before.elements:
        totals.filled_elements += max(0, sample.elements - before.elements)
        totals.filled_busy_s += max(0.0, sample.busy_s - before.busy_s)
    totals.bytes_produced += max(0, sample.bytes_produced - (before.bytes_produced if before else 0))
    totals.bytes_consumed += max(0, sample.bytes_consumed - (before.bytes_consumed if before else 0))
    totals.known_ratio = sample.known_ratio if sample.known_ratio is not None else totals.known_ratio
    totals.last = sample


def _add_state(totals: _Totals, sample: Sample) -> None:
    """Add the state of a node's buffer; before the first element is delivered every buffer is empty, which says nothing."""
    totals.snapshots += 1
    totals.buffered_sum += sample.buffered_elements
    totals.buffered_max = max(totals.buffered_max, sample.buffered_elements)
    totals.buffered_bytes_max = max(totals.buffered_bytes_max, sample.buffered_bytes)
    totals.empty += sample.buffered_elements == 0


def _walk(totals: Mapping[str, _Totals]) -> Iterator[tuple[str, str, list[str]]]:
    """Yield each position with its id and those of its inputs, the root first."""
    children: dict[str | None, list[str]] = {}
    for position, item in totals.items():
        children.setdefault(item.parent_position, []).append(position)
    stack = _numbered("", children.get(None, []), totals)
    while stack:
        position, stage_id = stack.pop()
        below = _numbered(f"{stage_id}.", children.get(position, []), totals)
        yield position, stage_id, [child_id for _, child_id in below]
        stack.extend(reversed(below))


def _numbered(prefix: str, positions: Iterable[str], totals: Mapping[str, _Totals]) -> list[tuple[str, str]]:
    """Give siblings their ids in the order of their slots; a second kind of node in one slot gets a letter."""
    found: list[tuple[str, str]] = []
    seen: dict[int, int] = {}
    for position in sorted(positions, key=lambda position: totals[position].slot):
        slot = totals[position].slot
        nth = seen[slot] = seen.get(slot, -1) + 1
        found.append((position, f"{prefix}{slot}" + (f"~{nth}" if nth else "")))
    return found


def _freeze(stage_id: str, totals: _Totals, inputs: Iterable[str]) -> ExecutedStage:
    last = totals.last
    count = max(totals.snapshots, 1)
    has_buffer = totals.snapshots > 0 and (totals.buffered_max > 0 or (last is not None and last.buffer_size is not None))
    return ExecutedStage(
        id=stage_id,
        node=totals.node,
        inputs=tuple(inputs),
        elements=totals.elements,
        busy_s=totals.work_s,
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
