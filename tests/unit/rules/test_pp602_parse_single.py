"""PP602: records that are parsed one by one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeprof.advise.recommend import recommend
from pipeprof.model.diagnosis import Confidence, Severity
from pipeprof.model.profile import StageFunction
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp602_parse_single import ParseSingle, ParseSingleParameters
from tests.support.builders import Scene, StageSpec, function, number, random_function, stage

COUNT = 1000.0
SOURCE = stage("TFRecordDataset", 0.0005, visits=COUNT)
BATCH = stage("batch")


def parse(busy_s: float = 0.036, *ops: str, **details: object) -> StageSpec:
    given = {"visits": COUNT, "tensors": 21, "line": 5, "code": "ds.map(parse)"}
    return stage("map", busy_s, function=function(*(ops or ("ParseExampleV2", "Reshape"))), **(given | details))


def scene(*stages: StageSpec, **numbers: object) -> Scene:
    return Scene(stages=(*stages, stage("prefetch", segment=0)), step_s=0.037, gap_s=0.004).but(**numbers)


SLOW = scene(SOURCE, parse(), BATCH)


def check(given: Scene, **params: float) -> list:
    return list(ParseSingle().check(given.analysis(), ParseSingleParameters(**params)))


def test_examples_that_are_parsed_singly_before_a_batch_fires_with_its_numbers() -> None:
    (finding,) = check(SLOW)

    assert (finding.code, finding.stage_id, finding.severity, finding.confidence) == (
        "PP602", "s1", Severity.HIGH, Confidence.MEDIUM,
    )  # fmt: skip
    assert finding.message == (
        "train.py:5 .map(parse) parses the 1000 records of a step one by one, 36 µs each. Training waits 89 % (85–93 %) of "
        "each step. Batch them first and parse each batch in one call: tf.io.parse_example."
    )
    assert number(finding, "cost_share") == pytest.approx(COUNT * (15e-6 + 21 * 0.5e-6) / 0.037)


def test_no_more_than_four_fifths_of_the_time_are_taken_to_go_away() -> None:
    (finding,) = check(scene(SOURCE, parse(0.02), BATCH, step_s=0.021))

    assert number(finding, "cost_share") == pytest.approx(0.8 * 0.02 / 0.021)


def test_the_cured_twin_is_silent() -> None:
    assert check(scene(SOURCE, BATCH, parse(0.003, visits=1.0))) == []
    assert check(scene(SOURCE, stage("batch", visits=COUNT), parse(), BATCH)) == []


@pytest.mark.parametrize(
    ("op", "cure"),
    [
        ("DecodeCSV", "tf.io.decode_csv on the batch of lines."),
        ("ParseSequenceExampleV2", "tf.io.parse_sequence_example."),
        ("ParseSingleExample", "tf.io.parse_example."),
    ],
)
def test_each_kind_of_record_has_its_own_cure(op: str, cure: str) -> None:
    (finding,) = check(scene(SOURCE, parse(0.036, op), BATCH))

    assert finding.message.endswith(f"in one call: {cure}")


@pytest.mark.parametrize(("share", "fires"), [(-0.001, True), (0.001, False)])
def test_it_fires_just_over_the_threshold_and_not_just_under(share: float, fires: bool) -> None:
    cost = COUNT * (15e-6 + 21 * 0.5e-6) / 0.037

    assert bool(check(SLOW, min_share=cost + share)) is fires


def test_few_records_per_step_are_silent() -> None:
    few = {"step_s": 400e-6, "gap_s": 10e-6}

    assert check(scene(SOURCE, parse(360e-6, visits=7.0), BATCH, **few)) == []
    assert len(check(scene(SOURCE, parse(360e-6, visits=8.0), BATCH, **few))) == 1


def test_only_what_can_follow_a_batch_may_stand_between() -> None:
    between = {"visits": COUNT}

    assert len(check(scene(SOURCE, parse(), stage("shuffle", **between), BATCH))) == 1
    assert len(check(scene(SOURCE, parse(), stage("map", function=function("Mul"), **between), BATCH))) == 1
    assert check(scene(SOURCE, parse(), stage("map", function=function("DecodeJpeg"), **between), BATCH)) == []
    assert check(scene(SOURCE, parse(), stage("filter", **between), BATCH)) == []
    assert check(scene(SOURCE, parse())) == []


@pytest.mark.parametrize(
    "made_of",
    [function("ParseExampleV2", "DecodeJpeg"), random_function("RandomUniform", "ParseExampleV2"), function("Mul"), None],
)
def test_functions_that_do_more_than_parse_are_silent(made_of: object) -> None:
    assert check(scene(SOURCE, stage("map", 0.036, visits=COUNT, function=made_of), BATCH)) == []


def test_it_is_the_one_finding_on_the_stage_and_leads_to_a_change() -> None:
    analysis = SLOW.but(cpu_s_per_step=0.037 * 3.3).analysis()  # no core is idle for calls in parallel
    findings = judge(analysis, select=["PP2", "PP6"]).findings

    assert [item.code for item in findings] == ["PP602"]
    assert [item.change.kind for item in recommend(analysis, findings)] == ["parse_batch"]


@pytest.mark.parametrize(
    ("made_of", "between", "kind"),
    [
        (function("ParseExampleV2"), (), "parse_batch"),
        (function("DecodeCSV"), (), "vectorize"),
        (replace(function("ParseExampleV2"), not_elementwise="Reshape is not known"), (), "parse_by_hand"),
        (function("ParseExampleV2"), (stage("shuffle"),), "parse_by_hand"),
    ],
)
def test_what_is_proven_to_parse_a_batch_where_it_stands_is_tried_and_the_rest_is_sketched(
    made_of: StageFunction, between: tuple[StageSpec, ...], kind: str
) -> None:
    reader = stage("map", 0.036, visits=COUNT, tensors=21, function=made_of, line=5, code="ds.map(parse)")
    given = scene(SOURCE, reader, *between, BATCH)

    (made,) = recommend(given.analysis(), check(given))

    assert made.change.kind == kind
    assert bool(made.sketch) is (kind == "parse_by_hand")


def test_a_pipeline_that_keeps_up_is_silent() -> None:
    assert check(SLOW.but(gap_s=0.0369)) == []


def test_it_does_not_apply_without_counters() -> None:
    outcomes = judge(SLOW.but(has_counters=False).analysis()).outcomes

    (outcome,) = [item for item in outcomes if item.code == "PP602"]
    assert outcome.outcome == NOT_APPLICABLE
