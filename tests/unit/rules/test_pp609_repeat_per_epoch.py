"""PP609: an iterator for each of many short epochs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeprof.advise.recommend import recommend
from pipeprof.model.diagnosis import InputBound, Severity
from pipeprof.model.profile import Change, ElementsState, EpochRecord, TrialRecord, TrialState
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.epoch_edges import share_of_edges
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


def test_where_one_iterator_would_change_the_elements_it_says_so_and_asks_for_nothing() -> None:
    reading = SHORT.but(stages=(replace(SHORT.stages[0], changed_state="level"), *SHORT.stages[1:]))
    analysis = SHORT.analysis()
    trial = TrialRecord(
        id="x", pipeline_id="p0", stage_id="s2", change=Change(kind="repeat_once"), state=TrialState.WORSE,
        elements=ElementsState.DIFFERENT, elements_note="seeded draws no longer repeat",
    )  # fmt: skip
    refused = replace(analysis, profile=replace(analysis.profile, trials=(trial,)))

    (by_state,) = check(reading)
    (by_trial,) = RepeatPerEpoch().check(refused, RepeatPerEpochParameters())

    assert {by_state.severity, by_trial.severity} == {Severity.INFO}
    assert by_state.message.endswith("other elements: it reads on before level changes for the next epoch.")
    assert by_trial.message.endswith("One iterator for all epochs would give other elements: seeded draws no longer repeat.")


def test_edges_cost_no_more_than_they_took() -> None:
    """Of few edges the median can be above the mean."""
    analysis = SHORT.analysis()
    train = analysis.train
    assert train is not None
    one = EpochRecord(start_s=0.0, elements=29, creation_s=0.28, teardown_s=0.01, first_wait_s=0.01, wait_s=0.3, wall_s=1.1)
    quick = replace(one, creation_s=0.0, teardown_s=0.0, first_wait_s=0.0)
    loop = replace(train.record.loop, epochs=(one, *[quick] * 8, *[one] * 12))
    uneven = replace(train, record=replace(train.record, loop=loop))

    assert share_of_edges(analysis.steps, train) == pytest.approx(20 * 0.3 / 24)
    assert share_of_edges(analysis.steps, uneven) == pytest.approx(12 * 0.3 / 24)


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
