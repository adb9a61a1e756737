"""Lets parallel calls hand on their elements as they are ready, so that none waits behind a slow one.

``options.deterministic=False`` reaches the parallel stages that say nothing about order themselves: an explicit
``deterministic=True`` stays, and so do maps that TensorFlow made parallel by itself, which it keeps in order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any  # protocol buffers of TensorFlow carry no types

from pipeprof.advise import graph as graphs
from pipeprof.advise.changes.base import Params
from pipeprof.advise.changes.pipeline_options import with_option
from pipeprof.advise.replayable import Replayable
from pipeprof.errors import TrialError
from pipeprof.model.analysis import PipelineView
from pipeprof.model.diagnosis import Safety


class Nondeterministic:
    """``options.deterministic=False``."""

    kind = "nondeterministic"
    freezes = False

    def title(self, view: PipelineView, stage_id: str, params: Params) -> str:  # noqa: ARG002 - one signature for all kinds
        """Return the cure and its effect."""
        return "Hand elements on as they are ready, so that none waits behind a slow one"

    def safety(self, view: PipelineView, stage_id: str, params: Params) -> tuple[Safety, str]:  # noqa: ARG002
        """Return that the order changes."""
        if view.record.global_seed_set:
            return Safety.REORDERS, "the order follows the clock: a seeded run no longer repeats itself"
        return Safety.REORDERS, "the order of the elements follows the clock and is another in each run"

    def memory_bytes(self, view: PipelineView, stage_id: str, params: Params) -> int | None:  # noqa: ARG002
        """Return 0: as many elements are in flight as before."""
        return 0

    def rewrite(self, replayable: Replayable, node_names: Mapping[str, str], stage_id: str, params: Params) -> Replayable:  # noqa: ARG002
        """Put the option behind the last stage.

        Raises:
            TrialError: no stage follows it.
        """
        if not any(node.attr["deterministic"].s == b"default" for node in _with_order(replayable.graph)):
            raise TrialError("no parallel stage follows the option: they have none, or an order of their own")
        return with_option(replayable, self.kind, params)


def _with_order(graph: Any) -> list[Any]:
    return [node for node in graphs.all_nodes(graph) if graphs.is_dataset_op(node.op) and "deterministic" in node.attr]
