"""The history of runs: what became of each, and how good the predictions of their trials were. Data only."""

from __future__ import annotations

from dataclasses import dataclass, field

from pipeprof.model.diagnosis import InputBound, Limit, Prediction
from pipeprof.model.profile import ElementsState, TrialState

HISTORY_SCHEMA = "pipeprof.history/1"
CALIBRATION_SCHEMA = "pipeprof.calibration/1"


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfirmedChange:
    """A change that a trial of the run confirmed."""

    id: str
    kind: str
    speedup: float | None
    low: float | None = None
    high: float | None = None
    elements: ElementsState = ElementsState.UNCHECKED
    on_top_of: tuple[str, ...] = ()  # ids of the changes that were kept beneath it: its speed-up is against them


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRow:
    """One run, as the rules of today judge it."""

    id: str  # its directory's name
    started_at: str
    command: tuple[str, ...]
    ended: str
    exit_status: int | None
    input_bound: InputBound
    limit: Limit
    wait_share: float | None
    wait_share_low: float | None = None
    wait_share_high: float | None = None
    confirmed: tuple[ConfirmedChange, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Unreadable:
    """A run that is left out."""

    id: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """The runs of a directory, newest last."""

    schema: str = HISTORY_SCHEMA
    runs: tuple[RunRow, ...]
    unreadable: tuple[Unreadable, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """One trial beside its prediction; both are ratios of step times against the pipeline as it was."""

    run: str
    trial: str
    kind: str
    state: TrialState
    predicted: Prediction
    speedup: float  # of the trial
    low: float | None
    high: float | None
    error: float  # predicted over tried, less 1: above 0 too much was promised
    is_held: bool  # whether the prediction's 90 % interval holds the trial's speed-up


@dataclass(frozen=True, kw_only=True, slots=True)
class Scored:
    """The trials of one run."""

    scores: tuple[Score, ...] = ()
    on_top_of_others: int = 0  # finished trials that are left out: they are against what was kept before them
    unpredicted: int = 0  # finished trials of a change that nothing is predicted for


@dataclass(frozen=True, kw_only=True, slots=True)
class Accuracy:
    """How good some predictions were; null where there are none."""

    count: int
    median_abs_error: float | None = None
    median_error: float | None = None
    held_share: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """How good the predictions of some runs were, in all and for each kind of change."""

    schema: str = CALIBRATION_SCHEMA
    runs: int
    overall: Accuracy
    kinds: dict[str, Accuracy] = field(default_factory=dict)
    scores: tuple[Score, ...] = ()
    on_top_of_others: int = 0
    unpredicted: int = 0
    unreadable: tuple[Unreadable, ...] = ()
