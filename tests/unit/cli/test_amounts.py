"""Amounts and choices as they are typed, and how others are refused."""

from __future__ import annotations

import pytest

from pipeprof.cli import amounts
from pipeprof.errors import UserError
from pipeprof.model.diagnosis import Safety


@pytest.mark.parametrize(
    ("text", "seconds"), [("60", 60.0), ("60s", 60.0), ("2m", 120.0), ("1.5min", 90.0), (" 5 ", 5.0), ("0", 0.0)]
)
def test_budgets_are_times(text: str, seconds: float) -> None:
    assert amounts.parse_budget(text) == seconds


@pytest.mark.parametrize("text", ["soon", "", "-1", "5h", "1e3", "m"])
def test_other_budgets_are_mistakes(text: str) -> None:
    with pytest.raises(UserError, match="not a time"):
        amounts.parse_budget(text)


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "1001", "fast"])
def test_rates_out_of_range_are_mistakes(text: str) -> None:
    with pytest.raises(UserError, match="not a rate"):
        amounts.parse_rate(text)


@pytest.mark.parametrize(
    ("text", "allowed"), [("reorders", (Safety.REORDERS,)), ("", ()), (" reorders,reorders ", (Safety.REORDERS,))]
)
def test_what_changes_may_do_is_said_in_words(text: str, allowed: tuple[Safety, ...]) -> None:
    assert amounts.parse_allowed(text) == allowed


@pytest.mark.parametrize("text", ["safe", "changes-data", "reorder", "reorders,all"])
def test_nothing_else_can_be_allowed(text: str) -> None:
    with pytest.raises(UserError, match="nothing that can be allowed"):
        amounts.parse_allowed(text)


@pytest.mark.parametrize("text", ["0", "51", "-1", "two", "1.5", ""])
def test_other_numbers_of_pairs_are_mistakes(text: str) -> None:
    assert amounts.parse_pairs("3") == 3
    with pytest.raises(UserError, match="not a number of pairs"):
        amounts.parse_pairs(text)
