"""PP501: Python that computes and bounds the pipeline."""

from __future__ import annotations

import pytest

from pipeprof.model.diagnosis import Confidence, Severity
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp501_python_under_gil import PythonUnderGil, PythonUnderGilParameters
from tests.support.builders import Scene, StageSpec, function, number, python_calls, python_function, stage


def tokenize(busy_s: float = 0.036, python_s: float = 0.030, cpu_share: float = 0.9, **details: object) -> StageSpec:
    given = {"function": python_function(), "line": 7, "code": "ds.map(tokenize)"}
    return stage("map", busy_s, python=python_calls(wall_s=python_s * 600, cpu_share=cpu_share), **(given | details))


def scene(*stages: StageSpec, **numbers: object) -> Scene:
    return Scene(stages=(stage("from_tensor_slices"), *stages, stage("prefetch", segment=0))).but(**numbers)


SLOW = scene(tokenize())


def check(given: Scene, **params: float) -> list:
    return list(PythonUnderGil().check(given.analysis(), PythonUnderGilParameters(**params)))


def test_computing_python_that_bounds_the_pipeline_fires_with_its_numbers() -> None:
    (finding,) = check(SLOW)

    assert (finding.code, finding.stage_id, finding.severity) == ("PP501", "s1", Severity.HIGH)
    assert finding.message == (
        "train.py:7 .map(tokenize) takes 30 ms in Python for each 40 ms step (90 % of that is CPU); the interpreter lock "
        "lets one thread at a time do so, whatever num_parallel_calls says. Training waits 75 % (71–79 %) of each step. Write "
        "it with TensorFlow operations, or let each call make a whole batch."
    )
    assert number(finding, "python_s_per_step") == pytest.approx(0.03)
    assert number(finding, "cost_share") == pytest.approx((0.036 - 0.010) / 0.04)
    assert finding.confidence is Confidence.MEDIUM


def test_the_cured_twin_in_tensorflow_operations_is_silent() -> None:
    assert check(scene(stage("map", 0.036, function=function("StringSplitV2")))) == []


def test_a_generator_counts_as_python() -> None:
    given = scene(stage("from_generator", 0.036, python=python_calls(wall_s=18, cpu_share=0.9)))

    assert [finding.stage_id for finding in check(given)] == ["s1"]


def test_python_that_waits_is_left_to_others() -> None:
    assert check(scene(tokenize(cpu_share=0.49))) == []
    assert len(check(scene(tokenize(cpu_share=0.5)))) == 1


def test_python_that_does_not_dominate_its_thread_is_silent() -> None:
    assert check(scene(tokenize(python_s=0.0179))) == []
    assert len(check(scene(tokenize(python_s=0.0181)))) == 1


def test_code_that_uses_more_than_one_core_releases_the_lock() -> None:
    parallel = tokenize(0.16, python_s=0.05, cpu_share=0.9, slots=4, node="ParallelMapV2")

    assert check(scene(parallel), min_of_segment=0.1) == []  # 27 s of CPU in 24 s
    assert len(check(scene(parallel, wall_s=25.0), min_of_segment=0.1)) == 1


def test_a_parallel_map_that_stays_at_one_core_is_known_to_hold_the_lock() -> None:
    given = scene(tokenize(0.07, python_s=0.04, slots=2, node="ParallelMapV2"), gap_s=0.01)

    (finding,) = check(given)

    assert finding.confidence is Confidence.HIGH


def test_it_fires_just_over_the_threshold_and_not_just_under() -> None:
    assert len(check(SLOW, min_share=0.649)) == 1
    assert check(SLOW, min_share=0.651) == []


def test_a_pipeline_that_keeps_up_is_silent() -> None:
    assert check(SLOW.but(gap_s=0.0395)) == []


def test_it_does_not_apply_where_python_was_not_timed() -> None:
    given = scene(stage("map", 0.036, function=python_function()))
    outcomes = {item.code: item for item in judge(given.analysis()).outcomes}

    assert outcomes["PP501"].outcome == NOT_APPLICABLE
    assert outcomes["PP501"].reason == "the Python functions of the pipeline were not timed"


def test_it_passes_where_there_is_no_python() -> None:
    outcomes = {item.code: item for item in judge(scene(stage("map", 0.036)).analysis()).outcomes}

    assert outcomes["PP501"].outcome == "passed"


@pytest.mark.parametrize(("held", "confidence"), [(None, Confidence.MEDIUM), (0.4, Confidence.MEDIUM), (0.7, Confidence.HIGH)])
def test_a_lock_that_was_seen_held_makes_a_map_that_runs_alone_sure(held: float | None, confidence: Confidence) -> None:
    (finding,) = check(SLOW.but(lock_held_share=held))  # 16.2 s of CPU in Python in 24 s

    assert finding.confidence is confidence
    assert number(finding, "lock_held_share") == held


def test_code_that_computes_while_the_lock_is_free_releases_it() -> None:
    assert check(SLOW.but(lock_held_share=0.33)) == []
    assert len(check(SLOW.but(lock_held_share=0.35))) == 1


def test_calls_too_short_for_the_samples_are_not_said_to_release_the_lock() -> None:
    calls = python_calls(wall_s=18, cpu_share=0.9, calls=9000)  # 1.8 ms of CPU each
    short = stage("map", 0.036, function=python_function(), python=calls)

    assert len(check(scene(short, lock_held_share=0.1))) == 1
