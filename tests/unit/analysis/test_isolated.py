"""Costs of stages by themselves, from planted blocks of prefixes."""

from __future__ import annotations

import pytest

from pipeprof.analysis.isolated import Around, Counted, add_isolated, classify, cpu_coverage
from pipeprof.analysis.significance import Interval
from pipeprof.model.analysis import PipelineView, StageView
from pipeprof.model.diagnosis import Stage, Work
from pipeprof.model.profile import (
    ExecutedStage,
    IsolatedPrefix,
    Loop,
    PipelineRecord,
    PrefixBlock,
    PythonCalls,
    Role,
    WrittenStage,
)

NOTHING = Interval(0.0, -1e-5, 1e-5)


def _blocks(cpu_s: tuple[float, ...], wall_s: tuple[float, ...] | None = None, elements: int = 100) -> IsolatedPrefix:
    walls = wall_s or cpu_s
    return IsolatedPrefix(
        blocks=tuple(
            PrefixBlock(round=number, elements=elements, cpu_s=cpu * elements, wall_s=wall * elements)
            for number, (cpu, wall) in enumerate(zip(cpu_s, walls, strict=True))
        )
    )


def _costs(
    *stages: tuple[str, float | None, float, IsolatedPrefix | None], python: PythonCalls | None = None
) -> dict[str, Stage]:
    """Return the stages of a chain by name, each given as its op, elements per step, busy seconds per step and prefix."""
    return {view.stage.op: view.stage for view in _pipeline(*stages, python=python).stages}


def _pipeline(
    *stages: tuple[str, float | None, float, IsolatedPrefix | None],
    python: PythonCalls | None = None,
    cpu_s_per_step: float | None = None,
) -> PipelineView:
    written, views = [], []
    for number, (op, visits, busy_s, prefix) in enumerate(stages):
        inputs = (f"s{number - 1}",) if number else ()
        item = WrittenStage(
            id=f"s{number}", op=op, class_name=op, inputs=inputs, isolated=prefix, python=python if op == "map" else None
        )
        written.append(item)
        stage = Stage(id=item.id, op=op, executed_as=op, inputs=inputs, busy_s_per_step=busy_s)
        views.append(StageView(stage=stage, written=item, executed=(), visit_ratio=visits, busy_s_per_step=busy_s))
    record = PipelineRecord(
        id="p0", role=Role.TRAIN, output=written[-1].id, written=tuple(written), loop=Loop(method="next", elements=10),
        executed=(ExecutedStage(id="0", node="Root", elements=10),),
    )  # fmt: skip
    done = add_isolated(views, record, Around(cores=2.0))
    return PipelineView(record=record, stages=done, segments=(), bottleneck_id=None, cpu_s_per_step=cpu_s_per_step)


def test_a_stages_own_cost_is_its_prefix_less_the_prefix_before_it_times_the_elements_of_a_step():
    source, batched = _blocks((0.001, 0.0011, 0.0009)), _blocks((0.012, 0.0128, 0.0112))

    stages = _costs(("range", 8.0, 0.008, source), ("batch", 1.0, 0.004, batched))

    assert stages["range"].isolated.cpu_s == pytest.approx(0.008)
    assert stages["batch"].isolated.cpu_s == pytest.approx(0.012 - 8 * 0.001)
    assert stages["batch"].isolated.low == pytest.approx(0.004), "the drift of a round is in both, and cancels"
    assert stages["batch"].isolated.elements_per_s == pytest.approx(1 / 0.012)
    assert stages["batch"].cpu_s == pytest.approx(0.04), "of the whole run, as its busy time is"
    assert stages["batch"].cpu_source == "isolated prefixes"


def test_a_difference_below_zero_is_not_separable_and_no_cost():
    stages = _costs(
        ("range", 1.0, 1e-4, _blocks((0.002, 0.0021, 0.0022))), ("batch", 1.0, 1e-4, _blocks((0.0015, 0.0016, 0.0015)))
    )

    assert stages["batch"].isolated.work is Work.NOT_SEPARABLE
    assert stages["batch"].isolated.cpu_s < 0
    assert stages["batch"].cpu_s is None


def test_a_single_round_gives_no_interval_and_separates_nothing():
    stages = _costs(("range", 1.0, 0.002, _blocks((0.002,))))

    assert (stages["range"].isolated.low, stages["range"].isolated.high) == (None, None)
    assert stages["range"].isolated.work is Work.NOT_SEPARABLE


def test_a_stage_behind_one_that_was_not_measured_has_no_cost():
    stages = _costs(
        ("range", 1.0, 0.001, IsolatedPrefix(note="it raised ValueError")), ("batch", 1.0, 0.001, _blocks((1.0, 1.0)))
    )

    assert stages["batch"].isolated is None


