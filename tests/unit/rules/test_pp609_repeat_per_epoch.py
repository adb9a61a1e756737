"""PP609: an iterator for each of many short epochs."""

from __future__ import annotations

import pytest

from pipeprof.advise.recommend import recommend
from pipeprof.model.diagnosis import InputBound, Severity
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp609_repeat_per_epoch import RepeatPerEpoch, RepeatPerEpochParameters
from tests.support.builders import Scene, number, stage

SHORT = Scene(
    stages=(stage("map", 0.02), stage("batch"), stage("prefetch", segment=0, line=14, code="ds.prefetch(2)")),
    epochs=21,
    gap_s=0.028,  # 30 % of 24 s are waited
    bins=((600, 7.2, 16.8),),
    edges=(0.01, 0.28, 0.01),
)


def check(given: Scene, **params: float) -> list:
    return list(RepeatPerEpoch().check(given.analysis(), RepeatPerEpochParameters(**params)))


def test_an_iterator_for_each_short_epoch_fires_with_what_it_takes() -> None:
    (finding,) = check(SHORT)

    assert (finding.code, finding.stage_id, finding.severity) == ("PP609", "s2", Severity.HIGH)
    assert finding.message == (
        "21 epochs of 29 steps make a new iterator each: 290 ms, and 25 % of the loop with the wait for its first element. "
        "TensorFlow optimises the graph and starts its threads again each time. Let one iterator serve all epochs: train.py:14 "
        ".prefetch(2), then .repeat(21)."
    )
    assert number(finding, "cost_share") == pytest.approx(20 * 0.3 / 24)


def test_it_leads_to_a_change() -> None:
    (made,) = recommend(SHORT.analysis(), check(SHORT))

    assert (made.change.kind, made.stage_id) == ("repeat_once", "s2")
    assert made.predicted is not None
    assert made.predicted.low < 24 / (24 - 20 * 0.29) < made.predicted.high
    assert "for _ in range(29)" in made.sketch


def test_one_cause_gives_one_finding() -> None:
    edgy = SHORT.but(boundary_wait_share=0.29)

    for given, code in ((edgy, "PP609"), (edgy.but(edges=(0.01, 0.1, 0.19)), "PP105")):
        assert [item.code for item in judge(given.analysis(), select=["PP105", "PP609"]).findings] == [code]


def test_the_cured_twin_is_silent() -> None:
    assert check(SHORT.but(epochs=1, edges=None)) == []


@pytest.mark.parametrize(("creation_s", "fires"), [(0.061, True), (0.059, False)])
def test_it_fires_just_over_the_threshold_and_not_just_under(creation_s: float, fires: bool) -> None:
    assert bool(check(SHORT.but(edges=(0.0, creation_s, 0.0)))) is fires  # 20 of them, in 24 s


def test_a_few_epochs_are_not_many() -> None:
    long_edges = {"edges": (0.0, 0.9, 0.0)}

    assert len(check(SHORT.but(epochs=5, **long_edges))) == 1
    assert check(SHORT.but(epochs=4, **long_edges)) == []


def test_epochs_that_wait_for_elements_are_anothers() -> None:
    assert check(SHORT.but(edges=(0.01, 0.1, 0.12))) == []


def test_a_dataset_that_differs_from_epoch_to_epoch_cannot_be_one_iterator() -> None:
    anew = (stage("map", 0.02, objects=21, objects_differ=True), *SHORT.stages[1:])

    assert check(SHORT.but(stages=anew)) == []


def test_it_does_not_apply_without_a_verdict() -> None:
    outcomes = judge(SHORT.but(input_bound=InputBound.UNKNOWN).analysis()).outcomes

    (outcome,) = [item for item in outcomes if item.code == "PP609"]
    assert outcome.outcome == NOT_APPLICABLE
