"""A short smoke of the ground truth: four cases whose margin is wide (all of them: `make benchmark-accuracy`)."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("tensorflow")

from benchmarks.accuracy import observe
from benchmarks.accuracy_judging import judge
from tests.ground_truth.registry import all_cases

pytestmark = [pytest.mark.tf, pytest.mark.slow]

WIDE = 0.10  # shares of the step by which a truth must lie beyond the edges for the verdict to be asserted
EDGES = (0.05, 0.20)


@pytest.mark.parametrize(
    ("name", "seed"), [("for_loop", 1), ("from_generator", 1), ("three_steps", 1), ("healthy_generator", 1)]
)
def test_the_verdict_and_the_planted_stage_are_found(name: str, seed: int, tmp_path: Path) -> None:
    case = all_cases()[name]

    seen = observe(case, seed, tmp_path)
    verdicts = judge(case, seen)

    assert not seen.failure, seen.failure
    truth = seen.truth["wait_share"]
    if case.verdict or truth < 0.02 or min(abs(truth - edge) for edge in EDGES) > WIDE:
        assert verdicts.is_verdict_right, verdicts
    if case.planted and truth > EDGES[1] + WIDE:
        assert verdicts.is_stage_right, verdicts
