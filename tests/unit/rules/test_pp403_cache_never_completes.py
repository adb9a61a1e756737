"""PP403: caches that are never full."""

from __future__ import annotations

import pytest

from pipeprof.advise.recommend import recommend
from pipeprof.model.diagnosis import Severity
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp403_cache_never_completes import CacheNeverCompletes, NeverCompletesParameters
from tests.support.builders import Scene, StageSpec, number, stage

CACHE = stage("cache", line=13, code="ds.cache()")
TAKE = stage("take", line=14, code="ds.take(100)")


def scene(decoded: float, *after: StageSpec, cache: StageSpec = CACHE, **numbers: object) -> Scene:
    """Make a decoding map before a cache that runs for so many of the cache's elements."""
    decode = stage("map", 0.036, visits=decoded, line=12, code="ds.map(decode)")
    return Scene(stages=(stage("from_tensor_slices", visits=decoded), decode, cache, *after)).but(**numbers)


def check(given: Scene, **params: float) -> list:
    return list(CacheNeverCompletes().check(given.analysis(), NeverCompletesParameters(**params)))


def test_a_cache_behind_which_a_take_ends_each_pass_fires_at_the_cache() -> None:
    (finding,) = check(scene(1.0, TAKE))

    assert (finding.code, finding.stage_id, finding.severity) == ("PP403", "s2", Severity.HIGH)
    assert finding.message == (
        "train.py:13 .cache() is read in 3 epochs and was full in none: train.py:14 .take(100) ends each pass before its end, "
        "so that everything before it is made again each time, 36 ms of work for each step. Put take() before the cache, or "
        "let the first epoch run to its end."
    )
    assert number(finding, "made_again") == 1.0


def test_a_loop_that_is_left_early_is_the_cause_where_there_is_no_take() -> None:
    (finding,) = check(scene(1.0))

    assert "the loop leaves before its end" in finding.message


def test_it_leads_to_a_change_by_hand() -> None:
    given = scene(1.0, TAKE)

    (made,) = recommend(given.analysis(), check(given))

    assert (made.change.kind, made.title) == ("move_cache", "Let the cache fill: put take() before it")


def test_the_cured_twin_whose_cache_was_filled_once_is_silent() -> None:
    assert check(scene(1 / 3, TAKE)) == []


@pytest.mark.parametrize(("share", "fires"), [(0.79, False), (0.81, True)])
def test_it_fires_just_over_the_threshold_and_not_just_under(share: float, fires: bool) -> None:
    assert bool(check(scene(share))) is fires


def test_a_single_epoch_decides_nothing_and_is_silent() -> None:
    assert check(scene(1.0, TAKE, epochs=1)) == []


def test_a_cache_that_is_built_anew_and_one_on_disk_are_left_alone() -> None:
    assert check(scene(1.0, cache=stage("cache", objects=3))) == []
    assert check(scene(1.0, cache=stage("cache", arguments={"filename": "/tmp/kept"}))) == []


def test_where_nobody_waits_it_is_of_low_severity() -> None:
    (finding,) = check(scene(1.0, gap_s=0.0395))

    assert finding.severity is Severity.LOW


def test_it_does_not_apply_without_counters() -> None:
    outcomes = judge(scene(1.0).but(has_counters=False).analysis()).outcomes

    (outcome,) = [item for item in outcomes if item.code == "PP403"]
    assert outcome.outcome == NOT_APPLICABLE
