"""Runs the calls of a map one after the other, in the thread that asks for its elements: ``synchronous=True``.

Leaving ``num_parallel_calls`` out is not enough, because TensorFlow makes a map parallel by itself where its function holds no
state. Elements stay, and come in the order of their source.
"""

from __future__ import annotations

from collections.abc import Mapping

from pipeprof.advise.changes.base import Params, find_node, stage_label
from pipeprof.advise.replayable import Replayable
from pipeprof.errors import TrialError
from pipeprof.model.analysis import PipelineView
from pipeprof.model.diagnosis import Safety

SYNCHRONOUS = "synchronous"
TOO_OLD = "TensorFlow has synchronous maps from 2.18 on"
_FORCED = "force_synchronous"
_CALLS = 1  # data input behind the captured values that tells a parallel map how many calls run at once


class Synchronous:
    """``synchronous=True`` of a map."""

    kind = SYNCHRONOUS
    freezes = False

    def title(self, view: PipelineView, stage_id: str, params: Params) -> str:  # noqa: ARG002 - one signature for all kinds
        """Return the cure and its effect."""
        return f"Run {stage_label(view.stage(stage_id))} on the thread that asks for its elements: synchronous=True"

    def safety(self, view: PipelineView, stage_id: str, params: Params) -> tuple[Safety, str]:  # noqa: ARG002
        """Return that elements stay, and which of them get other draws."""
        written = view.stage(stage_id).written
        function = written.function if written is not None else None
        draws = function is not None and function.random_ops
        return Safety.SAFE, "random draws fall on other elements than before" if draws else ""

    def memory_bytes(self, view: PipelineView, stage_id: str, params: Params) -> int | None:  # noqa: ARG002
        """Return 0: less is held."""
        return 0

    def rewrite(self, replayable: Replayable, node_names: Mapping[str, str], stage_id: str, params: Params) -> Replayable:  # noqa: ARG002
        """Turn the node into a map that TensorFlow does not make parallel.

        Raises:
            TrialError: the stage is no map, is so already, or TensorFlow is too old to be told.
        """
        graph = replayable.copy_graph()
        node = find_node(graph, node_names, stage_id)
        if node.op not in {"MapDataset", "ParallelMapDatasetV2"}:
            raise TrialError("the stage is no map")
        if not can_be_forced():
            raise TrialError(TOO_OLD)
        if node.op == "MapDataset" and node.attr[_FORCED].b:
            raise TrialError("the map is synchronous already")
        if node.op == "ParallelMapDatasetV2":
            node.op = "MapDataset"
            data = [text for text in node.input if not text.startswith("^")]
            control = [text for text in node.input if text.startswith("^")]
            node.input[:] = [*data[:-_CALLS], *control]
            for name in ("deterministic", "use_unbounded_threadpool"):
                if name in node.attr:
                    del node.attr[name]
        node.attr[_FORCED].b = True
        return replayable.with_graph(graph)


def can_be_forced() -> bool:
    """Tell whether this TensorFlow knows of maps that it must not make parallel."""
    from tensorflow.python.framework import op_def_registry

    return any(item.name == _FORCED for item in op_def_registry.get("MapDataset").attr)
