"""Moves a cache by one stage, to where it works: behind the take that keeps it from filling, or before what it freezes.

Behind a take the elements stay. Before a random stage they do not: later epochs draw anew, which is the purpose.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any  # protocol buffers of TensorFlow carry no types

from pipeprof.advise import graph as graphs
from pipeprof.advise.changes.base import Params, find_node, stage_label
from pipeprof.advise.changes.cache import Cache, refuse_freezing
from pipeprof.advise.changes.exchange import MAPS, exchange, find_pair, require_one_for_one
from pipeprof.advise.replayable import Replayable
from pipeprof.analysis.stage_graph import consumer_of
from pipeprof.errors import TrialError
from pipeprof.model.analysis import PipelineView, StageView
from pipeprof.model.diagnosis import Safety

_CACHES = frozenset({"CacheDataset", "CacheDatasetV2"})
_TAKES = frozenset({"TakeDataset"})
_SHUFFLES = frozenset({"ShuffleDataset", "ShuffleDatasetV2", "ShuffleDatasetV3"})


class MoveCache:
    """A cache and its neighbour change places; the stage is the cache."""

    kind = "move_cache"
    freezes = True  # a cache that never filled was made anew at each epoch

    def title(self, view: PipelineView, stage_id: str, params: Params) -> str:  # noqa: ARG002 - one signature for all kinds
        """Return the cure and its effect."""
        if cut_short_by(view, stage_id) is not None:
            return "Let the cache fill: put take() before it"
        above = frozen_by(view, stage_id)
        name = "the random stages" if above is None else stage_label(above)
        return f"Move the cache before {name}, so that each epoch draws anew"

    def safety(self, view: PipelineView, stage_id: str, params: Params) -> tuple[Safety, str]:
        """Return that behind a take elements stay, and that before a random stage they are meant to change."""
        if cut_short_by(view, stage_id) is not None:
            return Cache().safety(view, stage_id, params)
        return Safety.CHANGES_DATA, "later epochs get new random values, and pay for them"

    def memory_bytes(self, view: PipelineView, stage_id: str, params: Params) -> int | None:
        """Return what it will hold: what the take lets through, or what comes to the random stage."""
        take, above = cut_short_by(view, stage_id), frozen_by(view, stage_id)
        if take is not None:
            return Cache().memory_bytes(view, take.id, params)
        return Cache().memory_bytes(view, above.stage.inputs[0], params) if above is not None and above.stage.inputs else None

    def rewrite(self, replayable: Replayable, node_names: Mapping[str, str], stage_id: str, params: Params) -> Replayable:  # noqa: ARG002
        """Exchange the cache with the take behind it, or with the random stage before it.

        Raises:
            TrialError: it has neither for a neighbour.
        """
        graph = replayable.copy_graph()
        node = find_node(graph, node_names, stage_id)
        readers = graphs.consumers(graph, node.name)
        if len(readers) == 1 and readers[0].op in _TAKES:
            before, behind = find_pair(graph, node_names, stage_id, _CACHES, _TAKES)
            refuse_freezing(graph, node.name)
        else:
            before, behind = _random_pair(graph, node_names, stage_id)
        exchange(graph, before, behind)
        return replayable.with_graph(graph)


def cut_short_by(view: PipelineView, stage_id: str) -> StageView | None:
    """Return the take directly behind a cache."""
    reader = consumer_of(view, stage_id)
    return reader if reader is not None and reader.stage.op == "take" else None


def frozen_by(view: PipelineView, stage_id: str) -> StageView | None:
    """Return the map or shuffle directly before a cache."""
    above = [item for item in view.stages if item.id in view.stage(stage_id).stage.inputs]
    return above[0] if len(above) == 1 and above[0].stage.op in {"map", "shuffle"} else None


def _random_pair(graph: Any, node_names: Mapping[str, str], stage_id: str) -> tuple[Any, Any]:
    before, behind = find_pair(graph, node_names, stage_id, MAPS | _SHUFFLES, _CACHES)
    if before.op in MAPS:
        require_one_for_one(before)
    if behind.name != node_names.get(stage_id):
        raise TrialError("the stage is no cache")
    return before, behind
