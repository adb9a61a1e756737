"""PP610: shuffles that mix less, or other things, than meant."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeprof.advise.recommend import recommend
from pipeprof.model.analysis import Analysis
from pipeprof.model.diagnosis import Confidence, Severity
from pipeprof.model.profile import Role
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp610_shuffle_quality import ShuffleQuality, ShuffleQualityParameters
from tests.support.builders import Scene, StageSpec, number, stage
from tests.support.looks import looked

FILES = stage("from_tensor_slices", line=10)


def shuffle(size: int = 20_000, **details: object) -> StageSpec:
    given = {"arguments": {"buffer_size": size}, "cardinality": 10_000, "line": 12, "code": f"ds.shuffle({size})"}
    return stage("shuffle", **(given | details))


def scene(*stages: StageSpec, **numbers: object) -> Scene:
    return Scene(stages=stages).but(**numbers)


def check(analysis: Analysis, **params: float) -> list:
    return list(ShuffleQuality().check(analysis, ShuffleQualityParameters(**params)))


def split(**details: object) -> Analysis:
    """Make a training and a validation pipeline that skip and take of one shuffle."""
    train = scene(FILES, shuffle(**details), stage("skip", line=13, code="ds.skip(n)")).analysis()
    other = scene(FILES, shuffle(**details), stage("take", line=14, code="ds.take(n)"), role=Role.VALIDATION).analysis()
    view = replace(other.pipelines[0], record=replace(other.pipelines[0].record, id="p1"))
    return replace(train, pipelines=(*train.pipelines, view))


def test_a_split_of_an_order_that_changes_fires_once_at_the_shuffle() -> None:
    (finding,) = check(split())

    assert (finding.code, finding.stage_id, finding.pipeline_id, finding.severity) == ("PP610", "s1", "p0", Severity.LOW)
    assert finding.message == (
        "train.py:12 .shuffle(20000) makes a new order in every pass, and train.py:13 .skip(n) and train.py:14 .take(n) split "
        "that order: in each epoch both parts hold other elements, so that training sees what validation is measured on. Split "
        "first, or shuffle with reshuffle_each_iteration=False."
    )
    assert number(finding, "cause") == "split-reshuffles"


def test_the_cured_twin_of_a_fixed_order_is_silent() -> None:
    assert check(split(arguments={"buffer_size": 20_000, "reshuffle_each_iteration": False})) == []


def test_a_take_alone_is_no_split_and_silent() -> None:
    assert check(scene(FILES, shuffle(), stage("take")).analysis()) == []


def test_a_repeat_before_a_shuffle_fires_and_one_after_it_is_silent() -> None:
    repeat = stage("repeat", line=11, code="ds.repeat()")

    (finding,) = check(scene(FILES, repeat, shuffle(cardinality=-1)).analysis())

    assert (finding.stage_id, finding.severity, number(finding, "cause")) == ("s2", Severity.LOW, "repeat-before-shuffle")
    assert check(scene(FILES, shuffle(), repeat).analysis()) == []


@pytest.mark.parametrize(("elements", "fires"), [(1, False), (2, True)])
def test_a_repeat_of_one_single_element_mixes_no_epochs(elements: int, fires: bool) -> None:
    one = stage("from_tensors", line=10, cardinality=elements)
    repeat = stage("repeat", line=11, code="ds.repeat(1000)")

    assert bool(check(scene(one, repeat, shuffle(cardinality=-1)).analysis())) is fires


@pytest.mark.parametrize(("size", "fires"), [(199, True), (201, False)])
def test_a_small_buffer_fires_just_under_its_share_of_the_data_and_not_just_over(size: int, fires: bool) -> None:
    found = check(scene(FILES, shuffle(size)).analysis())

    assert bool(found) is fires
    assert all(finding.severity is Severity.INFO for finding in found)


def test_a_small_buffer_is_enough_where_files_are_shuffled_before_and_silent() -> None:
    assert check(scene(stage("list_files"), shuffle(100, cardinality=50), stage("interleave"), shuffle(100)).analysis()) == []


def test_of_a_small_data_set_nothing_is_said() -> None:
    assert check(scene(FILES, shuffle(4, cardinality=500)).analysis()) == []


def test_causes_lead_to_changes_by_hand_and_a_small_buffer_to_none() -> None:
    leak, small = split(), scene(FILES, shuffle(100)).analysis()

    assert [made.change.kind for made in recommend(leak, check(leak))] == ["split_once"]
    assert recommend(small, check(small)) == ()


def test_it_does_not_apply_without_a_pipeline() -> None:
    outcomes = judge(replace(split(), pipelines=(), train_id=None)).outcomes

    (outcome,) = [item for item in outcomes if item.code == "PP610"]
    assert outcome.outcome == NOT_APPLICABLE


def look_at(analysis: Analysis, **shown: object) -> list:
    return check(looked(analysis, ShuffleQuality(), **shown))


def test_elements_of_both_parts_are_said_and_a_split_that_shares_none_is_taken_back() -> None:
    (finding,) = look_at(split(), same=0.6, control=0.1, whole=True)

    assert "validation is measured on (read again for two passes, 60 % of the smaller part)." in finding.message
    assert (number(finding, "in_both_parts"), number(finding, "in_both_parts_control")) == (0.6, 0.1)
    assert look_at(split(), same=0.1, control=0.1, whole=True) == []
    assert len(look_at(split(), same=0.0, control=0.0, whole=False)) == 1  # what was not read may be shared


def test_elements_that_come_twice_make_a_repeat_before_a_shuffle_sure() -> None:
    given = scene(FILES, stage("repeat", line=11, code="ds.repeat()"), shuffle(cardinality=-1)).analysis()
    (finding,) = look_at(given, same=0.4, control=0.1, whole=True)

    assert finding.confidence is Confidence.HIGH
    assert "before others came once (30 % of one pass, read again)" in finding.message
    assert look_at(given, same=0.1, control=0.1, whole=True) == []


def test_a_stage_between_a_repeat_and_a_shuffle_leaves_the_length_of_a_pass_unknown() -> None:
    given = scene(FILES, stage("repeat"), stage("batch"), shuffle(cardinality=-1)).analysis()

    assert list(ShuffleQuality().looks(given)) == []
    assert len(check(given)) == 1


@pytest.mark.parametrize(
    ("kept", "elements", "confidence"),
    [(0.91, 1000, Confidence.MEDIUM), (0.89, 1000, Confidence.LOW), (0.51, 1000, Confidence.LOW), (0.49, 1000, None),
     (0.0, 999, Confidence.LOW)],
)  # fmt: skip
def test_a_small_buffer_is_judged_by_the_order_of_two_passes_where_ten_buffers_were_read(
    kept: float, elements: int, confidence: Confidence | None
) -> None:
    found = look_at(scene(FILES, shuffle(100)).analysis(), same=1.0, order_kept=kept, elements=elements)

    assert [finding.confidence for finding in found] == ([] if confidence is None else [confidence])
