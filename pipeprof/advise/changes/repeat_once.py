"""Lets one iterator serve all epochs: ``.repeat()`` behind the last stage, and a loop that counts its steps.

TensorFlow optimises the graph and starts threads for each new iterator; one that repeats does so once. Behind the last stage,
so that epochs and their elements stay what they were. The loop that counts is the user's own to write.
"""

from __future__ import annotations

from collections.abc import Mapping

from pipeprof.advise import graph as graphs
from pipeprof.advise.changes.base import Params
from pipeprof.advise.replayable import Replayable
from pipeprof.analysis.stage_graph import changed_state
from pipeprof.errors import TrialError
from pipeprof.model.analysis import PipelineView
from pipeprof.model.diagnosis import Safety

REPEAT = "repeat_once"
_WITHOUT_END = -1


class RepeatOnce:
    """``.repeat()`` behind the last stage."""

    kind = REPEAT
    freezes = False

    def title(self, view: PipelineView, stage_id: str, params: Params) -> str:  # noqa: ARG002 - one signature for all kinds
        """Return the cure and its effect."""
        return "Let one iterator serve all epochs: repeat behind the last stage, and count the steps"

    def safety(self, view: PipelineView, stage_id: str, params: Params) -> tuple[Safety, str]:  # noqa: ARG002
        """Return that nothing can change but where an epoch ends, and what it reads of the program between two of them."""
        changed = changed_state(view.stages)
        if changed:
            return Safety.CHANGES_DATA, f"an epoch would begin before {changed} changes for it"
        return Safety.SAFE, "the loop over it no longer ends by itself: an epoch ends where you count its last step"

    def memory_bytes(self, view: PipelineView, stage_id: str, params: Params) -> int | None:  # noqa: ARG002
        """Return 0: nothing is held."""
        return 0

    def rewrite(self, replayable: Replayable, node_names: Mapping[str, str], stage_id: str, params: Params) -> Replayable:  # noqa: ARG002
        """Put an endless repeat behind the last stage.

        Raises:
            TrialError: the pipeline never ends as it is.
        """
        import tensorflow as tf

        if int(replayable.load().cardinality()) == tf.data.INFINITE_CARDINALITY:
            raise TrialError("the pipeline already never ends: one iterator serves all epochs")
        graph = replayable.copy_graph()
        graphs.append_stage(graph, "RepeatDataset", [graphs.add_constant(graph, _WITHOUT_END, tf.int64)])
        return replayable.with_graph(graph)
