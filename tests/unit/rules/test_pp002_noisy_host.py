"""PP002: what others take from the run."""

from __future__ import annotations

import pytest

from pipeprof.model.analysis import Analysis
from pipeprof.model.diagnosis import Finding, Severity
from pipeprof.model.profile import Change, TrialRecord, TrialState
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp002_noisy_host import NoisyHost, NoisyHostParameters
from tests.support.builders import Scene, control, number, stage
from tests.support.changed import changed

# 0.02 s of CPU in steps of 40 ms: half a core. 0.9 of 4 cores are busy, so that others use 3.1.
CROWDED = Scene(stages=(stage("map", 0.03),), cpu_s_per_step=0.02, run_delay_s_per_step=0.01, system_cpu_share=0.9, gap_s=0.038)
QUIET = CROWDED.but(system_cpu_share=0.125)


def check(analysis: Analysis, **params: float) -> list[Finding]:
    return list(NoisyHost().check(analysis, NoisyHostParameters(**params)))


def test_it_fires_where_threads_wait_behind_other_processes() -> None:
    (finding,) = check(CROWDED.analysis())

    assert (finding.code, finding.severity, finding.pipeline_id) == ("PP002", Severity.INFO, "p0")
    assert finding.message == (
        "The machine was not quiet: other processes used 3.1 of 4 cores, and the program's threads waited behind them for "
        "29 % of the time in which they wanted one. Times in this report hold that noise; run again on a quiet machine "
        "before comparing them."
    )
    assert number(finding, "behind_others") == pytest.approx(0.01 * (1 - 0.02 / 0.144) / 0.03)


def test_the_cured_twin_on_a_quiet_machine_is_silent() -> None:
    assert check(QUIET.analysis()) == []  # the same run delay, but nobody else is there


@pytest.mark.parametrize(("share", "fires"), [(0.10, False), (0.102, True)])
def test_delay_just_over_its_threshold_is_told_and_just_under_is_not(share: float, fires: bool) -> None:
    delay_s = 0.02 * share / (1 - 0.02 / 0.144 - share)  # so that others' part of it is that share

    assert bool(check(CROWDED.but(run_delay_s_per_step=delay_s * 0.999).analysis())) is fires


@pytest.mark.parametrize(("delay_s", "fires"), [(0.00204, True), (0.00201, False)])
def test_delay_that_is_a_small_part_of_the_step_is_not_told(delay_s: float, fires: bool) -> None:
    little = CROWDED.but(cpu_s_per_step=0.002)  # 0.986 of the delay is others', and 5 % of the step are 2 ms

    assert bool(check(little.but(run_delay_s_per_step=delay_s).analysis())) is fires


@pytest.mark.parametrize(("steal", "fires"), [(0.049, False), (0.051, True)])
def test_steal_just_over_its_threshold_is_told_and_just_under_is_not(steal: float, fires: bool) -> None:
    found = check(changed(QUIET.analysis(), host={"steal_share": steal}))

    assert bool(found) is fires
    assert not fires or "the hypervisor took 5 % of the cores" in found[0].message


@pytest.mark.parametrize(("noise", "fires"), [(1.149, False), (1.151, True)])
def test_a_loop_just_over_the_noise_threshold_is_told_and_just_under_is_not(noise: float, fires: bool) -> None:
    given = QUIET.but(controls=(control(0.0, 0.02, noise_low=1.0, noise_high=noise),))

    found = check(given.analysis())

    assert bool(found) is fires
    assert not fires or "the same loop differed from itself by up to 15 %" in found[0].message


def test_without_a_control_the_usual_trial_tells_the_noise() -> None:
    def trial(low: float) -> TrialRecord:
        change = Change(kind="cache")
        return TrialRecord(
            id="t", pipeline_id="p0", stage_id="s0", change=change, state=TrialState.WORSE, noise_low=low, noise_high=1.0
        )

    (finding,) = check(changed(QUIET.analysis(), trials=(trial(0.5), trial(0.8), trial(1.0))))

    assert number(finding, "noise") == pytest.approx(0.25)


def test_it_does_not_apply_where_the_load_was_not_measured() -> None:
    outcomes = judge(CROWDED.but(system_cpu_share=None).analysis(), select=["PP002"]).outcomes

    (outcome,) = [item for item in outcomes if item.code == "PP002"]
    assert (outcome.outcome, outcome.reason) == (NOT_APPLICABLE, "the load of the whole machine was not measured")
