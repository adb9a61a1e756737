"""The steps in numbers: how long they, their waits and the loop's own time are, and what happens at the edges of epochs.

One idea: a wait says how long the loop stood still for an element, readiness how long an element lay still for the loop; a
healthy input has the second and not the first. Pure, and nothing here lays out.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeprof import units
from pipeprof.model.diagnosis import Steps

_WORTH_TELLING_S = 0.001


@dataclass(frozen=True, kw_only=True, slots=True)
class StepRow:
    """Quantiles of one duration."""

    name: str
    middle: str
    most: str  # 95 % are shorter
    nearly_all: str  # 99 % are shorter


def step_rows(steps: Steps) -> tuple[StepRow, ...]:
    """Return a row for each duration that was measured."""
    named = (("whole step", steps.step), ("waiting for an element", steps.wait), ("the loop's own time", steps.own))
    return tuple(
        StepRow(
            name=name,
            middle=units.duration(value.p50_s),
            most=units.duration(value.p95_s),
            nearly_all=units.duration(value.p99_s),
        )
        for name, value in named
        if value is not None
    )


def step_notes(steps: Steps) -> str:
    """Say what happens at the edges of epochs, and how long elements lie ready."""
    parts = []
    if steps.creation_s is not None:
        parts.append(f"Making an iterator takes {units.duration(steps.creation_s)}")
    if steps.teardown_s is not None and steps.teardown_s >= _WORTH_TELLING_S:
        parts.append(f"taking one down at the end of an epoch {units.duration(steps.teardown_s)}")
    if steps.epoch_first_wait_s is not None:
        first = units.duration(steps.epoch_first_wait_s)
        parts.append(f"the first element of a later epoch is waited for {first}, in which caches are read and buffers fill")
    if steps.ready_s is not None:
        parts.append(f"an element lies ready in the last buffer for {units.duration(steps.ready_s)} on average")
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}." if text else ""
