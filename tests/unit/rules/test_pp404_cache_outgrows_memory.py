"""PP404: caches in memory that will not fit."""

from __future__ import annotations

import pytest

from pipeprof.advise.recommend import recommend
from pipeprof.model.diagnosis import Confidence, Severity
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp404_cache_outgrows_memory import CacheOutgrowsMemory, OutgrowsMemoryParameters
from tests.support.builders import Scene, StageSpec, number, stage

COUNT = 1_000_000
READ = stage("map", line=11, code="ds.map(read)", cardinality=COUNT, element_bytes=5_000)
DECODE = stage("map", line=12, code="ds.map(decode)", cardinality=COUNT, element_bytes=150_000)


def cache(element_bytes: int | None = 150_000, cardinality: int = COUNT, **details: object) -> StageSpec:
    return stage(
        "cache", line=13, code="ds.cache()", cardinality=cardinality, element_bytes=element_bytes, **({"visits": 1.0} | details)
    )


def scene(*stages: StageSpec, **numbers: object) -> Scene:
    """Make a run that has seen a part of its first epoch, with 16 GB of memory, 2 GB of them in use."""
    given = (stage("range", cardinality=COUNT, element_bytes=8), *stages)
    return Scene(stages=given).but(**({"epochs": 1, "epoch_elements": (600,)} | numbers))


GROWING = scene(READ, DECODE, cache(held=(600, 90_000_000)))


def check(given: Scene, **params: float) -> list:
    return list(CacheOutgrowsMemory().check(given.analysis(), OutgrowsMemoryParameters(**params)))


def test_a_cache_that_will_not_fit_fires_while_it_is_still_growing() -> None:
    (finding,) = check(GROWING)

    assert (finding.code, finding.stage_id, finding.severity) == ("PP404", "s3", Severity.HIGH)
    assert finding.message == (
        "train.py:13 .cache() will hold 150 GB once an epoch is through (1,000,000 elements of 150 kB), 90 MB of it so far; "
        "14 GB of the 16 GB of memory are left for it. The program would be killed, or the machine swap, before the epoch "
        "ends. Put it after train.py:11 .map(read), where an epoch takes 5.2 GB, or in a file: cache(filename)."
    )
    assert number(finding, "cache_bytes") == pytest.approx(COUNT * 150_185)
    assert number(finding, "cache_after") == "s1"


def test_it_leads_to_a_change_by_hand() -> None:
    (made,) = recommend(GROWING.analysis(), check(GROWING))

    assert (made.change.kind, made.title) == ("place_cache", "Cache where elements are still small, or in a file")


def test_the_cured_twin_whose_cache_holds_what_was_read_is_silent() -> None:
    assert check(scene(READ, cache(5_000), DECODE)) == []


def test_where_nothing_earlier_fits_no_place_is_named() -> None:
    (finding,) = check(scene(DECODE, cache()))

    assert "Cache before elements grow, keep them in a file" in finding.message


@pytest.mark.parametrize(("size", "fires"), [(12_400, False), (12_450, True)])
def test_it_fires_just_over_the_threshold_and_not_just_under(size: int, fires: bool) -> None:
    """Of 14 GB that are left 12.6 are the threshold; 185 bytes come to each element."""
    found = check(scene(DECODE, cache(size)))

    assert bool(found) is fires
    assert all(finding.severity is Severity.LOW for finding in found), "it still fits"


def test_the_limit_of_a_container_counts_where_it_is_lower() -> None:
    assert check(scene(cache(5_000))) == []
    assert len(check(scene(cache(5_000), memory_limit_bytes=4_000_000_000))) == 1


def test_small_tensors_cost_what_tensorflow_adds_to_each() -> None:
    """100 million numbers of 8 bytes are 0.8 GB, and 19 GB as tensors."""
    assert len(check(scene(cache(8, cardinality=100_000_000)))) == 1


def test_a_cache_in_a_file_is_silent() -> None:
    assert check(scene(DECODE, cache(arguments={"filename": "/tmp/kept"}))) == []


def test_what_is_never_read_to_its_end_counts_by_what_was_held() -> None:
    behind_take = scene(DECODE, cache(), stage("take", arguments={"count": 500}))
    left_early = scene(DECODE, cache(), epochs=3, epoch_elements=(200, 200, 200))

    assert check(behind_take) == []
    assert check(left_early) == []


def test_sizes_that_were_measured_weigh_less() -> None:
    (finding,) = check(scene(cache(None, node_element_bytes=150_000), epoch_elements=(600,)))

    assert finding.confidence is Confidence.MEDIUM


def test_an_unknown_size_is_never_guessed_and_silent() -> None:
    assert check(scene(cache(None))) == []


def test_it_does_not_apply_where_the_memory_was_not_measured() -> None:
    outcomes = judge(GROWING.but(rss_bytes=None).analysis()).outcomes

    (outcome,) = [item for item in outcomes if item.code == "PP404"]
    assert (outcome.outcome, outcome.reason) == (NOT_APPLICABLE, "the memory in use was not measured")
