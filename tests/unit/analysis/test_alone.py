"""A pipeline that was measured alone is told its rate, and nobody is said to train."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeprof.analysis.alone import conclude_alone
from pipeprof.model.analysis import Analysis
from pipeprof.model.diagnosis import Confidence, InputBound, Limit
from pipeprof.rules.engine import judge
from tests.support.builders import Scene, random_function, stage

SLOW = Scene(stages=(stage("range"), stage("map", 0.04, function=random_function())), gap_s=0.0004, ceiling=100.0)


def _benched(scene: Scene, step_s: float | None) -> Analysis:
    analysis = scene.analysis()
    profile = replace(analysis.profile, run=replace(analysis.profile.run, bench_step_s=step_s))
    return replace(analysis, profile=profile)


def test_a_program_keeps_its_verdict():
    analysis = _benched(SLOW, None)

    assert conclude_alone(analysis.verdict, analysis) is analysis.verdict


def test_at_full_speed_the_rate_is_told_and_nothing_is_graded():
    analysis = _benched(SLOW, 0.0)

    verdict = conclude_alone(analysis.verdict, analysis)

    assert verdict.sentence.startswith("The pipeline alone delivers ")
    assert (verdict.input_bound, verdict.limit) == (InputBound.UNKNOWN, Limit.INPUT)
    assert (verdict.ceiling_speedup, verdict.nothing_to_fix) == (None, False)


def test_few_elements_make_it_unsure():
    assert conclude_alone(SLOW.analysis().verdict, _benched(SLOW.but(step_count=5), 0.0)).confidence is Confidence.LOW


def test_with_a_stand_in_step_its_wait_is_told():
    scene = SLOW.but(step_s=0.04, gap_s=0.02)
    analysis = _benched(scene, 0.02)

    verdict = conclude_alone(analysis.verdict, analysis)

    assert verdict.sentence == ("A step of 20 ms would wait for its input 50 % of the time (46–54 %): highly input-bound.")
    assert verdict.input_bound is InputBound.HIGHLY


@pytest.mark.parametrize(
    ("step_s", "words"),
    [
        (None, "Training waits 99 %"),
        (0.0, "The pipeline was measured alone: what training would wait is not known."),
        (0.02, "A consumer that takes 20 ms waits 99 %"),
    ],
)
def test_rules_say_who_waits(step_s, words):
    findings = judge(_benched(SLOW, step_s)).findings

    sequential = next(finding for finding in findings if finding.code == "PP201")
    assert words in sequential.message
    assert ("PP101" in [finding.code for finding in findings]) is (step_s != 0)
