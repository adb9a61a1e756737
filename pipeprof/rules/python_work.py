"""Python code inside a pipeline: whether a stage runs any, and whether that code computes or waits.

The one idea: a Python function whose thread's CPU time fills its wall time computes, and computing Python holds the
interpreter lock unless its CPU time exceeds one core. TensorFlow's own counters cannot tell this; nothing here uses them.
"""

from __future__ import annotations

from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.profile import PythonCalls

GENERATOR_OPS = frozenset({"from_generator"})

COMPUTES_SHARE = 0.5  # CPU of the wall time; between waiting (0.04) and computing (0.8-0.95) Python
_HOLDS = 0.8  # of the time computed in Python
_RELEASES = 0.5
_VISIBLE_S = 0.002  # CPU of a call; the samples miss holds of less than half a millisecond


def runs_python(view: StageView) -> bool:
    """Tell whether the stage calls Python code for its elements."""
    written = view.written
    if written is None:
        return False
    has_ops = written.function is not None and bool(written.function.python_ops)
    return written.python is not None or has_ops or written.op in GENERATOR_OPS


def find_python_calls(view: StageView) -> PythonCalls | None:
    """Return the stage's Python calls where they were timed and any were made."""
    calls = view.written.python if view.written is not None else None
    return calls if calls is not None and calls.calls > 0 and calls.wall_s > 0 else None


def python_cpu_share(view: StageView) -> float | None:
    """Return the share of the Python functions' wall time that was CPU time; None where they were not timed."""
    calls = find_python_calls(view)
    return None if calls is None else calls.cpu_s / calls.wall_s


def computes_in_python(view: StageView) -> bool | None:
    """Tell whether the stage's Python code computes (True) or waits (False); None where that is not known."""
    share = python_cpu_share(view)
    return None if share is None else share >= COMPUTES_SHARE


def waits_in_python(view: StageView, pipeline: PipelineView, cpu_share: float = COMPUTES_SHARE, of_stage: float = 0.5) -> bool:
    """Tell whether the stage's time is mostly Python code that waits.

    Args:
        view: the stage.
        pipeline: what it is part of.
        cpu_share: Python code with less CPU for its wall time waits.
        of_stage: share of the stage's busy time that the Python code must take.
    """
    calls, share, steps = find_python_calls(view), python_cpu_share(view), pipeline.record.loop.elements
    if calls is None or share is None or share >= cpu_share or steps <= 0 or not view.busy_s_per_step:
        return False
    return calls.wall_s / steps >= of_stage * view.busy_s_per_step


def holds_the_lock(view: StageView, analysis: Analysis) -> bool | None:
    """Tell whether the stage's Python code was seen to hold the interpreter's lock while it computed.

    The lock is held for most of the time in which the code computes (True), or for clearly less (False: it releases the lock);
    None where that was not sampled, lies between, or each call is too short for the samples to see it.
    """
    calls, share = find_python_calls(view), analysis.resources.lock_held_share
    if calls is None or share is None or analysis.train is None:
        return None
    cores = python_cores(view, analysis.train) or 0.0
    if share >= _HOLDS * min(cores, 1.0):
        return True
    is_visible = calls.cpu_s / calls.calls >= _VISIBLE_S
    return False if is_visible and share < _RELEASES * cores else None


def python_cores(view: StageView, pipeline: PipelineView) -> float | None:
    """Return how many cores the stage's Python code kept busy on average while the pipeline was consumed."""
    calls = find_python_calls(view)
    wall_s = pipeline.record.loop.wall_s
    return None if calls is None or wall_s <= 0 else calls.cpu_s / wall_s
