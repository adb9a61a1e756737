"""Operational analysis: what each stage costs per step, what it can deliver at most, and which one bounds the rest.

Everything is brought to one step of the consumer by visit ratios (Denning & Buzen 1978; for tf.data: Plumber, MLSys 2022,
section 4): ``V_i`` elements of stage i per step, ``D_i = V_i * busy per element`` its demand. Stages between two
asynchronous boundaries share one thread, so their demands add up: a *segment* delivers at most ``slots / sum(D_i)`` steps
per second, and the slowest segment bounds the pipeline. Counters of nodes that come and go are incomplete, rates are not:
so only rates are used, scaled by the root's count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pipeprof.analysis.alignment import Alignment, align, stem
from pipeprof.model.analysis import PipelineView, SegmentView, StageView
from pipeprof.model.diagnosis import Stage
from pipeprof.model.profile import ExecutedStage, PipelineRecord, WrittenStage

_POOLED = ("ParallelMap", "MapAndBatch", "ParallelInterleave", "ParallelBatch", "LegacyParallelInterleave", "ParallelFilter")
_FAN_OUT = ("FlatMap", "Interleave", "ParallelInterleave", "LegacyParallelInterleave")
_CACHES = ("MemoryCache", "MemoryCacheImpl", "FileCache", "FileCacheImpl")


@dataclass(frozen=True, slots=True)
class _Node:
    """One executed node, brought to one step."""

    stage: ExecutedStage
    visits: float
    work_segment: int  # where its own work is done
    slots: float

    @property
    def busy_per_element(self) -> float | None:
        """Wall seconds of one call; None where no element was seen. A Prefetch only waits: that is no work."""
        if stem(self.stage.node) == "Prefetch" or not self.stage.elements:
            return None if stem(self.stage.node) != "Prefetch" else 0.0
        return self.stage.busy_s / self.stage.elements

    @property
    def demand(self) -> float:
        """Busy seconds per step."""
        return self.visits * (self.busy_per_element or 0.0)


@dataclass(slots=True)
class _Layout:
    """All nodes with their segments."""

    nodes: dict[str, _Node] = field(default_factory=dict)
    slots: dict[int, float] = field(default_factory=dict)


def view_pipeline(record: PipelineRecord) -> PipelineView:
    """Bring one pipeline to one step of its consumer."""
    alignment = align(record)
    layout = _lay_out(record.executed)
    segments = _segments(layout, alignment)
    bound = _bounding(segments)
    bottleneck = _bottleneck(bound, layout, alignment)
    stages = _views(record, alignment, layout, bottleneck)
    loop = record.loop
    steps = loop.steps_in_bins
    wall = sum(item.wait_s + item.gap_s for item in loop.bins)
    wait = sum(item.wait_s for item in loop.bins)
    attributed = {node.id for nodes in alignment.nodes.values() for node in nodes}
    rest = [node.demand for key, node in layout.nodes.items() if key not in attributed]
    return PipelineView(
        record=record,
        stages=stages,
        segments=segments,
        bottleneck_id=bottleneck,
        production_s_per_step=bound.busy_s_per_step / bound.slots if bound is not None else None,
        busy_s_per_step=sum(node.demand for node in layout.nodes.values()) if layout.nodes else None,
        unattributed_s_per_step=sum(rest) if layout.nodes else None,
        step_s=wall / steps if steps else None,
        gap_s=(wall - wait) / steps if steps else None,
        wait_s=wait / steps if steps else None,
        cpu_s_per_step=loop.cpu_s / steps if steps and loop.cpu_s else None,
    )


# --- executed tree -----------------------------------------------------------------------------------------------


def _lay_out(executed: Sequence[ExecutedStage]) -> _Layout:
    """Give every node its visit ratio and its segment, from the consumer's thread (segment 0) upwards."""
    layout = _Layout(slots={0: 1.0})
    if not executed:
        return layout
    by_id = {stage.id: stage for stage in executed}
    stack: list[tuple[ExecutedStage, float, int]] = [(executed[0], 1.0, 0)]
    while stack:
        stage, visits, segment = stack.pop()
        work, above, inner = _place(stage, segment, layout)
        layout.nodes[stage.id] = _Node(stage, visits, work, layout.slots[work])
        for index, child_id in enumerate(stage.inputs):
            child = by_id[child_id]
            is_inner = stem(stage.node) in _FAN_OUT and index > 0
            stack.append((child, visits * _ratio(stage, child, is_inner), inner if is_inner else above))
    return layout


