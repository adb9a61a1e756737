"""What a function sees or does of the program around it: such a stage cannot be made at another time than before.

From what was recorded of the function; nothing is run.
"""

from __future__ import annotations

from pipeprof.analysis.stage_graph import upstream
from pipeprof.capture.functions import READS_STATE
from pipeprof.model.analysis import PipelineView
from pipeprof.model.profile import StageFunction

READS_TABLE = "a stage reads a lookup table, which the program may change"


def live_state(function: StageFunction | None) -> str:
    """Return what a stage shares with the program, "" where that is nothing."""
    if function is None:
        return ""
    if function.python_ops or "GeneratorDataset" in function.inner_datasets:
        return "a stage calls Python"
    if function.assigns_variables:
        return "a stage assigns a variable"
    if any(op in READS_STATE for op in function.op_types):
        return "a stage reads a variable"
    if any(op.startswith("LookupTable") for op in function.op_types):
        return READS_TABLE
    return ""


def live_state_above(view: PipelineView, stage_id: str) -> str:
    """Return what the stages above one, and it itself, share with the program, "" where that is nothing."""
    written = (item.written for item in upstream(view, stage_id))
    return next((text for item in written if item is not None and (text := live_state(item.function))), "")
