"""PP004: what could not be measured is said, with how to get it."""

from __future__ import annotations

import pytest

from pipeprof.model.diagnosis import Severity
from pipeprof.model.profile import GpuSeries
from pipeprof.rules.pp004_not_measured import NotMeasured, NotMeasuredParameters
from tests.support.builders import Scene, number, stage

FULL = Scene(stages=(stage("map", 0.03),))


def check(scene: Scene) -> list:
    return list(NotMeasured().check(scene.analysis(), NotMeasuredParameters()))


def test_the_cured_twin_in_which_everything_was_measured_is_silent() -> None:
    assert check(FULL) == []


def test_it_fires_once_for_each_problem_of_the_run() -> None:
    found = check(FULL.but(problems=("NVML: driver not loaded", "tracing failed", "NVML: driver not loaded")))

    assert [finding.message for finding in found] == [
        "Not measured: NVML: driver not loaded. Check that nvidia-smi works for this user and in this container.",
        "Not measured: tracing failed. What depends on it is left out of this report.",
    ]
    assert {finding.severity for finding in found} == {Severity.INFO}


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [
        ("autotune is off", "Leave options.autotune.enabled on"),
        ("consumed by a tf.distribute iterator", "Profile with one device"),
        ("the loop runs inside a tf.function", "Iterate over the dataset in Python"),
    ],
)
def test_a_pipeline_without_counters_says_how_to_get_them(reason: str, remedy: str) -> None:
    (finding,) = check(FULL.but(has_counters=False, counters=reason))

    assert finding.message.startswith(f"No time per stage for the pipeline at train.py:30: {reason}. {remedy}")
    assert (finding.code, finding.pipeline_id) == ("PP004", "p0")


def test_a_pipeline_that_was_never_consumed_is_not_missed() -> None:
    assert check(FULL.but(has_counters=False, step_count=0)) == []


def test_a_loop_of_which_just_under_half_was_timed_is_reported_and_one_just_over_is_not() -> None:
    (finding,) = check(FULL.but(seen_share=0.49))

    assert finding.message.startswith("Only 49 % of the steps were timed")
    assert number(finding, "seen_share") == 0.49
    assert check(FULL.but(seen_share=0.51)) == []


def test_values_that_a_gpu_does_not_give_are_named() -> None:
    (finding,) = check(FULL.but(gpus=(GpuSeries(index=1, name="T4", unsupported=("power", "PCIe")),)))

    assert finding.message.startswith("GPU 1 (T4) does not give: power, PCIe.")


@pytest.mark.parametrize(
    ("count", "text"), [(1, "1 child process was not observed."), (3, "3 child processes were not observed.")]
)
def test_child_processes_that_were_not_observed_are_counted(count: int, text: str) -> None:
    (finding,) = check(FULL.but(children=count))

    assert finding.message.startswith(text)
    assert number(finding, "children") == count
