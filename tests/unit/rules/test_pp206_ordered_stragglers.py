"""PP206: finished elements that lie behind a slow one, since the order is kept."""

from __future__ import annotations

import pytest

from pipeprof.advise.recommend import recommend
from pipeprof.model.diagnosis import Confidence, Severity
from pipeprof.model.profile import Change
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp206_ordered_stragglers import OrderedStragglers, StragglersParameters
from tests.support.builders import Scene, StageSpec, number, stage


def load(ready: float = 5.75, busy_s: float = 0.064, **details: object) -> StageSpec:
    details = {"node": "ParallelMapV2", "slots": 8, "line": 31, "code": "ds.map(load, 8)"} | details
    return stage("map", busy_s, buffered=(ready, 7, 28), visits=4, **details)


def scene(view: StageSpec, **numbers: object) -> Scene:
    """Return a step of 40 ms that the loop's own 10 ms and the map's 8 ms on eight threads do not explain."""
    stages = (stage("from_tensor_slices", segment=2), view, stage("batch"), stage("prefetch", segment=0))
    return Scene(stages=stages, pool=8).but(**numbers)


SLOW = scene(load())


def check(given: Scene, **params: float) -> list:
    return list(OrderedStragglers().check(given.analysis(), StragglersParameters(**params)))


def test_finished_elements_behind_a_slow_one_fire() -> None:
    (finding,) = check(SLOW)

    assert (finding.code, finding.stage_id, finding.severity) == ("PP206", "s1", Severity.HIGH)
    assert finding.confidence is Confidence.MEDIUM
    assert finding.message == (
        "train.py:31 .map(load, 8) keeps the order, and on average 5.8 finished elements lie behind a slow one: its 8 calls at "
        "once would need 8.0 ms for each 40 ms step. Training waits 75 % (71–79 %) of each step. Where the order does not "
        "matter: deterministic=False."
    )
    assert number(finding, "cost_share") == pytest.approx(0.03 / 0.04)


def test_it_leads_to_a_trial_without_order() -> None:
    (made,) = recommend(SLOW.analysis(), check(SLOW))

    assert made.change == Change(kind="nondeterministic")


@pytest.mark.parametrize(
    "cured",
    [
        scene(load(arguments={"deterministic": "false"})),
        SLOW.but(deterministic=False),
        scene(load(ready=0.5)),  # a stage that is just slow has nothing lying ready
        scene(load(busy_s=0.28)),  # and its average time explains the step
        scene(load(node="MapAndBatch")),
        scene(load(node="ParallelInterleaveV4")),
        SLOW.but(cpu_s_per_step=0.04 * 4 * 0.86),  # no worker is idle
        scene(load(slots=1, tuned=True)),
    ],
)
def test_the_cured_twin_is_silent(cured: Scene) -> None:
    assert check(cured) == []


def test_a_call_that_asks_for_order_is_ordered_whatever_the_options_say() -> None:
    assert len(check(scene(load(arguments={"deterministic": "true"}), deterministic=False))) == 1


def test_a_slow_stage_behind_it_explains_that_its_buffer_is_full() -> None:
    late = (load(), stage("filter", 0.036, segment=3), stage("prefetch", segment=0))

    assert check(Scene(stages=late, pool=8)) == []


@pytest.mark.parametrize(("held", "fires"), [(0.58, True), (0.62, False)])
def test_what_lies_ready_while_the_loop_waits_is_not_waited_for(held: float, fires: bool) -> None:
    ready = stage("prefetch", segment=0, buffered=(2 * held, 2, 8))
    stages = (stage("from_tensor_slices", segment=2), load(), stage("batch"), ready)

    assert bool(check(Scene(stages=stages, pool=8, step_s=0.04, gap_s=0.02))) is fires  # it waits for half of each step


def test_what_lies_ready_in_front_of_it_says_nothing() -> None:
    ready = stage("prefetch", segment=3, buffered=(1.9, 2, 8))

    assert len(check(Scene(stages=(ready, load(), stage("batch"), stage("prefetch", segment=0)), pool=8))) == 1


@pytest.mark.parametrize(("busy_s", "fires"), [(0.0079, True), (0.0081, False)])
def test_behind_a_slower_stage_with_calls_of_its_own_finished_elements_are_no_sign(busy_s: float, fires: bool) -> None:
    slow = stage("map", busy_s, segment=3, node="MapAndBatch")
    stages = (stage("from_tensor_slices", segment=2), load(), slow, stage("prefetch", segment=0))

    assert bool(check(Scene(stages=stages, pool=8))) is fires  # 64 ms on 8 threads are 8 ms


def test_waiting_at_epoch_boundaries_is_no_straggler() -> None:
    assert check(SLOW.but(epochs=101, boundary_s=0.15)) == []  # 25 of the 30 ms that are not explained


def test_what_handing_over_can_cost_is_left_out() -> None:
    assert check(SLOW, hand_over_s=0.0076) == []  # 30 ms for four elements
    assert len(check(SLOW, hand_over_s=0.0074)) == 1


def test_it_fires_just_over_the_threshold_and_not_just_under() -> None:
    assert len(check(SLOW, min_share=0.749)) == 1
    assert check(SLOW, min_share=0.751) == []
    assert len(check(SLOW, min_ready=0.71)) == 1
    assert check(SLOW, min_ready=0.72) == []


@pytest.mark.parametrize("given", [SLOW.but(has_counters=False), SLOW.but(alone=True)])
def test_it_does_not_apply_without_counters_or_a_consumer(given: Scene) -> None:
    (outcome,) = [item for item in judge(given.analysis()).outcomes if item.code == "PP206"]

    assert outcome.outcome == NOT_APPLICABLE
