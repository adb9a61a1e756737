"""Whether a replayed loop may speak for the run, on planted numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeprof.analysis.agreement import check_control, describe_doubt
from pipeprof.analysis.analyse import analyse
from pipeprof.analysis.operational import view_pipeline
from pipeprof.model.analysis import PipelineView
from pipeprof.model.diagnosis import Confidence, InputBound, Steps
from pipeprof.model.profile import Control, Loop
from tests.support.builders import Scene, control, stage
from tests.support.trees import chain, record, steady_loop

RUN = Steps(count=1000, wait_share=0.6, wait_share_low=0.55, wait_share_high=0.65)


def view(wait_s: float = 0.06, gap_s: float = 0.04) -> PipelineView:
    return view_pipeline(record(chain("range"), (), loop=steady_loop(wait_s=wait_s, gap_s=gap_s)))


def replayed(**details: float) -> Control:
    """Make a control that shows the run's own loop: 100 ms, of them 60 waited; ready it takes 44 ms, 4 of them waited."""
    same = {"baseline_step_s": 0.1, "baseline_wait_share": 0.6, "ready_step_s": 0.044, "ready_wait_share": 0.004 / 0.044}
    return replace(control(0.5, 0.56), **(same | details))  # type: ignore[arg-type]


def is_believed(given: Control, steps: Steps = RUN, loop: PipelineView | None = None) -> bool:
    return check_control(given, steps, loop or view()).reproduces_run


def test_a_replay_of_the_same_loop_is_believed() -> None:
    assert check_control(replayed(), RUN, view()) == replayed()


@pytest.mark.parametrize(("low", "high", "expected"), [(0.95, 1.09, True), (0.95, 1.11, False), (0.39, 4.63, False)])
def test_a_loop_that_differs_from_itself_by_more_than_a_band_is_no_evidence(low: float, high: float, expected: bool) -> None:
    assert is_believed(replayed(noise_low=low, noise_high=high)) is expected


@pytest.mark.parametrize(
    ("run", "replay", "expected"),
    [(0.60, 0.46, True), (0.60, 0.44, False), (0.18, 0.13, True), (0.18, 0.04, False), (0.02, 0.06, True), (0.57, 0.20, False)],
)
def test_the_runs_mean_wait_is_what_a_replay_has_to_show(run: float, replay: float, expected: bool) -> None:
    steps = replace(RUN, wait_share=run)
    loop = view(wait_s=0.1 * run, gap_s=0.1 * (1 - run))
    step_s = 0.1 * (1 - run) / (1 - replay)  # the gap is the run's own
    given = replayed(baseline_wait_share=replay, baseline_step_s=step_s, ready_step_s=0.1 * (1 - run), ready_wait_share=0.0)

    assert is_believed(given, steps, loop) is expected


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        ({"baseline_step_s": 0.124}, True),
        ({"baseline_step_s": 0.126}, False),
        ({"baseline_step_s": 0.081}, True),
        ({"baseline_step_s": 0.079}, False),
        ({"ready_step_s": 0.060}, False),
        ({"ready_step_s": 0.020}, True),
    ],
)
def test_the_stand_in_must_take_the_runs_own_time_and_may_be_quicker_only_without_the_input(
    details: dict[str, float], expected: bool
) -> None:
    assert is_believed(replayed(**details)) is expected


def test_the_reason_says_what_differs() -> None:
    doubted = check_control(replayed(baseline_wait_share=0.2, baseline_step_s=0.05), RUN, view())

    assert doubted.reason == "replay does not reproduce the run: waiting 20 % against 60 %"
    assert describe_doubt(doubted) == "waiting 20 % against 60 %"


def test_a_quiet_replay_does_not_overrule_a_run_that_waits() -> None:
    waiting = steady_loop(steps=400, wait_s=0.0057, gap_s=0.0043, wall_s=30.0)
    quiet = replayed(
        baseline_step_s=0.0071, baseline_wait_share=0.20, ready_step_s=0.0075, ready_wait_share=0.1,
        recoverable_low=0.02, recoverable_high=0.17, ceiling=0.97, ceiling_low=0.35, ceiling_high=2.69,
        noise_low=0.39, noise_high=4.63,
    )  # fmt: skip

    analysis = analyse(profile_of(waiting, quiet))

    assert (analysis.verdict.input_bound, analysis.verdict.confidence) == (InputBound.HIGHLY, Confidence.LOW)
    assert analysis.verdict.ceiling_speedup == pytest.approx(1 / 0.43)
    assert "The replay is no evidence for this run: it differs from itself by 0.39" in analysis.verdict.sentence
    assert analysis.verdict.recoverable_low is None
    found = analysis.control("p0")
    assert found is not None
    assert not found.reproduces_run


def profile_of(loop: Loop, given: Control):
    profile = Scene(stages=(stage("map", 0.03),)).profile()
    return replace(profile, pipelines=(record(chain("range"), (), loop=loop),), controls=(given,))
