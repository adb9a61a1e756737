"""What a rule says of its remedy's safety: stated by every rule, and never less than what the change itself says."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

from pipeprof.advise.recommend import recommend
from pipeprof.cli.main import main
from pipeprof.model.diagnosis import Safety
from pipeprof.rules.engine import judge
from pipeprof.rules.registry import all_rules
from tests.support.builders import Scene

ORDER = (Safety.SAFE, Safety.USES_MEMORY, Safety.REORDERS, Safety.CHANGES_DATA)
FEWEST = 25  # rules that must be seen to lead to a change, else this compares too little
STATED = {rule.code: rule.remedy_safety for rule in all_rules()}


def scenes() -> list[Scene]:
    """Return the scenes by which the rules' own tests show them firing."""
    modules = [importlib.import_module(f"tests.unit.rules.{path.stem}") for path in Path(__file__).parent.glob("test_pp*.py")]
    return [value for module in modules for value in vars(module).values() if isinstance(value, Scene)]


def test_every_rule_states_its_own() -> None:
    assert [rule.code for rule in all_rules() if "remedy_safety" not in vars(rule)] == []
    assert Safety.MANUAL not in STATED.values(), "by hand is how, not what it can change"


def test_no_change_can_do_more_than_its_rule_says() -> None:
    seen = set()
    for scene in scenes():
        analysis = scene.analysis()
        for item in recommend(analysis, judge(analysis).findings):
            for code in item.findings:
                seen.add(code)
                stated = STATED[code]
                assert stated is not None, f"{code} leads to {item.change.kind}"
                if item.safety is not Safety.MANUAL:
                    assert ORDER.index(item.safety) <= ORDER.index(stated), f"{code} leads to {item.change.kind}: {item.safety}"

    assert len(seen) >= FEWEST


@pytest.mark.parametrize(("code", "said"), [("PP201", "changes-data"), ("PP205", "reorders"), ("PP101", None)])
def test_it_is_told_to_programs(code: str, said: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", code, "--json"]) == 0

    told = {rule["code"]: rule["remedy_safety"] for rule in json.loads(capsys.readouterr().out)}
    assert told[code] == said


def test_it_is_told_to_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "PP205"]) == 0

    assert capsys.readouterr().out.endswith("Safety: its remedy can at worst reorder the elements.\n")
