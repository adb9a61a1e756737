"""PP103: Python between the steps."""

from __future__ import annotations

from pipeprof.advise.recommend import recommend
from pipeprof.model.diagnosis import InputBound, Limit, Severity
from pipeprof.rules.base import Parameters
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp103_host_bound_loop import HostBoundLoop
from tests.support.builders import Scene, number, stage

BUSY = Scene(stages=(stage("map", 0.016),), gap_s=0.0392, wait_margin=0.01, limit=Limit.HOST, lock_held_share=0.86)


def check(scene: Scene) -> list:
    return list(HostBoundLoop().check(scene.analysis(), Parameters()))


def test_it_fires_on_a_loop_that_python_limits_with_the_share_of_the_lock() -> None:
    (finding,) = check(BUSY)

    assert (finding.code, finding.severity) == ("PP103", Severity.INFO)
    assert finding.message == (
        "The input keeps up: training waits 2 % (1–3 %) of each step. Python's lock is held 86 % of the loop: put several "
        "steps into one call, or less Python between them."
    )
    assert number(finding, "lock_held_share") == 0.86


def test_it_leads_to_several_steps_in_one_call_by_hand() -> None:
    (made,) = recommend(BUSY.analysis(), check(BUSY))

    assert (made.change.kind, made.stage_id, made.accepted) == ("steps_per_execution", None, False)
    assert "steps_per_execution=16" in made.sketch


def test_the_cured_twin_whose_step_computes_in_ops_is_silent() -> None:
    assert check(BUSY.but(limit=Limit.COMPUTE)) == []


def test_it_does_not_apply_without_a_verdict() -> None:
    outcomes = judge(BUSY.but(input_bound=InputBound.UNKNOWN).analysis()).outcomes

    (outcome,) = [item for item in outcomes if item.code == "PP103"]
    assert outcome.outcome == NOT_APPLICABLE


def test_an_input_bound_loop_is_not_missed_by_looking_at_the_lock() -> None:
    assert check(BUSY.but(gap_s=0.01, limit=None)) == []
