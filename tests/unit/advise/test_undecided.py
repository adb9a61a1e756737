"""What a trial's record becomes beside its recommendation."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeprof.advise.recommend import recommend
from pipeprof.model.diagnosis import Recommendation
from pipeprof.model.profile import Change, TrialRecord, TrialState
from pipeprof.rules.engine import judge
from tests.support.builders import Scene, function, stage

SLOW = Scene(stages=(stage("range"), stage("map", 0.03, function=function("Mul"))))


def with_trial(state: TrialState, high: float | None) -> Recommendation:
    analysis = SLOW.analysis()
    findings = judge(analysis, select=["PP201"]).findings
    (untried,) = recommend(analysis, findings)
    record = TrialRecord(
        id=untried.id, pipeline_id="p0", stage_id=untried.stage_id or "", change=Change(kind=untried.change.kind),
        state=state, speedup=1.2, low=0.74, high=high,
    )  # fmt: skip
    tried = replace(analysis, profile=replace(analysis.profile, trials=(record,)))
    (found,) = recommend(tried, findings)
    return found


@pytest.mark.parametrize(
    ("state", "high", "expected"),
    [
        (TrialState.NO_DIFFERENCE, 3.84, True),
        (TrialState.NO_DIFFERENCE, None, True),
        (TrialState.NO_DIFFERENCE, 1.05, False),
        (TrialState.CONFIRMED, 3.84, False),
        (TrialState.WORSE, 0.9, False),
    ],
)
def test_a_trial_is_undecided_where_it_ended_with_a_gain_neither_shown_nor_ruled_out(
    state: TrialState, high: float | None, expected: bool
) -> None:
    assert with_trial(state, high).trial.undecided is expected
