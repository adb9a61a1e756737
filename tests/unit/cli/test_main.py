"""The entry point is light, polite and quiet."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from pipeprof import __version__
from pipeprof.cli.main import COMMANDS, USER_MISTAKE, main

HEAVY = ("tensorflow", "numpy", "scipy", "rich", "jinja2", "msgspec", "psutil", "libcst")


def run_python(code: str, stdout: int = subprocess.PIPE) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    words = [sys.executable, "-c", code]
    return subprocess.run(words, stdout=stdout, stderr=subprocess.PIPE, env=environment, check=False, timeout=60)


@pytest.mark.parametrize("words", [["--help"], ["--version"], []])
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    code = f"import sys\nfrom pipeprof.cli.main import main\ntry:\n    main({words!r})\nexcept SystemExit:\n    pass\n"
    code += f"sys.exit(','.join({{name.partition('.')[0] for name in sys.modules}} & set({HEAVY!r})) or 0)"

    seen = run_python(code)

    assert seen.returncode == 0, seen.stderr


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])

    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert all(f"  {name} " in text and summary in text for name, summary in COMMANDS.items())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_a_module_with_its_own_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([name, "--help"])

    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: pipeprof {name}")
    assert callable(import_module(f"pipeprof.cli.{name}").run)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])

    assert capsys.readouterr().out == f"pipeprof {__version__}\n"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["rnu"], "pipeprof: no such command: rnu — did you mean: pipeprof run\n"),
        (["xyzzy"], "pipeprof: no such command: xyzzy — see pipeprof --help\n"),
        (["train.py"], "pipeprof: no such command: train.py — to run a script: pipeprof run train.py\n"),
        (["--verbos"], "pipeprof: unrecognized arguments: --verbos — see pipeprof --help\n"),
        (["rules", "PP2", "x"], "pipeprof: unrecognized arguments: x — see pipeprof rules --help\n"),
    ],
)
def test_mistakes_are_one_line_and_status_2(words: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == USER_MISTAKE
    assert capsys.readouterr() == ("", line)


def test_rules_are_listed_by_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules"]) == 0

    codes = [line.split()[0] for line in capsys.readouterr().out.splitlines()[:-1]]
    assert codes == sorted(codes)
    assert "PP201" in codes


def test_explain_prints_a_rules_page_and_misspelt_codes_get_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "PP201"]) == 0
    assert "PP201" in capsys.readouterr().out

    assert main(["explain", "PP20l"]) == USER_MISTAKE
    assert capsys.readouterr().err.startswith("pipeprof: no such rule: PP20l — did you mean PP20")


def test_report_without_a_run_says_how_to_make_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--output", str(tmp_path)]) == USER_MISTAKE
    assert capsys.readouterr().err.endswith("— make one with: pipeprof run train.py\n")


def test_reader_that_leaves_early_is_met_quietly() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    code = "import sys\nfrom pipeprof.cli.main import run_and_exit\nsys.argv[1:] = ['rules']\nrun_and_exit()"

    seen = run_python(code, stdout=writer)
    os.close(writer)

    assert (seen.returncode, seen.stderr) == (141, b"")
