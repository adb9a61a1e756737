"""What is said of a change beside its trial."""

from __future__ import annotations

import pytest

from pipeprof.model.diagnosis import Recommendation, Safety, Trial
from pipeprof.model.profile import Change, ElementsState, TrialState
from pipeprof.report.advice import AdviceText, advice_text
from pipeprof.report.stages import Sites
from tests.support.diagnoses import healthy


def told(*, accepted: bool = False, **trial: object) -> AdviceText:
    planted = {"state": TrialState.CONFIRMED, "reason": "the input is faster", "speedup": 2.0}
    item = Recommendation(
        id="r1", findings=("PP401",), change=Change(kind="cache"), title="Cache it", safety=Safety.USES_MEMORY,
        trial=Trial(**(planted | trial)), accepted=accepted,  # type: ignore[arg-type]
    )  # fmt: skip
    return advice_text(item, Sites(healthy()), {})


def test_elements_that_were_compared_and_not_proven_are_not_said_to_be_uncompared() -> None:
    text = told(elements=ElementsState.UNCHECKED, elements_compared=50, epochs_compared=1, elements_note="values differ")

    assert text.elements == "elements not proven the same: 50 compared over 1 epoch; values differ"


@pytest.mark.parametrize("state", [ElementsState.UNCHECKED, ElementsState.REORDERED])
def test_a_faster_change_with_unproven_data_is_left_out_and_says_why(state: ElementsState) -> None:
    assert told(elements=state).standing == "left out of the patch: the data were not proven to stay the same"
    assert told(elements=ElementsState.IDENTICAL, accepted=True).standing == ""
