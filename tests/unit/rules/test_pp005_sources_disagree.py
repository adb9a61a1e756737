"""PP005: two instruments measured one stage."""

from __future__ import annotations

import pytest

from pipeprof.model.diagnosis import Severity
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp005_sources_disagree import SourcesDisagree, SourcesDisagreeParameters
from tests.support.builders import Scene, StageSpec, number, stage

COUNTED_S = 0.03  # of the map for one element
WINDOWS = "3 trace windows, 0.3 s in all"


def decode(traced_s: float, elements: int = 36, **details: object) -> StageSpec:
    return stage("map", COUNTED_S, line=7, code="ds.map(decode)", traced=(elements, elements * traced_s), **details)


def scene(*stages: StageSpec, windows: str = WINDOWS) -> Scene:
    return Scene(stages=(stage("from_tensor_slices"), *stages, stage("prefetch", segment=0)), windows=windows)


def check(given: Scene, **params: float) -> list:
    return list(SourcesDisagree().check(given.analysis(), SourcesDisagreeParameters(**params)))


@pytest.mark.parametrize("factor", [3.0, 1 / 3])
def test_it_fires_on_a_stage_that_the_sources_put_far_apart_with_both_numbers(factor: float) -> None:
    (finding,) = check(scene(decode(COUNTED_S * factor)))

    assert (finding.code, finding.stage_id, finding.severity) == ("PP005", "s1", Severity.INFO)
    assert finding.message == (
        f"Two sources disagree about train.py:7 .map(decode): 30 ms for one element by TensorFlow's counters, "
        f"{'90' if factor > 1 else '10'} ms in {WINDOWS}. What is said of this stage is in doubt; run again, or measure the "
        f"pipeline alone with pipeprof bench."
    )
    assert number(finding, "factor") == pytest.approx(3.0)


def test_the_cured_twin_in_which_the_sources_agree_is_silent() -> None:
    assert check(scene(decode(COUNTED_S * 1.2))) == []


def test_it_fires_just_over_the_threshold_and_not_just_under() -> None:
    assert check(scene(decode(COUNTED_S * 2.01))) != []
    assert check(scene(decode(COUNTED_S * 1.99))) == []


def test_a_stage_that_does_little_of_the_work_is_left_alone() -> None:
    small = stage("filter", 0.003, traced=(36, 3.6))

    assert check(scene(decode(COUNTED_S), small)) == []


def test_windows_with_few_elements_decide_nothing() -> None:
    given = scene(decode(COUNTED_S * 3, elements=9))

    assert check(given) == []
    (outcome,) = [item for item in judge(given.analysis()).outcomes if item.code == "PP005"]
    assert outcome.outcome == NOT_APPLICABLE
    assert "too few elements" in outcome.reason


def test_it_does_not_apply_without_windows() -> None:
    given = scene(stage("map", COUNTED_S), windows="")

    (outcome,) = [item for item in judge(given.analysis()).outcomes if item.code == "PP005"]

    assert outcome.outcome == NOT_APPLICABLE
