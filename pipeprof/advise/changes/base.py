"""What every kind of change has in common.

A kind knows how it is named to the user, what it can do to the program, what it costs in memory, and how to rewrite a
serialised pipeline. Its source edit lives elsewhere; a kind never touches the user's dataset or file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from pipeprof.advise import graph as graphs
from pipeprof.advise.replayable import Replayable
from pipeprof.errors import TrialError
from pipeprof.model.analysis import PipelineView, StageView
from pipeprof.model.diagnosis import Safety

AUTOTUNE = -1
Params = Mapping[str, str | int | float | bool | None]


class ChangeKind(Protocol):
    """One kind of change of a pipeline."""

    kind: str
    freezes: bool  # it keeps what its stage gives at the first epoch for all later ones

    def title(self, view: PipelineView, stage_id: str, params: Params) -> str:
        """Return what to do, and what for, as an imperative."""

    def safety(self, view: PipelineView, stage_id: str, params: Params) -> tuple[Safety, str]:
        """Return what the change can do to the program, and the sentence that says so ("" where it is nothing)."""

    def memory_bytes(self, view: PipelineView, stage_id: str, params: Params) -> int | None:
        """Return the memory it takes in bytes, None where that is not known."""

    def rewrite(self, replayable: Replayable, node_names: Mapping[str, str], stage_id: str, params: Params) -> Replayable:
        """Return the changed pipeline.

        Raises:
            TrialError: with the reason why it cannot be changed so.
        """


def stage_label(stage: StageView) -> str:
    """Return how a stage is named to the user: ``map(decode)``."""
    function = stage.written.function if stage.written is not None else None
    name = function.name.rsplit(".", 1)[-1] if function is not None else ""
    return f"{stage.stage.op}({name})" if name and name != "<lambda>" else stage.stage.op


def find_node(graph: Any, node_names: Mapping[str, str], stage_id: str) -> Any:  # Any: GraphDef, NodeDef
    """Return the node of a stage.

    Raises:
        TrialError: it has none that is beyond doubt.
    """
    node = graphs.nodes_by_name(graph).get(node_names.get(stage_id, ""))
    if node is None:
        raise TrialError("the stage has no node of its own in TensorFlow's graph")
    return node


def integer(params: Params, name: str) -> int:
    """Return a whole-number parameter.

    Raises:
        TrialError: it is missing or no whole number.
    """
    value = params.get(name)
    if isinstance(value, bool) or not isinstance(value, int):
        raise TrialError(f"the change needs a whole number for {name}")
    return value
