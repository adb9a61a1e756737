"""Decides when a trial has gone wrong: it hangs, it eats the memory, or the process does not end after it.

Pure: the supervisor tells what it sees (the time, the events, the resident memory) and does what is decided. A trial that
hangs is first left politely, so that the script's own atexit handlers still run; memory does not wait. Nothing is ever
decided against the script itself: neither while it runs, nor while its threads and atexit handlers do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from pipeprof.launch.ending import SHUTDOWN_NOTE
from pipeprof.model.profile import TrialRecord
from pipeprof.store import TrialEvent

DEADLINE_GRACE_S = 2.0
LEAVE_GRACE_S = 10.0  # between asking to leave the trials and killing
SHUTDOWN_GRACE_S = 30.0  # for the interpreter's finalisation after trials, when the last atexit handler is done
MEMORY_SHARE = 0.9
_SHORTEST_SILENCE_S = 120.0


class Act(Enum):
    """What to do with the process."""

    NOTHING = "nothing"
    LEAVE = "leave"  # ask it to leave the trials
    KILL = "kill"


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, why, and to which trial it happened."""

    act: Act = Act.NOTHING
    reason: str = ""
    trial: TrialRecord | None = None


@dataclass(frozen=True, slots=True)
class Sight:
    """What the supervisor sees at one moment.

    Attributes:
        now_s: monotonic clock.
        in_trials: the script is over and its trial phase has begun.
    """

    now_s: float
    in_trials: bool
    events: Sequence[TrialEvent]
    resident_bytes: int | None


NOTHING = Decision()


def running_trial(events: Sequence[TrialEvent]) -> TrialRecord | None:
    """Return the trial that was started and has no result."""
    start = _running_start(events)
    return None if start is None else start.trial


def trials_ended(events: Sequence[TrialEvent]) -> TrialEvent | None:
    """Return the event that ended the trial phase."""
    return next((event for event in events if event.event == "end"), None)


class TrialWatch:
    """Follows one trial phase."""

    def __init__(self, *, memory_limit_bytes: int, budget_s: float) -> None:
        """Set the limits: the memory's, and how long nothing at all may be heard (twice the budget)."""
        self._memory_bytes = memory_limit_bytes * MEMORY_SHARE
        self._silence_s = max(_SHORTEST_SILENCE_S, 2 * budget_s)
        self._heard = -1
        self._heard_s = 0.0
        self._asked_s: float | None = None
        self._asked_for = NOTHING
        self._killed = False

    def paused(self, seconds: float) -> None:
        """Leave out a time in which the process was stopped."""
        self._heard_s += seconds
        if self._asked_s is not None:
            self._asked_s += seconds

    def interrupted(self, now_s: float) -> None:
        """Note that the user has asked the process to leave the trials; it may take a while, but not for ever."""
        if self._asked_s is None:
            self._asked_s, self._asked_for = now_s, Decision(reason="interrupted")

    def decide(self, sight: Sight) -> Decision:
        """Return what to do now; a kill is said once."""
        if not sight.in_trials or self._killed:
            return NOTHING
        if len(sight.events) != self._heard:
            self._heard, self._heard_s = len(sight.events), sight.now_s
        decision = self._after_trials(sight) if trials_ended(sight.events) else self._within_trials(sight)
        self._killed = decision.act is Act.KILL
        return decision

    def _after_trials(self, sight: Sight) -> Decision:
        is_finalising = any(event.text == SHUTDOWN_NOTE for event in sight.events)
        if is_finalising and sight.now_s - self._heard_s > SHUTDOWN_GRACE_S:
            return Decision(Act.KILL, "did not end after the trials")
        return NOTHING

    def _within_trials(self, sight: Sight) -> Decision:
        start = _running_start(sight.events)
        trial = None if start is None else start.trial
        if start is not None and (sight.resident_bytes or 0) > self._memory_bytes:
            return Decision(Act.KILL, "killed: memory", trial)
        if self._asked_s is not None:
            is_over = sight.now_s - self._asked_s > LEAVE_GRACE_S
            return Decision(Act.KILL, self._asked_for.reason, trial or self._asked_for.trial) if is_over else NOTHING
        limit_s = self._silence_s
        if start is not None and start.deadline_s is not None:
            limit_s = start.deadline_s + DEADLINE_GRACE_S
        if sight.now_s - self._heard_s <= limit_s:
            return NOTHING
        self._asked_s, self._asked_for = sight.now_s, Decision(Act.LEAVE, "hung", trial)
        return self._asked_for


def _running_start(events: Sequence[TrialEvent]) -> TrialEvent | None:
    running: TrialEvent | None = None
    for event in events:
        if event.event == "start":
            running = event
        elif event.event == "result" and running is not None and _is_same(event.trial, running.trial):
            running = None
    return running


def _is_same(result: TrialRecord | None, started: TrialRecord | None) -> bool:
    return result is None or started is None or result.id == started.id
