"""PP611: one random draw for a whole batch."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeprof.advise.recommend import recommend
from pipeprof.model.diagnosis import Confidence, Severity
from pipeprof.model.profile import Role
from pipeprof.rules.base import Parameters
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp611_batch_randomness import BatchRandomness
from tests.support.builders import Scene, StageSpec, number, random_function, stage
from tests.support.looks import looked

BATCH = stage("batch", line=11, code="ds.batch(32)", arguments={"batch_size": 32})
BRIGHTNESS = stage("map", line=12, code="ds.map(brighten)", function=random_function(single_draws=("RandomUniform",)))


def scene(*stages: StageSpec, **numbers: object) -> Scene:
    return Scene(stages=(stage("range"), *stages)).but(**numbers)


def check(given: Scene) -> list:
    return list(BatchRandomness().check(given.analysis(), Parameters()))


def test_a_single_draw_after_the_batch_fires_at_the_map() -> None:
    given = scene(BATCH, BRIGHTNESS)

    (finding,) = check(given)
    (made,) = recommend(given.analysis(), [finding])

    assert (finding.code, finding.stage_id) == ("PP611", "s2")
    assert (finding.severity, finding.confidence) == (Severity.LOW, Confidence.LOW)
    assert finding.message == (
        "train.py:12 .map(brighten) draws one random value (RandomUniform) for a whole batch of train.py:11 .batch(32): all "
        "its elements are changed alike. Where each should get its own, draw with the batch dimension, or put the map before "
        "the batch."
    )
    assert number(finding, "batch") == "s1"
    assert made.change.kind == "draw_per_element"


def test_the_cured_twin_that_draws_before_the_batch_is_silent() -> None:
    assert check(scene(BRIGHTNESS, BATCH)) == []


def test_draws_with_a_batch_dimension_are_silent() -> None:
    assert check(scene(BATCH, stage("map", function=random_function()))) == []


@pytest.mark.parametrize("between", [stage("unbatch"), stage("batch", arguments={"batch_size": 1})])
def test_where_it_gets_single_elements_it_is_silent(between: StageSpec) -> None:
    assert check(scene(BATCH, between, BRIGHTNESS)) == []


def test_a_validation_pipeline_is_not_looked_at_and_silent() -> None:
    assert check(scene(BATCH, BRIGHTNESS, role=Role.VALIDATION)) == []


def test_it_does_not_apply_without_a_pipeline() -> None:
    outcomes = judge(replace(scene(BATCH, BRIGHTNESS).analysis(), pipelines=(), train_id=None)).outcomes

    (outcome,) = [item for item in outcomes if item.code == "PP611"]
    assert outcome.outcome == NOT_APPLICABLE


@pytest.mark.parametrize(
    ("alike", "again", "confidence"),
    [(1.0, 0.0, Confidence.MEDIUM), (1.0, 1.0, Confidence.LOW), (0.5, 0.0, Confidence.LOW)],
)
def test_rows_that_stay_alike_while_batches_differ_make_it_surer(alike: float, again: float, confidence: Confidence) -> None:
    rule = BatchRandomness()
    analysis = looked(scene(BATCH, BRIGHTNESS).analysis(), rule, same=alike, control=again)

    (finding,) = rule.check(analysis, Parameters())

    assert finding.confidence is confidence
    assert ("as batches of one element showed" in finding.message) is (confidence is Confidence.MEDIUM)
    assert number(finding, "rows_alike") == alike