def _place(stage: ExecutedStage, segment: int, layout: _Layout) -> tuple[int, int, int]:
    """Return the segments of a node's own work, of its inputs, and of its inner pipelines."""
    name = stem(stage.node)
    if name == "Prefetch":
        above = _new_segment(layout, 1.0)
        return segment, above, above
    if name in _POOLED:
        slots = max(1.0, stage.parallelism or 1.0)
        work = _new_segment(layout, slots)
        above = _new_segment(layout, 1.0)
        return work, above, work
    return segment, segment, segment


def _new_segment(layout: _Layout, slots: float) -> int:
    number = len(layout.slots)
    layout.slots[number] = slots
    return number


def _ratio(parent: ExecutedStage, child: ExecutedStage, is_inner: bool) -> float:
    """Return how many elements of ``child`` one element of ``parent`` takes."""
    if parent.node in _CACHES:  # once it is full, nothing above it runs: only the totals tell
        return min(1.0, child.elements / parent.elements) if parent.elements else 1.0
    if is_inner:
        return 1.0
    if parent.known_ratio is not None:
        return parent.known_ratio
    if child.elements_per_parent is not None:
        return child.elements_per_parent
    return child.elements / parent.elements if parent.elements else 1.0


# --- segments ----------------------------------------------------------------------------------------------------


def _segments(layout: _Layout, alignment: Alignment) -> tuple[SegmentView, ...]:
    owners = _owners(alignment)
    found = []
    for number, slots in layout.slots.items():
        members = [node for node in layout.nodes.values() if node.work_segment == number]
        busy = sum(node.demand for node in members)
        ids = dict.fromkeys(owners[node.stage.id] for node in members if node.stage.id in owners)
        found.append(
            SegmentView(
                index=number,
                stage_ids=tuple(ids),
                busy_s_per_step=busy,
                slots=slots,
                max_steps_per_s=slots / busy if busy > 0 else None,
            )
        )
    return tuple(found)


def _owners(alignment: Alignment) -> dict[str, str]:
    """Return node -> written stage; of fused stages the one that does the work (the map, the shuffle)."""
    owners: dict[str, str] = {}
    for written_id, nodes in alignment.nodes.items():
        for node in nodes:
            owners[node.id] = written_id  # the one matched last stands further up: the map of a MapAndBatch
    return owners


def _bounding(segments: Sequence[SegmentView]) -> SegmentView | None:
    limited = [segment for segment in segments if segment.max_steps_per_s is not None]
    return min(limited, key=lambda segment: segment.max_steps_per_s or 0.0, default=None)


def _bottleneck(bound: SegmentView | None, layout: _Layout, alignment: Alignment) -> str | None:
    """Return the stage with the largest demand of the segment that bounds the pipeline."""
    if bound is None:
        return None
    owners = _owners(alignment)
    demands: dict[str, float] = {}
    for node in layout.nodes.values():
        owner = owners.get(node.stage.id)
        if node.work_segment == bound.index and owner is not None:
            demands[owner] = demands.get(owner, 0.0) + node.demand
    return max(demands, key=lambda key: demands[key], default=None)


# --- stages ------------------------------------------------------------------------------------------------------


def _views(record: PipelineRecord, alignment: Alignment, layout: _Layout, bottleneck: str | None) -> tuple[StageView, ...]:
    root = record.executed[0].elements if record.executed else 0
    owners = _owners(alignment)
    views = []
    for written in record.written:
        nodes = [layout.nodes[node.id] for node in alignment.nodes.get(written.id, [])]
        fused = alignment.fused.get(written.id, ())
        own = [node for node in nodes if owners[node.stage.id] == written.id]
        views.append(_view(written, nodes, own, fused, root, is_bottleneck=written.id == bottleneck, has_counters=root > 0))
    views.extend(_injected(layout.nodes[node.id], root) for node in (*alignment.injected, *alignment.unexplained))
    return tuple(views)


