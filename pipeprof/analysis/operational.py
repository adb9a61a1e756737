"""Operational analysis: what each stage costs per step, what it can deliver at most, and which one bounds the rest.

Everything is brought to one step of the consumer by visit ratios (Denning & Buzen 1978; for tf.data: Plumber, MLSys 2022,
section 4): ``V_i`` elements of stage i per step, ``D_i = V_i * busy per element`` its demand. Stages between two
asynchronous boundaries share one thread, so their demands add up: a *segment* delivers at most ``slots / sum(D_i)`` steps
per second, and the slowest segment bounds the pipeline. Counters of nodes that come and go are incomplete, rates are not:
so only rates are used, scaled by the root's count.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from pipeprof.analysis.alignment import Alignment, align, stem
from pipeprof.analysis.isolated import Around, add_isolated
from pipeprof.analysis.levels import add_ramps
from pipeprof.analysis.visits import Inputs, pass_lengths, visit_ratio
from pipeprof.model.analysis import PipelineView, SegmentView, StageView
from pipeprof.model.diagnosis import Stage, StageOp
from pipeprof.model.profile import ExecutedStage, PipelineRecord, WrittenStage

_FILLS = "Shuffle"
_POOLED = ("ParallelMap", "MapAndBatch", "ParallelInterleave", "ParallelBatch", "LegacyParallelInterleave", "ParallelFilter")
_ON_THE_POOL = ("ParallelMap", "MapAndBatch", "ParallelFilter")  # calls beyond its threads queue, whatever was asked for


@dataclass(frozen=True, slots=True)
class _Node:
    """One executed node, brought to one step."""

    stage: ExecutedStage
    visits: float
    work_segment: int  # where its own work is done
    slots: float

    @property
    def busy_per_element(self) -> float | None:
        """Wall seconds of one call; None where that is not known. A Prefetch only waits: that is no work."""
        if self.stage.node.startswith(_FILLS) and not self.stage.busy_s:
            return None  # it was seen only while it filled its buffer, of which its work cannot be told
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

    threads: float
    nodes: dict[str, _Node] = field(default_factory=dict)
    slots: dict[int, float] = field(default_factory=dict)


def view_pipeline(record: PipelineRecord, cores: int | None = None) -> PipelineView:
    """Bring one pipeline to one step of its consumer.

    Args:
        record: the pipeline.
        cores: of the machine; functions run on no more threads than the pool has, which is one a core where none is set.
    """
    alignment = align(record)
    threads = record.threadpool_size or cores
    layout = _lay_out(record, alignment, float(threads) if threads else math.inf)
    segments = _segments(layout, alignment)
    bound = _bounding(segments)
    bottleneck = _bottleneck(layout, segments, alignment)
    loop = record.loop
    steps = loop.steps_in_bins
    wall = sum(item.wait_s + item.gap_s for item in loop.bins)
    observed_per_s = steps / wall if steps and wall else 0.0
    stages = tuple(_not_refuted(view, observed_per_s) for view in _views(record, alignment, layout, bottleneck))
    wait = sum(item.wait_s for item in loop.bins)
    run_delay_s = loop.run_delay_s / steps if steps and loop.run_delay_s is not None else None
    attributed = {node.id for nodes in alignment.nodes.values() for node in nodes}
    rest = [node.demand for key, node in layout.nodes.items() if key not in attributed]
    return PipelineView(
        record=record,
        stages=add_isolated(add_ramps(stages, record), record, Around(cores=cores or math.inf, run_delay_s=run_delay_s or 0.0)),
        segments=segments,
        bottleneck_id=bottleneck,
        production_s_per_step=bound.busy_s_per_step / bound.slots if bound is not None else None,
        busy_s_per_step=sum(node.demand for node in layout.nodes.values()) if layout.nodes else None,
        unattributed_s_per_step=sum(rest) if layout.nodes else None,
        step_s=wall / steps if steps else None,
        gap_s=(wall - wait) / steps if steps else None,
        wait_s=wait / steps if steps else None,
        cpu_s_per_step=loop.cpu_s / steps if steps and loop.cpu_s else None,
        input_cpu_s_per_step=loop.input_cpu_s / steps if steps and loop.input_cpu_s is not None else None,
        run_delay_s_per_step=run_delay_s,
    )


# --- executed tree -----------------------------------------------------------------------------------------------


def _lay_out(record: PipelineRecord, alignment: Alignment, threads: float) -> _Layout:
    """Give every node its visit ratio and its segment, from the consumer's thread (segment 0) upwards."""
    layout = _Layout(threads=threads, slots={0: 1.0})
    if not record.executed:
        return layout
    by_id = {stage.id: stage for stage in record.executed}
    lengths = pass_lengths(record, alignment) if record.loop.method != "trace" else {}  # a window sees no whole pass
    root = record.executed[0]
    stack: list[tuple[ExecutedStage, float, int]] = [(root, 1.0, 0)]
    while stack:
        stage, visits, segment = stack.pop()
        work, above, inner = _place(stage, segment, layout)
        layout.nodes[stage.id] = _Node(stage, visits, work, layout.slots[work])
        inputs = Inputs.of(stage, by_id)
        for slot, child in inputs.pairs:
            ratio = visit_ratio(inputs, slot, child, lengths, delivered=visits * root.elements)
            stack.append((child, visits * ratio, inner if inputs.is_fan_out and slot > 0 else above))
    return layout


