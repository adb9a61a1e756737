"""Loops that wait longer than training does, on planted waits."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeprof.analysis.operational import view_pipeline
from pipeprof.analysis.roles import find_longer_wait
from pipeprof.analysis.verdict import conclude, judge
from pipeprof.model.analysis import PipelineView
from pipeprof.model.diagnosis import InputBound, Steps
from pipeprof.model.profile import Role
from tests.support.builders import call_site
from tests.support.trees import chain, record, steady_loop

HEALTHY = Steps(count=1000, wait_share=0.03, wait_share_low=0.02, wait_share_high=0.04)


def view(role: Role, consumer: str, *, wait_s: float, wall_s: float, line: int = 7) -> PipelineView:
    loop = steady_loop(wait_s=wait_s / 100, gap_s=(wall_s - wait_s) / 100)
    made = record(chain("range"), (), loop=loop, consumer=consumer, call_site=call_site(line, "ds.batch(16)"))
    return view_pipeline(replace(made, role=role))


TRAIN = view(Role.TRAIN, "Keras fit", wait_s=0.2, wall_s=4.0)
SLOW = view(Role.VALIDATION, "Keras validation", wait_s=9.4, wall_s=10.0)


def test_validation_that_waits_longer_than_training_is_in_the_headline() -> None:
    found = find_longer_wait((TRAIN, SLOW), TRAIN)

    verdict = conclude(judge(HEALTHY, TRAIN, None, found), ())

    assert verdict.input_bound is InputBound.NOT
    assert not verdict.nothing_to_fix
    assert "Nothing to fix" not in verdict.sentence
    assert verdict.sentence.startswith(
        "Keras validation at train.py:7 waits longer than training: 9.4 s, 94 % of its own time and 67 % of the time of all "
        "loops. Training waits for its input 3 %"
    )


def test_every_loop_of_a_role_counts() -> None:
    half = view(Role.VALIDATION, "Keras validation", wait_s=0.15, wall_s=1.0)

    assert find_longer_wait((TRAIN, half), TRAIN) is None
    found = find_longer_wait((TRAIN, half, half), TRAIN)
    assert found is None  # 0.3 s of 6 s is not 5 % of all loops
    more = view(Role.TRAIN, "for loop", wait_s=0.4, wall_s=1.0)
    third = view(Role.VALIDATION, "Keras validation", wait_s=0.25, wall_s=0.5)
    assert find_longer_wait((TRAIN, third, third), TRAIN) is not None
    assert find_longer_wait((TRAIN, more, third, third), TRAIN) is None


def test_a_short_wait_is_not_worth_a_headline_however_little_training_waits() -> None:
    train = view(Role.TRAIN, "Keras fit", wait_s=0.0, wall_s=10.0)

    assert find_longer_wait((train, view(Role.OTHER, "Keras evaluate", wait_s=0.4, wall_s=0.5)), train) is None


@pytest.mark.parametrize("train", [None, SLOW])
def test_without_training_there_is_nothing_to_compare(train: PipelineView | None) -> None:
    assert find_longer_wait((SLOW,), train) is None
