"""Skips, takes or shards before a map instead of behind it, so that nothing is made that is thrown away.

Only a map that gives one element for each one is passed; what comes out stays the same, in the same order.
"""

from __future__ import annotations

from collections.abc import Mapping

from pipeprof.advise.changes.base import Params, stage_label
from pipeprof.advise.changes.exchange import MAPS, exchange, find_pair, moved_function_safety, require_one_for_one
from pipeprof.advise.replayable import Replayable
from pipeprof.analysis.stage_graph import neighbours
from pipeprof.model.analysis import PipelineView
from pipeprof.model.diagnosis import Safety

_MOVED = frozenset({"SkipDataset", "TakeDataset", "ShardDataset"})


class SkipEarlier:
    """A map and the skip, take or shard behind it change places."""

    kind = "skip_earlier"
    freezes = False

    def title(self, view: PipelineView, stage_id: str, params: Params) -> str:  # noqa: ARG002 - one signature for all kinds
        """Return the cure and its effect."""
        pair = neighbours(view, stage_id)
        if pair is None:
            return "Move the stage that throws elements away before the map that makes them"
        return f"Move {pair[1].stage.op} before {stage_label(pair[0])}, which then makes nothing that is thrown away"

    def safety(self, view: PipelineView, stage_id: str, params: Params) -> tuple[Safety, str]:  # noqa: ARG002
        """Return what fewer calls of the function can change."""
        pair = neighbours(view, stage_id)
        written = None if pair is None else pair[0].written
        function = None if written is None else written.function
        found = moved_function_safety(view, function, "its Python function is no longer called for what is thrown away")
        return found or (Safety.SAFE, "an error that it raises for what is thrown away is no longer seen")

    def memory_bytes(self, view: PipelineView, stage_id: str, params: Params) -> int | None:  # noqa: ARG002
        """Return 0: nothing is held."""
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