def _place(stage: ExecutedStage, segment: int, layout: _Layout) -> tuple[int, int, int]:
    """Return the segments of a node's own work, of its inputs, and of its inner pipelines."""
    name = stem(stage.node)
    if name == "Prefetch":
        above = _new_segment(layout, 1.0)
        return segment, above, above
    if name in _POOLED:
        calls = slots = max(1.0, stage.parallelism or 1.0)
        if name in _ON_THE_POOL:
            slots = max(1.0, min(slots, layout.threads))
        work = _new_segment(layout, slots)
        takes_turns = name in _ON_THE_POOL and calls <= 1  # the next input is asked for when the only call has ended
        above = work if takes_turns else _new_segment(layout, 1.0)
        return work, above, work
    return segment, segment, segment


def _new_segment(layout: _Layout, slots: float) -> int:
    number = len(layout.slots)
    layout.slots[number] = slots
    return number


# --- segments ----------------------------------------------------------------------------------------------------


def _segments(layout: _Layout, alignment: Alignment) -> tuple[SegmentView, ...]:
    """Add up the demands of each segment. The Root only hands over: its time is unattributed, and no part of the production."""
    owners = _owners(alignment)
    found = []
    for number, slots in layout.slots.items():
        members = [node for node in layout.nodes.values() if node.work_segment == number and node.stage.node != "Root"]
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


def _bottleneck(layout: _Layout, segments: Sequence[SegmentView], alignment: Alignment) -> str | None:
    """Return the stage with the largest demand of the slowest segment in which stages of the user's work."""
    owners = _owners(alignment)
    demands: dict[int, dict[str, float]] = {}
    for node in layout.nodes.values():
        owner = owners.get(node.stage.id)
        if owner is not None and node.demand > 0:
            own = demands.setdefault(node.work_segment, {})
            own[owner] = own.get(owner, 0.0) + node.demand
    bound = _bounding([segment for segment in segments if segment.index in demands])
    return None if bound is None else max(demands[bound.index], key=demands[bound.index].__getitem__)


# --- stages ------------------------------------------------------------------------------------------------------


def _views(record: PipelineRecord, alignment: Alignment, layout: _Layout, bottleneck: str | None) -> tuple[StageView, ...]:
    root = record.executed[0].elements if record.executed else 0
    owners = _owners(alignment)
    views = []
    for written in record.written:
        nodes = [layout.nodes[node.id] for node in alignment.nodes.get(written.id, [])]
        own = [node for node in nodes if owners[node.stage.id] == written.id]
        fused = alignment.fused.get(written.id, ())
        view = _view(written, nodes, own, fused, root, is_bottleneck=written.id == bottleneck)
        if written.id in alignment.not_seen:
            view = replace(view, stage=replace(view.stage, seen_share=0.0))
        views.append(view)
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
) -> StageView:
    head = nodes[0] if nodes else None
    demand = sum(node.demand for node in own) if any(node.busy_per_element is not None for node in own) else None
    lead = own[0] if own else head
    slots = lead.slots if lead is not None else 1.0
    visits = None if head is None else head.visits * (_fused_ratio(head) if fused and own else 1.0)
    return StageView(
        stage=Stage(
            id=written.id,
            op=written.op,
            executed_as=None if head is None else " + ".join(dict.fromkeys(node.stage.node for node in nodes)),
            inputs=written.inputs,
            call_site=written.call_site,
            elements=round(visits * root) if visits is not None and root else None,
            bytes=_bytes(head, root) if head is not None and root else None,
            busy_s=demand * root if demand is not None and root else None,
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
            ops=_ops(written, own),
        ),
        written=written,
        executed=tuple(node.stage for node in nodes),
        shares_node_with=fused,
        visit_ratio=visits,
        busy_s_per_element=_per_element(own, visits),
        busy_s_per_step=demand,
        slots=slots,
        segment=lead.work_segment if lead is not None else 0,
        is_sequential=slots <= 1,
        is_parallel_by_autotune=head is not None and head.stage.parallelism_tuned,
    )


def _ops(written: WrittenStage, own: Sequence[_Node]) -> tuple[StageOp, ...]:
    """Bring the ops inside a stage's function to one step; of several nodes those of the outermost that has any."""
    node = next((node for node in own if node.stage.ops), None)
    whole = sum(item.busy_s for item in node.stage.ops) if node is not None else 0.0
    if node is None or whole <= 0:
        return ()
    lines = written.function.op_lines if written.function is not None else {}
    return tuple(
        StageOp(
            op=item.op,
            share=item.busy_s / whole,
            busy_s_per_step=item.busy_s * node.visits,
            calls_per_step=item.calls * node.visits,
            where=lines.get(item.op),
        )
        for item in node.stage.ops
    )


def _not_refuted(view: StageView, observed_per_s: float) -> StageView:
    """Keep a limit from lying below what the loop did: kernels of one call can run side by side, and their times add up."""
    limit = view.stage.max_steps_per_s
    if limit is None or limit >= observed_per_s:
        return view
    return replace(view, stage=replace(view.stage, max_steps_per_s=observed_per_s))


def _fused_ratio(node: _Node) -> float:
    """Return how many elements the upper stage of a fused node makes for one of the node: the map of a batch makes them all."""
    return node.stage.known_ratio or 1.0


def _per_element(own: Sequence[_Node], visits: float | None) -> float | None:
    """Return the busy seconds of one element of the stage, in its outermost node; None where no element was seen."""
    if not own or own[0].busy_per_element is None:
        return None
    return own[0].demand / visits if visits else own[0].busy_per_element


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
