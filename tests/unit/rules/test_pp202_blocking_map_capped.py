"""PP202: parallel maps that wait and have no more threads."""

from __future__ import annotations

import pytest

from pipeprof.model.diagnosis import Confidence, Severity
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp202_blocking_map_capped import BlockingMapCapped, BlockingMapParameters
from tests.support.builders import Scene, function, number, python_calls, python_function, stage


def reader(busy_s: float = 0.16, **details: object) -> Scene:
    given = {"node": "ParallelMapV2", "slots": 4, "function": function("ReadFile"), "line": 9, "code": "ds.map(fetch)"}
    return Scene(
        stages=(stage("from_tensor_slices"), stage("map", busy_s, **(given | details)), stage("prefetch", segment=0)),
        cpu_s_per_step=0.006,
    )


SLOW = reader()


def check(given: Scene, **params: float) -> list:
    return list(BlockingMapCapped().check(given.analysis(), BlockingMapParameters(**params)))


def test_a_waiting_map_at_its_cap_fires_with_its_numbers() -> None:
    (finding,) = check(SLOW)

    assert (finding.code, finding.stage_id, finding.severity) == ("PP202", "s1", Severity.HIGH)
    assert finding.message == (
        "train.py:9 .map(fetch) already runs 4 calls at once, one for each thread of its pool, but it waits rather than "
        "computes: 160 ms busy per step against at most 6.0 ms of CPU. Training waits 75 % (71–79 %) of each step. Give the "
        "dataset more threads: private_threadpool_size = 32."
    )
    assert (
        number(finding, "wanted_threads") == 32
    )  # 160 ms of waiting in 10 ms of the consumer, half as much again, a power of two
    assert number(finding, "cost_share") == pytest.approx(0.75)


def test_the_cured_twin_with_a_larger_pool_is_silent() -> None:
    assert check(reader(slots=20).but(pool=20, gap_s=0.039)) == []


def test_a_map_with_threads_to_spare_is_silent() -> None:
    assert check(SLOW.but(pool=5)) == []


def test_calls_beyond_the_pool_do_not_count_as_slots() -> None:
    (finding,) = check(reader(slots=64))

    assert number(finding, "pool_threads") == 4
    assert number(finding, "cost_share") == pytest.approx(0.75)


def test_a_sequential_map_is_left_to_pp201() -> None:
    assert check(reader(slots=1, node="Map")) == []


def test_work_with_half_its_time_in_cpu_is_silent() -> None:
    assert check(SLOW.but(cpu_s_per_step=0.08)) == []
    assert len(check(SLOW.but(cpu_s_per_step=0.0799))) == 1


def test_on_a_crowded_host_a_fifth_of_cpu_is_the_bound() -> None:
    assert check(SLOW.but(system_cpu_share=0.85, cpu_s_per_step=0.032)) == []
    assert len(check(SLOW.but(system_cpu_share=0.84, cpu_s_per_step=0.032))) == 1
    assert len(check(SLOW.but(system_cpu_share=0.85, cpu_s_per_step=0.0319))) == 1


def test_it_fires_just_over_the_threshold_and_not_just_under() -> None:
    cost = number(check(SLOW)[0], "cost_share")

    assert len(check(SLOW, min_share=cost - 0.001)) == 1
    assert check(SLOW, min_share=cost + 0.001) == []


def test_no_more_threads_are_proposed_than_the_bound_for_each_core() -> None:
    (finding,) = check(reader(2.0, slots=4))

    assert number(finding, "wanted_threads") == 64


def test_a_pool_that_has_all_the_threads_that_are_wanted_is_silent() -> None:
    assert check(reader(0.32, slots=64).but(pool=64)) == []
    assert [number(finding, "wanted_threads") for finding in check(reader(0.64, slots=16).but(pool=16))] == [64]


def test_computing_python_is_silent_and_unmeasured_python_lowers_the_confidence() -> None:
    computing = reader(function=python_function(), python=python_calls(wall_s=80, cpu_share=0.9))
    unmeasured = reader(function=python_function())

    assert check(computing) == []
    assert check(unmeasured)[0].confidence is Confidence.LOW


def test_it_does_not_apply_without_the_cpu_time_of_the_process() -> None:
    outcomes = {item.code: item for item in judge(SLOW.but(cpu_s_per_step=None).analysis()).outcomes}

    assert outcomes["PP202"].outcome == NOT_APPLICABLE
    assert outcomes["PP202"].reason == "the CPU time of the process was not measured"
