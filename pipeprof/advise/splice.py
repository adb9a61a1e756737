"""Takes the last transformation of a dataset built in Python over into another graph.

Functions that did not exist before (a map traced on batches) cannot be written by hand: Python traces them in a dataset
of their own, which is serialised, and its last node's function and captured values are copied into the graph that needs
them. The node itself is placed by the caller.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any  # protocol buffers of TensorFlow carry no types

from pipeprof.advise import graph as graphs
from pipeprof.advise.replayable import serialize
from pipeprof.errors import TrialError


@dataclass(frozen=True, slots=True)
class Spliced:
    """What was taken over.

    Attributes:
        node: the last node of the dataset, as serialised; not part of the other graph.
        captured: names, in the other graph, of the values its function captured.
        batch_attributes: the attributes of the node's input.
    """

    node: Any
    captured: tuple[str, ...]
    batch_attributes: Any


def add_output_of(graph: Any, dataset: Any) -> Spliced:
    """Copy the functions and captured values of ``dataset``'s last node into ``graph``.

    Raises:
        TrialError: it cannot be serialised, or captures a resource of the program.
    """
    other = graphs.parse_graph(serialize(dataset))
    nodes = graphs.nodes_by_name(other)
    last = nodes[graphs.output_name(other)]
    captured = [key for key in last.attr if key == "Targuments" or key.endswith("_other_arguments")]  # of each function
    count = sum(len(last.attr[key].list.type) for key in captured)
    names = [graphs.node_name(text) for text in last.input[1 : 1 + count]]
    mapping = _copy_values(graph, other, names)
    _copy_functions(graph, other, last)
    return Spliced(last, tuple(mapping[name] for name in names), nodes[graphs.node_name(last.input[0])].attr)


def _copy_values(graph: Any, other: Any, names: list[str]) -> dict[str, str]:
    needed = set().union(*(graphs.ancestors(other, name) for name in names)) if names else set()
    nodes = [node for node in other.node if node.name in needed]
    if any(node.op == "Const" and node.attr["value"].tensor.resource_handle_val for node in nodes):
        raise TrialError("the function captures a resource that cannot be copied")
    mapping = {node.name: graphs.unique_name(graph, f"spliced/{node.name}") for node in nodes}
    for node in nodes:
        copy = graph.node.add()
        copy.CopyFrom(node)
        copy.name = mapping[node.name]
        for index, text in enumerate(copy.input):
            old = graphs.node_name(text)
            copy.input[index] = text.replace(old, mapping.get(old, old), 1)
    return mapping


def _copy_functions(graph: Any, other: Any, node: Any) -> None:
    known = {function.signature.name for function in graph.library.function}
    for name, function in graphs.reachable_functions(other, [node]).items():
        if name not in known:
            graph.library.function.add().CopyFrom(function)
