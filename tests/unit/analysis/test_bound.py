"""The whole-pipeline bound on planted pipelines whose best split can be worked out by hand."""

from __future__ import annotations

import pytest

from pipeprof.analysis.bound import Machine, find_bound, read_demands, solve, wall_of
from pipeprof.model.diagnosis import Bound, BoundLimit
from tests.support.builders import Scene, python_calls, python_function, stage

# 30 ms of a map that can be parallel, 4 ms of a batch that cannot.
SCENE = Scene(
    stages=(
        stage("range"),
        stage("map", 0.030, segment=2, slots=4.0, tuned=True, node="ParallelMapV2"),
        stage("batch", 0.004, segment=1),
    ),
    cpu_s_per_step=0.044,
    cores=4,
)


def bound_of(scene: Scene) -> Bound:
    analysis = scene.analysis()
    found = find_bound(analysis, analysis.pipelines[0])
    assert found is not None
    return found


def test_the_cores_are_shared_out_over_the_stages_by_their_work() -> None:
    found = bound_of(SCENE)

    assert found.steps_per_s == pytest.approx(4 / 0.034, rel=1e-4)
    assert found.limited_by is BoundLimit.CORES
    assert {item.stage_id: item.cores for item in found.stages} == pytest.approx(
        {"s1": 0.030 * found.steps_per_s, "s2": 0.004 * found.steps_per_s}, rel=1e-3
    )


def test_a_stage_on_one_thread_is_a_wall_that_no_cores_move() -> None:
    found = bound_of(SCENE.but(cores=64))

    assert found.steps_per_s == pytest.approx(1 / 0.004, rel=1e-4)
    assert (found.limited_by, found.stage_id) == (BoundLimit.STAGE, "s2")


def test_stages_of_one_thread_share_one_core() -> None:
    shared = SCENE.but(
        cores=64, stages=(*SCENE.stages[:2], stage("shuffle", 0.003, segment=1), stage("batch", 0.004, segment=1))
    )

    found = bound_of(shared)

    assert found.steps_per_s == pytest.approx(1 / 0.007, rel=1e-4)
    assert found.stage_id == "s3"


def test_a_map_that_runs_one_call_at_a_time_could_be_made_parallel_but_not_as_written() -> None:
    sequential = SCENE.but(cores=8, stages=(SCENE.stages[0], stage("map", 0.030, segment=2), SCENE.stages[2]))
    analysis = sequential.analysis()
    view = analysis.pipelines[0]

    as_written = read_demands(analysis, view, as_written=True)

    assert bound_of(sequential).steps_per_s == pytest.approx(8 / 0.034, rel=1e-4)
    assert as_written is not None
    assert solve(as_written, Machine(cores=8, threads=8)).steps_per_s == pytest.approx(1 / 0.030, rel=1e-4)
    assert wall_of(as_written) == (pytest.approx(1 / 0.030, rel=1e-4), "s1")


def test_a_fixed_number_of_calls_is_kept_as_written() -> None:
    fixed = SCENE.but(
        stages=(SCENE.stages[0], stage("map", 0.030, segment=2, slots=2.0, node="ParallelMapV2"), SCENE.stages[2])
    )
    analysis = fixed.analysis()
    demands = read_demands(analysis, analysis.pipelines[0], as_written=True)

    assert demands is not None
    assert solve(demands, Machine(cores=64, threads=64)).steps_per_s == pytest.approx(2 / 0.030, rel=1e-4)


def test_a_stage_that_waits_takes_threads_and_no_cores() -> None:
    waiting = SCENE.but(
        stages=(SCENE.stages[0], stage("map", 0.200, segment=2, slots=4.0, tuned=True, node="ParallelMapV2"), SCENE.stages[2]),
        cpu_s_per_step=0.006,
        pool=16,
    )

    found = bound_of(waiting)

    assert found.steps_per_s == pytest.approx(16 / 0.200, rel=1e-4)
    assert (found.limited_by, found.stage_id) == (BoundLimit.THREADS, "s1")
    assert any("threads" in text for text in found.assumptions)


def test_python_takes_its_turns_with_one_lock() -> None:
    python = SCENE.but(
        cores=16,
        stages=(
            SCENE.stages[0],
            stage(
                "map", 0.030, segment=2, slots=4.0, tuned=True, node="ParallelMapV2", function=python_function(),
                python=python_calls(wall_s=0.03 * 600, cpu_share=1.0, calls=600),
            ),
            SCENE.stages[2],
        ),
    )  # fmt: skip

    found = bound_of(python)

    assert found.steps_per_s == pytest.approx(1 / 0.030, rel=1e-3)
    assert (found.limited_by, found.stage_id) == (BoundLimit.PYTHON, "s1")


def test_storage_limits_where_its_bandwidth_is_known() -> None:
    analysis = SCENE.analysis()
    demands = read_demands(analysis, analysis.pipelines[0], as_written=False)
    assert demands is not None
    from dataclasses import replace

    reading = replace(demands, read_bytes=1e6)

    found = solve(reading, Machine(cores=4, threads=4, read_bytes_per_s=5e7))

    assert found.steps_per_s == pytest.approx(50)
    assert found.limited_by is BoundLimit.STORAGE


def test_memory_limits_the_elements_in_flight() -> None:
    heavy = SCENE.but(
        stages=(
            SCENE.stages[0],
            stage("map", 0.030, segment=2, slots=4.0, tuned=True, node="ParallelMapV2", element_bytes=1_000_000_000),
            SCENE.stages[2],
        ),
        memory_bytes=3_000_000_000,
    )

    found = bound_of(heavy)

    assert found.limited_by is BoundLimit.MEMORY
    assert found.steps_per_s == pytest.approx(1.0 / 0.030, rel=1e-3)  # 1 GB of 3 is free: one call in flight


def test_stages_that_were_not_measured_have_no_bound() -> None:
    analysis = Scene(stages=(stage("range"), stage("map"))).analysis()

    assert find_bound(analysis, analysis.pipelines[0]) is None


def test_what_is_assumed_of_unmeasured_cpu_is_said() -> None:
    assert any("CPU time was not measured" in text for text in bound_of(SCENE).assumptions)
