"""PP302: a prefetch in the middle, and work after it on the training loop's own thread."""

from __future__ import annotations

import pytest

from pipeprof.advise.recommend import recommend
from pipeprof.model.diagnosis import Severity
from pipeprof.model.profile import Autotune, Change
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.overlap import OverlapParameters
from pipeprof.rules.pp301_no_overlap import NoOverlapAtTheEnd
from pipeprof.rules.pp302_prefetch_not_last import PrefetchNotLast
from tests.support.builders import Scene, StageSpec, number, stage


def scene(*after: StageSpec, busy_s: float = 0.024, segment: int = 0, **numbers: object) -> Scene:
    """Return a step of 40 ms, 16 of them the loop's own and 24 of them what stands after the prefetch."""
    numbers = {"step_s": 0.04, "gap_s": 0.016} | numbers
    stages = (
        stage("from_tensor_slices", segment=2),
        stage("prefetch", segment=segment, line=30),
        stage("filter", busy_s, segment=segment),
        stage("batch", segment=segment, line=32, code="ds.batch(32)"),
    )
    return Scene(stages=(*stages, *after)).but(**numbers)


SLOW = scene()


def check(given: Scene, **params: float) -> list:
    return list(PrefetchNotLast().check(given.analysis(), OverlapParameters(**params)))


def test_work_after_the_prefetch_fires_with_both_places() -> None:
    (finding,) = check(SLOW)

    assert (finding.code, finding.stage_id, finding.severity) == ("PP302", "s3", Severity.HIGH)
    assert finding.message == (
        "The prefetch at train.py:30 is not the last stage: up to train.py:32 .batch(32) the loop does the work on its own "
        "thread, 24 ms for each step, and then its own, 16 ms. Training waits 60 % (56–64 %) of each step. Move the prefetch "
        "to the end."
    )
    assert number(finding, "cost_share") == pytest.approx(0.016 / 0.04)


def test_the_rule_on_missing_prefetches_leaves_it_alone() -> None:
    assert list(NoOverlapAtTheEnd().check(SLOW.analysis(), OverlapParameters())) == []


def test_it_leads_to_a_prefetch_at_the_end() -> None:
    (made,) = recommend(SLOW.analysis(), check(SLOW))

    assert (made.change, made.stage_id) == (Change(kind="prefetch"), "s3")


@pytest.mark.parametrize(
    "cured",
    [
        scene(stage("prefetch", segment=0), segment=1),
        scene(busy_s=0.001),
        SLOW.but(autotune=Autotune(enabled=False)),
    ],
)
def test_the_cured_twin_is_silent(cured: Scene) -> None:
    assert check(cured) == []


def test_it_fires_just_over_the_threshold_and_not_just_under() -> None:
    assert len(check(SLOW, min_share=0.399)) == 1
    assert check(SLOW, min_share=0.401) == []


@pytest.mark.parametrize("given", [SLOW.but(has_counters=False), SLOW.but(alone=True)])
def test_it_does_not_apply_without_counters_or_a_consumer(given: Scene) -> None:
    (outcome,) = [item for item in judge(given.analysis()).outcomes if item.code == "PP302"]

    assert outcome.outcome == NOT_APPLICABLE
