"""Decodes only what a crop keeps: ``decode_jpeg`` and the crop behind it become ``decode_and_crop_jpeg``, pixels unchanged.

How the function is edited, and why its pixels stay, is ``function_crop``'s.
"""

from __future__ import annotations

from collections.abc import Mapping

from pipeprof.advise import graph as graphs
from pipeprof.advise.changes.base import Params, find_node, stage_label
from pipeprof.advise.changes.exchange import MAPS
from pipeprof.advise.function_crop import fuse_crop
from pipeprof.advise.function_split import is_second_part
from pipeprof.advise.replayable import Replayable
from pipeprof.errors import TrialError
from pipeprof.model.analysis import PipelineView
from pipeprof.model.diagnosis import Safety

FUSE = "fuse_decode_crop"


class FuseDecodeCrop:
    """A map's function decodes the window that it crops."""

    kind = FUSE
    freezes = False

    def title(self, view: PipelineView, stage_id: str, params: Params) -> str:  # noqa: ARG002 - one signature for all kinds
        """Return the cure and its effect."""
        return f"Decode in {stage_label(view.stage(stage_id))} only the pixels that its crop keeps"

    def safety(self, view: PipelineView, stage_id: str, params: Params) -> tuple[Safety, str]:  # noqa: ARG002
        """Return that pixels stay, and what becomes of files that are not what they should be."""
        return Safety.SAFE, "a file that is no JPEG fails, and one that is cut off below its crop no longer does"

    def memory_bytes(self, view: PipelineView, stage_id: str, params: Params) -> int | None:  # noqa: ARG002
        """Return 0: less is held, and only while a picture is decoded."""
        return 0

    def rewrite(self, replayable: Replayable, node_names: Mapping[str, str], stage_id: str, params: Params) -> Replayable:  # noqa: ARG002
        """Edit the map's function.

        Raises:
            TrialError: it does not decode a JPEG only to crop it.
        """
        graph = replayable.copy_graph()
        node = find_node(graph, node_names, stage_id)
        if node.op not in MAPS:
            raise TrialError("the stage is no map")
        name = node.attr["f"].func.name
        if is_second_part(name):
            raise TrialError("a change that was confirmed before it keeps the decoded pictures")
        fuse_crop(next(function for function in graph.library.function if function.signature.name == name))
        graphs.rename_edited(graph, {name})
        return replayable.with_graph(graph)
