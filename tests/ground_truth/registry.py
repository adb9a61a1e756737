"""The cases: each a function that draws, builds its pipeline and returns its loop, with what is expected of pipeprof.

The one idea: the planted line carries ``# PLANTED op`` in the source, so that what is expected cannot drift from what is
built; a case with several such lines is answered by any of them, and says why in its docstring. The verdict's class is not
written down: it follows from what the script measures. Nothing here runs a case.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

from tests.ground_truth.clock import Clock
from tests.ground_truth.draws import Draw

Loop = Callable[[Clock], object]
Build = Callable[[Draw], Loop]

_MARK = re.compile(r"# PLANTED (\w+)$")


class Kind(StrEnum):
    """What a case is there for."""

    PLANTED = "planted"
    HEALTHY = "healthy"
    CONFOUNDER = "confounder"


@dataclass(frozen=True, slots=True)
class Planted:
    """One exact call."""

    file: str
    line: int
    op: str


@dataclass(frozen=True, kw_only=True)
class Case:
    """One pipeline and its loop."""

    name: str
    kind: Kind
    build: Build
    verdict: str = ""  # where it does not follow from the measured truth: a run that decides nothing
    status: int = 0
    role: str = "train"  # of the pipeline in which the stage is planted
    fires: tuple[str, ...] = ()  # codes of rules that must report the marked call (or the run, where no call is marked)
    trials: bool = False  # the rules are judged with changes tried: their evidence is a replay
    alone: bool = False  # the rules are judged by `pipeprof bench`: their evidence is the pipeline alone
    silent: tuple[str, ...] = ()  # codes of rules whose problem is cured here, beside a case in which they must report it
    may: tuple[str, ...] = ()  # codes of rules whose problem is there as well, by its nature or on some machines

    @property
    def planted(self) -> tuple[Planted, ...]:
        """The calls of which any is the right answer."""
        lines, first = inspect.getsourcelines(self.build)
        found = ((first + index, _MARK.search(line.rstrip())) for index, line in enumerate(lines))
        file = Path(inspect.getfile(self.build)).name
        return tuple(Planted(file, number, mark.group(1)) for number, mark in found if mark)


STAND_IN = {
    "PP003": "a CPU quota and a memory limit are set from outside the container",
    "PP107": "a GPU",
    "PP108": "a GPU",
    "PP704": "storage that is slower than one reader, and a page cache that can be emptied",
    "PP708": "remote storage",
    "PP709": "storage that is slower than one reader, and a page cache that can be emptied",
    "PP802": "a GPU",
    "PP805": "a GPU",
    "PP806": "a GPU",
    "PP807": "several GPUs",
}
"""Codes of rules whose evidence no pipeline has on this kind of machine, and what that would take: they stay preview."""

_CASES: dict[str, Case] = {}
_RULES_ONLY = "tests.ground_truth.rules_"  # modules whose cases prove rules, and are not in the table of accuracy


def case(kind: Kind, **expected: Any) -> Callable[[Build], Build]:
    """Register the function as a case."""

    def register(build: Build) -> Build:
        if build.__name__ in _CASES:
            raise ValueError(f"two cases are called {build.__name__}")
        _CASES[build.__name__] = Case(name=build.__name__, kind=kind, build=build, **expected)
        return build

    return register


@cache
def every_case() -> dict[str, Case]:
    """Return every case by its name, those that prove rules included."""
    from tests.ground_truth import confounders, healthy, planted_chains, planted_datasets, planted_files, planted_several
    from tests.ground_truth import planted_ways  # isort: skip
    from tests.ground_truth import rules_files, rules_memory, rules_order, rules_parallel, rules_randomness  # isort: skip
    from tests.ground_truth import rules_timing  # isort: skip

    modules = (planted_ways, planted_chains, planted_datasets, planted_files, planted_several, healthy, confounders)
    of_rules = (rules_timing, rules_parallel, rules_memory, rules_order, rules_files, rules_randomness)
    assert all(module.__name__ for module in (*modules, *of_rules))
    return dict(sorted(_CASES.items(), key=lambda item: list(Kind).index(item[1].kind)))


@cache
def all_cases() -> dict[str, Case]:
    """Return the cases of the table of accuracy by their names."""
    return {name: case for name, case in every_case().items() if not case.build.__module__.startswith(_RULES_ONLY)}


@cache
def rule_cases() -> dict[str, Case]:
    """Return the cases that only prove rules, by their names: a problem, and the same pipeline cured."""
    return {name: case for name, case in every_case().items() if name not in all_cases()}
