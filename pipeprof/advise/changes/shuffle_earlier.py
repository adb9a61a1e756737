"""Shuffles before a map instead of behind it: the buffer holds what the map reads, often far smaller than what it makes.

With the same seed the order stays the same, since a shuffle draws places and does not look at elements. The buffer at the
start of an epoch fills without a call of the map.
"""

from __future__ import annotations

from pipeprof.advise.changes.base import Params, stage_label
from pipeprof.advise.changes.exchange import MapExchange
from pipeprof.analysis.stage_graph import neighbours
from pipeprof.model.analysis import PipelineView


class ShuffleEarlier(MapExchange):
    """A map and the shuffle behind it change places."""

    kind = "shuffle_earlier"
    moved = frozenset({"ShuffleDataset", "ShuffleDatasetV2", "ShuffleDatasetV3"})
    python = "its Python function is called in another order"

    def title(self, view: PipelineView, stage_id: str, params: Params) -> str:  # noqa: ARG002 - one signature for all kinds
        """Return the cure and its effect."""
        pair = neighbours(view, stage_id)
        name = "the map" if pair is None else stage_label(pair[0])
        return f"Shuffle before {name}, so that the buffer holds what it reads"
