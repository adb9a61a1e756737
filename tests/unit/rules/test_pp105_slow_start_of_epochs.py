"""PP105: waits at the edges of epochs."""

from __future__ import annotations

import pytest

from pipeprof.model.diagnosis import InputBound, Severity
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp105_slow_start_of_epochs import SlowStartOfEpochs, SlowStartParameters
from tests.support.builders import Scene, number, stage

EDGY = Scene(
    stages=(
        stage("map", 0.02),
        stage("shuffle", line=8, code="ds.shuffle(4096)", arguments={"buffer_size": 4096}),
        stage("batch"),
    ),
    gap_s=0.028,  # 30 % of 24 s are waited
    bins=((600, 7.2, 16.8),),
    boundary_wait_share=0.28,
    edges=(0.7, 0.01, 2.65),  # of 3 epochs, so that there are two
)


def check(given: Scene, **params: float) -> list:
    return list(SlowStartOfEpochs().check(given.analysis(), SlowStartParameters(**params)))


def test_waits_at_the_edges_alone_are_told_with_their_parts_the_longest_first() -> None:
    (finding,) = check(EDGY)

    assert (finding.code, finding.stage_id, finding.severity) == ("PP105", "s1", Severity.HIGH)
    assert finding.message == (
        "Training waits 28 % of its time at the edges of epochs and hardly within them: 2.6 s for the wait for the first "
        "element, before which train.py:8 .shuffle(4096) fills its buffer; 700 ms for taking the old iterator down; 10 ms for "
        "making the new one. Let one iterator serve all epochs: repeat() after the shuffle."
    )
    assert number(finding, "cost_share") == pytest.approx(0.28)
    assert number(finding, "teardown_s") == 0.7


def test_the_largest_of_several_buffers_is_named() -> None:
    stages = (stage("shuffle", arguments={"buffer_size": 16}), *EDGY.stages)

    (finding,) = check(EDGY.but(stages=stages))

    assert finding.stage_id == "s2"


def test_without_a_buffer_the_wait_for_the_first_element_is_just_that() -> None:
    (finding,) = check(EDGY.but(stages=(stage("map", 0.02), stage("batch"))))

    assert finding.stage_id is None
    assert "2.6 s for the wait for the first element; 700 ms" in finding.message


def test_the_cured_twin_with_one_iterator_for_all_epochs_is_silent() -> None:
    assert check(EDGY.but(boundary_wait_share=0.0, edges=None, epochs=1)) == []


def test_a_loop_that_waits_within_its_epochs_too_is_silent() -> None:
    assert check(EDGY.but(boundary_wait_share=0.24)) == []
    assert len(check(EDGY.but(boundary_wait_share=0.26))) == 1


@pytest.mark.parametrize(("edge_s", "fires"), [(0.59, False), (0.61, True)])
def test_it_fires_just_over_the_threshold_and_not_just_under(edge_s: float, fires: bool) -> None:
    assert bool(check(EDGY.but(edges=(edge_s, 0.0, 0.0)))) is fires  # two of them, in 24 s


def test_edges_that_are_mostly_the_making_of_iterators_are_another_rules() -> None:
    assert check(EDGY.but(edges=(0.7, 1.96, 2.65), epochs=5)) == []
    assert len(check(EDGY.but(edges=(0.7, 1.94, 2.65), epochs=5))) == 1
    assert len(check(EDGY.but(edges=(0.7, 1.96, 2.65), epochs=4))) == 1


def test_a_single_edge_may_have_been_an_accident_and_is_silent() -> None:
    assert check(EDGY.but(epochs=2)) == []


def test_it_does_not_apply_without_a_verdict() -> None:
    outcomes = judge(EDGY.but(input_bound=InputBound.UNKNOWN).analysis()).outcomes

    (outcome,) = [item for item in outcomes if item.code == "PP105"]
    assert outcome.outcome == NOT_APPLICABLE


def test_under_keras_the_wait_for_the_first_element_holds_the_taking_down_of_the_old_iterator() -> None:
    (finding,) = check(EDGY.but(method="keras", edges=(0.0, 0.01, 3.3)))

    assert "for the first element, the taking down of the old iterator included, before which" in finding.message
