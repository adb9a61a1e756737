"""PP204: maps with far more calls than threads, whose elements fill the memory."""

from __future__ import annotations

import pytest

from pipeprof.advise.recommend import recommend
from pipeprof.model.diagnosis import Severity
from pipeprof.model.profile import Change
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp204_over_parallelism import OverParallelism, OverParallelismParameters
from tests.support.builders import Scene, StageSpec, number, stage


def decode(calls: float = 128, buffered: tuple[float, float, float] | None = (120, 128, 1.6e9), **details: object) -> StageSpec:
    details = {"node": "ParallelMapV2", "line": 31, "code": f"ds.map(decode, {calls:.0f})"} | details
    return stage("map", 0.02, slots=calls, buffered=buffered, **details)


def scene(view: StageSpec, **numbers: object) -> Scene:
    numbers = {"step_s": 0.04, "gap_s": 0.0399} | numbers
    return Scene(stages=(stage("from_tensor_slices", segment=2), view, stage("prefetch", segment=0))).but(**numbers)


LARGE = scene(decode())


def check(given: Scene, **params: float) -> list:
    return list(OverParallelism().check(given.analysis(), OverParallelismParameters(**params)))


def test_calls_without_threads_fire_with_the_memory_that_they_hold() -> None:
    (finding,) = check(LARGE)

    assert (finding.code, finding.stage_id, finding.severity) == ("PP204", "s1", Severity.LOW)
    assert finding.message == (
        "train.py:31 .map(decode, 128) asks for 128 calls at once where 4 threads can run them; the others only hold memory: "
        "128 elements lie ready, 1.6 GB or 10 % of it, and training does not wait. Let TensorFlow choose: "
        "num_parallel_calls=tf.data.AUTOTUNE."
    )
    assert number(finding, "spare_memory_share") == pytest.approx(0.1 * 124 / 128)


def test_batches_of_a_fused_map_count_as_batches() -> None:
    fused = decode(calls=256, buffered=(8, 8, 1.6e9), node="MapAndBatch", inputs_per_element=32)

    (finding,) = check(scene(fused))
    assert number(finding, "spare_memory_share") == pytest.approx(0.1 * 6 / 8)


def test_it_leads_to_a_trial_with_autotune() -> None:
    (made,) = recommend(LARGE.analysis(), check(LARGE))

    assert made.change == Change(kind="parallel_calls", params={"num_parallel_calls": -1})


@pytest.mark.parametrize(
    "cured",
    [
        scene(decode(calls=4, buffered=(3, 4, 5e7))),
        scene(decode(tuned=True)),
        scene(decode(buffered=(2, 128, 1.6e9))),  # drawn on
        LARGE.but(pool=64),
        LARGE.but(gap_s=0.03),  # a loop that waits
    ],
)
def test_the_cured_twin_is_silent(cured: Scene) -> None:
    assert check(cured) == []


def test_it_fires_just_over_the_threshold_and_not_just_under() -> None:
    assert len(check(LARGE, min_memory=0.096)) == 1
    assert check(LARGE, min_memory=0.097) == []
    assert len(check(LARGE, excess=32)) == 1
    assert check(LARGE, excess=33) == []


@pytest.mark.parametrize("given", [LARGE.but(has_counters=False), LARGE.but(rss_bytes=None)])
def test_it_does_not_apply_without_counters_or_memory(given: Scene) -> None:
    (outcome,) = [item for item in judge(given.analysis()).outcomes if item.code == "PP204"]

    assert outcome.outcome == NOT_APPLICABLE
