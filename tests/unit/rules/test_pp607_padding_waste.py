"""PP607: batches that are padding for a good part."""

from __future__ import annotations

import pytest

from pipeprof.advise.recommend import recommend
from pipeprof.model.diagnosis import Confidence, Severity
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp607_padding_waste import PaddingWaste, PaddingWasteParameters
from tests.support.builders import Scene, StageSpec, number, stage


def padded(taken: int, given: int, op: str = "padded_batch") -> StageSpec:
    return stage(
        op, line=13, code="ds.padded_batch(32)", node="PaddedBatchV2", node_bytes_taken=taken, node_element_bytes=given
    )


def scene(*stages: StageSpec, **numbers: object) -> Scene:
    rows = stage("map", 0.02, visits=32.0, line=12, code="ds.map(tokens)")
    return Scene(stages=(rows, *stages, stage("prefetch", segment=0))).but(**numbers)


HALF = scene(padded(50_000, 100_000))


def check(given: Scene, **params: float) -> list:
    return list(PaddingWaste().check(given.analysis(), PaddingWasteParameters(**params)))


def test_a_padded_batch_that_is_half_padding_fires_at_the_batch() -> None:
    (finding,) = check(HALF)

    assert (finding.code, finding.stage_id, finding.severity, finding.confidence) == (
        "PP607", "s1", Severity.LOW, Confidence.HIGH,
    )  # fmt: skip
    assert finding.message == (
        "50 % of what train.py:13 .padded_batch(32) gives is padding, 50 kB in each batch: the rows of train.py:12 "
        ".map(tokens) differ in length, and each is padded to the longest of its batch. The model computes "
        "on that too. Let rows of about one length meet: bucket_by_sequence_length."
    )
    assert number(finding, "padding") == 0.5


def test_it_leads_to_a_change_that_must_be_asked_for() -> None:
    (made,) = recommend(HALF.analysis(), check(HALF))

    assert (made.change.kind, made.safety.value) == ("bucket", "reorders")


def test_the_cured_twin_is_silent() -> None:
    assert check(scene(padded(95_000, 100_000))) == []


@pytest.mark.parametrize(("taken", "fires"), [(69_900, True), (70_100, False)])
def test_it_fires_just_over_the_threshold_and_not_just_under(taken: int, fires: bool) -> None:
    assert bool(check(scene(padded(taken, 100_000)))) is fires


def test_little_padding_is_left_whatever_its_share() -> None:
    assert check(scene(padded(4095, 8190))) == []
    assert len(check(scene(padded(4096, 8192)))) == 1


def test_other_batches_and_a_few_batches_say_nothing() -> None:
    assert check(scene(padded(50_000, 100_000, op="batch"))) == []
    assert check(HALF.but(step_count=9)) == []
    assert check(scene(padded(0, 100_000))) == []


def test_it_does_not_apply_without_counters() -> None:
    outcomes = judge(HALF.but(has_counters=False).analysis()).outcomes

    (outcome,) = [item for item in outcomes if item.code == "PP607"]
    assert outcome.outcome == NOT_APPLICABLE
