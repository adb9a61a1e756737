"""PP802: augmentation on full cores beside a GPU with slack."""

from __future__ import annotations

import pytest

from pipeprof.advise.recommend import recommend
from pipeprof.model.diagnosis import Finding, Severity
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp802_move_to_model import MoveToModel, MoveToModelParameters
from tests.support.builders import Scene, function, random_function, stage

AUGMENTS = function("AdjustContrastv2", random_ops=("RandomUniform",), stateful_ops=("RandomUniform",))


def scene(gpu: float | None = 0.3, cpu_s: float = 0.15, work: object = AUGMENTS, **numbers: object) -> Scene:
    """Make an augmenting map that runs four calls at once on four cores, beside a GPU."""
    augment = stage("map", 0.144, slots=4, tuned=True, line=14, code="ds.map(augment)", function=work)
    return Scene(stages=(stage("from_tensor_slices"), augment), cpu_s_per_step=cpu_s, gpu_share=gpu).but(**numbers)


def check(given: Scene) -> list[Finding]:
    return list(MoveToModel().check(given.analysis(), MoveToModelParameters()))


def test_an_augmentation_on_full_cores_beside_an_idle_gpu_fires_at_its_map() -> None:
    (finding,) = check(scene())

    assert (finding.code, finding.stage_id, finding.severity) == ("PP802", "s1", Severity.HIGH)
    assert finding.message == (
        "train.py:14 .map(augment) augments pictures on the CPU, 140 ms for each 40 ms step; 3.8 of 4 cores are in"
        " use, the GPU for 30 % of the time. Training waits 75 % (71–79 %) of each step. Do it in the model, on "
        "whole batches on the GPU."
    )


def test_it_leads_to_a_change_of_the_model_by_hand() -> None:
    given = scene()

    (made,) = recommend(given.analysis(), check(given))

    assert (made.change.kind, made.title) == ("move_to_model", "Move this augmentation into the model, on the GPU")
    assert made.trial.reason == "it changes the model, not the input"


def test_the_cured_twin_that_augments_in_the_model_is_silent() -> None:
    assert check(scene(gpu=0.9, work=function("Cast"), gap_s=0.036)) == []


def test_it_fires_just_over_its_thresholds() -> None:
    assert len(check(scene(gpu=0.6))) == 1
    assert len(check(scene(cpu_s=0.1361))) == 1  # 3.4 of 4 cores


def test_just_under_its_thresholds_it_is_silent() -> None:
    assert check(scene(gpu=0.61)) == []
    assert check(scene(cpu_s=0.1359)) == []


@pytest.mark.parametrize(
    "work",
    [
        function("AdjustContrastv2"),
        random_function("RandomUniform"),
        function("DecodeJpeg", "AdjustContrastv2", random_ops=("RandomUniform",)),
        function("AdjustContrastv2", random_ops=("RandomUniform",), python_ops=("EagerPyFunc",)),
    ],
)
def test_work_that_repeats_or_needs_the_cpu_is_left_where_it_is(work: object) -> None:
    assert check(scene(work=work)) == []


def test_it_does_not_apply_without_a_gpu() -> None:
    outcomes = judge(scene(gpu=None).analysis()).outcomes

    assert next(item.outcome for item in outcomes if item.code == "PP802") == NOT_APPLICABLE
