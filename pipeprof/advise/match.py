"""Finds the graph node of each stage that the user wrote.

Both trees, the written one and the graph's, are walked from the output towards the sources, side by side; a stage and a
node belong together when the Python class and the op are of one name. Where they do not line up, everything above is
left out: a wrong node is worse than none. Reads only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any  # protocol buffers of TensorFlow carry no types

from pipeprof.advise import graph as graphs
from pipeprof.model.profile import WrittenStage

_AUTO_SHARD = "AutoShardDataset"  # of tf.distribute: serialised as a shard wherever TensorFlow put it
# Python classes that leave no node of their own.
_WITHOUT_NODE = frozenset({"RestructuredDataset", "DatasetV1Adapter", "NumpyIterator", _AUTO_SHARD})
# Python classes whose node has another name.
_OTHER_NAMES: Mapping[str, frozenset[str]] = {
    "TFRecord": frozenset({"FlatMap", "LegacyParallelInterleave", "ParallelInterleave"}),
    "TextLine": frozenset({"FlatMap", "LegacyParallelInterleave", "ParallelInterleave"}),
    "FixedLengthRecord": frozenset({"FlatMap", "LegacyParallelInterleave", "ParallelInterleave"}),
    "DenseToRagged": frozenset({"Map"}),
    "Csv": frozenset({"CSV"}),
    "Load": frozenset({"Load", "Interleave", "FlatMap", "ParallelInterleave"}),
}


def match_stages(graph: Any, written: Sequence[WrittenStage], output: str) -> dict[str, str]:
    """Return stage id -> node name for the stages whose node is beyond doubt.

    Args:
        graph: the GraphDef of the pipeline.
        written: its stages.
        output: id of the last stage.
    """
    stages = {stage.id: stage for stage in written}
    nodes = graphs.nodes_by_name(graph)
    is_sharded = any(map(is_auto_shard, written))
    found: dict[str, set[str]] = {}
    pairs = [(output, graphs.output_name(graph))]
    while pairs:
        stage_id, name = pairs.pop()
        stage, node = stages.get(stage_id), nodes.get(name)
        if stage is None or node is None:
            continue
        if _stem(stage.class_name) in _WITHOUT_NODE or stage.class_name in _WITHOUT_NODE:
            pairs.extend((parent, name) for parent in stage.inputs)
            continue
        if is_sharded and _stem(node.op) == "Shard" and not _fits(stage.class_name, node.op):
            pairs.extend((stage_id, above) for above in graphs.dataset_inputs(graph, node))
            continue
        if not _fits(stage.class_name, node.op) or not _agrees(stage, node):
            continue
        found.setdefault(stage_id, set()).add(name)
        above = graphs.dataset_inputs(graph, node)
        if len(above) >= len(stage.inputs):
            pairs.extend(zip(stage.inputs, above, strict=False))
    return {stage_id: names.pop() for stage_id, names in found.items() if len(names) == 1}


def is_auto_shard(stage: WrittenStage) -> bool:
    """Say whether a stage is what ``tf.distribute`` puts behind every dataset that it takes over."""
    return _stem(stage.class_name) == _AUTO_SHARD


def _fits(class_name: str, op: str) -> bool:
    wanted, there = _stem(class_name), _stem(op)
    return there == wanted or there in _OTHER_NAMES.get(wanted, ())


def _stem(name: str) -> str:
    """Return a class's or an op's name without underscore, "Dataset" and version: ``_MapDataset`` -> ``Map``."""
    plain = re.sub(r"V\d+$", "", name.lstrip("_"))
    return plain if plain in _WITHOUT_NODE else re.sub(r"(?:V\d+)?Dataset$", "", plain)


def _agrees(stage: WrittenStage, node: Any) -> bool:
    """Say whether the name that TensorFlow gave the node, where both sides know it, is the same."""
    if stage.graph_node is None or "metadata" not in node.attr:
        return True
    return stage.graph_node.encode() in bytes(node.attr["metadata"].s)
