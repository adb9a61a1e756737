"""Gives AUTOTUNE's buffers less memory than the half of the machine's that they may take by themselves.

TensorFlow reads the machine's memory, not the container's limit. Elements cannot change; the speed may go down.
"""

from __future__ import annotations

from collections.abc import Mapping

from pipeprof import units
from pipeprof.advise.changes.base import Params
from pipeprof.advise.changes.pipeline_options import BUDGET, with_option
from pipeprof.advise.replayable import Replayable
from pipeprof.model.analysis import PipelineView
from pipeprof.model.diagnosis import Safety


class LimitMemory:
    """``options.autotune.ram_budget``, in bytes."""

    kind = "limit_memory"
    freezes = False

    def title(self, view: PipelineView, stage_id: str, params: Params) -> str:  # noqa: ARG002 - one signature for all kinds
        """Return the cure and its effect."""
        budget = params.get(BUDGET)
        most = f" to {units.byte_count(budget)}" if isinstance(budget, int) else ""
        return f"Limit the memory of AUTOTUNE's buffers{most}, so that the process stays within its own"

    def safety(self, view: PipelineView, stage_id: str, params: Params) -> tuple[Safety, str]:  # noqa: ARG002
        """Return that elements stay."""
        return Safety.SAFE, ""

    def memory_bytes(self, view: PipelineView, stage_id: str, params: Params) -> int | None:  # noqa: ARG002
        """Return 0: it takes none, it gives some back."""
        return 0

    def rewrite(self, replayable: Replayable, node_names: Mapping[str, str], stage_id: str, params: Params) -> Replayable:  # noqa: ARG002
        """Put the option behind the last stage.

        Raises:
            TrialError: the budget is no positive number of bytes.
        """
        return with_option(replayable, self.kind, params)
