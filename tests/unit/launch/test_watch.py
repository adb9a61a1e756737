"""When a trial has gone wrong is decided from planted times, events and sizes."""

from __future__ import annotations

import pytest

from pipeprof.launch.ending import SHUTDOWN_NOTE
from pipeprof.launch.watch import LEAVE_GRACE_S, SHUTDOWN_GRACE_S, Act, Decision, Sight, TrialWatch, running_trial
from pipeprof.model.profile import Change, TrialRecord, TrialState
from pipeprof.store import TrialEvent

RECORD = TrialRecord(id="t1", pipeline_id="p0", stage_id="s0", change=Change(kind="cache"), state=TrialState.NOT_TRIED)
START = TrialEvent(event="start", at_s=0.0, deadline_s=10.0, trial=RECORD)
RESULT = TrialEvent(event="result", at_s=0.0, trial=RECORD)
END = TrialEvent(event="end", at_s=0.0)
DONE = TrialEvent(event="note", at_s=0.0, text=SHUTDOWN_NOTE)


@pytest.fixture
def watch() -> TrialWatch:
    return TrialWatch(memory_limit_bytes=1000, budget_s=100.0)


def decide(watch: TrialWatch, now_s: float, *events: TrialEvent, resident: int | None = 0, in_trials: bool = True) -> Decision:
    return watch.decide(Sight(now_s=now_s, in_trials=in_trials, events=events, resident_bytes=resident))


def test_trial_within_its_deadline_is_left_alone(watch: TrialWatch) -> None:
    decide(watch, 0.0, START)

    assert decide(watch, 11.9, START).act is Act.NOTHING


def test_trial_past_its_deadline_is_left_first_and_killed_later(watch: TrialWatch) -> None:
    decide(watch, 0.0, START)

    assert decide(watch, 12.1, START) == Decision(Act.LEAVE, "hung", RECORD)
    assert decide(watch, 12.2 + LEAVE_GRACE_S - 1, START).act is Act.NOTHING
    assert decide(watch, 12.2 + LEAVE_GRACE_S, START) == Decision(Act.KILL, "hung", RECORD)
    assert decide(watch, 13.0 + LEAVE_GRACE_S, START).act is Act.NOTHING


def test_deadline_counts_from_the_last_start(watch: TrialWatch) -> None:
    decide(watch, 0.0, START)
    decide(watch, 9.0, START, RESULT, START)

    assert decide(watch, 20.9, START, RESULT, START).act is Act.NOTHING
    assert decide(watch, 21.1, START, RESULT, START).act is Act.LEAVE


def test_time_in_which_the_job_was_stopped_does_not_count(watch: TrialWatch) -> None:
    decide(watch, 0.0, START)
    watch.paused(100.0)

    assert decide(watch, 111.9, START).act is Act.NOTHING
    assert decide(watch, 112.1, START).act is Act.LEAVE


def test_trial_that_eats_the_memory_is_killed_at_once(watch: TrialWatch) -> None:
    assert decide(watch, 0.0, START, resident=900).act is Act.NOTHING
    assert decide(watch, 0.5, START, resident=901) == Decision(Act.KILL, "killed: memory", RECORD)


def test_memory_of_the_script_itself_is_its_own_affair(watch: TrialWatch) -> None:
    assert decide(watch, 0.0, resident=999, in_trials=False).act is Act.NOTHING
    assert decide(watch, 0.0, START, RESULT, resident=999).act is Act.NOTHING


def test_silence_between_trials_is_bounded_by_the_budget(watch: TrialWatch) -> None:
    decide(watch, 0.0)

    assert decide(watch, 200.0).act is Act.NOTHING
    assert decide(watch, 200.1) == Decision(Act.LEAVE, "hung", None)


def test_interrupted_trial_gets_a_while_to_end(watch: TrialWatch) -> None:
    decide(watch, 0.0, START)
    watch.interrupted(1.0)

    assert decide(watch, 1.0 + LEAVE_GRACE_S, START).act is Act.NOTHING
    assert decide(watch, 1.1 + LEAVE_GRACE_S, START) == Decision(Act.KILL, "interrupted", RECORD)


def test_handlers_of_the_script_may_take_as_long_as_they_like(watch: TrialWatch) -> None:
    decide(watch, 0.0, START, RESULT, END)

    assert decide(watch, 1e6, START, RESULT, END).act is Act.NOTHING


def test_finalisation_after_the_handlers_is_bounded(watch: TrialWatch) -> None:
    decide(watch, 0.0, END, DONE)

    assert decide(watch, SHUTDOWN_GRACE_S, END, DONE).act is Act.NOTHING
    assert decide(watch, SHUTDOWN_GRACE_S + 0.1, END, DONE) == Decision(Act.KILL, "did not end after the trials")


def test_running_trial_is_the_last_one_without_a_result() -> None:
    assert running_trial(()) is None
    assert running_trial((START,)) == RECORD
    assert running_trial((START, RESULT)) is None
    assert running_trial((START, RESULT, START)) == RECORD
