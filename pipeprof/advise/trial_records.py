"""Trials as the Profile keeps them: what was tried, what became of the elements, what the clock showed.

Only puts together; it must not decide what a trial means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pipeprof.advise.pairing import TrialPlan
from pipeprof.advise.replayable import first_line
from pipeprof.advise.sides import Equivalence
from pipeprof.advise.trial import TrialOutcome
from pipeprof.errors import RanOutError, TrialError
from pipeprof.model.diagnosis import Recommendation
from pipeprof.model.profile import TrialRecord, TrialState


def new_record(item: Recommendation, reason: str, kept: Sequence[str] = ()) -> TrialRecord:
    """Return the record of a change that is not tried, or not yet; ``kept`` are the trials whose changes lie beneath it."""
    foreseen = item.predicted
    return TrialRecord(
        id=item.id,
        pipeline_id=item.pipeline_id or "",
        stage_id=item.stage_id or "",
        change=item.change,
        state=TrialState.NOT_TRIED,
        reason=reason,
        on_top_of=tuple(kept),
        predicted=None if foreseen is None else foreseen.speedup,
        predicted_low=None if foreseen is None else foreseen.low,
        predicted_high=None if foreseen is None else foreseen.high,
    )


def refused(item: Recommendation, reason: str) -> TrialRecord:
    """Return the record of a change that is not tried at all."""
    return new_record(item, reason)


def failed(item: Recommendation, record: TrialRecord, error: Exception) -> TrialRecord:
    """Return the record of a change that was begun and came to no result; one without room for it is worse."""
    if isinstance(error, RanOutError) and error.is_of_change:
        return replace(record, state=TrialState.WORSE, reason=str(error))
    if isinstance(error, RanOutError | MemoryError):  # with more memory it can be tried
        return refused(item, str(error) or type(error).__name__)
    if isinstance(error, TrialError):
        return replace(refused(item, str(error)), impossible=True)
    return refused(item, f"trying it failed: {type(error).__name__}: {first_line(error)}")


def described(record: TrialRecord, same: Equivalence) -> TrialRecord:
    """Add what became of the elements."""
    return replace(
        record,
        elements=same.state,
        elements_compared=same.elements_compared,
        epochs_compared=same.epochs_compared,
        elements_note=same.note,
        also_compared=same.also_compared,
    )


def with_outcome(record: TrialRecord, outcome: TrialOutcome, plan: TrialPlan, held_bytes: int | None = None) -> TrialRecord:
    """Add what the clock showed; the memory is the growth of the process, or what a new cache holds where that is more."""
    memory = None if outcome.memory_bytes is None else max(outcome.memory_bytes, held_bytes or 0)
    return replace(
        record,
        state=outcome.state,
        reason=outcome.reason,
        speedup=outcome.speedup,
        low=outcome.low,
        high=outcome.high,
        pairs=outcome.pairs,
        baseline_step_s=outcome.baseline_step_s,
        candidate_step_s=outcome.candidate_step_s,
        baseline_cpu_s=outcome.baseline_cpu_s,
        candidate_cpu_s=outcome.candidate_cpu_s,
        cpu_ratio=outcome.cpu.value if outcome.cpu else None,
        cpu_low=outcome.cpu.low if outcome.cpu else None,
        cpu_high=outcome.cpu.high if outcome.cpu else None,
        read_bytes=outcome.reads.all_bytes if outcome.reads else None,
        storage_bytes=outcome.reads.storage_bytes if outcome.reads else None,
        noise_low=outcome.noise.low if outcome.noise else None,
        noise_high=outcome.noise.high if outcome.noise else None,
        fill_s=outcome.fill_s,
        memory_bytes=memory,
        epoch_steps=plan.epoch_steps,
    )
