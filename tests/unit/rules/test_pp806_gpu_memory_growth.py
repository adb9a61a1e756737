"""PP806: memory of a GPU that grows all through training; its samples are stand-ins."""

from __future__ import annotations

import pytest

from pipeprof.model.diagnosis import Finding, Severity
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp806_gpu_memory_growth import GpuMemoryGrowth, GpuMemoryGrowthParameters
from tests.support.builders import Scene, number, stage
from tests.support.changed import gpu


def with_memory(*gigabytes: float) -> Scene:
    held = tuple(round(value * 1e9) for value in gigabytes)
    return Scene(stages=(stage("map", 0.01),), gpus=(gpu(*[0.9] * len(held), memory=held),))


GROWING = with_memory(*(10 + number / 2 for number in range(20)))


def check(scene: Scene, **params: float) -> list[Finding]:
    return list(GpuMemoryGrowth().check(scene.analysis(), GpuMemoryGrowthParameters(**params)))


def test_it_fires_on_memory_that_grows_in_every_part_of_the_loop() -> None:
    (finding,) = check(GROWING)

    assert (finding.code, finding.severity) == ("PP806", Severity.LOW)
    assert finding.message == (
        "Memory of GPU 0 (A100) grew by 6.0 GB in 12 s, in every part of the loop: at this rate its 80 GB are full in 2.0 "
        "min. Something is kept across steps: tensors in a list, or functions traced anew."
    )
    assert number(finding, "grown_bytes") == pytest.approx(6e9)


def test_the_cured_twin_whose_memory_is_taken_in_the_first_steps_is_silent() -> None:
    assert check(with_memory(2, 6, 9, *[10] * 17)) == []


def test_a_single_jump_or_a_growth_that_ends_is_none() -> None:
    assert check(with_memory(*[10] * 12, *[16] * 8)) == []
    assert check(with_memory(*(10 + number / 2 for number in range(12)), *[16] * 8)) == []


def test_memory_that_comes_and_goes_is_no_growth() -> None:
    assert check(with_memory(*[10, 14] * 10)) == []


@pytest.mark.parametrize(("step", "fires"), [(0.136, True), (0.131, False)])
def test_growth_just_over_the_threshold_is_told_and_just_under_is_not(step: float, fires: bool) -> None:
    assert bool(check(with_memory(*(10 + step * at for at in range(20))))) is fires  # twelve steps are 1.6 GB of 80


def test_few_samples_decide_nothing() -> None:
    assert check(with_memory(*(10 + number / 2 for number in range(19)))) == []


def test_it_does_not_apply_without_a_gpu() -> None:
    outcomes = judge(GROWING.but(gpus=()).analysis(), select=["PP806"]).outcomes

    (outcome,) = [item for item in outcomes if item.code == "PP806"]
    assert (outcome.outcome, outcome.reason) == (NOT_APPLICABLE, "how busy a GPU was is not known")
