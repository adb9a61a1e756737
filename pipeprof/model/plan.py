"""What ``pipeprof run --apply`` hands to the script's process: the confirmed changes of an earlier run.

Each change names the stage it was proven for by everything above that stage, so that it is found again in a new process.
Nothing here decides whether a change is safe.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeprof.model.profile import CallSite, Change

Range = tuple[str, int, int, int, int]  # file, line, column, end line, end column


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedStage:
    """One stage as the earlier run had it."""

    class_name: str  # TensorFlow's Python class
    site: Range | None
    inputs: tuple[int, ...] = ()  # positions in the tree
    cardinality: int = -2


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedChange:
    """One change, and the stages it was proven for: trees of which it changes the last stage, sources first."""

    id: str
    phrase: str  # what it does, and where
    change: Change
    trees: tuple[tuple[PlannedStage, ...], ...]
    draws_behind: bool = False  # whether it reorders elements for a stage that draws at random


def applied_phrase(title: str, site: CallSite | None) -> str:
    """Return how an applied change is named, in the run that it was proven in and in the one that has it."""
    return f"{title} ({f'{Path(site.file).name}:{site.shown_line}' if site is not None else 'a line that is not known'})"


@dataclass(frozen=True, kw_only=True, slots=True)
class ApplyPlan:
    """The changes to apply."""

    run_id: str
    changes: tuple[PlannedChange, ...]
    left: tuple[str, ...] = ()  # what was confirmed and cannot be applied to a running program, a sentence each


def site_range(site: CallSite | None) -> Range | None:
    """Return a call site without its text."""
    return None if site is None else (site.file, site.line, site.column, site.end_line, site.end_column)
