"""TensorFlow's rewrites of a pipeline, by name: why the executed tree is not the written one.

One table: every difference that the alignment found is one of these rewrites, or is said to be unexplained. The names are
those of TensorFlow's own options where it has one. Never guesses: what fits no row stays without a name.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pipeprof.analysis.alignment import WRAPPERS, Alignment, stem
from pipeprof.model.profile import ExecutedStage, PipelineRecord, WrittenStage

_HIDDEN_BY_DEVICES = "copy_to_device"
_READERS = frozenset({"TFRecordDataset", "TextLineDataset", "FixedLengthRecordDataset", "from_generator"})


class Rewrite(StrEnum):
    """What TensorFlow did."""

    MAP_PARALLELIZATION = "map_parallelization"
    MAP_AND_BATCH_FUSION = "map_and_batch_fusion"
    SHUFFLE_AND_REPEAT_FUSION = "shuffle_and_repeat_fusion"
    LIKE_FUSION = "map_fusion or filter_fusion"
    INJECT_PREFETCH = "inject_prefetch"
    NOOP_ELIMINATION = "noop_elimination"
    HIDDEN_NODES = "hidden nodes"
    INNER_PIPELINES = "inner pipelines"
    HIDDEN_BY_DEVICES = "hidden behind a device"
    NOT_SEEN = "not seen"
    OTHER_INJECTION = "injected"
    UNEXPLAINED = "unexplained"


@dataclass(frozen=True, slots=True)
class Applied:
    """One rewrite of some stages (ids; empty for a node that no stage was written for) into some nodes."""

    rewrite: Rewrite
    stage_ids: tuple[str, ...]
    nodes: tuple[str, ...]


def name_rewrites(record: PipelineRecord, alignment: Alignment) -> tuple[Applied, ...]:
    """Return every difference between the written and the executed tree, in the order of the written stages."""
    found: list[Applied] = []
    named: set[tuple[str, ...]] = set()
    for stage in record.written:
        nodes = alignment.nodes.get(stage.id, [])
        group = tuple(sorted((stage.id, *alignment.fused.get(stage.id, ()))))
        if len(group) > 1 and nodes:
            if group not in named:
                named.add(group)
                found.append(Applied(_fusion(nodes[0]), group, (nodes[0].node,)))
        elif nodes:
            found += _of_one(stage, nodes)
        else:
            found += _without_node(record, stage, alignment)
    found += [Applied(_injection(node), (), (node.node,)) for node in alignment.injected]
    found += [Applied(Rewrite.UNEXPLAINED, (), (node.node,)) for node in alignment.unexplained]
    return tuple(found)


def explained_share(record: PipelineRecord, alignment: Alignment) -> float | None:
    """Return the share of the counted busy time that lies in nodes which a stage or a known rewrite explains."""
    whole = sum(node.busy_s for node in record.executed if node.node != "Root")
    lost = sum(node.busy_s for node in alignment.unexplained)
    return 1 - lost / whole if whole > 0 else None


def _fusion(node: ExecutedStage) -> Rewrite:
    known = {"MapAndBatch": Rewrite.MAP_AND_BATCH_FUSION, "ShuffleAndRepeat": Rewrite.SHUFFLE_AND_REPEAT_FUSION}
    return known.get(stem(node.node), Rewrite.LIKE_FUSION)


def _injection(node: ExecutedStage) -> Rewrite:
    return Rewrite.INJECT_PREFETCH if stem(node.node) == "Prefetch" else Rewrite.OTHER_INJECTION


def _of_one(stage: WrittenStage, nodes: list[ExecutedStage]) -> list[Applied]:
    names = tuple(dict.fromkeys(node.node for node in nodes))
    if stem(nodes[0].node) == "ParallelMap" and "Parallel" not in stage.class_name and stage.op == "map":
        return [Applied(Rewrite.MAP_PARALLELIZATION, (stage.id,), names[:1])]
    if stage.op == _HIDDEN_BY_DEVICES:
        return [Applied(Rewrite.HIDDEN_BY_DEVICES, (stage.id,), names)]
    if len(nodes) == 1:
        return []
    has_inner = stage.function is not None and bool(stage.function.inner_datasets) and stage.op not in _READERS
    return [Applied(Rewrite.INNER_PIPELINES if has_inner else Rewrite.HIDDEN_NODES, (stage.id,), names)]


def _without_node(record: PipelineRecord, stage: WrittenStage, alignment: Alignment) -> list[Applied]:
    if stage.op in WRAPPERS:
        return []
    if stage.id in alignment.removed:
        return [Applied(Rewrite.NOOP_ELIMINATION, (stage.id,), ())]
    if stage.id not in alignment.not_seen:
        return []
    hides = any(other.op == _HIDDEN_BY_DEVICES for other in record.written)
    return [Applied(Rewrite.HIDDEN_BY_DEVICES if hides else Rewrite.NOT_SEEN, (stage.id,), ())]
