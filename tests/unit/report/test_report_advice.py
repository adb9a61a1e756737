"""What is said of a change beside its trial."""

from __future__ import annotations

import pytest

from pipeprof.model.diagnosis import Prediction, Recommendation, Safety, Trial
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


def foretold(predicted: Prediction | None = None, **facts: object) -> AdviceText:
    item = Recommendation(
        id="r1", findings=("PP401",), change=Change(kind="cache"), title="Cache it", safety=Safety.USES_MEMORY,
        predicted=predicted, **facts,  # type: ignore[arg-type]
    )  # fmt: skip
    return advice_text(item, Sites(healthy()), {})


@pytest.mark.parametrize(
    ("earned", "high", "said"),
    [
        (None, None, ""),
        (1.0, 1.0, "; pays from the 2nd epoch"),
        (1.3, 1.9, "; pays from the 2nd epoch"),
        (1.3, 2.5, "; pays from the 2nd epoch, at the latest from the 3rd"),
        (21.2, 110.5, "; pays from the 22nd epoch, at the latest from the 111th"),
        (3.0, None, "; pays from the 3rd epoch, if at all"),
    ],
)
def test_a_cost_that_comes_first_is_told_with_the_prediction(earned: float | None, high: float | None, said: str) -> None:
    text = foretold(Prediction(speedup=2.0, low=1.5, high=2.5, break_even_epochs=earned, break_even_high=high))

    assert text.predicted == f"2.00× (1.50–2.50×){said}"


def test_what_was_not_measured_stands_beside_the_prediction() -> None:
    text = foretold(Prediction(speedup=1.3, low=1.0, high=1.8, basis="the step was not measured"))

    assert text.predicted.endswith("; the step was not measured")


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({}, ""),
        ({"memory_bytes": 5_000_000}, "needs 5.0 MB of memory"),
        ({"memory_most_bytes": 5_000_000}, "takes at most 5.0 MB of memory"),
        ({"memory_bytes": 0, "memory_most_bytes": 5_000_000}, "takes at most 5.0 MB of memory"),
        ({"memory_bytes": 4_000_000, "memory_most_bytes": 5_000_000}, "needs 4.0 MB of memory"),
        ({"memory_bytes": 1_000_000, "memory_most_bytes": 5_000_000}, "needs 1.0 MB of memory, at most 5.0 MB"),
        (
            {"memory_bytes": 0, "memory_most_bytes": 2_000_000, "memory_saved_bytes": 3_000_000},
            "AUTOTUNE's buffers take at most 2.0 MB then, 3.0 MB less than they held",
        ),
        (
            {"memory_bytes": 0, "memory_most_bytes": 2_000_000, "memory_saved_bytes": 0},
            "AUTOTUNE's buffers take at most 2.0 MB then, and did not hold more",
        ),
    ],
)
def test_memory_is_told_as_sure_bounded_or_given_back(facts: dict[str, int], said: str) -> None:
    assert foretold(**facts).costs == said
