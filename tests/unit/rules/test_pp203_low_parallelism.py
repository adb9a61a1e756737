"""PP203: maps with a fixed number of calls where there is room for more."""

from __future__ import annotations

import pytest

from pipeprof.advise.recommend import recommend
from pipeprof.model.diagnosis import Severity
from pipeprof.model.profile import Change
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp203_low_parallelism import LowParallelism
from pipeprof.rules.room import RoomParameters
from tests.support.builders import Scene, StageSpec, number, python_calls, python_function, stage


def decode(busy_s: float = 0.072, calls: float = 2, **details: object) -> StageSpec:
    return stage("map", busy_s, node="ParallelMapV2", slots=calls, line=42, code="ds.map(decode, 2)", **details)


def scene(*stages: StageSpec, **numbers: object) -> Scene:
    return Scene(stages=(stage("from_tensor_slices"), *stages, stage("prefetch", segment=0))).but(**numbers)


SLOW = scene(decode())


def check(given: Scene, **params: float) -> list:
    return list(LowParallelism().check(given.analysis(), RoomParameters(**params)))


def test_a_fixed_number_below_what_there_is_room_for_fires_with_both_numbers() -> None:
    (finding,) = check(SLOW)

    assert (finding.code, finding.stage_id, finding.severity) == ("PP203", "s1", Severity.HIGH)
    assert finding.message == (
        "train.py:42 .map(decode, 2) runs 2 calls at once because num_parallel_calls says so, and its calls take 72 ms for "
        "each 40 ms step; 1.1 of 4 cores are in use. Training waits 75 % (71–79 %) of each step. Let TensorFlow choose: "
        "num_parallel_calls=tf.data.AUTOTUNE."
    )
    assert (number(finding, "calls_at_once"), number(finding, "calls_possible")) == (2, 4)  # the pool has four threads
    assert number(finding, "cost_share") == pytest.approx((0.036 - 0.018) / 0.04)


def test_it_leads_to_a_trial_with_autotune() -> None:
    analysis = SLOW.analysis()

    (made,) = recommend(analysis, check(SLOW))

    assert made.change == Change(kind="parallel_calls", params={"num_parallel_calls": -1})


@pytest.mark.parametrize("cured", [decode(calls=4), decode(calls=2, tuned=True), decode(busy_s=0.018)])
def test_the_cured_twin_is_silent(cured: StageSpec) -> None:
    assert check(scene(cured)) == []


def test_a_machine_without_a_free_core_is_silent() -> None:
    assert check(SLOW.but(cpu_s_per_step=0.04 * 4 * 0.86)) == []


def test_a_map_that_runs_one_call_at_a_time_is_left_to_another_rule() -> None:
    assert check(scene(stage("map", 0.036))) == []


def test_computing_python_is_left_alone_since_more_calls_do_not_help_it() -> None:
    calls = python_calls(wall_s=20, cpu_share=0.9)

    assert check(scene(decode(function=python_function(), python=calls))) == []


def test_it_fires_just_over_the_threshold_and_not_just_under() -> None:
    assert len(check(SLOW, min_share=0.449)) == 1
    assert check(SLOW, min_share=0.451) == []


def test_it_does_not_apply_without_counters() -> None:
    outcomes = judge(SLOW.but(has_counters=False).analysis()).outcomes

    (outcome,) = [item for item in outcomes if item.code == "PP203"]
    assert outcome.outcome == NOT_APPLICABLE
