"""PP106: rare and long waits of an input that is fast enough on average."""

from __future__ import annotations

import math
from typing import Any

import pytest

from pipeprof.advise.recommend import recommend
from pipeprof.model.analysis import Analysis
from pipeprof.model.diagnosis import Finding, InputBound, Severity
from pipeprof.model.profile import Histogram, LoopBin
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp106_bursty_input import BurstyInput, BurstyParameters
from tests.support.builders import Scene, number, stage
from tests.support.changed import changed

SOURCE = stage("from_generator", 0.012, segment=2)
SLOW_SOURCE = stage("from_generator", 0.021, segment=2)
BUFFER = stage("prefetch", segment=0, line=12, code="ds.prefetch(1)", arguments={"buffer_size": 1})

BURSTY = Scene(stages=(SOURCE, stage("batch", segment=2), BUFFER), step_s=0.03, gap_s=0.02, step_count=600)


def bursty(
    scene: Scene = BURSTY,
    long: int = 60,
    long_s: float = 0.1,
    empty: float = 0.3,
    shares: tuple[float, ...] = (1, 1, 1),
    **given: Any,
) -> Analysis:
    """Wait that long in some of 600 steps of 20 ms, 10 us in all others; the waits are spread over the thirds as given."""
    counts = {str(math.floor(math.log(value, 1.1))): count for value, count in ((long_s, long), (1e-5, 600 - long))}
    waited_s = long * long_s
    bins = tuple(
        LoopBin(
            start_s=6.0 * at,
            end_s=6.0 * (at + 1),
            steps=200,
            wait_s=waited_s * share / sum(shares),
            gap_s=4.0,
            wait_max_s=long_s,
            step_max_s=0.02 + long_s,
            step_min_s=0.02,
        )
        for at, share in enumerate(shares)
    )
    loop = {"wait_histogram": Histogram(counts=counts), "bins": bins, "epoch_count": 1, **given}
    return changed(scene.analysis(), loop=loop, nodes={"empty_share": empty})


def check(analysis: Analysis, **params: float) -> list[Finding]:
    return list(BurstyInput().check(analysis, BurstyParameters(**params)))


def test_it_fires_on_rare_long_waits_behind_a_small_buffer() -> None:
    (finding,) = check(bursty())

    assert (finding.code, finding.severity, finding.stage_id) == ("PP106", Severity.HIGH, "s2")
    assert finding.message == (
        "Training waits in bursts: 10 % of the steps wait about 97 ms, 32 % of the loop, the others hardly at all. The "
        "pipeline needs only 12 ms for a step of 20 ms; train.py:12 .prefetch(1) holds 1 element, too few to go on with; let "
        "TensorFlow choose the buffer."
    )
    assert number(finding, "cost_share") == pytest.approx(0.33, abs=0.01)
    (made,) = recommend(bursty(), [finding])
    assert (made.change.kind, made.stage_id) == ("prefetch", "s2")


def test_the_cured_twin_whose_buffer_bridges_the_waits_is_silent() -> None:
    large = stage("prefetch", segment=0, arguments={"buffer_size": 16})
    assert check(bursty(BURSTY.but(stages=(SOURCE, stage("batch", segment=2), large), gap_s=0.0295), long=0)) == []


def test_a_buffer_that_tensorflow_chooses_is_not_advised_again() -> None:
    chosen = stage("prefetch", segment=0, arguments={"buffer_size": -1})

    assert check(bursty(BURSTY.but(stages=(SOURCE, stage("batch", segment=2), chosen)))) == []


def test_behind_a_buffer_that_is_large_enough_a_parallel_map_may_give_up_its_order() -> None:
    chosen = stage("prefetch", segment=0, arguments={"buffer_size": -1})
    slow = stage("map", 0.03, slots=4, line=5, code="ds.map(fetch, num_parallel_calls=4)")
    given = bursty(BURSTY.but(stages=(slow, chosen)))

    (finding,) = check(given)

    assert finding.stage_id == "s0"
    assert (
        "train.py:5 .map(fetch, num_parallel_calls=4) keeps the order, so that all wait for a slow element" in finding.message
    )
    (made,) = recommend(given, [finding])
    assert made.change.kind == "nondeterministic"
    free = stage("map", 0.03, slots=4, arguments={"deterministic": False})
    assert check(bursty(BURSTY.but(stages=(free, chosen)))) == []
    assert check(changed(given, record={"deterministic": False})) == []


@pytest.mark.parametrize(("long", "fires"), [(9, True), (6, False)])
def test_waits_just_over_the_threshold_are_told_and_just_under_are_not(long: int, fires: bool) -> None:
    assert bool(check(bursty(long=long))) is fires  # 0.88 s and 0.59 s of 12.9 s and 12.6 s: 6.8 % and 4.7 %


@pytest.mark.parametrize(("long_s", "fires"), [(0.022, True), (0.017, False)])
def test_long_waits_shorter_than_a_step_are_what_waiting_for_a_core_looks_like(long_s: float, fires: bool) -> None:
    assert bool(check(bursty(long=140, long_s=long_s))) is fires  # steps of 20 ms; 21 % and 17 % of the loop


@pytest.mark.parametrize(("long", "fires"), [(149, True), (151, False)])
def test_waits_in_a_quarter_of_the_steps_are_not_rare(long: int, fires: bool) -> None:
    assert bool(check(bursty(long=long))) is fires


def test_a_producer_that_is_too_slow_on_average_needs_more_than_a_buffer() -> None:
    assert check(bursty(BURSTY.but(stages=(SLOW_SOURCE, stage("batch", segment=2), BUFFER)))) == []


def test_waits_that_come_once_in_the_run_are_no_bursts() -> None:
    assert check(bursty(shares=(10, 0.2, 0.2))) == []
    assert check(bursty(long=3, long_s=2.0)) == []


def test_pauses_that_other_processes_can_have_made_are_no_bursts() -> None:
    crowded = BURSTY.but(cpu_s_per_step=0.01, run_delay_s_per_step=0.012, system_cpu_share=0.9)

    assert check(bursty(crowded, long=40)) == []
    assert len(check(bursty(crowded.but(system_cpu_share=0.09), long=40))) == 1  # nobody else was there


def test_waits_between_epochs_are_pp105s() -> None:
    assert check(bursty(long=9, epoch_count=10, boundary_wait_s=0.88)) == []


def test_a_pause_that_no_buffer_bridges_is_not_told() -> None:
    assert check(bursty(long=5, long_s=6.0)) == []


def test_it_does_not_apply_without_the_buffers_or_without_a_verdict() -> None:
    for given, reason in (
        (changed(bursty(), nodes={"empty_share": None}), "how full the buffers were was not measured"),
        (bursty(BURSTY.but(input_bound=InputBound.UNKNOWN)), "whether the input limits training is unknown"),
    ):
        (outcome,) = [item for item in judge(given, select=["PP106"]).outcomes if item.code == "PP106"]
        assert (outcome.outcome, outcome.reason) == (NOT_APPLICABLE, reason)
