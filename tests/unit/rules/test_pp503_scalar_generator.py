"""PP503: generators that yield single small elements."""

from __future__ import annotations

import pytest

from pipeprof.advise.recommend import recommend
from pipeprof.model.diagnosis import Confidence, Severity
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp503_scalar_generator import ScalarGenerator, ScalarGeneratorParameters
from tests.support.builders import Scene, StageSpec, number, python_calls, stage


def generator(element_s: float = 120e-6, visits: float = 256, **details: object) -> StageSpec:
    calls = python_calls(wall_s=0.7 * element_s * visits * 600, cpu_share=0.98, calls=int(visits * 600))
    given = {"visits": visits, "element_bytes": 4, "python": calls, "line": 5, "code": "tf.data.Dataset.from_generator(rows)"}
    return stage("from_generator", element_s * visits, **(given | details))


def scene(source: StageSpec, **numbers: object) -> Scene:
    return Scene(stages=(source, stage("batch", arguments={"batch_size": 256}), stage("prefetch", segment=0))).but(**numbers)


SLOW = scene(generator())


def check(given: Scene, **params: float) -> list:
    return list(ScalarGenerator().check(given.analysis(), ScalarGeneratorParameters(**params)))


def test_a_generator_of_scalars_fires_with_its_numbers() -> None:
    (finding,) = check(SLOW)

    assert (finding.code, finding.stage_id, finding.severity) == ("PP503", "s0", Severity.HIGH)
    assert finding.message == (
        "train.py:5 .from_generator(rows) yields 256 single elements of 4 B for each step, 120 µs each, of which at least 75 % "
        "is their hand-over from Python. Training waits 75 % (71–79 %) of each step. Yield arrays of a whole batch, 256 "
        "elements at a time, and leave the batch() after it out."
    )
    assert number(finding, "overhead_share") == pytest.approx(0.75)
    assert finding.confidence is Confidence.MEDIUM, "what a hand-over costs is a constant"


def test_it_leads_to_a_change_by_hand_that_says_what_to_yield() -> None:
    (made,) = recommend(SLOW.analysis(), check(SLOW))

    assert (made.change.kind, made.title) == (
        "replace_python",
        "Yield whole batches from the generator, and leave the batch() after it out",
    )


def test_the_cured_twin_that_yields_batches_is_silent() -> None:
    assert check(scene(generator(0.030, visits=1, element_bytes=1024))) == []


@pytest.mark.parametrize(("element_s", "fires"), [(181e-6, False), (179e-6, True)])
def test_it_fires_just_over_the_threshold_and_not_just_under(element_s: float, fires: bool) -> None:
    """90 us of hand-over are half of 180."""
    assert bool(check(scene(generator(element_s)))) is fires


def test_each_component_counts() -> None:
    assert check(scene(generator(400e-6))) == []
    assert len(check(scene(generator(400e-6, tensors=10)))) == 1


def test_large_elements_are_silent() -> None:
    assert check(scene(generator(element_bytes=600_000))) == []


def test_another_source_is_silent() -> None:
    assert check(scene(stage("from_tensor_slices", 0.03, visits=256, element_bytes=4))) == []


def test_a_pipeline_that_keeps_up_is_silent() -> None:
    assert check(SLOW.but(gap_s=0.0395)) == []


def test_one_cause_gives_one_finding() -> None:
    codes = [item.code for item in judge(SLOW.analysis()).findings if item.stage_id == "s0"]

    assert "PP503" in codes
    assert not {"PP501", "PP502"} & set(codes)


def test_it_does_not_apply_without_counters() -> None:
    (outcome,) = [item for item in judge(SLOW.but(has_counters=False).analysis()).outcomes if item.code == "PP503"]

    assert outcome.outcome == NOT_APPLICABLE
