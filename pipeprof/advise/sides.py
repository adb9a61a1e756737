"""What a comparison is of, how far it goes, and what came of it: shared by those that compare.

Nothing here reads an element.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeprof.advise.replayable import Replayable
from pipeprof.advise.sampling import limit_records, records_for
from pipeprof.advise.sampling_files import limit_files
from pipeprof.model.profile import ElementsState

FEWEST_BATCHES = 2
UNBATCHED_ELEMENTS = 100_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Equivalence:
    """What became of the elements under a change."""

    state: ElementsState
    elements_compared: int = 0
    epochs_compared: int = 0
    note: str = ""
    also_compared: tuple[str, ...] = ()  # beside the elements, in words
    lacks_time: bool = False  # what is missing was not compared for want of time


@dataclass(frozen=True, kw_only=True, slots=True)
class Leeway:
    """What a change does by its nature, beside leaving the elements as they are."""

    may_reorder: bool = False  # it is one of the order: then parts of epochs say nothing of the elements
    cuts_functions: bool = False  # random ops get other arguments than the element: then all elements draw the same values
    in_one: bool = False  # it makes the pipeline endless: one iterator is then what several of the original's are


@dataclass(frozen=True, slots=True)
class Limits:
    """How far a comparison goes."""

    elements: int
    epochs: int
    deadline_s: float
    leeway: Leeway


@dataclass(frozen=True, slots=True)
class Pair:
    """A pipeline and its changed form."""

    original: Replayable
    changed: Replayable
    is_sampled: bool

    @classmethod
    def of_few(cls, original: Replayable, changed: Replayable, limit: int) -> Pair:
        """Return both with epochs of about so many elements, as they are where that cannot be had."""
        limited = limit_records(original.graph, changed.graph, limit) or limit_files(
            original.graph, changed.graph, records_for(original.graph, limit)
        )
        if limited is None:
            return cls(original, changed, is_sampled=False)
        return cls(original.with_graph(limited[0]), changed.with_graph(limited[1]), is_sampled=True)


def join(*parts: str) -> str:
    """Return notes as one."""
    return "; ".join(part for part in parts if part)
