"""docs/rules/counterparts.md: every condition of the guides, of XProf and of SageMaker has its rules, or a reason why not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeprof.rules.registry import all_rules

PAGE = Path(__file__).parents[3] / "docs" / "rules" / "counterparts.md"
GUIDES, XPROF, SAGEMAKER = "TensorFlow's guides", "XProf", "SageMaker Debugger"
CONDITIONS_OF_THE_GUIDES = 31
RULES_OF_SAGEMAKER = {
    "BatchSize",
    "CPUBottleneck",
    "Dataloader",
    "GPUMemoryIncrease",
    "IOBottleneck",
    "LoadBalancing",
    "LowGPUUtilization",
    "MaxInitializationTime",
    "OverallFrameworkMetrics",
    "OverallSystemUsage",
    "ProfilerReport",
    "StepOutlier",
}


def rows(section: str) -> list[list[str]]:
    """Return the cells of a section's table, without its head and the rows that name a guide."""
    (text,) = [part for part in PAGE.read_text().split("\n## ") if part.startswith(f"{section}\n")]
    lines = [line for line in text.splitlines() if line.startswith("|")][2:]
    return [cells for line in lines if not (cells := [cell.strip() for cell in line.strip("|").split("|")])[1].startswith("**")]


def test_all_conditions_of_the_guides_are_there() -> None:
    assert [row[0] for row in rows(GUIDES)] == [str(number) for number in range(1, CONDITIONS_OF_THE_GUIDES + 1)]


def test_all_rules_of_sagemaker_are_there() -> None:
    assert {row[0] for row in rows(SAGEMAKER)} == RULES_OF_SAGEMAKER


@pytest.mark.parametrize("section", [GUIDES, XPROF, SAGEMAKER])
def test_each_has_rules_that_exist_or_a_reason(section: str) -> None:
    known = {rule.code for rule in all_rules()}

    for name, _, codes, remark in rows(section):
        named = set(re.findall(r"PP\d{3}", codes))
        assert named <= known, f"{name}: no such rule: {sorted(named - known)}"
        assert named or (codes == "–" and remark), f"{name}: neither a rule nor a reason"
