"""Command ``bench`` is light until it measures, and refuses bad options in one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipeprof.cli.bench import parse_values
from pipeprof.cli.main import main
from pipeprof.errors import UserError

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("words", [["--help"], ["bench", "--help"]])
def test_help_imports_no_tensorflow(words):
    script = f"""
import sys
from pipeprof.cli.main import main
try:
    main({words!r})
except SystemExit:
    pass
print('tensorflow' in sys.modules, 'numpy' in sys.modules)
"""

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)

    assert done.stdout.splitlines()[-1] == "False False"
    assert "bench" in done.stdout


def test_values_are_json_or_text():
    assert parse_values(["n=3", "name=cat", "flag=true", "path=a=b", "items=[1, 2]", "nothing="]) == {
        "n": 3, "name": "cat", "flag": True, "path": "a=b", "items": [1, 2], "nothing": "",
    }  # fmt: skip


@pytest.mark.parametrize("text", ["n", "=3", "1n=2"])
def test_a_value_without_a_name_is_refused(text):
    with pytest.raises(UserError, match="not an argument"):
        parse_values([text])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["a:b", "--seconds", "0"], "0 is no number of seconds"),
        (["a:b", "--seconds", "nan"], "nan is no number of seconds"),
        (["a:b", "--step-ms", "-1"], "-1 is no duration of a step"),
        (["a:b", "--deadline", "soon"], "soon is no number of seconds"),
        ([], "required: TARGET"),
        (["a"], "a names no function"),
    ],
)
def test_bad_options_are_one_line_with_a_hint_and_status_2(words, told, capsys, tmp_path):
    status = main(["bench", *words, *(["--output", str(tmp_path)] if words else [])])

    said = capsys.readouterr()
    assert status == 2
    assert told in said.err
    assert "—" in said.err
    assert said.err.count("\n") == 1
    assert not said.out
    assert not list(tmp_path.iterdir())
