"""PP107: a loop that waits while its GPU computes; the GPU's samples are stand-ins."""

from __future__ import annotations

import pytest

from pipeprof.model.analysis import Analysis
from pipeprof.model.diagnosis import Finding, Severity
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp107_async_dispatch import AsyncDispatch, AsyncDispatchParameters
from tests.support.builders import Scene, number, stage
from tests.support.changed import changed, gpu

AHEAD = Scene(stages=(stage("map", 0.03),), gpus=(gpu(*[0.98] * 20),))


def check(analysis: Analysis, **params: float) -> list[Finding]:
    return list(AsyncDispatch().check(analysis, AsyncDispatchParameters(**params)))


def test_it_fires_where_the_loop_waits_and_the_gpu_does_not() -> None:
    (finding,) = check(AHEAD.analysis())

    assert (finding.code, finding.severity) == ("PP107", Severity.INFO)
    assert finding.message == (
        "The loop waits for its input 75 % (71–79 %) of each step, but GPU 0 (A100) runs kernels 98 % of that time: the host "
        "is ahead of the device, and no input could give back more than 2 %. Look at the step itself."
    )
    assert number(finding, "gpu_busy_share") == pytest.approx(0.98)


def test_the_cured_twin_whose_loop_does_not_wait_is_silent() -> None:
    assert check(AHEAD.but(gap_s=0.0395).analysis()) == []


@pytest.mark.parametrize(("busy", "fires"), [(0.951, True), (0.949, False)])
def test_a_gpu_just_over_the_threshold_is_busy_and_one_just_under_is_not(busy: float, fires: bool) -> None:
    assert bool(check(AHEAD.but(gpus=(gpu(*[busy] * 20),)).analysis())) is fires


def test_one_gpu_that_is_kept_waiting_is_enough_to_be_silent() -> None:
    assert check(AHEAD.but(gpus=(gpu(*[0.98] * 20), gpu(*[0.4] * 20, index=1))).analysis()) == []


def test_a_gpu_without_a_model_on_it_is_left_out() -> None:
    idle = gpu(*[0.0] * 20, index=1, memory=(5_000_000,) * 20)

    assert len(check(AHEAD.but(gpus=(gpu(*[0.98] * 20), idle)).analysis())) == 1


def test_what_a_gpu_did_outside_the_loop_does_not_count() -> None:
    early = AHEAD.but(gpus=(gpu(*[0.98] * 10, *[0.3] * 10),))

    assert check(early.analysis()) == []
    assert len(check(changed(early.analysis(), loop={"end_s": 10.0}))) == 1


def test_it_does_not_apply_without_a_gpu() -> None:
    outcomes = judge(AHEAD.but(gpus=()).analysis(), select=["PP107"]).outcomes

    (outcome,) = [item for item in outcomes if item.code == "PP107"]
    assert (outcome.outcome, outcome.reason) == (NOT_APPLICABLE, "how busy a GPU was is not known")
