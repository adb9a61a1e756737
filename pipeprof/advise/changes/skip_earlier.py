"""Skips, takes or shards before a map instead of behind it, so that nothing is made that is thrown away.

Only a map that gives one element for each one is passed; what comes out stays the same, in the same order.
"""

from __future__ import annotations

from pipeprof.advise.changes.base import Params, stage_label
from pipeprof.advise.changes.exchange import MapExchange
from pipeprof.analysis.stage_graph import neighbours
from pipeprof.model.analysis import PipelineView


class SkipEarlier(MapExchange):
    """A map and the skip, take or shard behind it change places."""

    kind = "skip_earlier"
    moved = frozenset({"SkipDataset", "TakeDataset", "ShardDataset"})
    python = "its Python function is no longer called for what is thrown away"
    otherwise = "an error that it raises for what is thrown away is no longer seen"

    def title(self, view: PipelineView, stage_id: str, params: Params) -> str:  # noqa: ARG002 - one signature for all kinds
        """Return the cure and its effect."""
        pair = neighbours(view, stage_id)
        if pair is None:
            return "Move the stage that throws elements away before the map that makes them"
        return f"Move {pair[1].stage.op} before {stage_label(pair[0])}, which then makes nothing that is thrown away"
