"""Ramps, levels by stage, and readiness by Little's law, from planted profiles."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeprof.analysis.levels import add_ramps, levels_over_time, ready_time
from pipeprof.analysis.operational import view_pipeline
from pipeprof.model.profile import ExecutedStage, LevelBin, PipelineRecord
from tests.support.trees import chain, record, steady_loop


def node(node_id: str, name: str, *inputs: str, **details: object) -> ExecutedStage:
    return ExecutedStage(id=node_id, node=name, inputs=inputs, elements=100, busy_s=1.0, **details)


def pipeline(*levels: LevelBin, buffered: float | None = 3.0) -> PipelineRecord:
    executed = (
        node("0", "Root", "0.0"),
        node("0.0", "Prefetch", "0.0.0", buffer_size=8.0, buffered_elements=buffered),
        node("0.0.0", "ParallelMapV2", "0.0.0.0", parallelism=4.0, parallelism_tuned=True),
        node("0.0.0.0", "Range"),
    )
    made = record(chain("range", "map", "prefetch"), executed, loop=replace(steady_loop(), start_s=10.0))
    return replace(made, levels=levels)


def level(start_s: float, calls: float, held: float = 0.0) -> LevelBin:
    return LevelBin(start_s=start_s, end_s=start_s + 1, buffered={"0.0": held}, parallelism={"0.0.0": calls})


def ramp_of(made: PipelineRecord) -> tuple[float | None, float | None]:
    view = view_pipeline(made).stage("s1")
    return view.stage.parallelism_first, view.stage.settled_s


def test_a_ramp_ends_where_the_parallelism_changed_last() -> None:
    made = pipeline(level(10.0, 1.0), level(11.0, 2.0), level(12.5, 4.0), level(14.0, 4.0))

    assert ramp_of(made) == (1.0, 2.5)


def test_parallelism_that_never_changed_was_settled_from_the_start() -> None:
    assert ramp_of(pipeline(level(11.0, 4.0), level(12.0, 4.0))) == (4.0, 0.0)


def test_without_snapshots_nothing_is_said_of_a_ramp() -> None:
    assert ramp_of(pipeline()) == (None, None)


def test_levels_are_told_by_written_stage() -> None:
    made = pipeline(level(10.0, 2.0, held=5.0))

    (seen,) = levels_over_time(view_pipeline(made).stages, made)

    assert (seen.t_s, seen.buffered, seen.parallelism) == (10.0, {"s2": 5.0}, {"s1": 2.0})


@pytest.mark.parametrize(("buffered", "expected"), [(3.0, 0.06), (0.0, 0.0), (None, None)])
def test_an_element_lies_ready_for_as_many_steps_as_there_are_elements_before_it(
    buffered: float | None, expected: float | None
) -> None:
    views = view_pipeline(pipeline(buffered=buffered)).stages

    assert ready_time(views, 0.02) == (None if expected is None else pytest.approx(expected))


def test_ramps_leave_stages_alone_that_autotune_does_not_tune() -> None:
    made = pipeline(level(10.0, 1.0), level(12.0, 4.0))

    views = add_ramps(view_pipeline(made).stages, made)

    assert next(view for view in views if view.id == "s2").stage.settled_s is None
    assert next(view for view in views if view.id == "s2").stage.buffer_size == 8.0
