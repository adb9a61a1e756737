"""Frees the memory of a prefetch that holds more than the loop draws on: a smaller ``buffer_size``.

A prefetch hands on what it takes, in its order, whatever its size: elements cannot change. Nothing becomes faster by it, so
that its elements are compared, and nothing is timed.
"""

from __future__ import annotations

from collections.abc import Mapping

from pipeprof.advise import graph as graphs
from pipeprof.advise.changes.base import Params, find_node, integer
from pipeprof.advise.replayable import Replayable
from pipeprof.errors import TrialError
from pipeprof.model.analysis import PipelineView, StageView
from pipeprof.model.diagnosis import Safety

SHRINK = "shrink_prefetch"
SIZE = "buffer_size"
_INPUT = 1  # of a PrefetchDataset node, its buffer_size


class ShrinkPrefetch:
    """``buffer_size`` of a prefetch."""

    kind = SHRINK
    freezes = False

    def title(self, view: PipelineView, stage_id: str, params: Params) -> str:
        """Return the cure and its effect."""
        held = size_of(view.stage(stage_id))
        instead = "" if held is None else f", not {held},"
        return f"Hold {params.get(SIZE)} elements in this prefetch{instead} and free the memory of the others"

    def safety(self, view: PipelineView, stage_id: str, params: Params) -> tuple[Safety, str]:  # noqa: ARG002 - one signature for all kinds
        """Return that elements stay, and what the larger buffer was good for."""
        return Safety.SAFE, "long stalls of the input are bridged less"

    def memory_bytes(self, view: PipelineView, stage_id: str, params: Params) -> int | None:  # noqa: ARG002
        """Return 0: less is held."""
        return 0

    def rewrite(self, replayable: Replayable, node_names: Mapping[str, str], stage_id: str, params: Params) -> Replayable:
        """Set the node's size.

        Raises:
            TrialError: the stage is no prefetch, or its size is not known to be larger.
        """
        import tensorflow as tf

        graph = replayable.copy_graph()
        node, wanted = find_node(graph, node_names, stage_id), integer(params, SIZE)
        if node.op != "PrefetchDataset":
            raise TrialError("the stage is no prefetch")
        held = graphs.constant_value(graphs.nodes_by_name(graph).get(graphs.node_name(node.input[_INPUT])))
        if wanted < 1 or not isinstance(held, int) or held <= wanted:
            raise TrialError("the prefetch is not known to hold more than that")
        node.input[_INPUT] = graphs.add_constant(graph, wanted, tf.int64)
        return replayable.with_graph(graph)


def size_of(stage: StageView) -> int | None:
    """Return the fixed size of a prefetch, None where it has none that is known."""
    size = stage.written.arguments.get(SIZE) if stage.written is not None else None
    return size if isinstance(size, int) and not isinstance(size, bool) and size > 0 else None
