"""Why a stage of a running program is left as it is: what it shares with the program, what it draws, what it would hold.

It looks at datasets that were made and runs nothing. Which kinds of change must ask which of these is ``applying``'s to say,
but for what only a kind itself can know.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any  # TensorFlow's datasets carry no types

from pipeprof.advise.live_state import READS_TABLE, live_state
from pipeprof.advise.neutralise import is_random
from pipeprof.advise.settled_tables import reads_settled_tables
from pipeprof.capture.functions import describe_function
from pipeprof.errors import TrialError
from pipeprof.model.plan import PlannedStage

BY_SOURCE = "pipeprof fix changes the source instead"


def refuse_live_state(above: Sequence[Any]) -> None:
    """Refuse a stage whose elements depend on what the program does meanwhile: calls that run ahead would see it too early."""
    for dataset in above:
        reason = live_state(describe_function(dataset))
        if reason and not (reason == READS_TABLE and reads_settled_tables(dataset)):
            raise TrialError(at_another_time(reason))


def at_another_time(reason: str) -> str:
    """Return why a stage with live state is left as it is."""
    return f"{reason}, and would do so at another time than before; {BY_SOURCE}"


def refuse_seeded(dataset: Any) -> None:
    """Refuse a function that draws random numbers where a seed is set: draws would fall on other elements."""
    function = describe_function(dataset)
    draws = function is not None and (function.random_ops or any(is_random(op) for op in function.op_types))
    if draws and function is not None and (function.has_op_seed or is_seed_set()):
        raise TrialError("its random draws are seeded and would fall on other elements")


def is_seed_set() -> bool:
    """Tell whether the program has set TensorFlow's global seed."""
    from tensorflow.python.eager import context

    return context.global_seed() is not None


def refuse_other_size(dataset: Any, stage: PlannedStage) -> None:
    """Refuse a stage that gives more or fewer elements than the one that the change was proven for."""
    from tensorflow.python.ops import gen_dataset_ops

    count = int(gen_dataset_ops.dataset_cardinality(dataset._variant_tensor))
    if count != stage.cardinality:
        raise TrialError(f"it gives {count:,} elements and not {stage.cardinality:,}: the memory it would take is not known")
