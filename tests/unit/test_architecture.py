"""The shape of the package: one rule one file with its page and its tests, small files, small functions, no drawers."""

from __future__ import annotations

import ast
import inspect
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

import pipeprof
from pipeprof.rules.base import SECTIONS, Parameters, Status
from pipeprof.rules.registry import all_rules

PACKAGE = Path(pipeprof.__file__).parent
TESTS = Path(__file__).parent
RULE_FILES = sorted((PACKAGE / "rules").glob("pp[0-9]*.py"))
MODULES = sorted(path for path in PACKAGE.rglob("*.py"))
LONGEST_FILE = 400
LONGEST_FUNCTION = 40
LONG_FILES = frozenset({"model/profile.py", "model/diagnosis.py"})  # a document's fields with their comments; nothing runs


def relative(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def line_count(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count the lines of a function's body, the docstring left out."""
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_no_file_is_longer_than_400_lines(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())

    assert lines <= LONGEST_FILE or relative(path) in LONG_FILES


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_no_function_is_longer_than_40_lines(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))

    assert [node.name for node in functions(tree) if line_count(node) > LONGEST_FUNCTION] == []


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_every_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_there_is_no_drawer_module(path: Path) -> None:
    assert path.stem not in {"utils", "util", "helpers", "common", "misc", "manager"}


@pytest.mark.parametrize("path", sorted((PACKAGE / "rules").glob("*.py")), ids=relative)
def test_rules_touch_no_clock_no_disk_and_no_tensorflow(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {alias.name.partition(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {(node.module or "").partition(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}

    assert imported & {"tensorflow", "keras", "time", "os", "io", "random", "subprocess", "psutil"} == set()


def test_every_file_of_a_rule_is_in_the_registry_and_the_other_way_round() -> None:
    assert [Path(inspect.getfile(rule)) for rule in all_rules()] == RULE_FILES


def test_codes_and_names_are_unique_and_in_order() -> None:
    codes = [rule.code for rule in all_rules()]
    names = [rule.name for rule in all_rules()]

    assert codes == sorted(set(codes))
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("rule", all_rules(), ids=lambda rule: rule.code)
def test_a_rule_is_one_class_in_a_file_named_by_its_code_and_name(rule: type) -> None:
    path = Path(inspect.getfile(rule))
    defined = [
        name
        for name, item in vars(inspect.getmodule(rule)).items()
        if isinstance(item, type) and item.__module__ == rule.__module__
    ]

    assert re.fullmatch(r"PP\d{3}", rule.code)
    assert path.stem == f"{rule.code.lower()}_{rule.name.replace('-', '_')}"
    assert [name for name in defined if hasattr(getattr(inspect.getmodule(rule), name), "check")] == [rule.__name__]
    assert rule.status in Status


@pytest.mark.parametrize("rule", all_rules(), ids=lambda rule: rule.code)
def test_a_rule_is_documented_in_the_fixed_sections_and_each_says_something(rule: type) -> None:
    page = inspect.cleandoc(rule.__doc__)
    parts = re.split(rf"^({'|'.join(re.escape(name) for name in SECTIONS)}):$", page, flags=re.MULTILINE)

    assert tuple(parts[1::2]) == SECTIONS
    assert all(text.strip() for text in parts[2::2])


@pytest.mark.parametrize("rule", all_rules(), ids=lambda rule: rule.code)
def test_a_rules_parameters_state_unit_range_and_meaning(rule: type) -> None:
    assert is_dataclass(rule.parameters)
    assert issubclass(rule.parameters, Parameters)
    for item in fields(rule.parameters):
        assert item.metadata["unit"]
        assert item.metadata["doc"]
        assert item.metadata["low"] <= item.default <= item.metadata["high"]


@pytest.mark.parametrize("rule", all_rules(), ids=lambda rule: rule.code)
def test_a_rule_has_tests_that_let_it_fire_and_keep_it_silent(rule: type) -> None:
    path = TESTS / "rules" / f"test_{Path(inspect.getfile(rule)).name}"
    names = [node.name for node in functions(ast.parse(path.read_text(encoding="utf-8"))) if node.name.startswith("test_")]

    assert len(names) >= 4
    assert f'"{rule.code}"' in path.read_text(encoding="utf-8")
    assert any(
        word in name
        for name in names
        for word in ("silent", "passes", "no_finding", "not_missed", "nothing_is_said", "not_healthy")
    )


def test_no_two_test_files_have_one_name() -> None:
    names = Counter(path.name for path in TESTS.parent.rglob("test_*.py"))  # pytest imports them by name, run together

    assert [name for name, count in names.items() if count > 1] == []
