"""Why TensorFlow runs a map one call at a time, and what to write instead.

The one idea: the executed graph says that it is sequential, the traced function and the arguments say why. Nothing here
measures, and nothing is said of a map that runs in parallel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeprof.model.analysis import StageView
from pipeprof.model.profile import ExecutedStage, StageFunction, WrittenStage

INSIDE = "inside"
_RUNS_IN_PARALLEL = frozenset({"random", "python", "lookup-table", "variables"})  # where it is asked to
_NESTING_OPS = frozenset({"interleave", "flat_map"})
_TABLE_OPS = ("LookupTable", "HashTable", "MutableHashTable", "AnonymousHashTable", "MutableDenseHashTable")
_VARIABLE_OPS = ("ReadVariableOp", "VarHandleOp", "ResourceGather", "AssignVariableOp")
_PARALLEL = "Run its calls in parallel: num_parallel_calls=tf.data.AUTOTUNE."
_PARALLEL_INSIDE = "Run the calls of the map inside it in parallel, which keeps the order: num_parallel_calls=tf.data.AUTOTUNE."
_STATELESS = "Its generator keeps its state in a variable: draw with tf.random.stateless_* operations, in a map of their own."


@dataclass(frozen=True, kw_only=True, slots=True)
class SequentialCause:
    """One reason, as text and as a word for machines."""

    # fixed-at-one, synchronous, nested, inside, random, assigns-variables, variables, python, lookup-table, stateful, options
    kind: str
    reason: str
    remedy: str = _PARALLEL


def sequential_map_share(view: StageView) -> float:
    """Return the share of the stage's busy time that is spent in a sequential map: 0 for any other stage.

    A map that AUTOTUNE may run in parallel, and runs one call at a time for now, is none.
    """
    if not view.executed or not view.is_sequential or view.is_parallel_by_autotune or view.written is None:
        return 0.0
    if view.written.op == "map":
        return 1.0
    if view.written.op not in _NESTING_OPS:
        return 0.0
    inner_s = sum(node.busy_s for node in view.executed if _is_sequential_map(node))
    total_s = sum(node.busy_s for node in view.executed)
    return inner_s / total_s if total_s > 0 else 0.0


def would_be_parallel(view: StageView) -> bool:
    """Tell whether TensorFlow would make this sequential map parallel, were it not for the dataset's options."""
    is_map = view.written is not None and view.written.op == "map" and view.written.function is not None
    return is_map and sequential_map_share(view) > 0 and find_sequential_cause(view).kind == "options"


def find_sequential_cause(view: StageView) -> SequentialCause:
    """Return why the stage's map is sequential; the first cause in the order in which TensorFlow's rules apply."""
    written = view.written
    if written is not None and written.op in _NESTING_OPS:
        by_inner = _find_inside(written)
        if by_inner is not None:
            return by_inner
        return SequentialCause(
            kind="nested",
            reason=f"it stands inside {written.op}, which reads one input at a time",
            remedy=f"Give {written.op} cycle_length and num_parallel_calls=tf.data.AUTOTUNE, or move the map behind it."
            if written.op == "interleave"
            else "Use interleave with num_parallel_calls=tf.data.AUTOTUNE in place of flat_map, or move the map behind it.",
        )
    by_argument = None if written is None else _find_in_arguments(written)
    if by_argument is not None:
        return by_argument
    function = None if written is None else written.function
    by_function = None if function is None else _find_in_function(function)
    return by_function or SequentialCause(kind="options", reason="the dataset's options or TensorFlow's optimizer left it so")


def _find_inside(written: WrittenStage) -> SequentialCause | None:
    """Return why the map inside a stage that reads one input at a time is sequential, where its own calls could be parallel."""
    function, reads_one = written.function, written.op == "flat_map" or written.arguments.get("cycle_length") == 1
    cause = None if function is None or function.inner_map is None or not reads_one else _find_in_function(function)
    if cause is None or cause.kind not in _RUNS_IN_PARALLEL or cause.remedy != _PARALLEL:
        return None
    reason = f"it stands inside {written.op}, which reads one input at a time, and {cause.reason}"
    return SequentialCause(kind=INSIDE, reason=reason, remedy=_PARALLEL_INSIDE)


def _is_sequential_map(node: ExecutedStage) -> bool:
    return node.node == "Map" and node.parallelism is None


def _find_in_arguments(written: WrittenStage) -> SequentialCause | None:
    calls = written.arguments.get("num_parallel_calls")
    if calls is not None and calls == 1:
        return SequentialCause(
            kind="fixed-at-one",
            reason="num_parallel_calls=1 says so",
            remedy="Let AUTOTUNE choose: num_parallel_calls=tf.data.AUTOTUNE.",
        )
    if written.arguments.get("force_synchronous"):
        return SequentialCause(kind="synchronous", reason="synchronous=True says so", remedy="Leave synchronous=True out.")
    return None


def _find_in_function(function: StageFunction) -> SequentialCause | None:
    if function.random_ops:
        text = f"it draws random numbers ({_list_ops(function.random_ops)})"
        remedy = _STATELESS if function.assigns_variables else _PARALLEL
        return SequentialCause(kind="random", reason=text, remedy=remedy)
    if function.assigns_variables:
        return SequentialCause(
            kind="assigns-variables",
            reason="it assigns variables",
            remedy="Parallel calls would race: move the state out of the function first.",
        )
    if function.python_ops:
        return SequentialCause(kind="python", reason=f"it calls Python ({_list_ops(function.python_ops)})")
    tables = [op for op in function.stateful_ops if op.startswith(_TABLE_OPS)]
    if tables:
        return SequentialCause(kind="lookup-table", reason=f"it reads a lookup table ({_list_ops(tables)})")
    variables = [op for op in function.stateful_ops if op.startswith(_VARIABLE_OPS)]
    if variables:
        return SequentialCause(kind="variables", reason=f"it reads variables ({_list_ops(variables)})")
    if function.stateful_ops:
        return SequentialCause(kind="stateful", reason=f"it uses stateful operations ({_list_ops(function.stateful_ops)})")
    return None


def _list_ops(names: Sequence[str], limit: int = 3) -> str:
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
