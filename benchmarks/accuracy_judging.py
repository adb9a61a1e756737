"""Judges one observation: is the verdict right, the line, the share, and was anything said that is not so?

The one idea: what is expected follows from the truth that the case measured and from the line that it marks. A truth within
three points of an edge between two bands may be judged either way. Nothing here runs a case.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeprof.model.diagnosis import Diagnosis, Pipeline, Stage
from tests.ground_truth.registry import Case, Kind

HIGHLY, MODERATELY = 0.20, 0.05  # XProf's bands, written down here a second time: the judge takes no word of the judged
TOLERANCE = 0.03
INPUT_BOUND = "PP101"
SERIOUS = {"high", "medium"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Observation:
    """One run of one case."""

    case: str
    seed: int
    truth: dict[str, Any] = field(default_factory=dict)
    diagnosis: Diagnosis | None = None
    xprof: str = ""
    failure: str = ""  # why there is no diagnosis


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdicts:
    """What is to be said of one observation."""

    case: Case
    observation: Observation
    expected: tuple[str, ...]  # classes of which each is right
    said: str
    answer: str = ""  # "planted_chains.py:31 map"
    is_stage_right: bool | None = None  # None: nothing planted, or so little waiting that no stage is to be named
    points: float | None = None  # measured share less the truth
    false_alarms: tuple[str, ...] = ()

    @property
    def is_verdict_right(self) -> bool:
        return self.said in self.expected

    @property
    def is_withheld(self) -> bool:
        """Whether pipeprof said that it does not know, where the truth is known."""
        return self.said == "unknown" and not self.is_verdict_right


def classes_of(truth: float | None) -> tuple[str, ...]:
    """Return the bands that are right for a true share of waiting."""
    if truth is None:
        return ("unknown",)
    return tuple(dict.fromkeys(_band(truth + offset) for offset in (0.0, -TOLERANCE, TOLERANCE)))


def _band(share: float) -> str:
    if share >= HIGHLY:
        return "highly"
    return "moderately" if share >= MODERATELY else "not"


def judge(case: Case, observation: Observation) -> Verdicts:
    """Compare what was said with what is so."""
    truth = observation.truth.get("wait_share")
    expected = (case.verdict,) if case.verdict else classes_of(truth)
    diagnosis = observation.diagnosis
    if diagnosis is None:
        return Verdicts(case=case, observation=observation, expected=expected, said="failed")
    measured = diagnosis.steps.wait_share
    stage = bottleneck(diagnosis, case.role)
    return Verdicts(
        case=case,
        observation=observation,
        expected=expected,
        said=str(diagnosis.verdict.input_bound),
        answer=_answer(stage),
        is_stage_right=_is_right(stage, case, observation.truth),
        points=None if measured is None or truth is None else 100 * (measured - truth),
        false_alarms=() if case.kind is Kind.PLANTED else false_alarms(diagnosis),
    )


def main_pipeline(diagnosis: Diagnosis, role: str = "train") -> Pipeline | None:
    """Return the pipeline of the role, else the first."""
    return next((item for item in diagnosis.pipelines if item.role == role), next(iter(diagnosis.pipelines), None))


def bottleneck(diagnosis: Diagnosis, role: str) -> Stage | None:
    """Return the stage that pipeprof blames."""
    pipeline = main_pipeline(diagnosis, role)
    return None if pipeline is None else next((stage for stage in pipeline.stages if stage.is_bottleneck), None)


def _answer(stage: Stage | None) -> str:
    if stage is None:
        return "none"
    site = stage.call_site
    return f"{Path(site.file).name}:{site.shown_line} {stage.op}" if site is not None else f"(no line) {stage.op}"


def _is_right(stage: Stage | None, case: Case, truth: Mapping[str, Any]) -> bool | None:
    """Return whether the blamed stage is the very call that is marked; of a loop that does not wait nothing is asked."""
    if not case.planted or (case.role == "train" and (truth.get("wait_share") or 0.0) < MODERATELY):
        return None
    if stage is None or stage.call_site is None:
        return False
    marks = truth.get("planted") or [(mark.file, mark.line, mark.op) for mark in case.planted]
    return [Path(stage.call_site.file).name, stage.call_site.shown_line, stage.op] in [list(mark) for mark in marks]


def false_alarms(diagnosis: Diagnosis) -> tuple[str, ...]:
    """Return what was said against a run in which nothing is wrong."""
    serious = [item for item in diagnosis.all_findings if item.code != INPUT_BOUND and str(item.severity) in SERIOUS]
    found = [f"{item.code} {item.severity}" for item in serious]
    return (*found, *(f"advises {item.change.kind}" for item in diagnosis.recommendations))
