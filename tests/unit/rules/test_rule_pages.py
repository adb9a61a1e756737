"""The pages of the rules are made from the rules, and the list of rules can be searched and read by programs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipeprof.cli.main import main
from pipeprof.rules.registry import all_rules

ROOT = Path(__file__).parents[3]


def test_the_pages_are_fresh() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "rule_pages.py"), "--check"], capture_output=True, text=True, check=False
    )

    assert done.stdout == "", "run python scripts/rule_pages.py"


def test_every_rule_has_a_page_with_each_of_its_sections() -> None:
    for rule in all_rules():
        text = (ROOT / "docs" / "rules" / f"{rule.code}.md").read_text()

        assert text.startswith(f"# {rule.code} {rule.name}\n")
        assert text.count("\n## ") >= 7


@pytest.mark.parametrize(
    ("word", "codes"), [("PP40", ["PP401", "PP402", "PP403", "PP404", "PP405", "PP406", "PP407"]), ("under-gil", ["PP501"])]
)
def test_the_list_can_be_searched(word: str, codes: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", word]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:-1]] == codes


def test_the_list_can_be_read_by_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "PP201", "--json"]) == 0

    (rule,) = json.loads(capsys.readouterr().out)
    assert (rule["code"], rule["name"]) == ("PP201", "sequential-map")
    assert {"name": "min_share", "default": 0.05, "low": 0, "high": 1}.items() <= rule["parameters"][0].items()


def test_a_word_that_no_rule_knows_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "zebra"]) == 2

    assert capsys.readouterr().err == "pipeprof: no rule is about zebra \N{EM DASH} list them all with: pipeprof rules\n"
