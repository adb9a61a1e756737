"""What was seen of the elements themselves: stages read again after the script, and compared by hashes.

A graph says what could go wrong with randomness; only the elements say whether it does. A rule orders a look, a replay of the
user's pipeline takes it, and the rule judges what is kept of it here. Nothing here runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class LookKind(StrEnum):
    """What is read; ``same`` and ``control`` are the shares of an ElementLook."""

    PASSES = "two passes"  # same: of the second pass's elements, those that the first gave too
    PARTS = "two parts of a split"  # same: of the smaller part's elements, those of the other; control: unshuffled
    REPEATS = "one pass of a repeat"  # same: of as many elements as one pass has, those that came twice; control: of the pass
    BATCH = "a batch of one element"  # same: rows equal to their batch's first; control: rows that the next batch gives again
    LOADS = "two loads"  # same: of the elements, those that both give in one place; control: one call at a time


@dataclass(frozen=True, kw_only=True, slots=True)
class LookOrder:
    """What a rule would have to see: one kind of look at one stage."""

    kind: LookKind
    pipeline_id: str
    stage_id: str
    other_pipeline_id: str = ""  # PARTS: of the other part
    other_stage_id: str = ""  # PARTS: the other part; BATCH: the batch; REPEATS: the repeat
    one_iterator: bool = False  # PASSES: both by one iterator that repeats, and not by a new one for the second
    elements: int = 64  # of each pass, at most


@dataclass(frozen=True, kw_only=True, slots=True)
class ElementLook:
    """What one look showed; a share is None where it could not be had."""

    order: LookOrder
    elements: int = 0  # of the shortest pass that was read
    whole: bool = False  # every pass was read to its end
    same: float | None = None
    control: float | None = None
    same_order: bool | None = None  # PASSES: the same elements in the same places
    order_kept: float | None = None  # PASSES: Spearman's rank correlation of the places of what both passes gave
    note: str = ""  # why nothing could be seen
