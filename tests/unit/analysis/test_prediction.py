"""Predictions on planted pipelines: each kind of change, its interval, its ceiling, and when there is none."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from pipeprof.analysis.prediction import ancestors, element_bytes, predict
from pipeprof.model.diagnosis import Prediction
from pipeprof.model.profile import Change
from tests.support.builders import Scene, control, stage

PARALLEL = Change(kind="parallel_calls", params={"num_parallel_calls": -1})
POOL = Change(kind="thread_pool", params={"private_threadpool_size": 16})
CACHE = Change(kind="cache")
VECTORIZE = Change(kind="vectorize")

SLOW_MAP = Scene(
    stages=(
        stage("range", 0.0),
        stage("map", 0.036, visits=32.0, element_bytes=1000),
        stage("batch", 0.0005, segment=1),
        stage("prefetch", segment=0),
    ),
    step_s=0.04,
    gap_s=0.01,
    cpu_s_per_step=0.03,
)


def predicted(scene: Scene, change: Change, stage_id: str = "s1") -> Prediction:
    analysis = scene.analysis()
    found = predict(analysis, analysis.pipelines[0], stage_id, change)
    assert found is not None
    return found


def test_a_sequential_bottleneck_that_is_made_parallel_is_divided_by_the_cores() -> None:
    found = predicted(SLOW_MAP, PARALLEL)

    assert found.speedup == pytest.approx(0.0365 / 0.01, rel=0.05)  # then the consumer's own time is the slowest
    assert found.low < found.speedup <= found.high


def test_parallel_calls_give_no_more_than_the_cores_or_what_was_asked_for() -> None:
    two = Change(kind="parallel_calls", params={"num_parallel_calls": 2})
    many = Change(kind="parallel_calls", params={"num_parallel_calls": 64})

    assert predicted(SLOW_MAP, two).speedup == pytest.approx(0.0365 / 0.018, rel=0.05)
    assert predicted(SLOW_MAP, many) == predicted(SLOW_MAP, PARALLEL)


def test_the_cpu_seconds_of_a_step_bound_what_parallel_calls_can_give() -> None:
    bound = SLOW_MAP.but(cores=2, cpu_s_per_step=0.06)

    assert predicted(bound, PARALLEL).speedup == pytest.approx(0.0365 / 0.03, rel=0.05)


def test_a_quota_of_cpu_counts_as_cores() -> None:
    assert predicted(SLOW_MAP.but(cpu_quota=1.5, cpu_s_per_step=0.03), PARALLEL).speedup == pytest.approx(
        0.0365 / 0.02, rel=0.05
    )


def test_a_larger_pool_helps_a_stage_that_waits() -> None:
    waiting = SLOW_MAP.but(
        stages=(stage("range"), stage("map", 0.16, visits=32.0, slots=4.0, segment=2), stage("batch", 0.0005, segment=1)),
        cpu_s_per_step=0.002,
    )

    found = predicted(waiting, POOL)

    assert found.speedup == pytest.approx(0.04 / (0.16 / 12.4), rel=0.05)
    assert found.low < found.speedup < found.high


def test_a_cache_frees_everything_above_it() -> None:
    found = predicted(SLOW_MAP, CACHE)

    assert found.speedup == pytest.approx(0.0365 / 0.01, rel=0.05)


def test_a_cache_pays_for_the_copy_of_its_elements() -> None:
    large = SLOW_MAP.but(
        stages=(stage("range"), stage("map", 0.036, visits=32.0, element_bytes=2_000_000), stage("batch", 0.0005)), gap_s=0.001
    )

    assert predicted(large, CACHE).speedup == pytest.approx(0.0365 / 0.032, rel=0.1)


def test_a_vectorised_map_keeps_a_small_part_of_its_cost() -> None:
    found = predicted(SLOW_MAP.but(gap_s=0.002), VECTORIZE)

    assert found.low < 0.04 / 0.0145
    assert found.speedup > 4.0
    assert found.low <= found.speedup <= found.high


KINDS = {"parallel_calls": PARALLEL, "thread_pool": POOL, "cache": CACHE, "vectorize": VECTORIZE}
GRID = list(
    itertools.product(
        sorted(KINDS),
        (0.0001, 0.005, 0.036, 0.2),  # busy seconds of the map in one step
        (0.001, 0.02, 0.0399),  # the consumer's own time
        (None, 0.001, 0.5),  # CPU seconds of a step
        (1.0, 4.0),  # slots
    )
)


@pytest.mark.parametrize(("kind", "busy_s", "gap_s", "cpu_s", "slots"), GRID)
def test_intervals_are_ordered_and_never_above_the_ceiling(
    kind: str, busy_s: float, gap_s: float, cpu_s: float | None, slots: float
) -> None:
    mapped = stage("map", busy_s, visits=32.0, slots=slots, segment=2, element_bytes=100)
    scene = SLOW_MAP.but(
        stages=(stage("range", segment=3), mapped, stage("batch", 0.0005)), gap_s=gap_s, cpu_s_per_step=cpu_s, step_s=0.04
    )

    found = predicted(scene, KINDS[kind])

    ceiling = 0.04 / gap_s
    assert 0.9 <= found.low <= found.speedup <= found.high
    assert 1.0 <= found.speedup <= ceiling * (1 + 1e-9)
    assert found.high <= ceiling * 1.1 * (1 + 1e-9)


def test_a_control_that_reproduces_the_run_is_the_ceiling() -> None:
    found = predicted(SLOW_MAP.but(controls=(control(0.3, 0.4),)), PARALLEL)
    ignored = predicted(SLOW_MAP.but(controls=(control(0.3, 0.4, reproduces_run=False),)), PARALLEL)

    assert found.speedup == pytest.approx(1 / 0.6)
    assert ignored.speedup == predicted(SLOW_MAP, PARALLEL).speedup


def test_a_change_of_a_stage_that_bounds_nothing_gives_nothing() -> None:
    idle = SLOW_MAP.but(
        stages=(
            stage("range"),
            stage("map", 0.001, visits=32.0, segment=2),
            stage("shuffle", 0.035, segment=3),
            stage("batch"),
        ),
        cpu_s_per_step=None,
    )

    assert predicted(idle, PARALLEL).speedup == pytest.approx(1.0)


def test_a_kind_of_change_without_a_model_has_no_prediction() -> None:
    analysis = SLOW_MAP.analysis()

    assert predict(analysis, analysis.pipelines[0], "s1", Change(kind="shuffle_earlier")) is None


def test_a_stage_that_was_not_measured_has_no_prediction() -> None:
    analysis = SLOW_MAP.analysis()
    view = analysis.pipelines[0]
    blind = replace(view, stages=tuple(replace(item, busy_s_per_step=None) for item in view.stages))

    assert predict(analysis, blind, "s1", PARALLEL) is None


def test_a_loop_without_steps_has_no_prediction() -> None:
    analysis = SLOW_MAP.analysis()
    view = replace(analysis.pipelines[0], step_s=None, gap_s=None)

    assert predict(analysis, view, "s1", PARALLEL) is None


def test_a_stage_that_does_not_exist_is_a_mistake() -> None:
    analysis = SLOW_MAP.analysis()

    with pytest.raises(KeyError):
        predict(analysis, analysis.pipelines[0], "s9", PARALLEL)


def test_ancestors_are_all_stages_above_each_once() -> None:
    scene = Scene(
        stages=(
            stage("range"),
            stage("map"),
            stage("range", inputs=()),
            stage("zip", inputs=("s1", "s2")),
            stage("zip", inputs=("s3", "s1")),
        )
    )

    view = scene.analysis().pipelines[0]

    assert ancestors(view, "s4") == ("s3", "s1", "s2", "s0")
    assert ancestors(view, "s0") == ()


def test_the_size_of_an_element_is_the_static_one_where_nothing_was_counted() -> None:
    view = SLOW_MAP.analysis().pipelines[0]

    assert element_bytes(view.stage("s1")) == 1000
    assert element_bytes(view.stage("s0")) is None
