"""PP208: a fixed number of calls that was measured to be faster than AUTOTUNE's."""

from __future__ import annotations

import pytest

from pipeprof.advise.recommend import recommend
from pipeprof.model.diagnosis import Severity
from pipeprof.model.profile import Change, IsolatedPrefix, PrefixBlock, ScalingPoint, TrialRecord, TrialState
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp208_autotune_below_best import AutotuneBelowBest, BelowBestParameters
from tests.support.builders import Scene, number, stage


def rates(**per_s: float) -> tuple[str, tuple[ScalingPoint, ...]]:
    """Return eight rounds for each number of calls, with 1 % of noise between the rounds."""
    points = []
    for calls, rate in per_s.items():
        blocks = tuple(
            PrefixBlock(round=turn, elements=1000, wall_s=1000 / rate * (1 + 0.01 * (turn % 2)), cpu_s=0.1) for turn in range(8)
        )
        points.append(ScalingPoint(calls=int(calls.removeprefix("c")), prefix=IsolatedPrefix(blocks=blocks)))
    return "s1", tuple(points)


def scene(*, tuned: bool = True, calls: float = 2, **numbers: object) -> Scene:
    decode = stage("map", 0.072, node="ParallelMapV2", slots=calls, tuned=tuned, line=31, code="ds.map(decode, AUTO)")
    return Scene(stages=(stage("from_tensor_slices"), decode, stage("prefetch", segment=0))).but(**numbers)


def trial(state: TrialState = TrialState.CONFIRMED, calls: int = 8, stage_id: str = "s1") -> TrialRecord:
    change = Change(kind="parallel_calls", params={"num_parallel_calls": calls})
    return TrialRecord(id="t", pipeline_id="p0", stage_id=stage_id, change=change, state=state, speedup=1.4, low=1.3, high=1.5)


SLOW = scene(scaling=rates(c1=100, c2=190, c4=285, c8=280))


def check(given: Scene, **params: float) -> list:
    return list(AutotuneBelowBest().check(given.analysis(), BelowBestParameters(**params)))


def test_a_number_that_was_measured_to_be_faster_fires() -> None:
    (finding,) = check(SLOW)

    assert (finding.code, finding.stage_id, finding.severity) == ("PP208", "s1", Severity.HIGH)
    assert finding.message == (
        "train.py:31 .map(decode, AUTO) runs 2 calls at once, chosen by AUTOTUNE; with 4 it was 1.50× as fast (measured "
        "alone). Write the number: num_parallel_calls=4."
    )
    assert number(finding, "cost_share") == pytest.approx(1 / 3)


def test_a_confirmed_trial_of_a_number_fires() -> None:
    (finding,) = check(scene(trials=(trial(),)))

    assert "with 8 it was 1.40× as fast (by a trial)" in finding.message


def test_it_leads_to_a_trial_with_that_number() -> None:
    (made,) = recommend(SLOW.analysis(), check(SLOW))

    assert made.change == Change(kind="parallel_calls", params={"num_parallel_calls": 4})


@pytest.mark.parametrize(
    "cured",
    [
        scene(calls=4, scaling=rates(c1=100, c2=190, c4=285, c8=280)),
        scene(tuned=False, scaling=rates(c1=100, c2=190, c4=285, c8=280)),
        scene(calls=3, scaling=rates(c1=100, c2=190, c4=285, c8=280)),  # AUTOTUNE's own number was not measured
        scene(scaling=rates(c1=100, c2=190, c4=191, c8=192)),  # within the noise
        scene(trials=(trial(TrialState.NO_DIFFERENCE),)),
        scene(trials=(trial(calls=-1),)),
        scene(trials=(trial(stage_id="s0"),)),
    ],
)
def test_the_cured_twin_is_silent(cured: Scene) -> None:
    assert check(cured) == []


def test_it_fires_just_over_the_threshold_and_not_just_under() -> None:
    assert len(check(SLOW, min_gain=0.49)) == 1
    assert check(SLOW, min_gain=0.51) == []


def test_it_does_not_apply_where_no_number_was_measured() -> None:
    (outcome,) = [item for item in judge(scene().analysis()).outcomes if item.code == "PP208"]

    assert outcome.outcome == NOT_APPLICABLE
    assert outcome.reason == "no fixed number of calls was tried beside AUTOTUNE's choice; pipeprof bench does"
