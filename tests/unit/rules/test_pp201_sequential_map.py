"""PP201: sequential maps that training waits for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeprof.advise.recommend import recommend
from pipeprof.model.diagnosis import Confidence, Severity
from pipeprof.model.profile import StageFunction
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp201_sequential_map import SequentialMap
from pipeprof.rules.room import RoomParameters
from tests.support.builders import (
    Scene,
    StageSpec,
    call_site,
    function,
    number,
    python_calls,
    python_function,
    random_function,
    stage,
)


def random_map(busy_s: float = 0.036, **details: object) -> StageSpec:
    return stage("map", busy_s, function=random_function(), line=42, code="ds.map(augment)", **details)


def scene(*stages: StageSpec, **numbers: object) -> Scene:
    return Scene(stages=(stage("from_tensor_slices", 0.002), *stages, stage("prefetch", segment=0))).but(**numbers)


SLOW = scene(random_map())


def check(given: Scene, **params: float) -> list:
    return list(SequentialMap().check(given.analysis(), RoomParameters(**params)))


def test_a_random_map_on_an_idle_machine_fires_with_its_place_and_numbers() -> None:
    (finding,) = check(SLOW)

    assert (finding.code, finding.stage_id, finding.severity) == ("PP201", "s1", Severity.HIGH)
    assert finding.confidence is Confidence.HIGH
    assert finding.call_site is not None
    assert finding.call_site.line == 42
    assert finding.message == (
        "train.py:42 .map(augment) runs one call at a time because it draws random numbers (RandomUniform), and its calls take "
        "36 ms for each 40 ms step; 1.1 of 4 cores are in use. Training waits 75 % (71–79 %) of each step. Run its calls in "
        "parallel: num_parallel_calls=tf.data.AUTOTUNE."
    )
    # 2.9 cores are free: 36 ms become 36 / 3.9, the segment with its source 11.2 ms, which is above the consumer's 10 ms.
    assert number(finding, "calls_possible") == pytest.approx(3.9)
    assert number(finding, "cost_share") == pytest.approx((0.038 - (0.002 + 0.036 / 3.9)) / 0.04)


def test_the_cured_twin_is_silent() -> None:
    assert check(scene(random_map(0.009, node="ParallelMapV2", slots=4))) == []
    assert check(scene(random_map(node="ParallelMapV2", slots=4))) == []


def test_a_map_that_autotune_runs_one_call_at_a_time_for_now_is_silent() -> None:
    assert check(scene(random_map(node="ParallelMapV2", tuned=True))) == []


def test_a_map_that_tensorflow_removed_is_silent() -> None:
    assert check(scene(random_map(node=None))) == []


def test_a_pipeline_that_keeps_up_is_silent() -> None:
    assert check(SLOW.but(gap_s=0.0395)) == []


def test_a_cheap_sequential_map_beside_the_real_bottleneck_is_silent() -> None:
    given = scene(random_map(0.002), stage("map", 0.144, node="ParallelMapV2", slots=4, segment=2))

    assert check(given) == []


def test_it_fires_just_over_the_threshold_and_not_just_under() -> None:
    cost = number(check(SLOW)[0], "cost_share")

    assert len(check(SLOW, min_share=cost - 0.001)) == 1
    assert check(SLOW, min_share=cost + 0.001) == []


def test_work_that_computes_is_left_alone_where_the_cores_are_busy() -> None:
    assert check(SLOW.but(cpu_s_per_step=0.04 * 4 * 0.85)) == []
    assert len(check(SLOW.but(cpu_s_per_step=0.04 * 4 * 0.84))) == 1


def test_the_load_of_other_processes_lowers_the_confidence() -> None:
    assert [finding.confidence for finding in check(SLOW.but(system_cpu_share=0.85))] == [Confidence.LOW]
    assert [finding.confidence for finding in check(SLOW.but(system_cpu_share=0.84))] == [Confidence.HIGH]


def test_a_cpu_quota_counts_as_the_cores_there_are() -> None:
    assert check(SLOW.but(cpu_quota=1.2)) == []


def test_work_that_waits_gains_from_threads_even_on_one_core() -> None:
    (finding,) = check(SLOW.but(cores=1, pool=4, cpu_s_per_step=0.017))

    assert number(finding, "calls_possible") == 4
    assert "it waits rather than computes, and 4 calls could wait at once" in finding.message


def test_work_with_half_its_time_in_cpu_is_not_taken_to_wait() -> None:
    assert [number(finding, "calls_possible") for finding in check(SLOW.but(cpu_s_per_step=0.0179))] == [4]
    assert [number(finding, "calls_possible") for finding in check(SLOW.but(cpu_s_per_step=0.0181, pool=3))] == [3]
    assert "waits rather" not in check(SLOW.but(cpu_s_per_step=0.0181))[0].message


def test_on_a_crowded_host_less_cpu_is_asked_of_work_that_waits() -> None:
    crowded = SLOW.but(system_cpu_share=0.9)

    assert "waits rather" in check(crowded.but(cpu_s_per_step=0.0071))[0].message
    assert "waits rather" not in check(crowded.but(cpu_s_per_step=0.0073))[0].message


def test_waiting_work_uses_the_threads_of_a_private_pool() -> None:
    (finding,) = check(SLOW.but(cpu_s_per_step=0.004, pool=16))

    assert number(finding, "calls_possible") == 16


@pytest.mark.parametrize(
    ("made_of", "arguments", "kind", "words"),
    [
        (function(), {"num_parallel_calls": 1}, "fixed-at-one", "num_parallel_calls=1 says so"),
        (function(), {"force_synchronous": True}, "synchronous", "synchronous=True says so"),
        (function(stateful_ops=("LookupTableFindV2",)), {}, "lookup-table", "reads a lookup table (LookupTableFindV2)"),
        (function(stateful_ops=("ReadVariableOp",)), {}, "variables", "it reads variables (ReadVariableOp)"),
        (function(stateful_ops=("PrintV2",)), {}, "stateful", "it uses stateful operations (PrintV2)"),
        (function(), {}, "options", "the dataset's options or TensorFlow's optimizer left it so"),
        (
            function(stateful_ops=("AssignAddVariableOp",), assigns_variables=True),
            {"num_parallel_calls": -1},
            "assigns-variables",
            "move the state out of the function first",
        ),
        (
            random_function("StatelessRandomUniformV2", assigns_variables=True),
            {},
            "random",
            "draw with tf.random.stateless_* operations",
        ),
    ],
)
def test_the_reason_is_named(made_of: StageFunction, arguments: dict, kind: str, words: str) -> None:
    (finding,) = check(scene(stage("map", 0.036, function=made_of, arguments=arguments)))

    assert number(finding, "cause") == kind
    assert words in finding.message


def test_a_map_inside_a_sequential_interleave_is_found_by_its_node() -> None:
    given = scene(stage("interleave", 0.036, inner_nodes=(("Map", 0.9), ("TFRecord", 0.05)), line=20))

    (finding,) = check(given)

    assert (finding.stage_id, number(finding, "cause")) == ("s1", "nested")
    assert "because it stands inside interleave" in finding.message
    assert number(finding, "cost_share") == pytest.approx((0.038 - (0.0056 + 0.0324 / 3.9)) / 0.04)


@pytest.mark.parametrize(
    ("op", "cycle", "cause"), [("flat_map", None, "inside"), ("interleave", 1, "inside"), ("interleave", 2, "nested")]
)
def test_a_random_map_inside_a_stage_that_reads_one_input_runs_in_parallel_where_it_stands(
    op: str, cycle: int | None, cause: str
) -> None:
    made_of = replace(random_function(), inner_map=call_site(12, "rows.map(augment)"))
    arguments = {} if cycle is None else {"cycle_length": cycle}
    reader = stage(op, 0.036, function=made_of, arguments=arguments, inner_nodes=(("Map", 0.9),))

    (finding,) = check(scene(reader))
    (made,) = recommend(scene(reader).analysis(), [finding])

    assert number(finding, "cause") == cause
    assert (made.change.kind == "parallel_inside") is (cause == "inside")
    assert cause == "nested" or "one input at a time, and it draws random numbers" in finding.message


def test_an_interleave_that_only_reads_is_no_sequential_map() -> None:
    assert check(scene(stage("interleave", 0.036, inner_nodes=(("TFRecord", 0.9),)))) == []


def test_a_map_inside_a_parallel_interleave_is_silent() -> None:
    given = scene(stage("interleave", 0.036, node="ParallelInterleaveV4", slots=4, inner_nodes=(("Map", 0.9),)))

    assert check(given) == []


def python_map(calls: object) -> Scene:
    return scene(stage("map", 0.036, function=python_function(), python=calls))


def test_python_that_computes_is_left_to_pp501() -> None:
    assert check(python_map(python_calls(wall_s=20, cpu_share=0.5))) == []


def test_python_that_waits_is_left_to_pp502() -> None:
    assert check(python_map(python_calls(wall_s=20, cpu_share=0.49))) == []


def test_python_that_waits_but_is_a_small_part_of_its_map_fires() -> None:
    (finding,) = check(python_map(python_calls(wall_s=2, cpu_share=0.49)))

    assert number(finding, "cause") == "python"
    assert finding.confidence is Confidence.HIGH


def test_python_that_was_not_timed_lowers_the_confidence() -> None:
    (finding,) = check(python_map(None))

    assert finding.confidence is Confidence.LOW


def test_an_unknown_load_lowers_the_confidence() -> None:
    (finding,) = check(SLOW.but(cpu_s_per_step=None))

    assert finding.confidence is Confidence.MEDIUM
    assert "there are 4 cores" in finding.message


def test_without_a_prefetch_the_map_is_on_the_consumers_thread_and_costs_what_it_takes() -> None:
    given = Scene(stages=(stage("from_tensor_slices", segment=0), random_map(0.016, segment=0)), gap_s=0.024)

    (finding,) = check(given)

    assert number(finding, "cost_share") == pytest.approx((0.016 - 0.016 / 3.9) / 0.04)


def test_it_does_not_apply_without_counters() -> None:
    outcome = next(
        item
        for item in judge(SLOW.but(has_counters=False, counters="autotune is off").analysis()).outcomes
        if item.code == "PP201"
    )

    assert (outcome.outcome, outcome.reason) == (NOT_APPLICABLE, "no time per stage: autotune is off")
