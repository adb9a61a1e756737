"""Predictions of changes of order on planted pipelines: stages, files, threads."""

from __future__ import annotations

import pytest

from pipeprof.analysis.prediction import predict
from pipeprof.model.diagnosis import Prediction
from pipeprof.model.profile import Change
from tests.support.builders import Scene, stage

ON_ONE_THREAD = Scene(
    stages=(stage("range", segment=0), stage("map", 0.020, visits=32.0, segment=0), stage("batch", 0.0005, segment=0)),
    step_s=0.0305, gap_s=0.010, cpu_s_per_step=0.02,
)  # fmt: skip


def predicted(scene: Scene, kind: str, stage_id: str = "s1", **params: int) -> Prediction:
    analysis = scene.analysis()
    found = predict(analysis, analysis.pipelines[0], stage_id, Change(kind=kind, params=params))
    assert found is not None
    return found


def test_a_prefetch_lets_the_consumer_and_the_pipeline_work_at_once() -> None:
    found = predicted(ON_ONE_THREAD, "prefetch", "s2")

    assert found.low <= 0.0305 / 0.0205 <= found.high
    assert found.speedup == pytest.approx(0.0305 / 0.0205, rel=0.1)


def test_a_prefetch_gives_nothing_where_the_consumers_thread_makes_nothing() -> None:
    behind = ON_ONE_THREAD.but(
        stages=(
            stage("range", segment=1), stage("map", 0.020, visits=32.0, segment=1), stage("batch", 0.0005, segment=1),
            stage("prefetch", segment=0),
        ),
        step_s=0.0205,
    )  # fmt: skip

    assert predicted(behind, "prefetch", "s3").speedup == pytest.approx(1.0, abs=0.03)


def test_what_is_thrown_away_is_no_longer_made() -> None:
    sharded = ON_ONE_THREAD.but(
        stages=(
            stage("range", visits=128.0, segment=0),
            stage("map", 0.020, visits=128.0, segment=0),
            stage("shard", visits=32.0, segment=0),
            stage("batch", segment=0),
        )
    )
    taken = predicted(sharded, "skip_earlier", "s2")

    assert taken.low <= 0.0305 / 0.0155 <= taken.high
    assert predicted(sharded, "skip_earlier", "s1") == taken  # either of the two names the change


def test_a_skip_that_comes_once_an_epoch_is_in_doubt() -> None:
    def scene(op: str) -> Scene:
        stages = (
            stage("range", visits=64.0, segment=0),
            stage("map", 0.020, visits=64.0, segment=0),
            stage(op, visits=32.0, segment=0),
            stage("batch", segment=0),
        )
        return ON_ONE_THREAD.but(stages=stages)

    skipped, sharded = predicted(scene("skip"), "skip_earlier", "s2"), predicted(scene("shard"), "skip_earlier", "s2")

    assert skipped.low < 1.1 < sharded.low
    assert skipped.high <= sharded.high


def test_how_many_files_are_read_at_once_is_in_doubt() -> None:
    files = ON_ONE_THREAD.but(
        stages=(stage("TFRecordDataset", 0.020, visits=32.0, segment=0), stage("batch", 0.0005, segment=0)), cores=4
    )

    two, many = predicted(files, "interleave", "s0", cycle_length=2), predicted(files, "interleave", "s0")

    assert two.low < 1.7 < two.high <= many.high
    assert many.high > 2.5


def test_stragglers_are_between_none_and_all_of_what_is_not_explained() -> None:
    stages = (
        stage("range", segment=1),
        stage("map", 0.040, visits=32.0, slots=4.0, segment=1),
        stage("batch", 0.0005, segment=0),
    )
    waiting = ON_ONE_THREAD.but(stages=stages, step_s=0.030, gap_s=0.002, cpu_s_per_step=0.004)

    found = predicted(waiting, "nondeterministic")

    assert found.low < 1.3
    assert found.high > 1.8


def test_a_shuffle_that_fills_without_the_map_shortens_the_start_of_an_epoch() -> None:
    # 24 steps of 36 ms in each epoch, half an epoch's elements before the first; the rest comes at the consumer's 10 ms
    fill_s, drained_s = 0.468, 12 * 0.036 + 12 * 0.010
    filled = Scene(
        stages=(
            stage("range", cardinality=768, visits=32.0),
            stage("map", 0.036, visits=32.0, segment=2),
            stage("shuffle", visits=32.0, arguments={"buffer_size": 384}),
            stage("batch", 0.0001),
            stage("prefetch", segment=0),
        ),
        step_s=drained_s / 24 + fill_s * 10 / 263,
        gap_s=0.010, cpu_s_per_step=0.01, epochs=11, step_count=264, epoch_elements=(24,) * 11, boundary_s=fill_s,
    )  # fmt: skip

    found = predicted(filled, "shuffle_earlier", "s2")

    assert found.low <= (fill_s + drained_s) / (24 * 0.036 + 0.036) <= found.high
    assert found.low > 1.0


def test_what_a_predicate_needs_of_its_map_is_in_doubt() -> None:
    rejecting = ON_ONE_THREAD.but(
        stages=(
            stage("range", visits=128.0, segment=0), stage("map", 0.020, visits=128.0, segment=0),
            stage("filter", visits=32.0, segment=0), stage("batch", segment=0),
        )
    )  # fmt: skip

    found = predicted(rejecting, "filter_earlier", "s2")

    assert found.low < 1.1
    assert 1.7 < found.high < 0.0305 / 0.0150
