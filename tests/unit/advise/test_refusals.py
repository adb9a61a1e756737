"""Why a change is not tried: it would not fit into memory, or the replay does not show the run; and where it is tried."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeprof.advise.refusals import free_memory, why_not_timed, why_too_large
from pipeprof.model.diagnosis import Recommendation, Safety
from pipeprof.model.profile import Change
from pipeprof.rules.engine import judge
from tests.support.builders import Scene, control, stage

GB = 1_000_000_000


def keeping(size: int | None) -> Recommendation:
    return Recommendation(
        id="c", findings=("PP401",), change=Change(kind="cache"), title="Cache it", safety=Safety.USES_MEMORY, memory_bytes=size
    )


def test_what_is_free_is_the_limit_less_the_peak_of_the_process() -> None:
    scene = Scene(stages=(stage("range"),), memory_bytes=16 * GB, rss_bytes=2 * GB)

    assert free_memory(scene.analysis()) == pytest.approx(0.9 * 16 * GB - 2 * GB)
    assert free_memory(scene.but(memory_limit_bytes=4 * GB).analysis()) == pytest.approx(0.9 * 4 * GB - 2 * GB)
    assert free_memory(scene.but(memory_limit_bytes=2 * GB).analysis()) == 0
    assert free_memory(scene.but(rss_bytes=None).analysis()) is None


@pytest.mark.parametrize(
    ("size", "held", "free", "why"),
    [
        (3 * GB, 0, 4 * GB, ""),
        (4 * GB, 0, 4 * GB, ""),
        (5 * GB, 0, 4 * GB, "it would hold 5.0 GB, and the process has 4.0 GB of memory left"),
        (
            3 * GB,
            2 * GB,
            4 * GB,
            "it would hold 5.0 GB with the changes kept before it, and the process has 4.0 GB of memory left",
        ),
        (None, 9 * GB, 4 * GB, ""),
        (0, 9 * GB, 4 * GB, ""),
        (9 * GB, 0, None, ""),
    ],
)
def test_changes_must_fit_into_memory_together(size: int | None, held: int, free: float | None, why: str) -> None:
    assert why_too_large(keeping(size), held, free) == why


def test_the_size_is_of_what_is_held_and_not_of_the_change_alone() -> None:
    assert why_too_large(replace(keeping(1), memory_bytes=1), 4 * GB, 4 * GB)


# 0.02 s of CPU in steps of 40 ms: half a core of 4, and what is busy beyond it is of other processes.
CROWDED = Scene(stages=(stage("map", 0.03),), cpu_s_per_step=0.02, run_delay_s_per_step=0.01, system_cpu_share=0.9, gap_s=0.038)
QUIET = CROWDED.but(system_cpu_share=0.125)
OTHER = control(0.1, 0.2, reproduces_run=False, reason="replay does not reproduce the run: step 18 ms against 28 ms")


def test_what_a_replay_does_not_show_may_be_the_machine() -> None:
    noisy, quiet = judge(CROWDED.analysis()).findings, judge(QUIET.analysis()).findings

    assert why_not_timed(OTHER, noisy) == f"{OTHER.reason}; the machine was not quiet: run again when it is"
    assert why_not_timed(OTHER, quiet) == OTHER.reason
    assert why_not_timed(control(0.1, 0.2), noisy) == why_not_timed(None, noisy) == ""
