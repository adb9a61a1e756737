"""Whether a stage gives the same elements in every epoch, another order, or other elements.

The one idea: only what repeats exactly may be cached, and what must not repeat may not be. Read from the traced function's
ops and the stage's arguments (``list_files`` and ``sample_from_datasets`` are a shuffle and a random source in the tree).
Nothing here runs anything, and Python code is an assumption that is said, never a proof.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from pipeprof.model.profile import StageFunction, WrittenStage
from pipeprof.rules.python_work import GENERATOR_OPS

CACHE_OPS = frozenset({"cache", "snapshot"})

_REPEATABLE_STATE = (
    "LookupTable", "HashTable", "MutableHashTable", "MutableDenseHashTable", "AnonymousHashTable", "AnonymousMutable",
    "InitializeTable", "Assert", "Print", "If", "While", "Case", "PartitionedCall", "StatefulPartitionedCall", "TensorList",
    "TensorArray", "ReadFile", "MatchingFiles", "DummyMemoryCache", "DummySeedGenerator", "DeleteSeedGenerator",
    "StatelessRandomGetAlg", "ReduceDataset",
)  # fmt: skip
_ASSUMED_STATE = ("ReadVariableOp", "VarHandleOp", "ResourceGather", "VariableV2", "Variable")
_WRITES_STATE = ("Insert", "Assign", "Remove", "Scatter")


class Difference(StrEnum):
    """What differs between two passes over a stage's output."""

    NOTHING = "nothing"
    ORDER = "order"  # the same elements in another order
    RANDOM = "random"  # values drawn anew
    STATE = "state"  # depends on state that the pass may change


@dataclass(frozen=True, kw_only=True, slots=True)
class Freshness:
    """What one stage changes from pass to pass, and on what assumption."""

    change: Difference = Difference.NOTHING
    reason: str = ""  # "draws random numbers (RandomUniform)"
    assumption: str = ""  # what had to be assumed for ``change``


def judge_freshness(written: WrittenStage) -> Freshness:
    """Tell what the stage itself changes from one pass over the data to the next."""
    if written.changed_state:
        return Freshness(change=Difference.STATE, reason=f"reads {written.changed_state}, which changed in the run")
    by_op = _judge_op(written)
    if by_op is not None:
        return by_op
    found = Freshness() if written.function is None else _judge_function(written.function)
    runs_python = written.python is not None or written.op in GENERATOR_OPS
    if runs_python and found.change is Difference.NOTHING and not found.assumption:
        return Freshness(assumption="its Python code is deterministic")
    return found


def reshuffles(written: WrittenStage) -> bool:
    """Tell whether the stage shuffles elements into a new order in every pass."""
    return written.op == "shuffle" and written.arguments.get("reshuffle_each_iteration") is not False


def repeats(written: WrittenStage) -> bool:
    """Tell whether the stage repeats its input, or would."""
    return written.op == "repeat" and written.arguments.get("count") != 1


def _judge_op(written: WrittenStage) -> Freshness | None:
    arguments = written.arguments
    if written.op == "shuffle":
        return Freshness(change=Difference.ORDER, reason="shuffles anew in every epoch") if reshuffles(written) else Freshness()
    if written.op == "random":  # repeats itself in every iteration, seeded or not, unless told otherwise (TensorFlow 2.21)
        is_fresh = bool(arguments.get("rerandomize"))
        return (
            Freshness(change=Difference.RANDOM, reason="yields new random numbers in every epoch") if is_fresh else Freshness()
        )
    return None


def _judge_function(function: StageFunction) -> Freshness:
    if function.random_ops:
        return Freshness(change=Difference.RANDOM, reason=f"draws random numbers ({_list_ops(function.random_ops)})")
    if function.assigns_variables:
        return Freshness(change=Difference.STATE, reason="assigns variables")
    others = [op for op in function.stateful_ops if op not in function.random_ops and op not in function.python_ops]
    changing = [op for op in others if _changes_state(op)]
    if changing:
        return Freshness(change=Difference.STATE, reason=f"keeps state ({_list_ops(changing)})")
    if any("Shuffle" in name for name in function.inner_datasets):
        return Freshness(change=Difference.ORDER, reason="shuffles inside its function")
    if function.python_ops:
        return Freshness(assumption="its Python code is deterministic")
    if any(op.startswith(_ASSUMED_STATE) for op in others):
        return Freshness(assumption="the variables it reads stay as they are")
    return Freshness()


def _changes_state(op: str) -> bool:
    if any(word in op for word in _WRITES_STATE):
        return True
    return not op.startswith((*_REPEATABLE_STATE, *_ASSUMED_STATE)) and not op.endswith(("Dataset", "DatasetV2", "DatasetV3"))


def _list_ops(names: Sequence[str], limit: int = 3) -> str:
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
