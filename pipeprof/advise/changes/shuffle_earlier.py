"""Shuffles before a map instead of behind it: the buffer holds what the map reads, often far smaller than what it makes.

With the same seed the order stays the same, since a shuffle draws places and does not look at elements. The buffer at the
start of an epoch fills without a call of the map.
"""

from __future__ import annotations

from collections.abc import Mapping

from pipeprof.advise.changes.base import Params, stage_label
from pipeprof.advise.changes.exchange import MAPS, exchange, find_pair, moved_function_safety, require_one_for_one
from pipeprof.advise.replayable import Replayable
from pipeprof.analysis.stage_graph import neighbours
from pipeprof.model.analysis import PipelineView
from pipeprof.model.diagnosis import Safety

_MOVED = frozenset({"ShuffleDataset", "ShuffleDatasetV2", "ShuffleDatasetV3"})


class ShuffleEarlier:
    """A map and the shuffle behind it change places."""

    kind = "shuffle_earlier"
    freezes = False

    def title(self, view: PipelineView, stage_id: str, params: Params) -> str:  # noqa: ARG002 - one signature for all kinds
        """Return the cure and its effect."""
        pair = neighbours(view, stage_id)
        name = "the map" if pair is None else stage_label(pair[0])
        return f"Shuffle before {name}, so that the buffer holds what it reads"

    def safety(self, view: PipelineView, stage_id: str, params: Params) -> tuple[Safety, str]:  # noqa: ARG002
        """Return what calls in another order can change."""
        pair = neighbours(view, stage_id)
        written = None if pair is None else pair[0].written
        function = None if written is None else written.function
        found = moved_function_safety(view, function, "its Python function is called in another order")
        return found or (Safety.SAFE, "")

    def memory_bytes(self, view: PipelineView, stage_id: str, params: Params) -> int | None:  # noqa: ARG002
        """Return 0: the buffer is there already."""
        return 0

    def rewrite(self, replayable: Replayable, node_names: Mapping[str, str], stage_id: str, params: Params) -> Replayable:  # noqa: ARG002
        """Exchange the two nodes.

        Raises:
            TrialError: they do not follow each other directly, or the map is not one for one.
        """
        graph = replayable.copy_graph()
        before, behind = find_pair(graph, node_names, stage_id, MAPS, _MOVED)
        require_one_for_one(before)
        exchange(graph, before, behind)
        return replayable.with_graph(graph)
