"""PP805: a GPU that idles beside a ready input; its samples are stand-ins."""

from __future__ import annotations

import pytest

from pipeprof.model.diagnosis import Finding, Limit, Severity
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp805_underused_gpu import UnderusedGpu, UnderusedParameters
from tests.support.builders import Scene, number, stage
from tests.support.changed import gpu

IDLE = Scene(stages=(stage("map", 0.01),), gap_s=0.0392, wait_margin=0.01, gpus=(gpu(*[0.3] * 20),))


def check(scene: Scene, **params: float) -> list[Finding]:
    return list(UnderusedGpu().check(scene.analysis(), UnderusedParameters(**params)))


def test_it_fires_on_a_gpu_that_idles_while_its_input_is_ready() -> None:
    (finding,) = check(IDLE)

    assert (finding.code, finding.severity) == ("PP805", Severity.LOW)
    assert finding.message == (
        "GPU 0 (A100) runs kernels only 30 % of the time, though training waits for its input 2 % (1–3 %) of each step: the "
        "host is the limit. Larger batches, steps_per_execution or jit_compile=True give it more to do at a time."
    )
    assert number(finding, "gpu_busy_share") == pytest.approx(0.3)


def test_the_cured_twin_whose_gpu_is_busy_is_silent() -> None:
    assert check(IDLE.but(gpus=(gpu(*[0.9] * 20),))) == []


@pytest.mark.parametrize(("busy", "fires"), [(0.499, True), (0.501, False)])
def test_a_gpu_just_under_the_threshold_is_underused_and_one_just_over_is_not(busy: float, fires: bool) -> None:
    assert bool(check(IDLE.but(gpus=(gpu(*[busy] * 20),)))) is fires


def test_a_loop_that_waits_for_its_input_or_shares_its_cores_is_left_to_others() -> None:
    assert check(IDLE.but(gap_s=0.02)) == []
    assert check(IDLE.but(limit=Limit.CONTENTION)) == []


def test_python_between_the_steps_is_named_where_the_verdict_names_it() -> None:
    (finding,) = check(IDLE.but(limit=Limit.HOST))

    assert "Python between the steps takes the time" in finding.message


def test_few_samples_decide_nothing() -> None:
    assert check(IDLE.but(gpus=(gpu(*[0.3] * 9, samples=1),))) == []


def test_it_does_not_apply_without_a_gpu() -> None:
    outcomes = judge(IDLE.but(gpus=()).analysis(), select=["PP805"]).outcomes

    (outcome,) = [item for item in outcomes if item.code == "PP805"]
    assert (outcome.outcome, outcome.reason) == (NOT_APPLICABLE, "how busy a GPU was is not known")
