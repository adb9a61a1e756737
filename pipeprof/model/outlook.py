"""The Outlook: what a run's input would do on another machine, or before a faster step. Data only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pipeprof.model.diagnosis import Bound, Stage

OUTLOOK_SCHEMA = "pipeprof.outlook/1"


class KeepsUp(StrEnum):
    """Whether the input would keep up: by the interval of the wait share, at 5 % of the time."""

    YES = "yes"
    PERHAPS = "perhaps"
    NO = "no"


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """The machine and the step that were asked about."""

    cores: float
    step_s: float  # the consumer's own time for a step
    workers: int = 0  # tf.data service workers with so many cores each; 0: the input runs beside the training


@dataclass(frozen=True, kw_only=True, slots=True)
class Outlook:
    """What would become of the loop."""

    schema: str = OUTLOOK_SCHEMA
    run_id: str
    asked: Asked
    seen: Asked  # the run itself
    keeps_up: KeepsUp
    wait_share: float
    wait_share_low: float
    wait_share_high: float
    steps_per_s: float  # of the whole loop
    steps_per_s_low: float
    steps_per_s_high: float
    input_bound: Bound  # what the input could deliver there at most, as it is written
    breaks_first: Stage | None
    cores_needed: int | None  # least number with which the input keeps up, None where no number does
    workers_needed: int | None  # of the asked-for cores each
    wall_steps_per_s: float | None  # what no number of cores moves, None where there is no such stage
    wall_stage: Stage | None
    assumptions: tuple[str, ...] = ()
