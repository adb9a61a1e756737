"""Keeps elements narrow as far as the batch: the casts at the end of a map move behind what buffers and copies its elements.

Casts and constants applied to them are elementwise, so that they mean the same on a batch. The graph is edited as far as the
function goes; how it is cut is ``function_split``'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any  # protocol buffers of TensorFlow carry no types

from pipeprof.advise import graph as graphs
from pipeprof.advise.changes.base import Params, find_node, stage_label
from pipeprof.advise.changes.exchange import MAPS
from pipeprof.advise.function_split import Parts, split_map_node
from pipeprof.advise.replayable import Replayable
from pipeprof.analysis.stage_graph import consumer_of
from pipeprof.errors import TrialError
from pipeprof.model.analysis import PipelineView, StageView
from pipeprof.model.diagnosis import Safety

CAST = "cast_later"
_BATCHES = ("BatchDataset", "ParallelBatchDataset")
_HOLDING = ("ShuffleDataset", "CacheDataset", *_BATCHES)
_PASSING = ("TakeDataset", "SkipDataset", "ShardDataset", "RepeatDataset", "PrefetchDataset", "OptionsDataset")
_HOLDING_CALLS = frozenset({"shuffle", "cache", "batch"})
_PASSING_CALLS = frozenset({"take", "skip", "shard", "repeat", "prefetch", "with_options"})


class CastLater:
    """The end of a map's function becomes a map of its own, behind the batch."""

    kind = CAST
    freezes = False

    def title(self, view: PipelineView, stage_id: str, params: Params) -> str:  # noqa: ARG002 - one signature for all kinds
        """Return the cure and its effect."""
        return f"Cast what {stage_label(view.stage(stage_id))} gives behind the batch, and keep it narrow until then"

    def safety(self, view: PipelineView, stage_id: str, params: Params) -> tuple[Safety, str]:  # noqa: ARG002
        """Return that elements stay."""
        return Safety.SAFE, ""

    def memory_bytes(self, view: PipelineView, stage_id: str, params: Params) -> int | None:  # noqa: ARG002
        """Return 0: less is held."""
        return 0

    def rewrite(self, replayable: Replayable, node_names: Mapping[str, str], stage_id: str, params: Params) -> Replayable:  # noqa: ARG002
        """Cut the casts off the map, and put them behind the last of the stages that hold its elements.

        Raises:
            TrialError: no result is a cast, or nothing behind the map holds elements.
        """
        graph = replayable.copy_graph()
        node = find_node(graph, node_names, stage_id)
        if node.op not in MAPS:
            raise TrialError("the stage is no map")
        behind = list(_behind(graph, node))
        if not behind:
            raise TrialError("nothing that holds or copies elements stands directly behind the map")
        parts = split_map_node(graph, node, at_draws=False)
        _cast_behind(graph, node, behind[-1], parts)
        node.attr["f"].func.name = parts.first
        for held in (node, *behind):
            graphs.set_element_types(held, parts.types)
        return replayable.with_graph(graph)


def last_holder(view: PipelineView, stage_id: str) -> StageView | None:
    """Return the stage behind which the casts of a map go, as ``rewrite`` finds it in the graph; None where there is none."""
    found, reader = None, consumer_of(view, stage_id)
    while reader is not None and reader.stage.op in _HOLDING_CALLS | _PASSING_CALLS:
        found = reader if reader.stage.op in _HOLDING_CALLS else found
        if reader.stage.op == "batch":
            break
        reader = consumer_of(view, reader.id)
    return found


def _behind(graph: Any, node: Any) -> Iterator[Any]:
    """Yield the stages behind a map up to the last that holds elements: a batch, or else a shuffle or a cache."""
    found: list[Any] = []
    last = 0
    while True:
        readers = graphs.consumers(graph, node.name)
        if len(readers) != 1 or not readers[0].op.startswith((*_HOLDING, *_PASSING)):
            break
        node = readers[0]
        found.append(node)
        if node.op.startswith(_HOLDING):
            last = len(found)
        if node.op.startswith(_BATCHES):
            break
    yield from found[:last]


def _cast_behind(graph: Any, node: Any, last: Any, parts: Parts) -> None:
    """Add a map of the second part behind ``last``, whose elements it makes as they were."""
    cast = graphs.add_copy(graph, node)
    graphs.copy_element_types(graph, last.name, cast)
    cast.attr["f"].func.name = parts.second
    graphs.redirect(graph, last.name, cast.name, keep=[cast.name])
    cast.input[0] = last.name
