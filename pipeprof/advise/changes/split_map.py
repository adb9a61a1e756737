"""Keeps what a random map does before it first draws: ``.map(f)`` becomes ``.map(fixed).cache().map(drawn)``.

A shuffle in front of the map moves behind the cache, which would keep its first order else; its elements come in the same
order as before, and each is drawn for anew in every epoch. How a function is cut is ``function_split``'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any  # protocol buffers of TensorFlow carry no types

from pipeprof.advise import graph as graphs
from pipeprof.advise.changes.base import Params, find_node, stage_label
from pipeprof.advise.changes.cache import add_cache, elements_per_epoch, refuse_freezing
from pipeprof.advise.changes.exchange import MAPS, require_one_for_one
from pipeprof.advise.function_split import split_map_node
from pipeprof.advise.neutralise import draws, is_reshuffling
from pipeprof.advise.replayable import Replayable
from pipeprof.capture.functions import READS_STATE
from pipeprof.errors import TrialError
from pipeprof.model.analysis import PipelineView
from pipeprof.model.diagnosis import Safety

SPLIT = "split_map"


class SplitMap:
    """A map becomes two, with ``.cache()`` between them."""

    kind = SPLIT
    freezes = True

    def title(self, view: PipelineView, stage_id: str, params: Params) -> str:  # noqa: ARG002 - one signature for all kinds
        """Return the cure and its effect."""
        return f"Split {stage_label(view.stage(stage_id))} where it first draws at random, and cache between the two maps"

    def safety(self, view: PipelineView, stage_id: str, params: Params) -> tuple[Safety, str]:  # noqa: ARG002
        """Return that it takes memory: what is drawn stays drawn in every epoch."""
        return Safety.USES_MEMORY, ""

    def memory_bytes(self, view: PipelineView, stage_id: str, params: Params) -> int | None:  # noqa: ARG002
        """Return the elements of one epoch times what the first part hands on at most."""
        stage = view.stage(stage_id)
        function = stage.written.function if stage.written is not None else None
        size, count = None if function is None else function.drawn_from_bytes, elements_per_epoch(view, stage)
        return None if size is None or count is None else int(size * count)

    def rewrite(self, replayable: Replayable, node_names: Mapping[str, str], stage_id: str, params: Params) -> Replayable:  # noqa: ARG002
        """Put the fixed part and a fresh memory cache before the map, which becomes the drawn part.

        Raises:
            TrialError: the function cannot be cut, or what stands before it is not the same in every epoch.
        """
        graph = replayable.copy_graph()
        node = find_node(graph, node_names, stage_id)
        if node.op not in MAPS:
            raise TrialError("the stage is no map")
        require_one_for_one(node)
        shuffled = _shuffle_before(graph, node)
        if shuffled is not None:
            graphs.redirect(graph, shuffled.name, shuffled.input[0])
        source = graphs.node_name(node.input[0])
        refuse_freezing(graph, source)
        if any(item.op in READS_STATE for item in graphs.upstream_nodes(graph, source)):
            raise TrialError("what stands before the map reads a variable, and a cache would keep its first value")
        fixed = _put_fixed_before(graph, node, source)
        cache = add_cache(graph, fixed.name)
        node.input[0] = cache.name
        if shuffled is not None:
            graphs.copy_element_types(graph, fixed.name, shuffled)
            shuffled.input[0], node.input[0] = cache.name, shuffled.name
        return replayable.with_graph(graph)


def fixed_source(graph: Any, name: str) -> str:
    """Return the node whose elements are what the cache keeps, made something of: before the map, and before its shuffle."""
    node = graphs.nodes_by_name(graph)[name]
    shuffled = _shuffle_before(graph, node)
    return graphs.node_name((node if shuffled is None else shuffled).input[0])


def _shuffle_before(graph: Any, node: Any) -> Any | None:
    """Return the shuffle before a map, where nothing but fixed one-for-one maps stand between and nothing else reads them."""
    nodes = graphs.nodes_by_name(graph)
    while True:
        before = nodes.get(graphs.node_name(node.input[0]))
        if before is None or len(graphs.consumers(graph, before.name)) != 1:
            return None
        if before.op.startswith("ShuffleDataset"):
            return before if is_reshuffling(before) else None
        if before.op not in MAPS or draws(graph, before) or not before.attr["preserve_cardinality"].b:
            return None
        node = before


def _put_fixed_before(graph: Any, node: Any, source: str) -> Any:
    """Add the map of the fixed part behind ``source``, and make ``node`` the map of the drawn part."""
    parts = split_map_node(graph, node, at_draws=True)
    fixed = graphs.add_copy(graph, node)
    fixed.input[0] = source
    fixed.attr["f"].func.name, node.attr["f"].func.name = parts.first, parts.second
    graphs.set_element_types(fixed, parts.types)
    return fixed
