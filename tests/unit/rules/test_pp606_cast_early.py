"""PP606: casts long before they are needed."""

from __future__ import annotations

import pytest

from pipeprof.advise.recommend import recommend
from pipeprof.model.diagnosis import Confidence, Severity
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp606_cast_early import CastEarly, CastEarlyParameters
from tests.support.builders import Scene, StageSpec, function, number, stage

WIDE, NARROW = 602_112, 150_528
MIB = 1024 * 1024


def cast(narrow: int | None = NARROW, source: str = "uint8") -> StageSpec:
    made_of = function("Cast", "Mul", widened_from=source, narrow_bytes=narrow)
    return stage("map", 0.002, function=made_of, element_bytes=WIDE, line=12, code="ds.map(to_float)")


def shuffle(held: float = 1000.0) -> StageSpec:
    return stage("shuffle", line=13, code="ds.shuffle(1000)", element_bytes=WIDE, held=(held, 0.0))


def scene(*stages: StageSpec, **numbers: object) -> Scene:
    return Scene(stages=(stage("from_tensor_slices", element_bytes=NARROW), *stages, stage("prefetch", segment=0))).but(
        **numbers
    )


EARLY = scene(cast(), shuffle(), stage("batch"))


def check(given: Scene, **params: float) -> list:
    return list(CastEarly().check(given.analysis(), CastEarlyParameters(**params)))


def test_a_cast_before_a_large_shuffle_fires_at_the_cast() -> None:
    (finding,) = check(EARLY)

    assert (finding.code, finding.stage_id, finding.severity, finding.confidence) == (
        "PP606", "s1", Severity.LOW, Confidence.HIGH,
    )  # fmt: skip
    assert finding.message == (
        "train.py:12 .map(to_float) casts uint8 to a type that makes each element 4.0 times as large, long before it is "
        "needed: train.py:13 .shuffle(1000) and what else holds elements behind it take 600 MB where 150 MB would do. Cast "
        "after the batch, or in the model."
    )
    assert number(finding, "growth") == 4.0


def test_a_batch_that_is_slow_to_copy_weighs_as_much_as_it_costs() -> None:
    (finding,) = check(scene(cast(), stage("batch", 0.034)))

    assert (finding.severity, finding.confidence) == (Severity.HIGH, Confidence.MEDIUM)
    assert number(finding, "cost_share") == pytest.approx(0.034 * 0.75 / 0.04)


def test_it_leads_to_a_change() -> None:
    (made,) = recommend(EARLY.analysis(), check(EARLY))

    assert (made.change.kind, made.stage_id) == ("cast_later", "s1")


def test_the_cured_twin_is_silent() -> None:
    narrow = stage("shuffle", element_bytes=NARROW, held=(1000.0, 0.0))

    assert check(scene(narrow, stage("batch"), cast())) == []


@pytest.mark.parametrize(("share", "fires"), [(1.01, True), (0.99, False)])
def test_it_fires_just_over_so_many_bytes_saved_and_not_just_under(share: float, fires: bool) -> None:
    held = 64 * MIB / (WIDE - NARROW) * share

    assert bool(check(scene(cast(), shuffle(held), stage("batch")))) is fires


@pytest.mark.parametrize(("growth", "fires"), [(1.51, True), (1.49, False)])
def test_a_cast_that_adds_just_over_half_fires_and_just_under_does_not(growth: float, fires: bool) -> None:
    assert bool(check(scene(cast(round(WIDE / growth)), shuffle(), stage("batch")))) is fires


def test_a_cache_holds_a_whole_pass_and_a_cache_on_disk_no_memory() -> None:
    kept = stage("cache", line=13, code="ds.cache()", element_bytes=WIDE, cardinality=500)
    on_disk = stage("cache", element_bytes=WIDE, cardinality=500, arguments={"filename": "/tmp/kept"})

    (finding,) = check(scene(cast(), kept, stage("batch")))

    assert number(finding, "held_bytes") == 500 * WIDE
    assert check(scene(cast(), on_disk, stage("batch"))) == []


def test_what_a_function_behind_it_needs_is_needed() -> None:
    assert check(scene(cast(), stage("map", function=function("Exp")), shuffle(), stage("batch"))) == []


def test_where_no_cast_or_no_size_was_found_it_is_silent() -> None:
    assert check(scene(cast(source=""), shuffle(), stage("batch"))) == []
    assert check(scene(cast(narrow=None), shuffle(), stage("batch"))) == []


def test_a_cast_before_a_fused_batch_and_nothing_else_is_silent() -> None:
    assert check(scene(cast(), stage("batch", 0.034, node="MapAndBatch"))) == []


def test_it_does_not_apply_without_counters() -> None:
    outcomes = judge(EARLY.but(has_counters=False).analysis()).outcomes

    (outcome,) = [item for item in outcomes if item.code == "PP606"]
    assert outcome.outcome == NOT_APPLICABLE
