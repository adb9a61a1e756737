"""Each rule has the tests that it owes: it fires, its cured twin is silent, its threshold is sharp, its evidence is asked for.

Read from the sources, so that a rule without one of them fails here by its code. What the tests say is theirs.
"""

from __future__ import annotations

import ast
from dataclasses import fields
from pathlib import Path

import pytest

from pipeprof.rules.base import Status
from pipeprof.rules.registry import AnyRule, all_rules
from tests.ground_truth.registry import STAND_IN

TESTS = Path(__file__).parents[2]
OWED = {
    "fires": ("fires",),
    "the cured twin is silent": ("cured_twin",),
    "just over and just under its threshold": ("just_over", "just_under"),
    "not applicable without its evidence": ("does_not_apply",),
}
PRECISION = TESTS.parent / "docs" / "rules" / "precision.md"
COLUMNS = 9
NO_CURE = {"PP001", "PP004", "PP101", "PP102"}  # they state what is so: each is the other's twin, or every whole run is
RULES = [pytest.param(rule, id=rule.code) for rule in all_rules()]


def names_of_tests(rule: AnyRule) -> list[str]:
    """Return the names of the test functions in the rule's own file."""
    files = list(Path(__file__).parent.glob(f"test_{rule.code.lower()}_*.py"))
    trees = [ast.parse(path.read_text()) for path in files]
    return [node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


def codes_of_cases(keyword: str) -> set[str]:
    """Return the codes that cases of the ground truth name after a keyword."""
    found: set[str] = set()
    for path in (TESTS / "ground_truth").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                given = [item.value for item in node.keywords if item.arg == keyword]
                found |= {item.value for value in given for item in ast.walk(value) if isinstance(item, ast.Constant)}
    return found


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_has_a_test_for_each_thing_that_it_owes(rule: AnyRule) -> None:
    names = names_of_tests(rule)

    for what, words in OWED.items():
        if what == "just over and just under its threshold" and not fields(rule.parameters):
            continue
        if what == "not applicable without its evidence" and not rule.needs:
            continue
        for word in words:
            assert any(word in name for name in names), f"{rule.code}: no test says that it is so: {what} ({word})"


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_has_a_pipeline_in_which_it_must_fire_and_one_in_which_it_must_not(rule: AnyRule) -> None:
    if rule.code in STAND_IN:
        assert rule.status is Status.PREVIEW, f"{rule.code} has stand-in evidence only, and so stays preview"
        return
    assert rule.code in codes_of_cases("fires"), f"{rule.code}: no case of the ground truth must make it fire"
    assert rule.code in NO_CURE or rule.code in codes_of_cases("silent"), (
        f"{rule.code}: no case of the ground truth is its cure"
    )


def test_a_stable_rule_found_all_its_problems_and_nothing_else_when_it_was_last_measured() -> None:
    cells = [line.strip("|").split("|") for line in PRECISION.read_text().splitlines() if line.startswith("| PP")]
    measured = {row[0].strip(): tuple(map(str.strip, row[7:9])) for row in cells if len(row) == COLUMNS}

    stable = [rule.code for rule in all_rules() if rule.status is Status.STABLE]
    assert stable
    assert {code: measured[code] for code in stable if measured[code] != ("100%", "100%")} == {}


def test_what_cases_name_are_codes_of_rules() -> None:
    codes = {rule.code for rule in all_rules()}

    assert codes_of_cases("fires") <= codes
    assert codes_of_cases("silent") <= codes
