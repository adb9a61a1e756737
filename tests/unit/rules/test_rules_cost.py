"""What a stage costs the loop: the share of the step that a faster segment would give back."""

from __future__ import annotations

import pytest

from pipeprof.rules.cost import explained_share, share_saved_at, share_saved_without
from tests.support.builders import Scene, control, function, stage

# 40 ms steps: 10 ms of them the consumer's. Segment 1 takes 36 ms, segment 2 on four slots 20 ms.
SCENE = Scene(
    stages=(
        stage("from_tensor_slices", 0.006),
        stage("shuffle", 0.030),
        stage("map", 0.080, node="ParallelMapV2", slots=4, segment=2, function=function("Cast")),
        stage("prefetch", segment=0),
    )
)


def test_a_segment_explains_what_it_takes_beyond_the_consumers_own_time() -> None:
    analysis = SCENE.analysis()

    assert explained_share(analysis, analysis.train, {1: 0.0}) == pytest.approx((0.036 - 0.010) / 0.040)
    assert explained_share(analysis, analysis.train, {1: 0.025}) == pytest.approx((0.036 - 0.025) / 0.040)
    assert explained_share(analysis, analysis.train, {2: 0.0}) == pytest.approx((0.020 - 0.010) / 0.040)


def test_a_segment_that_is_made_slower_explains_nothing() -> None:
    analysis = SCENE.analysis()

    assert explained_share(analysis, analysis.train, {1: 0.05}) == 0.0


def test_no_more_is_explained_than_was_waited() -> None:
    analysis = SCENE.but(step_s=0.012).analysis()

    assert explained_share(analysis, analysis.train, {1: 0.0}) == pytest.approx(0.002 / 0.012)


def test_no_more_is_explained_than_the_control_shows_to_be_recoverable() -> None:
    able = SCENE.but(controls=(control(0.2, 0.3),)).analysis()
    unable = SCENE.but(controls=(control(0.2, 0.3, reproduces_run=False),)).analysis()

    assert explained_share(able, able.train, {1: 0.0}) == 0.3
    assert explained_share(unable, unable.train, {1: 0.0}) == pytest.approx(0.65)


def test_the_rest_of_the_segment_stays_when_one_stage_gets_faster() -> None:
    analysis = SCENE.analysis()

    saved = share_saved_at(analysis, analysis.train, analysis.train.stage("s1"), 0.008)

    assert saved == pytest.approx((0.036 - (0.006 + 0.008)) / 0.040)


def test_stages_that_are_removed_from_two_segments_count_by_the_slower_one() -> None:
    analysis = SCENE.analysis()

    assert share_saved_without(analysis, analysis.train, {"s1", "s2"}) == pytest.approx((0.036 - 0.010) / 0.040)
    assert share_saved_without(analysis, analysis.train, {"s0"}) == pytest.approx(0.006 / 0.040)


def test_a_map_has_no_more_slots_than_its_pool_has_threads() -> None:
    analysis = SCENE.but(pool=2).analysis()

    assert explained_share(analysis, analysis.train, {2: 0.0}) == pytest.approx((0.040 - 0.010) / 0.040)


def test_what_runs_on_the_consumers_thread_costs_all_its_time() -> None:
    scene = Scene(stages=(stage("from_tensor_slices", segment=0), stage("batch", 0.004, segment=0)), gap_s=0.036)
    analysis = scene.analysis()

    assert share_saved_without(analysis, analysis.train, {"s1"}) == pytest.approx(0.1)
