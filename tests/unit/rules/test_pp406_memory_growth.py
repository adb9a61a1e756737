"""PP406: memory that grows for as long as the loop runs."""

from __future__ import annotations

import pytest

from pipeprof.advise.recommend import recommend
from pipeprof.model.diagnosis import Confidence, Severity
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp406_memory_growth import MemoryGrowth, MemoryGrowthParameters
from tests.support.builders import Scene, StageSpec, number, stage

MB = 1_000_000
SOURCE = stage("range")
PREFETCH = stage("prefetch", line=14, code="ds.prefetch(AUTOTUNE)", element_bytes=8 * MB)


def cache(**details: object) -> StageSpec:
    return stage("cache", line=13, code="ds.cache()", **({"element_bytes": MB} | details))


def scene(*sizes: int, stages: tuple[StageSpec, ...] = (SOURCE, PREFETCH), **numbers: object) -> Scene:
    """Make a run whose memory, in megabytes, had these values in equal parts of it."""
    return Scene(stages=stages, rss_series=tuple(size * MB for size in sizes)).but(**numbers)


STEADY = scene(1000, 1100, 1200, 1300, 1400, 1500, 1600, 1700)
EPOCHS = {"epochs": 8, "epoch_elements": (75,) * 8}


def check(given: Scene, **params: float) -> list:
    return list(MemoryGrowth().check(given.analysis(), MemoryGrowthParameters(**params)))


def test_steady_growth_that_no_buffer_explains_fires_as_the_programs_own() -> None:
    (finding,) = check(STEADY)

    assert (finding.code, finding.stage_id, finding.severity) == ("PP406", None, Severity.LOW)
    assert finding.message == (
        "Memory grows by 100 MB in each eighth of the loop and does not slow down: 1.7 GB in the last one. At this pace it is "
        "full after 143 more. The pipeline's buffers hold no more than before: look at what the loop keeps (batches, loss "
        "tensors, datasets or functions made anew)."
    )
    assert number(finding, "growth_bytes") == pytest.approx(500 * MB)
    assert number(finding, "cause") == "program"
    assert finding.confidence is Confidence.LOW
    assert recommend(STEADY.analysis(), [finding]) == ()


def test_the_cured_twin_whose_memory_stays_is_silent() -> None:
    assert check(scene(1000, 1400, 1400, 1410, 1400, 1405, 1400, 1400)) == []


def test_memory_that_levels_off_is_silent() -> None:
    assert check(scene(1000, 1400, 1600, 1800, 1900, 1910, 1910, 1910)) == []


def test_one_peak_is_no_growth_and_silent() -> None:
    assert check(scene(1000, 1000, 1000, 1000, 1000, 3000, 1000, 1000)) == []


@pytest.mark.parametrize(("step", "fires"), [(19, False), (21, True)])
def test_it_fires_just_over_the_threshold_and_not_just_under(step: int, fires: bool) -> None:
    """A tenth of 1 GB, over the five steps after the warm-up."""
    sizes = [1000, 1000, *(1000 + step * index for index in range(6))]

    assert bool(check(scene(*sizes))) is fires


def test_the_nearer_the_end_of_the_memory_the_graver_it_is() -> None:
    assert check(STEADY.but(memory_bytes=5_000 * MB))[0].severity is Severity.MEDIUM
    assert check(STEADY.but(memory_bytes=2_000 * MB))[0].severity is Severity.HIGH


def test_a_new_cache_in_every_epoch_that_stays_is_named() -> None:
    given = scene(
        *(1000 + 100 * index for index in range(8)), stages=(SOURCE, cache(objects=8, held=(90, 90 * MB)), PREFETCH), **EPOCHS
    )

    (finding,) = check(given)
    (made,) = recommend(given.analysis(), [finding])

    assert (finding.stage_id, number(finding, "cause")) == ("s1", "caches-kept")
    assert finding.message.startswith("Memory grows by 100 MB in each epoch and does not slow down")
    assert finding.message.endswith(
        "Each epoch makes a new train.py:13 .cache() of 90 MB, and the old ones stay: build the dataset once, outside the "
        "loop, or keep no reference to it."
    )
    assert made.change.kind == "build_once"


def test_a_cache_that_fills_is_named_and_is_information() -> None:
    levels = (("0.1", tuple(100.0 * index for index in range(8))),)
    given = scene(*(1000 + 100 * index for index in range(8)), stages=(SOURCE, cache(), PREFETCH), level_series=levels)

    (finding,) = check(given)

    assert (finding.stage_id, finding.severity, number(finding, "cause")) == ("s1", Severity.INFO, "cache-fills")
    assert finding.message.endswith("train.py:13 .cache() is filling: that ends with the first whole epoch.")


def test_a_buffer_that_autotune_lets_grow_is_named_and_limited() -> None:
    levels = (("0.1", tuple(12.0 * index for index in range(8))),)
    given = STEADY.but(level_series=levels)

    (finding,) = check(given)
    (made,) = recommend(given.analysis(), [finding])

    assert (finding.stage_id, number(finding, "cause")) == ("s1", "buffers")
    assert "The buffer of train.py:14 .prefetch(AUTOTUNE) grows" in finding.message
    assert made.change.kind == "bound_buffer"


def test_a_run_that_was_hardly_sampled_is_silent() -> None:
    assert check(scene()) == []


def test_it_does_not_apply_where_the_memory_was_not_measured() -> None:
    outcomes = judge(STEADY.but(rss_bytes=None).analysis()).outcomes

    (outcome,) = [item for item in outcomes if item.code == "PP406"]
    assert outcome.outcome == NOT_APPLICABLE
