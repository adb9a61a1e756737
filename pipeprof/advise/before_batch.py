"""Cuts two pipelines in front of their batches, where elements in another order are still the same elements.

A changed order changes every batch, and with padding even the shapes in it. It must not compare anything.
"""

from __future__ import annotations

from typing import Any  # protocol buffers of TensorFlow carry no types

from pipeprof.advise import graph as graphs
from pipeprof.advise.replayable import Replayable
from pipeprof.advise.steadiness import element_spec
from pipeprof.errors import TrialError

_BATCHES = frozenset({"BatchDataset", "BatchDatasetV2", "ParallelBatchDataset", "PaddedBatchDataset", "PaddedBatchDatasetV2"})
_OPTIONS = "OptionsDataset"


def cut_before_batch(original: Replayable, changed: Replayable) -> tuple[Replayable, Replayable] | None:
    """Return both pipelines up to the input of their last batch.

    None where there is no batch, where the two differ in it or behind it, or where its input is no plain tensor. Options
    stay in force: they are set anew behind the cut.
    """
    ours, theirs = _walk(original.graph), _walk(changed.graph)
    if ours is None or theirs is None or [node.op for node in ours[1]] != [node.op for node in theirs[1]]:
        return None
    settings = [[_settings(side.graph, node) for node in walk[1]] for side, walk in ((original, ours), (changed, theirs))]
    if settings[0] != settings[1]:
        return None
    try:
        return _cut(original, *ours), _cut(changed, *theirs)
    except TrialError:
        return None


def _walk(graph: Any) -> tuple[list[Any], list[Any]] | None:
    """Return the options nodes behind the last batch, and the other nodes, the batch last."""
    nodes = graphs.nodes_by_name(graph)
    options: list[Any] = []
    passed: list[Any] = []
    node = nodes[graphs.output_name(graph)]
    while True:
        (options if node.op == _OPTIONS else passed).append(node)
        above = graphs.dataset_inputs(graph, node)
        if node.op in _BATCHES:
            return options, passed
        if len(above) != 1:
            return None
        node = nodes[above[0]]


def _settings(graph: Any, node: Any) -> list[bytes]:
    """Return all that makes a node what it is, but for the dataset that it reads."""
    nodes = graphs.nodes_by_name(graph)
    values = [node.attr[key].SerializeToString(deterministic=True) for key in sorted(node.attr)]
    others = [nodes[graphs.node_name(text)] for text in node.input[1:] if graphs.node_name(text) in nodes]
    return values + [item.SerializeToString(deterministic=True) for item in others]


def _cut(replayable: Replayable, options: list[Any], passed: list[Any]) -> Replayable:
    graph = replayable.copy_graph()
    source = graphs.node_name(passed[-1].input[0])
    spec = element_spec(graph, source)
    last = source
    for node in reversed(options):
        copy = graphs.add_node(graph, _OPTIONS, [last])
        copy.attr["serialized_options"].s = node.attr["serialized_options"].s
        graphs.copy_element_types(graph, last, copy)
        last = copy.name
    graphs.set_output(graph, last)
    return replayable.with_graph(graph, spec)
