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

# Python classes that leave no node of their own.
_WITHOUT_NODE = frozenset({"RestructuredDataset", "DatasetV1Adapter", "NumpyIterator"})
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
        if not _fits(stage.class_name, node.op) or not _agrees(stage, node):
            continue
        found.setdefault(stage_id, set()).add(name)
        above = graphs.dataset_inputs(graph, node)
        if len(above) >= len(stage.inputs):
            pairs.extend(zip(stage.inputs, above, strict=False))
    return {stage_id: names.pop() for stage_id, names in found.items() if len(names) == 1}


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
