"""Lets the pipeline make the next elements while the consumer works on this one: a buffer behind the last stage.

TensorFlow puts such a buffer there by itself where its default optimizations and AUTOTUNE are on; the change is for
pipelines where it does not. Elements and their order stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any  # protocol buffers of TensorFlow carry no types

from pipeprof.advise import graph as graphs
from pipeprof.advise.changes.base import AUTOTUNE, Params
from pipeprof.advise.replayable import Replayable
from pipeprof.errors import TrialError
from pipeprof.model.analysis import PipelineView
from pipeprof.model.diagnosis import Safety

_PASSING = frozenset({"OptionsDataset"})  # they hand elements on in the caller's thread


class Prefetch:
    """``.prefetch(AUTOTUNE)`` behind the last stage."""

    kind = "prefetch"
    freezes = False

    def title(self, view: PipelineView, stage_id: str, params: Params) -> str:  # noqa: ARG002 - one signature for all kinds
        """Return the cure and its effect."""
        return "Prefetch behind the last stage, so that the next batch is made during the step"

    def safety(self, view: PipelineView, stage_id: str, params: Params) -> tuple[Safety, str]:  # noqa: ARG002
        """Return that nothing can change."""
        return Safety.SAFE, ""

    def memory_bytes(self, view: PipelineView, stage_id: str, params: Params) -> int | None:  # noqa: ARG002
        """Return None: AUTOTUNE chooses how many elements wait."""
        return None

    def rewrite(self, replayable: Replayable, node_names: Mapping[str, str], stage_id: str, params: Params) -> Replayable:  # noqa: ARG002
        """Put a prefetch behind the last stage.

        Raises:
            TrialError: the pipeline ends with one.
        """
        import tensorflow as tf

        graph = replayable.copy_graph()
        if _last_working_node(graph).op == "PrefetchDataset":
            raise TrialError("the pipeline already ends with a prefetch")
        node = graphs.append_stage(graph, "PrefetchDataset", [graphs.add_constant(graph, AUTOTUNE, tf.int64)])
        node.attr["slack_period"].i = 0
        node.attr["legacy_autotune"].b = True
        node.attr["buffer_size_min"].i = 0
        return replayable.with_graph(graph)


def _last_working_node(graph: Any) -> Any:
    nodes = graphs.nodes_by_name(graph)
    node = nodes[graphs.output_name(graph)]
    while node.op in _PASSING:
        node = nodes[graphs.node_name(node.input[0])]
    return node
