"""The package's outside: pins agree with what is declared and promised, and the setup leaves a good environment alone."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from pipeprof import __version__
from pipeprof.advise.changes import KINDS
from pipeprof.rules.registry import all_rules

ROOT = Path(__file__).parents[2]
CONSTRAINTS = sorted((ROOT / "constraints").glob("*.txt"))
RUNTIME = [path for path in CONSTRAINTS if path.name.startswith("tensorflow-")]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
DEPENDENCIES = [Requirement(text) for text in PROJECT["project"]["dependencies"]]
APACHE_2 = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"


@pytest.fixture(scope="module")
def setup_venv():
    spec = importlib.util.spec_from_file_location("setup_venv", ROOT / "scripts" / "setup_venv.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def minor_of(path):
    return path.stem.removeprefix("tensorflow-")


def make(*arguments):
    command = ["make", "--no-print-directory", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)


@pytest.mark.parametrize("path", CONSTRAINTS, ids=lambda path: path.name)
def test_constraints_hold_names_and_versions_only(path):
    lines = path.read_text().splitlines()

    assert lines[0].startswith("# Pinned")
    assert [line for line in lines[1:] if not re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", line)] == []
    assert lines[1:] == sorted(lines[1:], key=lambda line: line.partition("=")[0])


@pytest.mark.parametrize("path", RUNTIME, ids=lambda path: path.name)
def test_every_dependency_is_pinned_within_its_declared_bounds(path, setup_venv):
    pins = setup_venv.read_pins(path)

    outside = [str(need) for need in DEPENDENCIES if not need.specifier.contains(pins.get(canonicalize_name(need.name), "0"))]

    assert outside == []
    assert pins["tensorflow"].startswith(minor_of(path) + ".")


def test_the_tools_of_the_development_group_are_pinned(setup_venv):
    tools = {canonicalize_name(Requirement(text).name) for text in PROJECT["dependency-groups"]["dev"]}
    build = {canonicalize_name(Requirement(text).name) for text in PROJECT["build-system"]["requires"]}

    assert tools | build <= setup_venv.read_pins(ROOT / "constraints" / "dev.txt").keys()


def test_no_package_is_pinned_to_two_versions(setup_venv):
    tools = setup_venv.read_pins(ROOT / "constraints" / "dev.txt")

    for path in RUNTIME:
        pins = setup_venv.read_pins(path)
        assert {name for name in pins.keys() & tools.keys() if pins[name] != tools[name]} == set(), path.name


def test_the_declared_bounds_of_tensorflow_are_the_pinned_versions():
    specifier = next(need.specifier for need in DEPENDENCIES if need.name == "tensorflow")
    minors = [int(minor_of(path).partition(".")[2]) for path in RUNTIME]

    assert minors == list(range(min(minors), max(minors) + 1))
    assert not specifier.contains(f"2.{min(minors) - 1}.9")
    assert specifier.contains(f"2.{min(minors)}.0")
    assert not specifier.contains(f"2.{max(minors) + 1}.0")


def test_the_readme_promises_the_pinned_versions_of_tensorflow():
    table = re.findall(r"^\| (2\.\d+) \|", (ROOT / "README.md").read_text(), re.MULTILINE)

    assert sorted(table) == [minor_of(path) for path in RUNTIME]


def test_the_readme_names_every_sample():
    named = set(re.findall(r"^\| \[(\w+)\]\(sample_pipelines/\1/train\.py\)", (ROOT / "README.md").read_text(), re.MULTILINE))

    assert named == {path.parent.name for path in (ROOT / "sample_pipelines").glob("*/train.py")}


def test_the_links_of_the_readme_lead_somewhere():
    targets = re.findall(r"\]\(([^)#:]+)\)", (ROOT / "README.md").read_text())

    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_the_changelog_tells_of_this_version_and_of_every_rule_and_change():
    text = (ROOT / "CHANGELOG.md").read_text()

    assert f"## [{__version__}]" in text
    assert [rule.code for rule in all_rules() if rule.code not in text] == []
    assert [kind for kind in KINDS if f"`{kind}`" not in text] == []


def test_the_licence_is_apache_2_to_the_letter():
    assert hashlib.sha256((ROOT / "LICENSE").read_bytes()).hexdigest() == APACHE_2
    assert PROJECT["project"]["license"] == "Apache-2.0"


def test_help_lists_every_target():
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split()

    shown = make("help").stdout

    assert [target for target in phony if not re.search(rf"^  {target} +\S", shown, re.MULTILINE)] == []


def test_an_unknown_version_of_tensorflow_is_answered_with_the_known_ones():
    refused = make("help", "TENSORFLOW=1.15")

    assert refused.returncode == 2
    assert " ".join(minor_of(path) for path in RUNTIME) in refused.stderr


def test_make_test_runs_each_tool():
    plan = make("--dry-run", "--always-make", "test").stdout

    assert all(tool in plan for tool in ("ruff check", "ruff format --check", "mypy", "lint-imports", "pytest"))


def test_continuous_integration_runs_make_test():
    script = ROOT / ".ci" / "run"

    assert os.access(script, os.X_OK)
    assert script.read_text().rstrip().endswith("make test")
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0


def test_a_missing_package_and_a_wrong_version_are_told_apart(setup_venv):
    installed = importlib.metadata.version("pytest")

    found = setup_venv.list_shortfalls(Path(sys.executable), {"pytest": "0.1", "rich": "1"}, {"pytest", "no-such-package"})

    assert "no-such-package is missing" in found
    assert f"pytest is {installed}, the pin is 0.1" in found


def test_an_environment_that_has_the_pins_is_never_given_to_pip(setup_venv, monkeypatch, tmp_path, capsys):
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.symlink_to(sys.executable)
    monkeypatch.setattr(setup_venv, "list_shortfalls", lambda *_: [])
    monkeypatch.setattr(setup_venv.subprocess, "Popen", lambda *_, **__: pytest.fail("pip was called"))

    setup_venv.set_up(tmp_path, RUNTIME[-1])

    assert capsys.readouterr().err == f"{tmp_path} has the pinned versions\n"


def test_an_old_python_is_refused_before_anything_is_made(setup_venv, monkeypatch, tmp_path):
    monkeypatch.setattr(setup_venv.sys, "version_info", (3, 10, 2))

    with pytest.raises(setup_venv.SetupError, match=r"Python 3\.11 or newer"):
        setup_venv.set_up(tmp_path / "venv", RUNTIME[-1])

    assert not (tmp_path / "venv").exists()


def test_pip_progress_tells_large_downloads_only(setup_venv):
    large = "  Downloading tensorflow-2.21.0-cp311-cp311-manylinux_2_27_x86_64.whl (572.4 MB)\n"
    small = "  Downloading six-1.17.0-py2.py3-none-any.whl (11 kB)\n"

    assert list(setup_venv._large_download(large)) == ["tensorflow (572.4 MB)"]
    assert list(setup_venv._large_download(small)) == []


def test_packages_are_compared_by_their_normalised_names(setup_venv):
    assert setup_venv.normalise("Ml_Dtypes") == setup_venv.normalise("ml-dtypes") == "ml-dtypes"
