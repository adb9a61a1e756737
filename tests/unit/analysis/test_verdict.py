"""Verdicts on planted shares: bands, intervals, controls, start-up and contention."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pipeprof.analysis.operational import view_pipeline
from pipeprof.analysis.summary import summarise_steps
from pipeprof.analysis.verdict import conclude, judge
from pipeprof.model.analysis import PipelineView
from pipeprof.model.diagnosis import Confidence, Finding, InputBound, Limit, Severity, Steps, Verdict
from tests.support.builders import control
from tests.support.trees import chain, loop_with_boundaries, record, steady_loop


def steps(share: float, low: float | None = None, high: float | None = None, count: int = 1000) -> Steps:
    return Steps(
        count=count,
        wait_share=share,
        wait_share_low=share if low is None else low,
        wait_share_high=share if high is None else high,
    )


def view(**details: Any) -> PipelineView:
    return view_pipeline(record(chain("range"), (), loop=steady_loop(**({"wall_s": 100.0, "first_step_s": 1.0} | details))))


def band(low: float, high: float | None = None) -> InputBound:
    return judge(steps(low, low, low if high is None else high), view(), None).input_bound


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (0.0, InputBound.NOT),
        (0.0499, InputBound.NOT),
        (0.05, InputBound.MODERATELY),
        (0.1999, InputBound.MODERATELY),
        (0.20, InputBound.HIGHLY),
        (1.0, InputBound.HIGHLY),
    ],
)
def test_the_bands_begin_at_5_and_at_20_percent(share: float, expected: InputBound) -> None:
    assert band(share) is expected


@pytest.mark.parametrize(
    ("low", "share", "high", "expected"),
    [
        (0.06, 0.25, 0.44, InputBound.HIGHLY),  # input-bound for certain, and most likely highly
        (0.06, 0.19, 0.32, InputBound.MODERATELY),
        (0.04, 0.09, 0.15, InputBound.MODERATELY),  # may keep up, and most likely does not
        (0.03, 0.045, 0.06, InputBound.NOT),
        (0.04, 0.25, 0.46, InputBound.UNKNOWN),
    ],
)
def test_what_is_known_well_enough_is_in_the_band_of_its_most_likely_share(
    low: float, share: float, high: float, expected: InputBound
) -> None:
    verdict = judge(steps(share, low, high), view(), None)

    assert verdict.input_bound is expected
    assert verdict.confidence is Confidence.LOW


@pytest.mark.parametrize(
    ("recoverable", "expected"),
    [(0.0499, InputBound.NOT), (0.0501, InputBound.MODERATELY), (0.1999, InputBound.MODERATELY), (0.2001, InputBound.HIGHLY)],
)
def test_with_a_control_the_recoverable_share_is_graded_and_not_the_wait(recoverable: float, expected: InputBound) -> None:
    handed_over = {"ready_step_s": 0.04 * (1 - recoverable), "ready_wait_share": (0.5 - recoverable) / (1 - recoverable)}

    verdict = judge(steps(0.5, 0.48, 0.52), view(), control(recoverable, recoverable, **handed_over))

    assert verdict.input_bound is expected


def test_a_control_that_does_not_reproduce_the_run_is_not_used() -> None:
    verdict = judge(steps(0.5, 0.48, 0.52), view(), control(0.0, 0.01, reproduces_run=False))

    assert verdict.input_bound is InputBound.HIGHLY
    assert verdict.confidence is Confidence.LOW


def test_without_a_control_the_ceiling_is_the_steps_own_time_and_nothing_is_promised() -> None:
    verdict = judge(steps(0.5, 0.4, 0.6), view(), None)

    assert verdict.ceiling_speedup == pytest.approx(2.0)
    assert (verdict.ceiling_low, verdict.ceiling_high) == (1.0, pytest.approx(2.5))


def test_with_a_control_the_ceiling_is_the_controls_and_never_below_one() -> None:
    verdict = judge(steps(0.5), view(), control(0.5, 0.6))
    slower = judge(steps(0.01), view(), control(-0.2, -0.1))

    assert (verdict.ceiling_low, verdict.ceiling_high) == (pytest.approx(2.0), pytest.approx(2.5))
    assert (slower.ceiling_speedup, slower.ceiling_low, slower.ceiling_high) == (1.0, 1.0, 1.0)


def test_where_the_interval_reaches_a_loop_of_nothing_but_waiting_there_is_no_upper_bound() -> None:
    open_above = judge(steps(0.86, 0.67, 1.0), view(), None)
    only_waits = judge(steps(1.0), view(), None)

    assert (open_above.ceiling_speedup, open_above.ceiling_high) == (pytest.approx(1 / 0.14), None)
    assert (only_waits.input_bound, only_waits.ceiling_speedup, only_waits.ceiling_high) == (InputBound.HIGHLY, None, None)
    assert "how much faster the fastest possible input would make it is not known" in only_waits.sentence


def test_what_can_be_had_back_is_said_beside_the_wait_where_it_was_graded() -> None:
    by_control = judge(steps(0.55, 0.45, 0.63), view(), control(0.10, 0.20))
    by_wait = judge(steps(0.55, 0.45, 0.63), view(), None)

    assert "55 % of the time (45–63 %), of which 10–20 % can be had back: moderately input-bound" in by_control.sentence
    assert (by_control.recoverable_low, by_control.recoverable_high) == (0.10, 0.20)
    assert "had back" not in by_wait.sentence
    assert (by_wait.recoverable_low, by_wait.recoverable_high) == (None, None)


def test_a_replay_that_the_runs_own_times_contradict_is_told_and_is_no_sure_one() -> None:
    loop = view(wait_s=0.65, gap_s=0.35)
    narrow = control(0.27, 0.31, ceiling=1.43, ceiling_low=1.42, ceiling_high=1.44, ready_step_s=0.4, ready_wait_share=0.1)

    verdict = judge(steps(0.65, 0.59, 0.70), loop, narrow)

    assert verdict.ceiling_high == pytest.approx(1 / (1 - 0.65 + 0.04), rel=0.02)
    assert verdict.confidence is Confidence.LOW
    assert "1.43× as fast by the replay, 2.56× by the run's own times" in verdict.sentence


# --- limit -------------------------------------------------------------------------------------------------------


def limit(verdict: Verdict) -> Limit:
    return verdict.limit


def test_what_waits_is_limited_by_the_input_and_what_does_not_by_the_computation() -> None:
    assert limit(judge(steps(0.3), view(), None)) is Limit.INPUT
    assert limit(judge(steps(0.01), view(), None)) is Limit.COMPUTE


@pytest.mark.parametrize(("first_step_s", "expected"), [(50.1, Limit.STARTUP), (49.9, Limit.INPUT)])
def test_a_first_step_that_took_half_of_the_run_rules_it(first_step_s: float, expected: Limit) -> None:
    assert limit(judge(steps(0.3), view(first_step_s=first_step_s, wall_s=100.0), None)) is expected


def test_an_input_that_never_lets_wait_and_yet_costs_time_takes_the_models_cores() -> None:
    contended = control(0.0, 0.1, ceiling=1.1, ceiling_low=1.06, ceiling_high=1.2)

    assert limit(judge(steps(0.01), view(), contended)) is Limit.CONTENTION
    assert limit(judge(steps(0.06), view(), contended)) is Limit.COMPUTE
    assert limit(judge(steps(0.01), view(), control(0.0, 0.1, ceiling_low=1.04))) is Limit.COMPUTE


def test_waiting_at_nothing_but_the_boundaries_is_input_bound() -> None:
    planted = record(chain("range"), (), loop=loop_with_boundaries(4, 100, 0.5, jitter_s=0.01))

    assert judge(summarise_steps(planted), view_pipeline(planted), None).input_bound is InputBound.HIGHLY


# --- confidence --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("details", "count", "expected"),
    [
        ({}, 1000, Confidence.HIGH),
        ({}, 100, Confidence.HIGH),
        ({}, 99, Confidence.MEDIUM),
        ({}, 9, Confidence.LOW),
        ({"noise_high": 1.16}, 1000, Confidence.MEDIUM),
        ({"noise_low": 0.85}, 1000, Confidence.MEDIUM),
        ({"noise_high": 1.21}, 1000, Confidence.LOW),
    ],
)
def test_the_confidence_falls_with_few_steps_noise_and_width(
    details: dict[str, float], count: int, expected: Confidence
) -> None:
    assert judge(steps(0.3, count=count), view(), control(0.25, 0.30, **details)).confidence is expected


@pytest.mark.parametrize(("high", "expected"), [(0.39, Confidence.HIGH), (0.41, Confidence.MEDIUM)])
def test_a_recoverable_share_that_spans_a_band_is_no_certain_one(high: float, expected: Confidence) -> None:
    assert judge(steps(0.3), view(), control(0.25, high)).confidence is expected


def test_without_a_control_the_confidence_is_low() -> None:
    assert judge(steps(0.3), view(), None).confidence is Confidence.LOW


# --- what cannot be judged, and what is said ---------------------------------------------------------------------


def test_no_pipeline_and_no_steps_are_not_judged() -> None:
    assert judge(Steps(count=0), None, None).input_bound is InputBound.UNKNOWN
    assert judge(Steps(count=0), view(), None).limit is Limit.UNKNOWN
    assert "3 steps" in judge(Steps(count=3), view(), None).sentence


def test_the_sentence_begins_with_the_share_and_its_interval() -> None:
    sentence = judge(steps(0.5, 0.4, 0.6), view(), control(0.45, 0.5)).sentence

    assert sentence.startswith("Training waits for its input 50 % of the time (40")
    assert "highly input-bound" in sentence


@pytest.mark.parametrize(
    ("planted", "details", "words"),
    [
        (steps(0.2, 0.0, 0.5), {}, "too uncertain to call it input-bound; at most 50 % of the step is left to gain"),
        (steps(0.16, 0.002, 0.46), {}, "too uncertain"),
        (steps(0.08, 0.01, 0.17), {}, "too uncertain"),
        (steps(0.004, 0.0, 0.009, count=3), {}, "3 steps were seen, 20 are needed"),
        (steps(0.9, 0.88, 0.92, count=19), {}, "19 steps were seen, 20 are needed"),
        (steps(0.03, 0.02, 0.05), {"wall_s": 2.9}, "the loop ran for 2.9 s, 3.0 s are needed; so far training waits"),
        (steps(0.42, 0.23, 0.69), {"first_step_s": 3.6, "wall_s": 6.9}, "Start-up rules"),
    ],
)
def test_what_the_run_does_not_decide_is_unknown_and_never_nothing_to_fix(
    planted: Steps, details: dict[str, float], words: str
) -> None:
    verdict = conclude(judge(planted, view(**details), None), ())

    assert (verdict.input_bound, verdict.confidence) == (InputBound.UNKNOWN, Confidence.LOW)
    assert words in verdict.sentence
    assert not verdict.nothing_to_fix
    assert "Nothing to fix" not in verdict.sentence


@pytest.mark.parametrize(("at_edges", "is_told"), [(0.19, True), (0.07, False)])
def test_waiting_that_lies_at_few_changes_of_epoch_is_told_with_what_would_decide_it(at_edges: float, is_told: bool) -> None:
    planted = replace(steps(0.2, 0.0, 0.5), epochs=3, boundary_wait_share=at_edges)

    sentence = judge(planted, view(), None).sentence

    assert ("%), 19 % at 2 changes of epoch: too uncertain" in sentence) is is_told
    assert ("run for more epochs to judge" in sentence) is is_told


def test_waiting_that_is_certain_stands_in_a_short_run() -> None:
    verdict = judge(steps(0.6, 0.5, 0.7), view(wall_s=2.0, first_step_s=0.1), None)

    assert (verdict.input_bound, verdict.confidence) == (InputBound.HIGHLY, Confidence.LOW)


def test_a_ceiling_that_reaches_far_leaves_it_open_though_the_share_is_small() -> None:
    verdict = judge(steps(0.04, 0.03, 0.05), view(), control(0.0, 0.04, ceiling=1.0, ceiling_low=0.8, ceiling_high=2.0))

    assert verdict.input_bound is InputBound.UNKNOWN


def finding(code: str, severity: Severity) -> Finding:
    return Finding(code=code, name="", severity=severity, confidence=Confidence.HIGH, message="")


@pytest.mark.parametrize(
    ("findings", "is_said"),
    [
        ((), True),
        ((finding("PP102", Severity.INFO), finding("PP201", Severity.LOW), finding("PP004", Severity.MEDIUM)), True),
        ((finding("PP402", Severity.MEDIUM),), False),
        ((finding("PP401", Severity.HIGH),), False),
    ],
)
def test_nothing_to_fix_is_said_only_where_the_verdict_says_so_and_no_serious_finding_stands(
    findings: tuple[Finding, ...], is_said: bool
) -> None:
    verdict = conclude(judge(steps(0.01, 0.0, 0.02), view(), None), findings)

    assert verdict.nothing_to_fix is is_said
    assert verdict.sentence.startswith("Nothing to fix in the training input: training waits for its input 1 %") is is_said
    assert [item.code in verdict.sentence for item in findings] == [not is_said] * len(findings)


def test_neither_waiting_nor_contention_is_nothing_to_fix() -> None:
    contended = control(0.0, 0.1, ceiling=1.1, ceiling_low=1.06, ceiling_high=1.2)

    assert not judge(steps(0.3), view(), None).nothing_to_fix
    assert not judge(steps(0.01), view(), contended).nothing_to_fix


def test_start_up_and_contention_are_said() -> None:
    startup = judge(steps(0.3), view(first_step_s=90.0, wall_s=100.0), None).sentence
    contended = judge(steps(0.01), view(), control(0.0, 0.2, ceiling=1.2, ceiling_low=1.1, ceiling_high=1.3)).sentence

    assert startup.startswith("Start-up rules")
    assert "takes cores from the model" in contended


@pytest.mark.parametrize(("share", "limit"), [(None, Limit.COMPUTE), (0.69, Limit.COMPUTE), (0.7, Limit.HOST)])
def test_python_that_holds_the_lock_between_the_steps_is_named_as_the_limit(share: float | None, limit: Limit) -> None:
    verdict = judge(steps(0.01, 0.0, 0.02), view(), None, loop_python_share=share)

    assert (verdict.input_bound, verdict.limit, verdict.nothing_to_fix) == (InputBound.NOT, limit, True)
    assert ("lock for 70 % of the loop" in verdict.sentence) is (limit is Limit.HOST)


def test_a_loop_that_waits_for_its_input_is_limited_by_that_whoever_holds_the_lock() -> None:
    assert judge(steps(0.5, 0.48, 0.52), view(), None, loop_python_share=0.9).limit is Limit.INPUT


def test_a_loop_seen_in_windows_lasted_from_the_first_to_the_last_of_them() -> None:
    seen = {"wall_s": 1.4, "start_s": 2.0, "end_s": 7.0, "first_step_s": None}

    assert judge(steps(0.01, 0.0, 0.02), view(**seen, method="trace"), None).input_bound is InputBound.NOT
    assert judge(steps(0.01, 0.0, 0.02), view(**seen), None).input_bound is InputBound.UNKNOWN
