"""Runs the calls of a map inside a flat_map's or an interleave's function at the same time.

TensorFlow does so by itself where the map's function is stateless. Unlike a parallel interleave it keeps the order of all
elements; what can change is which element gets which random draw.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any  # protocol buffers of TensorFlow carry no types

from pipeprof.advise import graph as graphs
from pipeprof.advise.changes.base import Params, find_node, stage_label
from pipeprof.advise.changes.parallel_calls import function_safety, make_map_parallel, wanted_calls
from pipeprof.advise.replayable import Replayable
from pipeprof.errors import TrialError
from pipeprof.model.analysis import PipelineView
from pipeprof.model.diagnosis import Safety

INSIDE = "parallel_inside"
_READERS = frozenset({"FlatMapDataset", "InterleaveDataset", "ParallelInterleaveDatasetV4"})


class ParallelInside:
    """``num_parallel_calls`` of the map that stands inside a stage's function."""

    kind = INSIDE
    freezes = False

    def title(self, view: PipelineView, stage_id: str, params: Params) -> str:  # noqa: ARG002 - one signature for all kinds
        """Return the cure and its effect."""
        return f"Run the calls of the map inside {stage_label(view.stage(stage_id))} in parallel"

    def safety(self, view: PipelineView, stage_id: str, params: Params) -> tuple[Safety, str]:  # noqa: ARG002
        """Return whether draws, order or Python state can change."""
        written = view.stage(stage_id).written
        if written is None:
            return Safety.MANUAL, "TensorFlow added this stage by itself"
        if view.record.deterministic is False:
            return Safety.REORDERS, "the options ask for deterministic=False, which a parallel stage follows"
        return function_safety(written.function, seeded=view.record.global_seed_set)

    def memory_bytes(self, view: PipelineView, stage_id: str, params: Params) -> int | None:  # noqa: ARG002
        """Return None: AUTOTUNE chooses how many elements are in flight."""
        return None

    def rewrite(self, replayable: Replayable, node_names: Mapping[str, str], stage_id: str, params: Params) -> Replayable:
        """Turn the one map in the function's body into its parallel form; the function gets a new name.

        Raises:
            TrialError: the stage has no such function, or its function no map, or several.
        """
        import tensorflow as tf

        calls = wanted_calls(params)
        graph = replayable.copy_graph()
        node = find_node(graph, node_names, stage_id)
        if node.op not in _READERS:
            raise TrialError(f"{node.op} makes no inner pipelines")
        function = next(item for item in graph.library.function if item.signature.name == node.attr["f"].func.name)
        inner = only_map(function)
        make_map_parallel(inner, graphs.add_function_constant(function, calls, tf.int64))
        graphs.rename_edited(graph, [function.signature.name])
        return replayable.with_graph(graph)


def only_map(function: Any) -> Any:
    """Return the node of the one map in a library function that runs one call at a time.

    Raises:
        TrialError: there is none, or several.
    """
    found = [node for node in function.node_def if node.op == "MapDataset"]
    if not found:
        raise TrialError("its function has no map that runs one call at a time")
    if len(found) > 1:
        raise TrialError("its function has several maps, and which one is slow is not known")
    return found[0]
