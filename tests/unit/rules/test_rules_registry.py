"""The registry: finding a rule by code or name, and its page."""

from __future__ import annotations

from dataclasses import fields

import pytest

from pipeprof.errors import UserError
from pipeprof.rules.base import SECTIONS
from pipeprof.rules.pp201_sequential_map import SequentialMap
from pipeprof.rules.registry import all_rules, explain_text, find_rule
from pipeprof.rules.room import RoomParameters


@pytest.mark.parametrize("given", ["PP201", "pp201", " PP201 ", "sequential-map"])
def test_a_rule_is_found_by_code_and_by_name(given: str) -> None:
    assert find_rule(given) is SequentialMap


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("PP211", "did you mean PP210 fine-interleave?"),
        ("cachable-prefix", "did you mean PP401 cacheable-prefix?"),
        ("nothing like it", "list them with: pipeprof rules"),
    ],
)
def test_a_misspelt_rule_is_the_users_mistake_with_the_nearest_as_hint(given: str, hint: str) -> None:
    with pytest.raises(UserError) as caught:
        find_rule(given)

    assert (caught.value.what, caught.value.hint) == (f"no such rule: {given}", hint)


@pytest.mark.parametrize("rule", all_rules(), ids=lambda rule: rule.code)
def test_a_page_has_all_sections_in_order_within_80_columns(rule: type) -> None:
    page = explain_text(rule.code)
    lines = page.splitlines()

    positions = [lines.index(f"{section}:") for section in SECTIONS]
    assert lines[0] == f"{rule.code} {rule.name} ({rule.status}, since {rule.since})"
    assert positions == sorted(positions)
    assert max(len(line) for line in lines) <= 80


@pytest.mark.parametrize("rule", [rule for rule in all_rules() if fields(rule.parameters)], ids=lambda rule: rule.code)
def test_a_page_lists_every_parameter_with_its_default(rule: type) -> None:
    lines = explain_text(rule.code).splitlines()

    start = lines.index("Parameters:")
    for item in fields(rule.parameters):
        assert any(line.startswith(f"    {item.name} = ") for line in lines[start:])


def test_a_parameter_is_shown_with_unit_range_and_meaning() -> None:
    assert "    min_share = 0.05 share of the step (0 to 1)\n        more calls at once must save this much" in explain_text(
        "PP201"
    )


def test_small_numbers_are_shown_without_an_exponent() -> None:
    assert "    dispatch_s = 0.000015 s (0.0000001 to 0.001)" in explain_text("PP601")


def test_the_page_of_an_unknown_rule_is_the_users_mistake() -> None:
    with pytest.raises(UserError, match="no such rule: PP999"):
        explain_text("PP999")


@pytest.mark.parametrize("value", [-0.01, 1.01])
def test_a_threshold_out_of_its_range_is_the_users_mistake(value: float) -> None:
    with pytest.raises(UserError) as caught:
        RoomParameters(min_share=value)

    assert (caught.value.what, caught.value.hint) == (f"min_share = {value} is out of range", "choose 0 to 1")
