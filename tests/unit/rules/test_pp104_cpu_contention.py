"""PP104: a pipeline that keeps up, and takes the model's cores."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeprof.advise.recommend import recommend
from pipeprof.model.diagnosis import Confidence, Finding, Severity
from pipeprof.model.profile import Control
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp104_cpu_contention import ContentionParameters, CpuContention
from tests.support.builders import Scene, control, number, stage


def replayed(low: float, high: float, wait: float = 0.02, **details: object) -> Control:
    """A loop of 40 ms, shorter by ``low`` to ``high`` with a ready element, which gives back little of the waiting."""
    shorter = 1 - (low + high) / 2
    planted = {"baseline_wait_share": wait, "ready_step_s": 0.04 * shorter, "ready_wait_share": 0.02}
    waited = {"recoverable_low": max(0.0, wait - 0.02), "recoverable_high": wait - 0.02 * shorter}
    return replace(control(low, high, **(planted | details)), **waited)


CONTENDED = Scene(
    stages=(stage("map", 0.05, line=7, code="ds.map(decode)", slots=4, tuned=True), stage("prefetch", segment=0)),
    gap_s=0.0392,
    wait_margin=0.01,
    cpu_s_per_step=0.14,  # 3.5 of 4 cores
    controls=(replayed(0.22, 0.28),),
)


def check(scene: Scene, **params: float) -> list[Finding]:
    return list(CpuContention().check(scene.analysis(), ContentionParameters(**params)))


def test_it_fires_where_a_ready_element_makes_the_models_own_work_shorter() -> None:
    (finding,) = check(CONTENDED)

    assert (finding.code, finding.severity, finding.stage_id) == ("PP104", Severity.HIGH, "s0")
    assert finding.confidence is Confidence.HIGH
    assert finding.message == (
        "Training waits 2 % (1–3 %) of each step, but the input takes cores from the model: the step's own work takes 39 ms, "
        "and 29 ms with an input that is ready; 3.5 of 4 cores are in use. Most of that work is train.py:7 .map(decode). Make "
        "the pipeline cheaper, or give it fewer threads."
    )
    assert number(finding, "cost_share") == pytest.approx(0.215, abs=0.01)


def test_it_leads_to_a_pool_that_leaves_a_core_to_the_model() -> None:
    (made,) = recommend(CONTENDED.analysis(), check(CONTENDED))

    assert (made.change.kind, made.change.params) == ("thread_pool", {"private_threadpool_size": 3})


def test_a_pool_that_leaves_a_core_already_is_not_given_again() -> None:
    given = CONTENDED.but(pool=2)

    assert recommend(given.analysis(), check(given)) == ()


def test_the_cured_twin_whose_pipeline_is_cheap_is_silent() -> None:
    assert check(CONTENDED.but(controls=(replayed(0.0, 0.02),), cpu_s_per_step=0.1)) == []


@pytest.mark.parametrize(("low", "fires"), [(0.056, True), (0.049, False)])
def test_it_speaks_just_over_the_threshold_and_not_just_under(low: float, fires: bool) -> None:
    assert bool(check(CONTENDED.but(controls=(replayed(low, low + 0.05),)))) is fires


def test_what_a_ready_element_gives_back_of_the_waiting_was_not_taken_from_the_model() -> None:
    waiting = CONTENDED.but(gap_s=0.034, controls=(replayed(0.10, 0.14, wait=0.15),))

    assert check(waiting) == []


@pytest.mark.parametrize(("cpu_s", "fires"), [(0.097, True), (0.095, False)])
def test_a_program_that_leaves_cores_free_takes_none_away(cpu_s: float, fires: bool) -> None:
    assert bool(check(CONTENDED.but(cpu_s_per_step=cpu_s))) is fires  # 0.6 of 4 cores in 40 ms


def test_a_loop_that_waits_a_fifth_of_its_time_is_pp101s() -> None:
    assert check(CONTENDED.but(gap_s=0.0315)) == []


def test_it_does_not_apply_without_a_replay_or_with_one_that_is_no_evidence() -> None:
    for controls, reason in (
        ((), "the loop was not replayed with an input that is always ready"),
        (
            (replayed(0.22, 0.28, reproduces_run=False, reason="it is slower"),),
            "the replay is no evidence for this run: it is slower",
        ),
    ):
        outcomes = judge(CONTENDED.but(controls=controls).analysis(), select=["PP104"]).outcomes

        (outcome,) = [item for item in outcomes if item.code == "PP104"]
        assert (outcome.outcome, outcome.reason) == (NOT_APPLICABLE, reason)
