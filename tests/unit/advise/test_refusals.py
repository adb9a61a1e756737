"""Why a change is not tried: where what is kept together would not fit into memory, and where it does."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeprof.advise.refusals import free_memory, why_too_large
from pipeprof.model.diagnosis import Recommendation, Safety
from pipeprof.model.profile import Change
from tests.support.builders import Scene, stage

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
