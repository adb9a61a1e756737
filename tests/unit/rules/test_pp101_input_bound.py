"""PP101: the verdict as a finding."""

from __future__ import annotations

from pipeprof.model.diagnosis import Confidence, InputBound, Severity
from pipeprof.rules.base import Parameters
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp101_input_bound import InputIsTheLimit
from tests.support.builders import Scene, control, number, stage

SLOW = Scene(
    stages=(stage("from_tensor_slices"), stage("map", 0.04, line=42, code="ds.map(decode)"), stage("prefetch", segment=0)),
    gap_s=0.024,
)


def check(scene: Scene) -> list:
    return list(InputIsTheLimit().check(scene.analysis(), Parameters()))


def test_it_fires_on_a_highly_input_bound_loop_with_its_numbers() -> None:
    (finding,) = check(SLOW.but(ceiling=1.67))

    assert (finding.code, finding.severity, finding.stage_id) == ("PP101", Severity.HIGH, "s1")
    assert finding.message == (
        "Training waits for its input 40 % (36–44 %) of each step. An input that is always ready would make it at most "
        "1.67× as fast (1.50–1.84×). The slowest stage is train.py:42 .map(decode)."
    )
    assert number(finding, "cost_share") == SLOW.wait_share


def test_a_moderately_input_bound_loop_is_a_medium_finding() -> None:
    (finding,) = check(SLOW.but(gap_s=0.036))

    assert finding.severity is Severity.MEDIUM


def test_the_cured_twin_that_does_not_wait_is_silent() -> None:
    assert check(SLOW.but(gap_s=0.0399)) == []


def test_the_cost_is_what_the_control_shows_to_be_recoverable() -> None:
    (finding,) = check(SLOW.but(controls=(control(0.23, 0.27),)))

    assert number(finding, "cost_share") == 0.23


def test_the_confidence_is_the_verdicts() -> None:
    (finding,) = check(SLOW.but(confidence=Confidence.LOW))

    assert finding.confidence is Confidence.LOW


def test_it_does_not_apply_without_a_verdict() -> None:
    outcomes = judge(SLOW.but(input_bound=InputBound.UNKNOWN).analysis(), select=["PP101"]).outcomes
    (outcome,) = [item for item in outcomes if item.code == "PP101"]

    assert (outcome.outcome, outcome.reason) == (NOT_APPLICABLE, "whether the input limits training is unknown")
