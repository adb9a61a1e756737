"""Runs the calls of a map, or of an interleave, at the same time.

The order of the elements is kept (TensorFlow's ``deterministic`` stays the default); what can change is which element gets
which random draw. A map inside an interleave's function is ``parallel_inside``'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any  # protocol buffers of TensorFlow carry no types

from pipeprof.advise import graph as graphs
from pipeprof.advise.changes.base import AUTOTUNE, Params, find_node, integer, stage_label
from pipeprof.advise.replayable import Replayable
from pipeprof.analysis.element_size import element_bytes
from pipeprof.errors import TrialError
from pipeprof.model.analysis import PipelineView
from pipeprof.model.diagnosis import Safety
from pipeprof.model.profile import StageFunction

_PARALLEL = ("ParallelMapDataset", "ParallelInterleaveDataset")


class ParallelCalls:
    """``num_parallel_calls`` of a map or an interleave."""

    kind = "parallel_calls"
    freezes = False

    def title(self, view: PipelineView, stage_id: str, params: Params) -> str:
        """Return the cure and its effect."""
        count = params.get("num_parallel_calls")
        many = "as many at a time as AUTOTUNE finds best" if count == AUTOTUNE else f"{count} at a time"
        return f"Run the calls of {stage_label(view.stage(stage_id))} in parallel, {many}"

    def safety(self, view: PipelineView, stage_id: str, params: Params) -> tuple[Safety, str]:
        """Return whether draws, order or Python state can change."""
        stage = view.stage(stage_id)
        written = stage.written
        if written is None:
            return Safety.MANUAL, "TensorFlow added this stage by itself"
        if written.class_name in {"_ParallelMapDataset", "_ParallelInterleaveDataset"}:
            return Safety.SAFE, ""
        if view.record.deterministic is False:
            return Safety.REORDERS, "the options ask for deterministic=False, which a parallel stage follows"
        if written.arguments.get("cycle_length") == AUTOTUNE and params.get("num_parallel_calls") != AUTOTUNE:
            return Safety.REORDERS, "cycle_length is left to TensorFlow, which follows num_parallel_calls"
        return function_safety(written.function, seeded=view.record.global_seed_set)

    def memory_bytes(self, view: PipelineView, stage_id: str, params: Params) -> int | None:
        """Return the elements in flight times their size; None for AUTOTUNE, whose number is not known."""
        size = element_bytes(view.stage(stage_id))
        count = params.get("num_parallel_calls")
        return None if size is None or not isinstance(count, int) or count < 1 else int(size * count)

    def rewrite(self, replayable: Replayable, node_names: Mapping[str, str], stage_id: str, params: Params) -> Replayable:
        """Turn the node into its parallel form, or set its number of calls.

        Raises:
            TrialError: the stage is no map or interleave.
        """
        import tensorflow as tf

        calls = wanted_calls(params)
        graph = replayable.copy_graph()
        node = find_node(graph, node_names, stage_id)
        if node.op.startswith(_PARALLEL):
            node.input[-1] = graphs.add_constant(graph, calls, tf.int64)
            return replayable.with_graph(graph)
        count = graphs.add_constant(graph, calls, tf.int64)
        if node.op == "MapDataset":
            make_map_parallel(node, count)
        elif node.op == "InterleaveDataset":
            node.op = "ParallelInterleaveDatasetV4"
            # As Dataset.interleave passes them: output buffer and prefetched inputs, both left to TensorFlow.
            node.input.extend([graphs.add_constant(graph, AUTOTUNE, tf.int64), graphs.add_constant(graph, AUTOTUNE, tf.int64)])
            node.input.append(count)
            node.attr["deterministic"].s = b"default"
        else:
            raise TrialError(f"{node.op} has no parallel form")
        return replayable.with_graph(graph)


def wanted_calls(params: Params) -> int:
    """Return the number of calls at once that a change asks for.

    Raises:
        TrialError: there is none, or it is neither positive nor AUTOTUNE.
    """
    calls = integer(params, "num_parallel_calls")
    if calls < 1 and calls != AUTOTUNE:
        raise TrialError("num_parallel_calls must be positive or AUTOTUNE")
    return calls


def make_map_parallel(node: Any, count: str) -> None:
    """Turn a ``MapDataset`` node into its parallel form, which reads its number of calls from the input ``count``."""
    node.op = "ParallelMapDatasetV2"
    if "force_synchronous" in node.attr:  # since TensorFlow 2.18
        del node.attr["force_synchronous"]
    control = [text for text in node.input if text.startswith("^")]  # these stand last
    data = [text for text in node.input if not text.startswith("^")]
    node.input[:] = [*data, count, *control]
    node.attr["deterministic"].s = b"default"


def function_safety(function: StageFunction | None, *, seeded: bool) -> tuple[Safety, str]:
    """Return what calls of a function that run at the same time can change."""
    if function is None:
        return Safety.SAFE, ""
    if function.assigns_variables:
        return Safety.CHANGES_DATA, "its calls count in a variable, and two at a time can read the same count"
    if function.random_ops and (seeded or function.has_op_seed or any(name.startswith("Rng") for name in function.random_ops)):
        return (
            Safety.CHANGES_DATA,
            "random draws fall on other elements than before, so that a seeded run no longer repeats itself",
        )
    if function.python_ops:
        return Safety.SAFE, "its Python function must allow calls from several threads"
    if function.random_ops:
        return Safety.SAFE, "random draws fall on other elements than before; no seed is set"
    return Safety.SAFE, ""
