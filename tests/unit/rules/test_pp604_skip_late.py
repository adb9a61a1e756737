"""PP604: skip and shard behind dear stages."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeprof.advise.recommend import recommend
from pipeprof.model.diagnosis import Confidence, Severity
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp604_skip_late import SkipLate, SkipLateParameters
from tests.support.builders import Scene, StageSpec, number, stage

SHARD = stage("shard", node="Shard", line=13, code="ds.shard(4, 1)", arguments={"num_shards": 4, "index": 1})
SKIP = stage("skip", node="FiniteSkip", line=13, code="ds.skip(100)", arguments={"count": 100})


def decode(busy_s: float = 0.036, visits: float = 1.0) -> StageSpec:
    return stage("map", busy_s, visits=visits, line=12, code="ds.map(decode)")


def scene(*stages: StageSpec, **numbers: object) -> Scene:
    return Scene(stages=(stage("from_tensor_slices"), *stages, stage("prefetch", segment=0))).but(**numbers)


SHARDED = scene(decode(visits=4.0), SHARD)
SKIPPED = scene(decode(), SKIP, epoch_elements=(200, 200, 200), boundary_s=2.0)


def check(given: Scene, **params: float) -> list:
    return list(SkipLate().check(given.analysis(), SkipLateParameters(**params)))


def test_a_shard_behind_a_dear_map_fires_at_the_shard() -> None:
    (finding,) = check(SHARDED)

    assert (finding.code, finding.stage_id, finding.severity, finding.confidence) == (
        "PP604", "s2", Severity.HIGH, Confidence.HIGH,
    )  # fmt: skip
    assert finding.message == (
        "train.py:13 .shard(4, 1) throws away 75 % of what train.py:12 .map(decode) makes, which takes 36 ms for each 40 ms "
        "step. Training waits 75 % (71–79 %) of each step. Shard before it."
    )
    assert number(finding, "cost_share") == pytest.approx((0.036 - 0.010) / 0.04)


def test_a_skip_behind_a_dear_map_fires_with_the_wait_at_the_start_of_each_pass() -> None:
    (finding,) = check(SKIPPED)

    assert (finding.stage_id, finding.severity, finding.confidence) == ("s2", Severity.HIGH, Confidence.MEDIUM)
    assert finding.message == (
        "train.py:13 .skip(100) throws away 100 elements that train.py:12 .map(decode) has made, about 3.6 s of waiting at the "
        "start of each of 3 passes. Skip before it."
    )
    assert number(finding, "cost_share") == pytest.approx(3 * 2.0 / 24)  # it waited no longer than that


def test_a_skip_explains_no_more_than_its_own_work() -> None:
    (finding,) = check(SKIPPED.but(boundary_s=5.0))

    assert number(finding, "cost_share") == pytest.approx(3 * 3.6 / 24)


def test_of_batches_it_says_how_many_elements_to_skip() -> None:
    batches = scene(decode(visits=8.0), stage("batch"), SKIP, epochs=1, epoch_elements=(600,), boundary_s=2.0)

    (finding,) = check(batches)

    assert finding.message.endswith("waiting before the first step. Skip before it, 800 elements there.")
    assert "throws away 100 batches that train.py:12" in finding.message


def test_behind_a_repeat_every_pass_pays() -> None:
    repeated = scene(
        decode(), stage("skip", node="FiniteSkip", incarnations=5, arguments={"count": 10}), stage("repeat"), epochs=1
    )

    analysis = repeated.analysis()
    waited = replace(analysis.pipelines[0].record.loop, wait_s=12.0)
    view = replace(analysis.pipelines[0], record=replace(analysis.pipelines[0].record, loop=waited))

    (finding,) = SkipLate().check(replace(analysis, pipelines=(view,)), SkipLateParameters())

    assert "360 ms of waiting at the start of each of 5 passes" in finding.message
    assert number(finding, "cost_share") == pytest.approx(5 * 0.36 / 24)


def test_they_lead_to_a_change() -> None:
    for given in (SHARDED, SKIPPED):
        (made,) = recommend(given.analysis(), check(given))

        assert (made.change.kind, made.stage_id) == ("skip_earlier", "s2")


def test_the_cured_twin_is_silent() -> None:
    assert check(scene(SHARD, decode())) == []
    assert check(scene(SKIP, decode(), epoch_elements=(200, 200, 200), boundary_s=2.0)) == []


@pytest.mark.parametrize("given", [SHARDED, SKIPPED])
def test_it_fires_just_over_the_threshold_and_not_just_under(given: Scene) -> None:
    cost = number(check(given)[0], "cost_share")

    assert len(check(given, min_share=cost - 0.001)) == 1
    assert check(given, min_share=cost + 0.001) == []


def test_a_take_ends_the_pass_and_is_silent() -> None:
    assert check(scene(decode(), stage("take", arguments={"count": 100}))) == []


def test_nothing_left_out_is_silent() -> None:
    assert check(scene(decode(), stage("shard", arguments={"num_shards": 1, "index": 0}))) == []
    assert check(scene(decode(), stage("skip", node=None, arguments={"count": 0}))) == []


@pytest.mark.parametrize("op", ["filter", "shuffle", "cache", "flat_map"])
def test_what_lies_before_a_stage_where_positions_change_is_not_counted(op: str) -> None:
    assert check(scene(decode(visits=4.0), stage(op, visits=4.0), SHARD)) == []


def test_it_does_not_apply_without_counters() -> None:
    outcomes = judge(SHARDED.but(has_counters=False).analysis()).outcomes

    (outcome,) = [item for item in outcomes if item.code == "PP604"]
    assert outcome.outcome == NOT_APPLICABLE
