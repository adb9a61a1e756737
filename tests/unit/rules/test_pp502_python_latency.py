"""PP502: Python that waits, one call at a time."""

from __future__ import annotations

import pytest

from pipeprof.advise.recommend import recommend
from pipeprof.model.diagnosis import Severity
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp502_python_latency import PythonLatency, PythonLatencyParameters
from tests.support.builders import Scene, StageSpec, number, python_calls, python_function, stage


def fetch(busy_s: float = 0.036, python_s: float = 0.035, cpu_share: float = 0.02, **details: object) -> StageSpec:
    given = {"function": python_function(), "line": 7, "code": "ds.map(fetch)"}
    return stage(
        "map", busy_s, python=python_calls(wall_s=python_s * 600, cpu_share=cpu_share, calls=4200), **(given | details)
    )


def scene(*stages: StageSpec, **numbers: object) -> Scene:
    return Scene(stages=(stage("from_tensor_slices"), *stages, stage("prefetch", segment=0))).but(**numbers)


SLOW = scene(fetch())


def check(given: Scene, **params: float) -> list:
    return list(PythonLatency().check(given.analysis(), PythonLatencyParameters(**params)))


def test_python_that_waits_one_call_at_a_time_fires_with_its_numbers() -> None:
    (finding,) = check(SLOW)

    assert (finding.code, finding.stage_id, finding.severity) == ("PP502", "s1", Severity.HIGH)
    assert finding.message == (
        "train.py:7 .map(fetch) waits in Python, one call after the other: 5.0 ms a call, of which 2 % is CPU, 36 ms for each "
        "40 ms step. Training waits 75 % (71–79 %) of each step. Let 8 calls wait at once: num_parallel_calls=8, with "
        "private_threadpool_size = 8."
    )
    assert number(finding, "cost_share") == pytest.approx((0.036 - 0.010) / 0.04)


def test_it_leads_to_parallel_calls() -> None:
    (made,) = recommend(SLOW.analysis(), check(SLOW))

    assert (made.change.kind, made.change.params) == ("parallel_calls", {"num_parallel_calls": 8})


def test_a_generator_that_waits_is_to_be_read_beside_others() -> None:
    given = scene(stage("from_generator", 0.036, line=5, python=python_calls(wall_s=20, cpu_share=0.02)))

    (finding,) = check(given)
    (made,) = recommend(given.analysis(), [finding])

    assert finding.message.endswith("Read from 8 generators side by side: interleave with num_parallel_calls=8.")
    assert made.title == "Read from several generators side by side, with interleave"


def test_the_cured_twin_with_parallel_calls_is_silent() -> None:
    assert check(scene(fetch(slots=8))) == []
    assert check(scene(fetch(tuned=True))) == []


def test_the_fewest_threads_that_are_enough_are_not_asked_for() -> None:
    (finding,) = check(SLOW.but(pool=16))

    assert finding.message.endswith("Let 8 calls wait at once: num_parallel_calls=8.")


@pytest.mark.parametrize(("share", "fires"), [(0.49, True), (0.51, False)])
def test_it_fires_just_under_the_cpu_that_computes_and_not_just_over(share: float, fires: bool) -> None:
    assert bool(check(scene(fetch(cpu_share=share)))) is fires


def test_python_that_is_a_small_part_of_its_stage_is_silent() -> None:
    assert check(scene(fetch(python_s=0.0179))) == []
    assert len(check(scene(fetch(python_s=0.0181)))) == 1


def test_a_pipeline_that_keeps_up_is_silent() -> None:
    assert check(SLOW.but(gap_s=0.0395)) == []


def test_one_cause_gives_one_finding() -> None:
    codes = [item.code for item in judge(SLOW.analysis()).findings if item.stage_id == "s1"]

    assert "PP502" in codes
    assert not {"PP201", "PP202", "PP501"} & set(codes)


def test_it_does_not_apply_where_python_was_not_timed() -> None:
    given = scene(stage("map", 0.036, function=python_function()))

    (outcome,) = [item for item in judge(given.analysis()).outcomes if item.code == "PP502"]
    assert outcome.outcome == NOT_APPLICABLE
