"""What memory there is for a pipeline, and what its buffers hold of it.

The one idea: a buffer costs its elements' bytes and TensorFlow's own for each tensor; what is left for it is the limit less
what the process holds beside it. Nothing here judges.
"""

from __future__ import annotations

from pipeprof.model.analysis import Analysis, StageView

TENSOR_OVERHEAD_BYTES = 185.0  # of TensorFlow's own for each tensor that is kept: 170-200 were measured


def memory_limit(analysis: Analysis) -> float | None:
    """Return the bytes that the process may use: the container's limit where it is below the machine's memory."""
    host = analysis.profile.run.host
    known = [size for size in (host.memory_bytes, host.memory_limit_bytes) if size is not None]
    return float(min(known)) if known else None


def held_elements(view: StageView) -> float:
    """Return the most elements that were seen in the stage's buffer."""
    return max((node.buffered_elements_max or 0.0 for node in view.executed), default=0.0)


def held_bytes(view: StageView) -> float:
    """Return the most bytes that were seen in the stage's buffer, TensorFlow's own for each tensor included."""
    payload = max((node.buffered_bytes_max or 0.0 for node in view.executed), default=0.0)
    return payload + held_elements(view) * tensors_of(view) * TENSOR_OVERHEAD_BYTES


def tensors_of(view: StageView) -> int:
    """Return the tensors of one element, 1 where that is not known."""
    return (view.written.element_tensors if view.written is not None else None) or 1
