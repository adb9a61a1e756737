"""Gives the pipeline a thread pool of its own size.

A blocking function (storage, network, Python that waits) is capped by TensorFlow's pool of one thread per core, whatever
``num_parallel_calls`` says. Elements cannot change.
"""

from __future__ import annotations

from collections.abc import Mapping

from pipeprof.advise.changes.base import Params
from pipeprof.advise.changes.pipeline_options import POOL, with_option
from pipeprof.advise.replayable import Replayable
from pipeprof.model.analysis import PipelineView
from pipeprof.model.diagnosis import Safety


class ThreadPool:
    """``options.threading.private_threadpool_size``."""

    kind = "thread_pool"
    freezes = False

    def title(self, view: PipelineView, stage_id: str, params: Params) -> str:  # noqa: ARG002 - one signature for all kinds
        """Return the cure and its effect."""
        return f"Give the pipeline {params.get(POOL)} threads of its own, so that waiting calls overlap"

    def safety(self, view: PipelineView, stage_id: str, params: Params) -> tuple[Safety, str]:  # noqa: ARG002
        """Return that nothing can change."""
        return Safety.SAFE, ""

    def memory_bytes(self, view: PipelineView, stage_id: str, params: Params) -> int | None:  # noqa: ARG002
        """Return 0: threads hold no elements of their own."""
        return 0

    def rewrite(self, replayable: Replayable, node_names: Mapping[str, str], stage_id: str, params: Params) -> Replayable:  # noqa: ARG002
        """Put the option behind the last stage, where it wins over options set before and leaves the others.

        Raises:
            TrialError: the size is no positive number.
        """
        return with_option(replayable, self.kind, params)
