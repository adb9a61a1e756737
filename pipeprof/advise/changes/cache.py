"""Keeps what a stage gives in memory, so that later epochs need not make it again.

Refused above anything that must be new at each epoch: a cache would hand out the first epoch's draws for ever. The first
epoch is no faster; the gain comes later.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any  # protocol buffers of TensorFlow carry no types

from pipeprof.advise import graph as graphs
from pipeprof.advise.changes.base import Params, find_node, stage_label
from pipeprof.advise.neutralise import random_ops, reshuffles
from pipeprof.advise.replayable import Replayable
from pipeprof.analysis.element_size import element_bytes
from pipeprof.analysis.stage_graph import changed_state, upstream
from pipeprof.errors import TrialError
from pipeprof.model.analysis import PipelineView, StageView
from pipeprof.model.diagnosis import Safety

_INFINITE = -1


class Cache:
    """``.cache()`` behind a stage."""

    kind = "cache"
    freezes = True

    def title(self, view: PipelineView, stage_id: str, params: Params) -> str:  # noqa: ARG002 - one signature for all kinds
        """Return the cure and its effect."""
        return f"Cache what {stage_label(view.stage(stage_id))} gives, so that it is made in the first epoch only"

    def safety(self, view: PipelineView, stage_id: str, params: Params) -> tuple[Safety, str]:  # noqa: ARG002
        """Return that it takes memory, and what it would freeze."""
        written = [stage.written for stage in upstream(view, stage_id) if stage.written is not None]
        functions = [stage.function for stage in written if stage.function is not None]
        if any(function.random_ops for function in functions):
            return Safety.CHANGES_DATA, "it would freeze the random draws above it"
        changed = changed_state(upstream(view, stage_id))
        if changed:
            return Safety.CHANGES_DATA, f"it would keep what the first epoch made of {changed}, which changed in the run"
        if any(function.python_ops for function in functions):
            return Safety.USES_MEMORY, "it keeps the first epoch of what Python functions return"
        if any("ReadVariableOp" in function.op_types for function in functions):
            return Safety.USES_MEMORY, "it keeps the values that variables had in the first epoch"
        return Safety.USES_MEMORY, ""

    def memory_bytes(self, view: PipelineView, stage_id: str, params: Params) -> int | None:  # noqa: ARG002
        """Return the elements of one epoch times their size."""
        stage = view.stage(stage_id)
        size, count = element_bytes(stage), elements_per_epoch(view, stage)
        return None if size is None or count is None else int(size * count)

    def rewrite(self, replayable: Replayable, node_names: Mapping[str, str], stage_id: str, params: Params) -> Replayable:  # noqa: ARG002
        """Put a fresh memory cache behind the stage's node.

        Raises:
            TrialError: what is above is random or never ends.
        """
        graph = replayable.copy_graph()
        node = find_node(graph, node_names, stage_id)
        refuse_freezing(graph, node.name)
        cache = add_cache(graph, node.name)
        graphs.redirect(graph, node.name, cache.name, keep=[cache.name])
        return replayable.with_graph(graph)


def add_cache(graph: Any, name: str) -> Any:
    """Add a fresh memory cache that reads node ``name``, and return it; nothing reads it yet.

    Raises:
        TrialError: the node does not say what its elements are.
    """
    import tensorflow as tf

    resource = graphs.add_node(graph, "AnonymousMemoryCache")
    path = graphs.add_constant(graph, b"", tf.string)
    cache = graphs.add_node(graph, "CacheDatasetV2", [name, path, resource.name])
    graphs.copy_element_types(graph, name, cache)
    return cache


def refuse_freezing(graph: Any, name: str) -> None:
    """Make sure that what a node gives may be kept for later epochs.

    Raises:
        TrialError: it must be new at each epoch, or never ends.
    """
    draws = random_ops(graph, name)
    if draws:
        raise TrialError(f"a cache here would freeze randomness ({', '.join(draws)})")
    if reshuffles(graph, name):
        raise TrialError("a cache here would freeze the order of the shuffle above it")
    nodes = graphs.nodes_by_name(graph)
    for node in graphs.upstream_nodes(graph, name):
        if node.op.startswith("RandomDataset"):
            raise TrialError("a cache here would freeze randomness (Dataset.random, or sampling from datasets)")
        if node.op == "RepeatDataset" and (graphs.constant_value(nodes.get(node.input[1])) or 0) < 0:
            raise TrialError("the stage never ends (repeat above it), so that a cache would never be complete")


def elements_per_epoch(view: PipelineView, stage: StageView) -> float | None:
    """Return how many elements a stage gives in an epoch, None where that is not known or they never end."""
    cardinality = stage.written.cardinality if stage.written is not None else None
    if cardinality == _INFINITE:
        return None
    if cardinality is not None and cardinality >= 0:
        return float(cardinality)
    epochs = view.record.loop.epoch_count
    return stage.stage.elements / epochs if stage.stage.elements and epochs else None
