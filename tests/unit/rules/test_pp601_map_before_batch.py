"""PP601: cheap maps that run once per element."""

from __future__ import annotations

import pytest

from pipeprof.model.diagnosis import Confidence, Severity
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp601_map_before_batch import MapBeforeBatch, MapBeforeBatchParameters
from tests.support.builders import Scene, StageSpec, function, number, python_function, random_function, stage

COUNT = 1000.0
SOURCE = stage("from_tensor_slices", 0.0005, visits=COUNT, element_bytes=80)


def scale(busy_s: float = 0.023, **details: object) -> StageSpec:
    given = {"visits": COUNT, "function": function("Cast", "Mul"), "element_bytes": 80, "line": 5, "code": "ds.map(scale)"}
    return stage("map", busy_s, **(given | details))


def scene(*stages: StageSpec, **numbers: object) -> Scene:
    given = (SOURCE, *stages, stage("prefetch", segment=0))
    return Scene(stages=given, step_s=0.024, gap_s=0.004).but(**numbers)


SLOW = scene(scale(), stage("batch"))


def check(given: Scene, **params: float) -> list:
    return list(MapBeforeBatch().check(given.analysis(), MapBeforeBatchParameters(**params)))


def test_a_cheap_map_before_a_batch_fires_with_its_numbers() -> None:
    (finding,) = check(SLOW)

    assert (finding.code, finding.stage_id, finding.severity, finding.confidence) == (
        "PP601", "s1", Severity.HIGH, Confidence.MEDIUM,
    )  # fmt: skip
    assert finding.message == (
        "train.py:5 .map(scale) is called for each of the 1000 elements of a step, 23 µs each, of which about 15 µs is the "
        "call itself. Training waits 83 % (79–87 %) of each step. Call it once for each batch: batch first, then map."
    )
    assert number(finding, "busy_s_per_element") == pytest.approx(23e-6)
    assert number(finding, "cost_share") == pytest.approx(999 * 15e-6 / 0.024)


def test_the_cured_twin_is_silent() -> None:
    assert check(scene(stage("batch"), scale(0.0007, visits=1.0))) == []


def test_a_map_fused_with_its_batch_counts_its_inputs_elements() -> None:
    fused = scale(visits=1.0, node="MapAndBatch", fused_with=("s2",))
    given = scene(fused, stage("batch", node="MapAndBatch", fused_with=("s1",)))

    (finding,) = check(given)

    assert number(finding, "elements_per_step") == COUNT


def test_a_padded_batch_or_a_stage_between_is_silent() -> None:
    assert check(scene(scale(), stage("padded_batch"))) == []
    assert check(scene(scale(), stage("shuffle"), stage("batch"))) == []


def test_a_dearer_call_is_worth_its_dispatch() -> None:
    assert len(check(scene(scale(0.0999), stage("batch"), step_s=0.1))) == 1
    assert check(scene(scale(0.1), stage("batch"), step_s=0.1)) == []


def test_few_elements_per_step_are_silent() -> None:
    few = {"step_s": 200e-6, "gap_s": 10e-6}

    assert check(scene(scale(180e-6, visits=7.0), stage("batch"), **few)) == []
    assert len(check(scene(scale(180e-6, visits=8.0), stage("batch"), **few))) == 1


def test_large_elements_are_bound_by_memory() -> None:
    assert len(check(scene(scale(element_bytes=65_536), stage("batch")))) == 1
    assert check(scene(scale(element_bytes=65_537), stage("batch"))) == []


def test_it_fires_just_over_the_threshold_and_not_just_under() -> None:
    cost = 999 * 15e-6 / 0.024

    assert len(check(SLOW, min_share=cost - 0.001)) == 1
    assert check(SLOW, min_share=cost + 0.001) == []


@pytest.mark.parametrize(
    "op", ["DecodeJpeg", "ResizeBilinear", "StringSplitV2", "ReadFile", "LookupTableFindV2", "While", "Where"]
)
def test_functions_without_a_batched_form_are_silent(op: str) -> None:
    assert check(scene(scale(function=function(op)), stage("batch"))) == []


@pytest.mark.parametrize("op", ["SelectV2", "Sum", "StatefulPartitionedCall"])
def test_functions_with_a_batched_form_fire(op: str) -> None:
    assert [finding.stage_id for finding in check(scene(scale(function=function(op)), stage("batch")))] == ["s1"]


@pytest.mark.parametrize("op", ["ParseExampleV2", "DecodeCSV"])
def test_the_parsing_of_records_is_another_rules(op: str) -> None:
    assert check(scene(scale(function=function(op)), stage("batch"))) == []


def test_it_does_not_apply_without_counters() -> None:
    outcomes = judge(SLOW.but(has_counters=False).analysis()).outcomes

    (outcome,) = [item for item in outcomes if item.code == "PP601"]
    assert outcome.outcome == NOT_APPLICABLE


@pytest.mark.parametrize("made_of", [random_function(), python_function(), function(stateful_ops=("ReadVariableOp",)), None])
def test_random_python_and_stateful_functions_are_silent(made_of: object) -> None:
    assert check(scene(scale(function=made_of), stage("batch"))) == []


def test_a_pipeline_that_keeps_up_is_silent() -> None:
    assert check(SLOW.but(gap_s=0.0239)) == []


UNPROVEN = "StridedSlice is not known to treat the elements of a batch one by one"


@pytest.mark.parametrize(("reason", "told"), [(UNPROVEN, f" ({UNPROVEN})"), (None, "")])
def test_a_function_that_is_not_proven_on_a_batch_is_to_be_rewritten_and_weighs_less(reason: str | None, told: str) -> None:
    window = function("StridedSlice", not_elementwise=reason)

    (finding,) = check(scene(scale(function=window), stage("batch")))

    assert finding.severity is Severity.MEDIUM
    assert finding.message.endswith(
        f"It is not proven to mean the same on a batch{told}: rewrite it for a leading batch dimension, then put batch before "
        "it."
    )
    assert number(finding, "by_hand") == (reason or "not known")
