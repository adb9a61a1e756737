"""Lets two nodes of a graph that follow each other directly change places: what such kinds of change share.

It must not decide whether the elements stay the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any  # protocol buffers of TensorFlow carry no types

from pipeprof.advise import graph as graphs
from pipeprof.advise.changes.base import Params, find_node
from pipeprof.advise.replayable import Replayable
from pipeprof.analysis.stage_graph import neighbours
from pipeprof.errors import TrialError
from pipeprof.model.analysis import PipelineView
from pipeprof.model.diagnosis import Safety
from pipeprof.model.profile import StageFunction

MAPS = frozenset({"MapDataset", "ParallelMapDataset", "ParallelMapDatasetV2"})


class MapExchange:
    """A map and the stage directly behind it change places: what all such kinds have in common but their title."""

    kind: str
    freezes = False
    moved: frozenset[str]  # ops of the stage behind
    python: str  # what becomes of the calls of a Python function
    otherwise: str = ""  # what can change where the function holds no state

    def safety(self, view: PipelineView, stage_id: str, params: Params) -> tuple[Safety, str]:  # noqa: ARG002
        """Return what other calls of the map's function can change."""
        return moved_map_safety(view, stage_id, self.python, self.otherwise)

    def memory_bytes(self, view: PipelineView, stage_id: str, params: Params) -> int | None:  # noqa: ARG002
        """Return 0: nothing is held that was not."""
        return 0

    def rewrite(self, replayable: Replayable, node_names: Mapping[str, str], stage_id: str, params: Params) -> Replayable:  # noqa: ARG002
        """Exchange the two nodes.

        Raises:
            TrialError: they do not follow each other directly, or the map is not one for one.
        """
        graph = replayable.copy_graph()
        before, behind = find_pair(graph, node_names, stage_id, MAPS, self.moved)
        require_one_for_one(before)
        exchange(graph, before, behind)
        return replayable.with_graph(graph)


def find_pair(
    graph: Any, node_names: Mapping[str, str], stage_id: str, first: frozenset[str], second: frozenset[str]
) -> tuple[Any, Any]:
    """Return two nodes of these ops that follow each other directly, of which the stage's is one.

    Raises:
        TrialError: there are no such two, or something else reads the first as well.
    """
    node = find_node(graph, node_names, stage_id)
    nodes = graphs.nodes_by_name(graph)
    before = node if node.op in first else nodes.get(graphs.node_name(node.input[0])) if node.input else None
    readers = [] if before is None else graphs.consumers(graph, before.name)
    if before is None or before.op not in first or len(readers) != 1 or readers[0].op not in second:
        raise TrialError(f"no {_words(first)} is directly followed by {_words(second)} here")
    if node.name not in {before.name, readers[0].name}:
        raise TrialError("the stage is none of the two that would change places")
    return before, readers[0]


def exchange(graph: Any, before: Any, behind: Any) -> None:
    """Put ``behind`` in front of ``before`` in ``graph``; their names stay, so that later changes find them."""
    source = before.input[0]
    readers = {reader.name for reader in graphs.consumers(graph, behind.name)}
    graphs.copy_element_types(graph, graphs.node_name(source), behind)
    behind.input[0] = source
    before.input[0] = behind.name
    graphs.redirect(graph, behind.name, before.name, keep={item.name for item in graph.node} - readers)


def require_one_for_one(node: Any) -> None:
    """Make sure that a map gives one element for each that it takes.

    Raises:
        TrialError: it may not.
    """
    if "preserve_cardinality" in node.attr and not node.attr["preserve_cardinality"].b:
        raise TrialError("the map may give more or fewer elements than it takes")


def moved_function_safety(view: PipelineView, function: StageFunction | None, python: str) -> tuple[Safety, str] | None:
    """Return what moving a function's calls to other elements can change, None where that is nothing.

    Args:
        view: the pipeline.
        function: the function, None where nothing is known of it.
        python: what to say of a Python function.
    """
    if function is None:
        return None
    if function.assigns_variables:
        return Safety.CHANGES_DATA, "its calls count in a variable, and they are others than before"
    seeded = view.record.global_seed_set or function.has_op_seed or any(name.startswith("Rng") for name in function.random_ops)
    if function.random_ops and seeded:
        return (
            Safety.CHANGES_DATA,
            "random draws fall on other elements than before, so that a seeded run gives other elements than it did",
        )
    if function.python_ops:
        return Safety.SAFE, python
    if function.random_ops:
        return Safety.SAFE, "random draws fall on other elements than before; no seed is set"
    return None


def moved_map_safety(view: PipelineView, stage_id: str, python: str, otherwise: str) -> tuple[Safety, str]:
    """Return what it can change that the map of a pair is called for other elements, or in another order.

    Args:
        view: the pipeline.
        stage_id: either stage of the pair.
        python: what to say of a Python function.
        otherwise: what to say where the function holds no state.
    """
    pair = neighbours(view, stage_id)
    written = None if pair is None else pair[0].written
    return moved_function_safety(view, None if written is None else written.function, python) or (Safety.SAFE, otherwise)


def _words(ops: frozenset[str]) -> str:
    names = sorted({graphs.plain_name(op) for op in ops})
    return " or ".join(names)
