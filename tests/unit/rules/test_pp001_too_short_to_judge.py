"""PP001: when a run is too short to be judged."""

from __future__ import annotations

from pipeprof.model.diagnosis import InputBound, Severity
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp001_too_short_to_judge import TooShortParameters, TooShortToJudge
from tests.support.builders import Scene, number, stage

LONG = Scene(stages=(stage("map", 0.03),))


def check(scene: Scene, **params: float) -> list:
    return list(TooShortToJudge().check(scene.analysis(), TooShortParameters(**params)))


def test_the_cured_twin_a_long_run_with_a_narrow_interval_is_silent() -> None:
    assert check(LONG) == []


def test_it_fires_at_nineteen_steps_just_under_the_threshold_and_not_at_twenty() -> None:
    (finding,) = check(LONG.but(step_count=19))

    assert (finding.code, finding.severity, finding.pipeline_id) == ("PP001", Severity.INFO, "p0")
    assert finding.message == (
        "Too short to be sure of the verdict: 19 steps were seen, 20 are needed. What is seen this early is not what a long "
        "run does; run more steps."
    )
    assert number(finding, "steps") == 19
    assert check(LONG.but(step_count=20)) == []


def test_a_loop_just_under_three_seconds_is_too_short_and_one_of_three_is_not() -> None:
    (finding,) = check(LONG.but(wall_s=2.9))

    assert "the loop ran for 2.9 s, 3.0 s are needed" in finding.message
    assert check(LONG.but(wall_s=3.0)) == []


def test_an_interval_just_over_the_moderate_band_is_too_wide() -> None:
    some = LONG.but(gap_s=0.03)
    (finding,) = check(some.but(wait_margin=0.08))

    assert "the share of waiting is known to within 16 % only, 15 % are needed" in finding.message
    assert check(some.but(wait_margin=0.07)) == []


def test_an_interval_that_lies_in_the_top_band_as_a_whole_is_narrow_enough() -> None:
    assert check(LONG.but(wait_margin=0.20)) == []


def test_it_says_too_short_to_judge_only_where_the_verdict_is_open() -> None:
    (open_,) = check(LONG.but(step_count=19, input_bound=InputBound.UNKNOWN, ceiling=4.0))
    (stands,) = check(LONG.but(wall_s=2.9))

    assert open_.message.startswith("Too short to judge: 19 steps were seen, 20 are needed.")
    assert stands.message.startswith("Too short to be sure of the verdict: the loop ran for 2.9 s, 3.0 s are needed.")


def test_all_shortcomings_are_said_in_one_finding() -> None:
    (finding,) = check(LONG.but(step_count=3, wall_s=0.5))

    assert [item.name for item in finding.evidence] == ["steps", "loop_wall_s"]


def test_a_threshold_can_be_moved() -> None:
    assert check(LONG.but(step_count=19), min_steps=10) == []


def test_it_does_not_apply_without_a_training_loop() -> None:
    outcome = judge(LONG.but(has_train=False).analysis(), select=["PP001"]).outcomes[0]

    assert (outcome.outcome, outcome.reason) == (NOT_APPLICABLE, "no training loop over a tf.data pipeline was seen")