def _view(
    written: WrittenStage,
    nodes: Sequence[_Node],
    own: Sequence[_Node],
    fused: tuple[str, ...],
    root: int,
    *,
    is_bottleneck: bool,
    has_counters: bool,
) -> StageView:
    head = nodes[0] if nodes else None
    demand = sum(node.demand for node in own) if own else None
    slots = own[0].slots if own else 1.0
    known = head is not None and has_counters
    return StageView(
        stage=Stage(
            id=written.id,
            op=written.op,
            executed_as=None if head is None else " + ".join(dict.fromkeys(node.stage.node for node in nodes)),
            inputs=written.inputs,
            call_site=written.call_site,
            elements=round(head.visits * root) if head is not None and known else None,
            bytes=_bytes(head, root) if head is not None and known else None,
            busy_s=demand * root if demand is not None and known else None,
            busy_s_per_step=demand,
            wait_s=_waited(head),
            parallelism=head.stage.parallelism if head is not None else None,
            parallelism_note=_parallelism_note(head),
            buffered_elements=head.stage.buffered_elements if head is not None else None,
            buffered_bytes=head.stage.buffered_bytes_max if head is not None else None,
            max_steps_per_s=slots / demand if demand else None,
            is_bottleneck=is_bottleneck,
            seen_share=_seen(head, root),
            fused_into=fused[0] if fused and not own else None,
        ),
        written=written,
        executed=tuple(node.stage for node in nodes),
        shares_node_with=fused,
        visit_ratio=head.visits if head is not None else None,
        busy_s_per_element=own[0].busy_per_element if own else None,
        busy_s_per_step=demand,
        slots=slots,
        segment=(own or nodes)[0].work_segment if nodes else 0,
        is_sequential=head is None or slots <= 1,
        is_parallel_by_autotune=head is not None and head.stage.parallelism_tuned,
    )


def _injected(node: _Node, root: int) -> StageView:
    return StageView(
        stage=Stage(
            id=f"x{node.stage.id}",
            op=stem(node.stage.node).lower(),
            executed_as=node.stage.node,
            elements=round(node.visits * root),
            busy_s=node.demand * root,
            busy_s_per_step=node.demand,
            wait_s=_waited(node),
            parallelism=node.stage.parallelism,
            buffered_elements=node.stage.buffered_elements,
            buffered_bytes=node.stage.buffered_bytes_max,
            max_steps_per_s=node.slots / node.demand if node.demand else None,
            injected=True,
            seen_share=_seen(node, root),
        ),
        written=None,
        executed=(node.stage,),
        visit_ratio=node.visits,
        busy_s_per_element=node.busy_per_element,
        busy_s_per_step=node.demand,
        slots=node.slots,
        segment=node.work_segment,
    )


def _bytes(node: _Node, root: int) -> int | None:
    stage = node.stage
    return round(stage.bytes_produced / stage.elements * node.visits * root) if stage.elements else None


def _waited(node: _Node | None) -> float | None:
    """What TensorFlow counts for a Prefetch is its consumer blocked on an empty buffer."""
    return node.stage.busy_s if node is not None and stem(node.stage.node) == "Prefetch" else None


def _seen(node: _Node | None, root: int) -> float | None:
    if node is None or not node.visits * root:
        return None
    return min(1.0, node.stage.elements / (node.visits * root))


def _parallelism_note(node: _Node | None) -> str | None:
    if node is None:
        return None
    if node.stage.parallelism_tuned:
        return "AUTOTUNE"
    if node.stage.parallelism is not None and node.stage.parallelism > 1:
        return "fixed"
    return "one call at a time" if stem(node.stage.node) in {"Map", "MapAndBatch", "ParallelMap", "Interleave"} else None
