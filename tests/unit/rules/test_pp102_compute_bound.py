"""PP102: nothing to gain from the input."""

from __future__ import annotations

import pytest

from pipeprof.model.diagnosis import InputBound, Limit, Severity
from pipeprof.rules.base import Parameters
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp102_compute_bound import ComputeIsTheLimit
from tests.support.builders import Scene, number, stage

HEALTHY = Scene(stages=(stage("map", 0.016),), gap_s=0.0392, wait_margin=0.01)


def check(scene: Scene) -> list:
    return list(ComputeIsTheLimit().check(scene.analysis(), Parameters()))


def test_it_fires_on_a_healthy_loop_with_its_headroom() -> None:
    (finding,) = check(HEALTHY)

    assert (finding.code, finding.severity, finding.pipeline_id) == ("PP102", Severity.INFO, "p0")
    assert finding.message == (
        "The input keeps up: training waits 2 % (1–3 %) of each step. It could feed 2.45× as fast as the step takes. "
        "Leave the input alone."
    )
    assert number(finding, "headroom") == 0.0392 / 0.016


def test_no_headroom_is_claimed_where_production_takes_longer_than_the_step() -> None:
    (finding,) = check(HEALTHY.but(stages=(stage("map", 0.05),)))

    assert "It could feed" not in finding.message
    assert [item.name for item in finding.evidence] == ["wait_share", "ceiling_speedup"]


def test_a_large_headroom_is_not_told_to_the_digit() -> None:
    (finding,) = check(HEALTHY.but(stages=(stage("map", 0.0001),)))

    assert "It could feed more than 10× as fast as the step takes." in finding.message


def test_the_twin_that_waits_for_its_input_is_not_healthy_and_the_cured_twin_is() -> None:
    assert check(HEALTHY.but(gap_s=0.03)) == []
    assert len(check(HEALTHY)) == 1


def test_what_is_not_decided_is_not_called_healthy_however_low_its_ceiling() -> None:
    assert check(HEALTHY.but(input_bound=InputBound.UNKNOWN, ceiling=1.01)) == []


@pytest.mark.parametrize("limit", [Limit.CONTENTION, Limit.STARTUP])
def test_contention_and_start_up_are_not_called_healthy(limit: Limit) -> None:
    assert check(HEALTHY.but(limit=limit)) == []


def test_a_loop_that_its_own_python_limits_is_left_to_pp103() -> None:
    assert check(HEALTHY.but(limit=Limit.HOST)) == []


def test_it_does_not_apply_without_a_verdict() -> None:
    outcomes = judge(HEALTHY.but(input_bound=InputBound.UNKNOWN).analysis(), select=["PP102"]).outcomes

    (outcome,) = [item for item in outcomes if item.code == "PP102"]
    assert (outcome.outcome, outcome.reason) == (NOT_APPLICABLE, "whether the input limits training is unknown")
