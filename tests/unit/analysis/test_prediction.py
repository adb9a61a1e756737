"""Predictions on planted pipelines: each kind of change, its interval, its ceiling, and when there is none."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest

from pipeprof.analysis.element_size import element_bytes
from pipeprof.analysis.prediction import predict
from pipeprof.model.diagnosis import Prediction
from pipeprof.model.profile import Change, PythonCalls
from tests.support.builders import Scene, control, function, python_calls, python_function, stage

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
    step_s=0.0365,
    gap_s=0.01,
    cpu_s_per_step=0.03,
)


def predicted(scene: Scene, change: Change, stage_id: str = "s1") -> Prediction:
    analysis = scene.analysis()
    found = predict(analysis, analysis.pipelines[0], stage_id, change)
    assert found is not None
    return found


def holds(found: Prediction, truth: float, *, error: float = 0.1) -> None:
    """Check a prediction against a planted truth: inside the interval, and near it."""
    assert found.low <= truth <= found.high
    assert abs(math.log(found.speedup / truth)) < error


def test_a_sequential_bottleneck_that_is_made_parallel_is_divided_by_the_cores() -> None:
    holds(predicted(SLOW_MAP, PARALLEL), 0.0365 / 0.0105)  # then the consumer is the slowest, with 0.5 ms of hand-over


def test_parallel_calls_give_no_more_than_the_cores_or_what_was_asked_for() -> None:
    two = Change(kind="parallel_calls", params={"num_parallel_calls": 2})
    many = Change(kind="parallel_calls", params={"num_parallel_calls": 64})

    holds(predicted(SLOW_MAP, two), 0.0365 / 0.018)
    assert predicted(SLOW_MAP, many) == predicted(SLOW_MAP, PARALLEL)


def test_maps_share_the_threads_of_one_pool_also_while_they_wait() -> None:
    two = Change(kind="parallel_calls", params={"num_parallel_calls": 2})
    waiting = SLOW_MAP.but(
        stages=(
            stage("range"),
            stage("map", 0.019, visits=8.0),
            stage("map", 0.011, visits=8.0),
            stage("batch", 0.0001),
            stage("prefetch", segment=0),
        ),
        step_s=0.0305, gap_s=0.002, cpu_s_per_step=0.002, cores=2,
    )  # fmt: skip

    holds(predicted(waiting, two), 0.0305 / 0.015)  # 30 ms of waiting on two threads
    holds(predicted(waiting.but(pool=16), two), 0.0305 / 0.0111)  # the other map, one call at a time


def test_an_interleave_opens_no_more_files_than_its_cycle_holds() -> None:
    files = SLOW_MAP.but(
        stages=(stage("range"), stage("interleave", 0.036, visits=32.0, arguments={"cycle_length": 2}), stage("batch", 0.0005))
    )

    holds(predicted(files, PARALLEL), 0.0365 / 0.018)


def test_the_cpu_seconds_of_a_step_bound_what_parallel_calls_can_give() -> None:
    bound = SLOW_MAP.but(cores=2, gap_s=0.02, cpu_s_per_step=0.06)

    holds(predicted(bound, PARALLEL), 0.0365 / 0.03)


def test_threads_that_spin_while_they_wait_take_no_core_from_those_that_work() -> None:
    spinning = SLOW_MAP.but(cores=2, gap_s=0.002, cpu_s_per_step=0.06)  # of which the stages are busy for 36 ms

    holds(predicted(spinning, PARALLEL), 0.0365 / 0.0195, error=0.15)


def test_a_quota_of_cpu_counts_as_cores() -> None:
    holds(predicted(SLOW_MAP.but(cpu_quota=1.5, cpu_s_per_step=0.03), PARALLEL), 0.0365 / 0.02)


def test_cores_that_others_use_are_in_doubt() -> None:
    crowded = SLOW_MAP.but(cores=2, cpu_s_per_step=0.036, system_cpu_share=1.0)

    found, alone = predicted(crowded, PARALLEL), predicted(SLOW_MAP.but(cores=2, cpu_s_per_step=0.036), PARALLEL)

    assert found.low < 1.1 < alone.low
    assert found.high > 1.6


def test_python_that_holds_the_lock_gains_nothing_from_parallel_calls() -> None:
    python = SLOW_MAP.but(
        stages=(
            stage("range"),
            stage(
                "map", 0.036, visits=32.0, function=python_function(),
                python=python_calls(wall_s=0.036 * 600, cpu_share=1.0, calls=32 * 600),
            ),
            stage("batch", 0.0005),
        ),
    )  # fmt: skip

    found = predicted(python, PARALLEL)

    assert found.low < 1.1
    assert found.speedup < 1.7


def test_what_samples_of_the_lock_cannot_see_of_a_call_is_not_taken_for_free() -> None:
    calls = python_calls(wall_s=0.036 * 600, cpu_share=1.0, calls=32 * 600)  # of 1.1 ms: the last 0.5 ms of each are not seen
    short = replace(calls, calls=320 * 600)

    def found(share: float | None, python: PythonCalls) -> Prediction:
        slow = stage("map", 0.036, visits=32.0, function=python_function(), python=python)
        scene = SLOW_MAP.but(stages=(stage("range"), slow, stage("batch", 0.0005)), lock_held_share=share)
        return predicted(scene, PARALLEL)

    assert found(0.55, calls).speedup < 1.15 < found(None, calls).speedup
    assert found(0.3, short) == found(None, short)


def test_a_larger_pool_helps_a_stage_that_waits() -> None:
    waiting = SLOW_MAP.but(
        stages=(
            stage("range", segment=1),
            stage("map", 0.16, visits=32.0, slots=4.0, segment=2),
            stage("batch", 0.0005, segment=1),
        ),
        step_s=0.04, gap_s=0.001, cpu_s_per_step=0.002,
    )  # fmt: skip

    fixed = predicted(waiting, POOL)
    tuned = predicted(waiting.but(stages=(waiting.stages[0], replace(waiting.stages[1], tuned=True), waiting.stages[2])), POOL)

    assert fixed.speedup == pytest.approx(1.0, abs=0.05)  # the map itself asks for four calls
    assert tuned.low < tuned.speedup < tuned.high <= 5.5  # four threads, and what the model leaves out
    assert tuned.speedup > 2.5


def test_a_cache_frees_everything_above_it() -> None:
    holds(predicted(SLOW_MAP, CACHE), 0.0365 / 0.0102)


def test_a_cache_shares_its_elements_and_pays_for_no_copy() -> None:
    large = SLOW_MAP.but(
        stages=(stage("range"), stage("map", 0.036, visits=32.0, element_bytes=2_000_000), stage("batch", 0.0005))
    )

    found, small = predicted(large, CACHE), predicted(SLOW_MAP.but(stages=SLOW_MAP.stages[:3]), CACHE)

    assert (found.speedup, found.low, found.high) == (small.speedup, small.low, small.high)


def test_a_cache_gives_the_cores_back_to_a_consumer_that_computes() -> None:
    # 60 ms of CPU on 2 cores: the consumer's own 8 ms are stretched to 12 beside the pipeline.
    crowded = SLOW_MAP.but(
        cores=2, gap_s=0.012, cpu_s_per_step=0.044,
        controls=(control(0.5, 0.7, baseline_step_s=0.0365, ready_step_s=0.0081, baseline_wait_share=0.67,
                          ready_wait_share=0.01, pipeline_cpu_s_per_step=0.036),),
    )  # fmt: skip

    holds(predicted(crowded, CACHE), 0.0365 / 0.008)


def steady_s(fill: int) -> float:
    """The mean step between boundaries: the shuffle's rest comes at the consumer's pace."""
    return (24 - fill / 32) * 0.036 / 24 + fill / 32 * 0.010 / 24


def boundary_scene(fill: int, *, first_wait_s: float) -> Scene:
    """24 steps in each of 11 epochs, 32 elements of 1.125 ms a step, ``fill`` of 768 before the first, a gap of 10 ms."""
    return Scene(
        stages=(
            stage("range", cardinality=768, visits=32.0),
            stage("map", 0.036, visits=32.0, segment=2),
            stage("shuffle", visits=32.0, arguments={"buffer_size": fill}),
            stage("batch", 0.0001),
            stage("prefetch", segment=0),
        ),
        step_s=steady_s(fill) + first_wait_s * 10 / 263,
        gap_s=0.010,
        cpu_s_per_step=0.01,
        epochs=11,
        step_count=264,
        epoch_elements=(24,) * 11,
        boundary_s=first_wait_s,
    )


@pytest.mark.parametrize("fill", [32, 384, 768])
def test_the_filling_of_a_shuffle_goes_with_what_fills_it(fill: int) -> None:
    first_wait_s = (fill + 32) * 0.036 / 32
    scene = boundary_scene(fill, first_wait_s=first_wait_s)

    found = predicted(scene, CACHE)

    holds(found, (steady_s(fill) + first_wait_s / 24) / 0.0101)


def test_waiting_at_boundaries_that_no_stage_explains_may_stay_but_goes_behind_a_cache() -> None:
    scene = boundary_scene(32, first_wait_s=0.5)
    epoch_s = 24 * steady_s(32) + 0.5

    parallel, cached = predicted(scene, PARALLEL), predicted(scene, CACHE)

    assert parallel.low < epoch_s / (24 * 0.010 + 0.4)
    assert cached.low > epoch_s / (24 * 0.0105 + 0.17)


def test_a_vectorised_map_keeps_a_small_part_of_its_cost() -> None:
    cheap = SLOW_MAP.but(
        stages=(stage("range"), stage("map", 0.0036, visits=256.0, element_bytes=4), stage("batch", 0.0005)),
        step_s=0.0041, gap_s=0.0005, cpu_s_per_step=None,
    )  # fmt: skip

    found = predicted(cheap, VECTORIZE)

    assert 3.0 < found.low < found.speedup < found.high < 0.0041 / 0.00045


def test_heavy_work_on_each_element_may_stay_when_it_is_vectorised() -> None:
    found = predicted(SLOW_MAP.but(gap_s=0.002), VECTORIZE)

    assert found.low < 1.3
    assert found.high > 3.0


def test_what_single_small_elements_cost_beyond_their_kernels_goes_when_they_are_vectorised() -> None:
    crowded = SLOW_MAP.but(
        stages=(stage("range"), stage("map", 0.020, visits=256.0, element_bytes=4, function=function("Mul", "AddV2")),
                stage("batch", 0.0005)),
        step_s=0.0205, gap_s=0.001, cpu_s_per_step=0.012,
    )  # fmt: skip

    assert predicted(crowded, VECTORIZE).low > 8.0


KINDS = {"parallel_calls": PARALLEL, "thread_pool": POOL, "cache": CACHE, "vectorize": VECTORIZE}
GRID = list(
    itertools.product(
        sorted(KINDS),
        (0.0001, 0.036, 0.2),  # busy seconds of the map in one step
        (0.001, 0.0399),  # the consumer's own time
        (None, 0.001, 0.5),  # CPU seconds of a step
        (1.0, 4.0),  # slots
    )
)


@pytest.mark.parametrize(("kind", "busy_s", "gap_s", "cpu_s", "slots"), GRID)
def test_intervals_are_ordered_and_finite_whatever_was_measured(
    kind: str, busy_s: float, gap_s: float, cpu_s: float | None, slots: float
) -> None:
    mapped = stage("map", busy_s, visits=32.0, slots=slots, segment=2, element_bytes=100)
    scene = SLOW_MAP.but(
        stages=(stage("range", segment=3), mapped, stage("batch", 0.0005)), gap_s=gap_s, cpu_s_per_step=cpu_s, step_s=0.04
    )

    found = predicted(scene, KINDS[kind])

    assert 0.3 < found.low <= found.speedup <= found.high
    assert found.high <= 0.04 / (0.2 * gap_s) * 1.2  # at most four fifths of the consumer's time was waiting for a core


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

    holds(predicted(idle, PARALLEL), 1.0, error=0.03)


def test_the_same_evidence_gives_the_same_prediction() -> None:
    assert predicted(SLOW_MAP, PARALLEL) == predicted(SLOW_MAP, PARALLEL)


def test_a_kind_of_change_without_a_model_has_no_prediction() -> None:
    analysis = SLOW_MAP.analysis()

    assert predict(analysis, analysis.pipelines[0], "s1", Change(kind="replace_python")) is None


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


def test_the_size_of_an_element_is_the_static_one_where_nothing_was_counted() -> None:
    view = SLOW_MAP.analysis().pipelines[0]

    assert element_bytes(view.stage("s1")) == 1000
    assert element_bytes(view.stage("s0")) is None


def test_a_crowded_host_widens_the_interval() -> None:
    quiet = predicted(SLOW_MAP.but(run_delay_s_per_step=0.0, system_cpu_share=0.3), PARALLEL)
    crowded = predicted(SLOW_MAP.but(run_delay_s_per_step=0.02, system_cpu_share=1.0), PARALLEL)

    assert crowded.high / crowded.low > 1.5 * quiet.high / quiet.low


def test_a_stage_that_the_counters_hardly_saw_widens_the_interval() -> None:
    analysis = SLOW_MAP.but(cores=2).analysis()
    view = analysis.pipelines[0]
    stages = tuple(replace(item, stage=replace(item.stage, seen_share=0.2)) for item in view.stages)

    seen = predict(analysis, view, "s1", PARALLEL)
    unseen = predict(analysis, replace(view, stages=stages), "s1", PARALLEL)

    assert seen is not None
    assert unseen is not None
    assert unseen.high / unseen.low > 1.1 * seen.high / seen.low
