"""PP301: pipelines whose batches are made on the training loop's own thread."""

from __future__ import annotations

import pytest

from pipeprof.advise.recommend import recommend
from pipeprof.model.diagnosis import Confidence, Severity
from pipeprof.model.profile import Autotune, Change
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.overlap import OverlapParameters
from pipeprof.rules.pp301_no_overlap import NoOverlapAtTheEnd
from tests.support.builders import Scene, StageSpec, number, stage


def scene(*after: StageSpec, busy_s: float = 0.024, segment: int = 0, **numbers: object) -> Scene:
    """Return a step of 40 ms, 16 of them the loop's own and 24 of them making the batch."""
    numbers = {"step_s": 0.04, "gap_s": 0.016} | numbers
    last = stage("batch", busy_s, segment=segment, line=31, code="ds.batch(32)")
    return Scene(stages=(stage("from_tensor_slices", segment=segment), last, *after)).but(**numbers)


SLOW = scene()


def check(given: Scene, **params: float) -> list:
    return list(NoOverlapAtTheEnd().check(given.analysis(), OverlapParameters(**params)))


def test_making_and_using_one_after_the_other_fires_with_both_times() -> None:
    (finding,) = check(SLOW)

    assert (finding.code, finding.stage_id, finding.severity) == ("PP301", "s1", Severity.HIGH)
    assert finding.confidence is Confidence.HIGH
    assert finding.message == (
        "train.py:31 .batch(32) ends the pipeline without a prefetch: the loop makes each batch on its own thread, 24 ms, and "
        "then uses it, 16 ms, one after the other. Training waits 60 % (56–64 %) of each step. End with "
        "prefetch(tf.data.AUTOTUNE)."
    )
    assert number(finding, "cost_share") == pytest.approx(0.016 / 0.04)  # 40 ms become the 24 ms of the longer


def test_options_behind_the_last_stage_are_no_stage() -> None:
    (finding,) = check(scene(stage("with_options", node=None, segment=0)))

    assert finding.stage_id == "s1"


def test_it_leads_to_a_prefetch_at_the_end() -> None:
    (made,) = recommend(SLOW.analysis(), check(SLOW))

    assert (made.change, made.stage_id) == (Change(kind="prefetch"), "s1")


def test_the_cured_twin_is_silent() -> None:
    assert check(scene(stage("prefetch", segment=0), segment=1)) == []


def test_an_input_that_is_not_the_limit_is_silent() -> None:
    assert check(scene(busy_s=0.001, gap_s=0.039)) == []


def test_a_wait_that_the_loops_own_thread_does_not_explain_is_silent() -> None:
    assert check(scene(busy_s=0.0119)) == []
    assert len(check(scene(busy_s=0.0121))) == 1


def test_a_program_that_keeps_all_cores_busy_is_silent() -> None:
    assert check(SLOW.but(cpu_s_per_step=0.04 * 4 * 0.86)) == []


def test_a_slow_stage_on_other_threads_leaves_nothing_to_gain() -> None:
    slow_map = stage("map", 0.16, node="ParallelMapV2", slots=4, segment=1)

    assert check(Scene(stages=(slow_map, stage("batch", 0.013, segment=0)), gap_s=0.016)) == []


def test_without_autotune_it_is_left_to_the_rule_on_that() -> None:
    assert check(SLOW.but(autotune=Autotune(enabled=False))) == []
    assert len(check(SLOW.but(autotune=Autotune(enabled=True)))) == 1


def test_it_fires_just_over_the_threshold_and_not_just_under() -> None:
    assert len(check(SLOW, min_share=0.399)) == 1
    assert check(SLOW, min_share=0.401) == []


@pytest.mark.parametrize("given", [SLOW.but(has_counters=False), SLOW.but(alone=True)])
def test_it_does_not_apply_without_counters_or_a_consumer(given: Scene) -> None:
    (outcome,) = [item for item in judge(given.analysis()).outcomes if item.code == "PP301"]

    assert outcome.outcome == NOT_APPLICABLE
