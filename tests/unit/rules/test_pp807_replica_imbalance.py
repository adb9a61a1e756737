"""PP807: GPUs that train together and do not work alike; their samples are stand-ins."""

from __future__ import annotations

import pytest

from pipeprof.model.diagnosis import Finding, Severity
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp807_replica_imbalance import ImbalanceParameters, ReplicaImbalance
from tests.support.builders import Scene, number, stage
from tests.support.changed import gpu

UNEVEN = Scene(stages=(stage("map", 0.01),), gpus=(gpu(*[0.9] * 20), gpu(*[0.4] * 20, index=1)))


def check(scene: Scene, **params: float) -> list[Finding]:
    return list(ReplicaImbalance().check(scene.analysis(), ImbalanceParameters(**params)))


def test_it_fires_on_a_gpu_that_works_much_less_than_another() -> None:
    (finding,) = check(UNEVEN)

    assert (finding.code, finding.severity) == ("PP807", Severity.LOW)
    assert finding.message == (
        "GPU 1 (A100) runs kernels 40 % of the time, GPU 0 (A100) 90 %: replicas wait for the one with most to do, or one of "
        "them is not used. Check the strategy's devices, and give each replica the same batch."
    )
    assert number(finding, "busy_gap") == pytest.approx(0.5)


def test_the_cured_twin_whose_gpus_work_alike_is_silent() -> None:
    assert check(UNEVEN.but(gpus=(gpu(*[0.9] * 20), gpu(*[0.85] * 20, index=1)))) == []


@pytest.mark.parametrize(("busy", "fires"), [(0.599, True), (0.601, False)])
def test_a_gap_just_over_the_threshold_is_told_and_one_just_under_is_not(busy: float, fires: bool) -> None:
    assert bool(check(UNEVEN.but(gpus=(gpu(*[0.9] * 20), gpu(*[busy] * 20, index=1))))) is fires


def test_a_single_gpu_or_one_that_the_loop_does_not_use_is_compared_with_none() -> None:
    unused = gpu(*[0.0] * 20, memory=(1,) * 20, index=1)

    assert check(UNEVEN.but(gpus=(gpu(*[0.9] * 20),))) == []
    assert check(UNEVEN.but(gpus=(gpu(*[0.9] * 20), unused))) == []


def test_few_samples_decide_nothing() -> None:
    assert check(UNEVEN.but(gpus=(gpu(*[0.9] * 9, samples=1), gpu(*[0.4] * 9, samples=1, index=1)))) == []


def test_it_does_not_apply_without_a_gpu() -> None:
    outcomes = judge(UNEVEN.but(gpus=()).analysis(), select=["PP807"]).outcomes

    (outcome,) = [item for item in outcomes if item.code == "PP807"]
    assert (outcome.outcome, outcome.reason) == (NOT_APPLICABLE, "how busy a GPU was is not known")
