"""The cases themselves: each says what is expected, its planted line is there, and its seed decides all that it draws."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

pytest.importorskip("tensorflow")

from tests.ground_truth import costs, planted_files
from tests.ground_truth.draws import Draw
from tests.ground_truth.registry import Case, Kind, all_cases

pytestmark = [pytest.mark.tf, pytest.mark.slow]

CASES = all_cases()
OF_ANY_LINE = {"shuffle_filled_at_each_epoch", "cheap_scalar_maps", "data_service", "autotune_off"}  # their docstrings say why
OWN_PROCESS = {"distributed_dataset", "datasets_from_function"}  # logical devices are made once in a process, before all else
CALLED_AS = {"data_service": "distribute"}


def drawn(case: Case, seed: int, folder: Path) -> list[tuple[str, object]]:
    """Build the case and return what it drew."""
    folder.mkdir(exist_ok=True)
    draw = Draw(case.name, seed, folder)
    case.build(draw)
    return draw.log


@pytest.fixture
def _costs_of_no_machine(monkeypatch):
    monkeypatch.setattr(costs, "sort_s", lambda: 1e-5)
    monkeypatch.setattr(planted_files, "cost_of", lambda _call: 0.2)


def test_there_are_as_many_cases_of_each_kind_as_are_promised() -> None:
    kinds = [case.kind for case in CASES.values()]

    assert kinds.count(Kind.PLANTED) >= 40
    assert kinds.count(Kind.HEALTHY) >= 10
    assert kinds.count(Kind.CONFOUNDER) >= 10


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])
def test_a_planted_case_marks_one_line_that_makes_the_very_call_and_no_other_case_marks_any(case: Case) -> None:
    lines = Path(inspect.getfile(case.build)).read_text().splitlines()

    if case.kind is not Kind.PLANTED:
        assert not case.planted
    elif case.name in OF_ANY_LINE:
        assert len(case.planted) > 1
        assert case.build.__doc__
    else:
        assert len(case.planted) == 1
    for mark in case.planted:
        assert (
            CALLED_AS.get(case.name, mark.op) in lines[mark.line - 1].split("#")[0]
            or mark.op in lines[mark.line - 1].split("#")[0]
        )


@pytest.mark.usefixtures("_costs_of_no_machine")
@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items() if name not in OWN_PROCESS])
def test_the_seed_decides_all_that_a_case_draws(case: Case, tmp_path: Path) -> None:
    first, again = drawn(case, 1, tmp_path / "1"), drawn(case, 1, tmp_path / "2")
    other = drawn(case, 2, tmp_path / "3")

    assert first == again
    assert first != other
