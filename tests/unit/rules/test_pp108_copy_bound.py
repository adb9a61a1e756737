"""PP108: large batches on the way to a GPU; its samples are stand-ins."""

from __future__ import annotations

import pytest

from pipeprof.advise.recommend import recommend
from pipeprof.model.diagnosis import Confidence, Finding, Safety, Severity
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp108_copy_bound import CopyBound, CopyBoundParameters
from tests.support.builders import Scene, StageSpec, number, stage
from tests.support.changed import gpu

BATCH = 96_000_000  # 8 ms at 12 GB/s, a fifth of a step; 2.4 GB/s of traffic


def batch(size: int | None = BATCH, **details: object) -> StageSpec:
    return stage("batch", line=11, code="ds.batch(512)", element_bytes=size, **details)


COPYING = Scene(stages=(stage("map", 0.01), batch()), gap_s=0.039, gpus=(gpu(*[0.6] * 20, pcie=2.5e9),))


def check(scene: Scene, **params: float) -> list[Finding]:
    return list(CopyBound().check(scene.analysis(), CopyBoundParameters(**params)))


def test_it_fires_on_batches_that_take_a_part_of_the_step_to_copy() -> None:
    (finding,) = check(COPYING)

    assert (finding.code, finding.severity, finding.confidence) == ("PP108", Severity.LOW, Confidence.LOW)
    assert finding.message == (
        "Each step copies 96 MB to GPU 0 (A100): 8.0 ms at 12 GB/s, 20 % of the step or more, and the GPU is busy only 60 % "
        "of the time. Send fewer bytes (uint8, cast on the device), or put prefetch_to_device behind train.py:11 .batch(512)."
    )
    assert number(finding, "cost_share") == pytest.approx(0.2)
    (made,) = recommend(COPYING.analysis(), [finding])
    assert (made.change.kind, made.safety) == ("prefetch_to_device", Safety.MANUAL)


def test_the_cured_twin_that_sends_a_quarter_of_the_bytes_is_silent() -> None:
    assert check(COPYING.but(stages=(stage("map", 0.01), batch(BATCH // 4)))) == []


def test_what_is_copied_ahead_already_is_not_advised_again() -> None:
    assert check(COPYING.but(stages=(*COPYING.stages, stage("copy_to_device")))) == []


@pytest.mark.parametrize(("size", "fires"), [(48_100_000, True), (47_900_000, False)])
def test_batches_just_over_the_threshold_are_told_and_just_under_are_not(size: int, fires: bool) -> None:
    assert bool(check(COPYING.but(stages=(stage("map", 0.01), batch(size))))) is fires


@pytest.mark.parametrize(("busy", "traffic", "fires"), [(0.89, 1.25e9, True), (0.91, 2.5e9, False), (0.6, 1.1e9, False)])
def test_a_gpu_that_is_busy_or_gets_other_bytes_is_left_alone(busy: float, traffic: float, fires: bool) -> None:
    assert bool(check(COPYING.but(gpus=(gpu(*[busy] * 20, pcie=traffic),)))) is fires


def test_several_gpus_share_the_batches_in_a_way_that_is_not_known() -> None:
    assert check(COPYING.but(gpus=(*COPYING.gpus, gpu(*[0.6] * 20, pcie=2.5e9, index=1)))) == []


def test_without_fixed_shapes_the_bytes_that_tensorflow_counted_are_taken() -> None:
    counted = COPYING.but(stages=(stage("map", 0.01), batch(None, node_element_bytes=BATCH)))

    assert number(check(counted)[0], "batch_bytes") == BATCH
    assert check(COPYING.but(stages=(stage("map", 0.01), batch(None)))) == []


def test_it_does_not_apply_without_the_traffic() -> None:
    outcomes = judge(COPYING.but(gpus=(gpu(*[0.6] * 20),)).analysis(), select=["PP108"]).outcomes

    (outcome,) = [item for item in outcomes if item.code == "PP108"]
    assert (outcome.outcome, outcome.reason) == (NOT_APPLICABLE, "the traffic between host and GPU was not measured")