def test_only_rounds_that_both_neighbours_had_are_compared():
    stages = _costs(("range", 1.0, 0.001, _blocks((0.001, 0.001))), ("batch", 1.0, 0.001, _blocks((0.003, 0.003, 0.9))))

    assert stages["batch"].isolated.rounds == 2
    assert stages["batch"].isolated.cpu_s == pytest.approx(0.002)


def test_a_cache_reads_nothing_of_what_is_above_it():
    stages = _costs(("map", 1.0, 0.005, _blocks((0.005, 0.005))), ("cache", 1.0, 1e-5, _blocks((1e-5, 1e-5))))

    assert stages["cache"].isolated.cpu_s == pytest.approx(1e-5)


def test_a_stage_that_tensorflow_removed_takes_as_many_elements_as_its_consumer():
    prefix = _blocks((0.001, 0.001))

    stages = _costs(("range", 4.0, 0.004, prefix), ("take", None, 0.0, prefix), ("repeat", 4.0, 0.0, prefix))

    assert stages["take"].isolated.cpu_s == pytest.approx(0.0)


def test_a_run_that_measured_no_stage_alone_is_left_as_it_is():
    stages = _costs(("range", 1.0, 0.001, None))

    assert stages["range"].isolated is None


def test_a_stage_that_uses_far_less_cpu_than_it_is_busy_waits():
    assert classify(Interval(0.1e-3, 0, 0.2e-3), NOTHING, Counted(busy_s=3e-3)) is Work.WAITING


def test_waiting_for_a_core_is_not_waiting_for_something_else():
    cpu = Interval(1.0e-3, 0.9e-3, 1.1e-3)

    assert classify(cpu, NOTHING, Counted(busy_s=3e-3)) is Work.WAITING
    assert classify(cpu, NOTHING, Counted(busy_s=3e-3, run_delay_s=2e-3)) is Work.COMPUTING


def test_a_stage_that_uses_as_much_cpu_as_it_is_busy_computes():
    assert classify(Interval(2.0e-3, 1.8e-3, 2.2e-3), NOTHING, Counted(busy_s=2e-3)) is Work.COMPUTING


def test_a_wide_interval_says_neither():
    assert classify(Interval(1.0e-3, -0.5e-3, 2.5e-3), NOTHING, Counted(busy_s=3e-3)) is Work.NOT_SEPARABLE


def test_a_difference_far_below_zero_is_no_proof_of_waiting():
    assert classify(Interval(-5e-3, -5.1e-3, -4.9e-3), NOTHING, Counted(busy_s=5e-3)) is Work.NOT_SEPARABLE
    assert classify(Interval(-1e-3, -4e-3, 2e-3), NOTHING, Counted(busy_s=5e-3)) is Work.NOT_SEPARABLE


@pytest.mark.parametrize(("share", "work"), [(0.05, Work.WAITING), (0.3, Work.PYTHON), (0.95, Work.PYTHON)])
def test_python_functions_are_told_by_their_own_clocks(share, work):
    assert classify(NOTHING, NOTHING, Counted(busy_s=1.0, python_share=share)) is work


def test_a_stage_without_a_busy_time_of_its_own_is_judged_by_the_differences():
    assert classify(Interval(1e-3, 0.8e-3, 1.2e-3), NOTHING, Counted()) is Work.COMPUTING
    assert classify(NOTHING, Interval(3e-3, 2.5e-3, 3.5e-3), Counted()) is Work.WAITING
    assert classify(NOTHING, NOTHING, Counted()) is Work.NOT_SEPARABLE


def test_ops_that_ran_on_several_cores_are_named_only_as_far_as_there_are_cores():
    two = _costs(("map", 1.0, 1e-3, _blocks((1.8e-3, 1.81e-3, 1.79e-3))))["map"].isolated
    many = _costs(("map", 1.0, 1e-4, _blocks((1.8e-3, 1.81e-3, 1.79e-3))))["map"].isolated

    assert two.cores == pytest.approx(1.8, rel=0.01)
    assert many.cores is None


def test_the_stages_cpu_is_held_against_what_the_whole_pipeline_used() -> None:
    source, batched = _blocks((0.001,) * 3), _blocks((0.012,) * 3)
    stages = (("range", 8.0, 0.008, source), ("batch", 1.0, 0.004, batched))

    assert cpu_coverage(_pipeline(*stages, cpu_s_per_step=0.015)) == pytest.approx(0.8)
    assert cpu_coverage(_pipeline(*stages)) is None


def test_a_stage_that_was_not_measured_leaves_no_coverage() -> None:
    stages = (("range", 8.0, 0.008, None), ("batch", 1.0, 0.004, _blocks((0.012,) * 3)))

    assert cpu_coverage(_pipeline(*stages, cpu_s_per_step=0.015)) is None
