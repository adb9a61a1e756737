"""Rules of other packages: the worked example of the documentation, and packages that are broken."""

from __future__ import annotations

import re
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from pipeprof.advise.judging import judge_as_chosen
from pipeprof.choice import Choice
from pipeprof.cli.main import main
from pipeprof.rules.plugins import GROUP, find_plugins
from tests.support.builders import Scene, stage

PAGE = (Path(__file__).parents[3] / "docs" / "third-party-rules.md").read_text()
BATCHED = Scene(stages=(stage("map", 0.02), stage("batch", arguments={"batch_size": 8}, line=7, code="ds.batch(8)")))


@pytest.fixture
def house_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install the package of the documentation."""
    module, project = re.findall(r"```(?:python|toml)\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "house_rules.py").write_text(module)
    points = re.search(r"^small-batch = .*$", project, re.MULTILINE)
    assert points is not None
    info = tmp_path / "house_rules-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: house-rules\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n{points[0].replace(chr(34), '')}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield info
    sys.modules.pop("house_rules", None)


@pytest.mark.usefixtures("house_rules")
def test_the_example_of_the_documentation_judges_with_its_threshold() -> None:
    made = judge_as_chosen(BATCHED.analysis(), Choice())
    lower = judge_as_chosen(BATCHED.analysis(), Choice(thresholds={"HOUSE1": {"least": 8.0}}))

    assert [item.message for item in made.findings if item.code == "HOUSE1"] == [
        "train.py:7 .batch(8) makes batches of 8; 32 were agreed on."
    ]
    assert [item.outcome for item in lower.outcomes if item.code == "HOUSE1"] == ["passed"]


@pytest.mark.usefixtures("house_rules")
def test_it_is_listed_and_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "HOUSE"]) == 0
    assert main(["explain", "HOUSE1"]) == 0

    text = capsys.readouterr().out
    assert text.startswith("HOUSE1  small-batch  A batch() in the training")
    assert "fewer elements than agreed" in text


def test_a_package_that_is_broken_costs_its_own_rule_and_is_told(house_rules: Path) -> None:
    (house_rules / "entry_points.txt").write_text(f"[{GROUP}]\nsmall-batch = house_rules:Missing\n")

    made = judge_as_chosen(BATCHED.analysis(), Choice())

    (outcome,) = [item for item in made.outcomes if item.code == "small-batch"]
    assert (outcome.outcome, outcome.reason[:19]) == ("error", "it cannot be loaded")
    assert any(item.code == "PP101" for item in made.outcomes)


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("pathlib:Path", "it is no rule: derive it from pipeprof.rules.base.Rule, with a check method"),
        ("pipeprof.rules.base:Rule", "it is no rule: derive it from pipeprof.rules.base.Rule, with a check method"),
        ("pipeprof.rules.pp201_sequential_map:SequentialMap", "its code PP201 is taken"),
    ],
)
def test_what_is_no_rule_or_takes_a_known_code_is_refused(target: str, reason: str) -> None:
    found = find_plugins([EntryPoint(name="mine", value=target, group=GROUP)])

    assert found.rules == ()
    assert found.broken == (("mine", reason),)
