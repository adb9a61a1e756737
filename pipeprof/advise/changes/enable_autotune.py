"""Turns AUTOTUNE on again where the options have turned it off.

Then TensorFlow sizes the parallel calls and buffers that are left to it, and puts a prefetch at the end by itself.
"""

from __future__ import annotations

from collections.abc import Mapping

from pipeprof.advise.changes.base import Params
from pipeprof.advise.changes.pipeline_options import with_option
from pipeprof.advise.replayable import Replayable
from pipeprof.model.analysis import PipelineView
from pipeprof.model.diagnosis import Safety


class EnableAutotune:
    """``options.autotune.enabled=True``."""

    kind = "enable_autotune"
    freezes = False

    def title(self, view: PipelineView, stage_id: str, params: Params) -> str:  # noqa: ARG002 - one signature for all kinds
        """Return the cure and its effect."""
        return "Turn AUTOTUNE on, so that TensorFlow sizes parallel calls and buffers"

    def safety(self, view: PipelineView, stage_id: str, params: Params) -> tuple[Safety, str]:  # noqa: ARG002
        """Return that elements stay."""
        return Safety.SAFE, ""

    def memory_bytes(self, view: PipelineView, stage_id: str, params: Params) -> int | None:  # noqa: ARG002
        """Return None: AUTOTUNE chooses how many elements wait."""
        return None

    def rewrite(self, replayable: Replayable, node_names: Mapping[str, str], stage_id: str, params: Params) -> Replayable:  # noqa: ARG002
        """Put the option behind the last stage."""
        return with_option(replayable, self.kind, params)
