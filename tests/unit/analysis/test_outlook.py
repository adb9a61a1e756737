"""What-if on planted pipelines: when the input keeps up, what it takes, and the wall that no cores move."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pipeprof.analysis.outlook import look_ahead
from pipeprof.errors import UserError
from pipeprof.model.diagnosis import BoundLimit
from pipeprof.model.outlook import KeepsUp, Outlook
from tests.support.builders import Scene, stage

# 64 ms of a parallel map and 2 ms of a batch on one thread, before a step of 10 ms; 2 cores.
SCENE = Scene(
    stages=(
        stage("range"),
        stage("map", 0.064, visits=16.0, segment=2, slots=2.0, tuned=True, node="ParallelMapV2"),
        stage("batch", 0.002, segment=1),
        stage("prefetch", segment=0),
    ),
    step_s=0.034,
    gap_s=0.010,
    cores=2,
    cpu_s_per_step=0.066,
    bins=((10, 0.24, 0.10), (10, 0.25, 0.10), (10, 0.23, 0.10)) * 20,
)


def ahead(scene: Scene = SCENE, **asked: Any) -> Outlook:
    return look_ahead(scene.analysis(), **asked)


def test_as_it_was_the_input_does_not_keep_up() -> None:
    found = ahead()

    assert found.keeps_up is KeepsUp.NO
    assert found.wait_share_low < 1 - 0.010 / 0.034 < found.wait_share_high
    assert found.breaks_first is not None
    assert found.breaks_first.id == "s1"
    assert found.asked == found.seen


def test_enough_cores_let_it_keep_up_and_fewer_do_not() -> None:
    found = ahead(cores=32)

    assert found.keeps_up is KeepsUp.YES
    assert found.cores_needed == 8  # 66 ms of work in 10 ms, and some of the consumer's own
    assert ahead(cores=4).keeps_up is KeepsUp.NO


def test_a_faster_step_asks_for_more() -> None:
    found = ahead(step_s=0.004)

    assert found.cores_needed == 17
    assert found.wait_share_low > 0.8
    assert found.workers_needed == 9  # each of 2 cores: 30 steps per second, of 250


def test_a_wall_is_named_and_no_number_of_cores_moves_it() -> None:
    found = ahead(step_s=0.001, cores=64)

    assert found.wall_steps_per_s == pytest.approx(500, rel=1e-3)
    assert found.wall_stage is not None
    assert found.wall_stage.id == "s2"
    assert found.cores_needed is None
    assert found.input_bound.limited_by is BoundLimit.STAGE
    assert found.workers_needed == 2


def test_workers_multiply_what_one_machine_delivers() -> None:
    alone, shared = ahead(), ahead(workers=4)

    assert shared.input_bound.steps_per_s == pytest.approx(4 * alone.input_bound.steps_per_s, rel=0.1)
    assert shared.wait_share < alone.wait_share
    assert any("network" in text for text in shared.assumptions)


def test_a_sequential_map_stays_sequential_on_any_machine() -> None:
    sequential = SCENE.but(
        stages=(SCENE.stages[0], stage("map", 0.064, visits=16.0, segment=2), *SCENE.stages[2:]), step_s=0.066
    )

    found = ahead(sequential, cores=64)

    assert found.keeps_up is KeepsUp.NO
    assert found.steps_per_s == pytest.approx(1 / 0.066, rel=0.1)
    assert found.cores_needed is None


def test_a_shuffle_that_fills_at_every_epoch_is_waited_for() -> None:
    filling = SCENE.but(
        stages=(*SCENE.stages[:2], stage("shuffle", visits=16.0, segment=1, arguments={"buffer_size": 800}), *SCENE.stages[2:]),
        step_count=200, epochs=4, epoch_elements=(50,) * 4, boundary_s=1.6,
    )  # fmt: skip

    assert ahead(filling, cores=8).wait_share > ahead(SCENE, cores=8).wait_share + 0.1


def test_the_same_question_gets_the_same_answer() -> None:
    assert ahead(cores=8) == ahead(cores=8)


def test_what_is_assumed_is_said() -> None:
    assert any("accelerator" in text for text in ahead(step_s=0.001).assumptions)
    assert any("scale" in text for text in ahead().assumptions)


def test_a_run_without_counters_pipeline_or_steps_is_refused() -> None:
    analysis = SCENE.analysis()
    view = analysis.pipelines[0]
    cases = {
        "no tf.data pipeline": replace(analysis, pipelines=(), train_id=None),
        "too few steps": replace(analysis, pipelines=(replace(view, step_s=None, gap_s=None),)),
        "no counters": replace(
            analysis, pipelines=(replace(view, stages=tuple(replace(item, busy_s_per_step=None) for item in view.stages)),)
        ),
    }

    for words, broken in cases.items():
        with pytest.raises(UserError, match=words):
            look_ahead(broken)
