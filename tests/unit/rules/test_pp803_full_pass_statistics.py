"""PP803: statistics of the whole data, computed again in every run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeprof.advise.recommend import recommend
from pipeprof.model.analysis import Analysis
from pipeprof.model.diagnosis import Confidence, Finding, Severity
from pipeprof.model.profile import Role
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp803_full_pass_statistics import ADAPT, FullPassParameters, FullPassStatistics
from tests.support.builders import Scene, number, stage

TRAIN = Scene(stages=(stage("map", 0.02),))  # 24 s


def adapted(wall_s: float, consumer: str = ADAPT) -> Analysis:
    """Make a training loop of 24 s, and another pipeline that was read for so long before it."""
    train = TRAIN.analysis()
    other = Scene(stages=(stage("map", 0.02, line=7, code="ds.map(decode)"),), role=Role.OTHER).analysis().pipelines[0]
    loop = replace(other.record.loop, wall_s=wall_s, elements=1200)
    record = replace(other.record, id="p1", consumer=consumer, loop=loop, call_site=other.stages[0].stage.call_site)
    return replace(train, pipelines=(*train.pipelines, replace(other, record=record)))


def check(analysis: Analysis, **params: float) -> list[Finding]:
    return list(FullPassStatistics().check(analysis, FullPassParameters(**params)))


def test_a_long_pass_by_adapt_fires() -> None:
    (finding,) = check(adapted(6.0))

    assert (finding.code, finding.pipeline_id, finding.severity) == ("PP803", "p1", Severity.MEDIUM)
    assert finding.confidence is Confidence.HIGH
    assert finding.message == (
        "adapt() reads the pipeline of train.py:7 before training: 1,200 elements in 6.0 s, 20 % of the time of this run's "
        "loops. What it finds is a constant of the data: give the layer its numbers from an earlier run, or adapt on a sample "
        "(steps=n)."
    )
    assert number(finding, "run_share") == pytest.approx(0.2)


def test_it_leads_to_statistics_that_are_kept_by_hand() -> None:
    (made,) = recommend(adapted(6.0), check(adapted(6.0)))

    assert (made.change.kind, made.pipeline_id) == ("keep_statistics", "p1")
    assert "Normalization(mean=" in made.sketch


def test_the_cured_twin_without_a_pass_or_with_a_short_one_is_silent() -> None:
    assert check(TRAIN.analysis()) == []
    assert check(adapted(0.5)) == []


@pytest.mark.parametrize("consumer", ["for loop", "Keras evaluate", "Keras predict", "Keras validation"])
def test_other_passes_over_data_may_have_any_purpose_and_are_left_alone(consumer: str) -> None:
    assert check(adapted(12.0, consumer)) == []


@pytest.mark.parametrize(("wall_s", "fires"), [(1.27, True), (1.25, False)])
def test_it_speaks_just_over_its_threshold_and_not_just_under(wall_s: float, fires: bool) -> None:
    assert bool(check(adapted(wall_s))) is fires  # 24 s / 19 = 1.263 s


def test_it_does_not_apply_without_a_training_loop() -> None:
    (outcome,) = [item for item in judge(Scene(has_train=False).analysis()).outcomes if item.code == "PP803"]

    assert (outcome.outcome, outcome.reason) == (NOT_APPLICABLE, "no training loop over a tf.data pipeline was seen")
