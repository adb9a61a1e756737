"""A script that printed something else with a change disproves what its trial compared, where it is steady by itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeprof.advise.script_showed import as_script_showed
from pipeprof.model.profile import Change, ElementsState, RerunFacts, TrialRecord, TrialState

TRIAL = TrialRecord(
    id="cache-p0-s1", pipeline_id="p0", stage_id="s1", change=Change(kind="cache"), state=TrialState.CONFIRMED,
    elements=ElementsState.IDENTICAL,
)  # fmt: skip
OTHER = RerunFacts(changes=(TRIAL.id,), same_output=False, output_note="line 3: 'a', and 'b'", steady_output=True)


def again(facts: RerunFacts) -> TrialRecord:
    state = TrialState.CONFIRMED
    return TrialRecord(id="rerun-1", pipeline_id="p0", stage_id="", change=Change(kind="rerun"), state=state, rerun=facts)


def test_what_the_script_disproved_is_refused_with_what_it_printed() -> None:
    shown = as_script_showed(TRIAL, (TRIAL, again(OTHER)))

    assert (shown.state, shown.elements) == (TrialState.WORSE, ElementsState.DIFFERENT)
    assert shown.elements_note.endswith("and the same each time without it: line 3: 'a', and 'b'")


@pytest.mark.parametrize(
    "facts",
    [
        replace(OTHER, steady_output=False),
        replace(OTHER, same_output=True),
        replace(OTHER, same_output=None),
        replace(OTHER, changes=("parallel_calls-p0-s1",)),
    ],
)
def test_what_proves_nothing_leaves_the_trial_as_it_is(facts: RerunFacts) -> None:
    assert as_script_showed(TRIAL, (TRIAL, again(facts))) == TRIAL


def test_the_last_run_counts_and_rounding_may_show() -> None:
    assert as_script_showed(TRIAL, (TRIAL, again(OTHER), again(replace(OTHER, same_output=True)))) == TRIAL
    rounded = replace(TRIAL, elements=ElementsState.EQUAL_WITHIN_ROUNDING)
    assert as_script_showed(rounded, (rounded, again(OTHER))) == rounded
