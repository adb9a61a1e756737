"""What the user chose: from the file, from the command line, and refused in one line where it cannot be."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from pipeprof.choice import Choice, read_choice
from pipeprof.cli.choosing import add_rule_arguments, choice_of
from pipeprof.cli.main import main
from pipeprof.cli.run import split
from pipeprof.errors import UserError


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a directory with an empty pyproject.toml above the current one."""
    folder = tmp_path / "project" / "deep"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    return tmp_path / "project" / "pyproject.toml"


def chosen(*words: str) -> Choice:
    parser = argparse.ArgumentParser()
    add_rule_arguments(parser)
    return choice_of(parser.parse_args(words))


def test_without_a_file_and_options_everything_is_as_it_is(project: Path) -> None:
    assert chosen() == Choice()


def test_the_nearest_file_with_the_table_is_read(project: Path) -> None:
    project.write_text('[tool.pipeprof]\nselect = ["PP2"]\nignore = ["PP202"]\n[tool.pipeprof.rules.PP201]\nmin_share = 0.1\n')
    (project.parent / "deep" / "pyproject.toml").write_text("[tool.other]\nx = 1\n")

    assert chosen() == Choice(select=("PP2",), ignore=("PP202",), thresholds={"PP201": {"min_share": 0.1}})


def test_a_table_within_a_table_is_read_and_a_broken_file_that_only_names_pipeprof_is_none_of_ours(project: Path) -> None:
    project.write_text('[tool]\npipeprof = {select = ["PP2"]}\n')
    nearer = project.parent / "deep" / "pyproject.toml"
    nearer.write_text('[project\ndependencies = ["pipeprof"]\n')

    assert chosen() == Choice(select=("PP2",))


def test_the_command_line_adds_to_ignore_and_replaces_the_rest(project: Path) -> None:
    project.write_text('[tool.pipeprof]\nselect = ["PP2"]\nignore = ["PP202"]\n[tool.pipeprof.rules.PP201]\nmin_share = 0.1\n')

    assert chosen("--select", "PP4,PP501", "--ignore", "PP402", "--set", "pp201.min_share=0.2") == Choice(
        select=("PP4", "PP501"), ignore=("PP202", "PP402"), thresholds={"PP201": {"min_share": 0.2}}
    )


@pytest.mark.parametrize(
    ("text", "what", "hint"),
    [
        ('[tool.pipeprof]\nselekt = ["PP2"]\n', "has no key selekt", "did you mean select?"),
        ('[tool.pipeprof]\nselect = "PP2"\n', "select is no list of rules", 'write select = ["PP201"]'),
        ('[tool.pipeprof]\nignore = ["PP299"]\n', "no such rule: PP299", "PP2"),
        ("[tool.pipeprof.rules.PP201]\nmin_shore = 0.1\n", "PP201 has no parameter min_shore", "did you mean min_share?"),
        ("[tool.pipeprof.rules.PP001]\nmin_steps = 3.7\n", "min_steps = 3.7 is no whole number", "choose 3 or 4"),
        ("[tool.pipeprof.rules.PP201]\nmin_share = 7\n", "min_share = 7.0 is out of range", "choose 0 to 1"),
        ('[tool.pipeprof.rules.PP201]\nmin_share = "much"\n', "PP201.min_share is no number", "pipeprof explain PP201"),
        ("[tool.pipeprof.rules.QQQQQ]\nmin_share = 0.1\n", "no rule with the code QQQQQ", "pipeprof rules"),
        ("[tool.pipeprof\n", "cannot be read", "mend it"),
        ('[tool]\npipeprof = "on"  # not [tool.pipeprof]\n', "tool.pipeprof is no table", "write [tool.pipeprof]"),
    ],
)
def test_what_no_rule_knows_is_refused_with_the_nearest_that_would_do(project: Path, text: str, what: str, hint: str) -> None:
    project.write_text(text)

    with pytest.raises(UserError) as caught:
        chosen()

    assert what in caught.value.what
    assert hint in caught.value.hint


@pytest.mark.parametrize("text", ["PP201", "PP201.min_share", "PP201.min_share=much"])
def test_a_threshold_on_the_command_line_needs_a_number(project: Path, text: str) -> None:
    with pytest.raises(UserError) as caught:
        chosen("--set", text)

    assert caught.value.what == f"--set {text}: not a threshold"


def test_the_options_of_run_do_not_swallow_the_scripts_words() -> None:
    words = ["--select", "PP2", "--set", "PP201.min_share=0.1", "train.py", "--select", "mine"]

    assert split(words) == (words[:4], words[4:])


def test_a_mistake_ends_before_the_script_runs(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = project.parent / "train.py"
    script.write_text("print('it ran')\n")

    assert main(["run", "--ignore", "PP299", str(script)]) == 2

    seen = capsys.readouterr()
    assert seen.out == ""
    assert seen.err.startswith("pipeprof: no such rule: PP299")
    assert len(seen.err.splitlines()) == 1


def test_a_choice_is_read_the_same_twice(project: Path) -> None:
    project.write_text("[tool.pipeprof.rules.PP201]\nmin_share = 0.1\n")

    assert read_choice(Path.cwd()) == read_choice(Path.cwd())


def test_a_broken_file_that_says_nothing_of_pipeprof_keeps_nobody_from_running(project: Path) -> None:
    project.write_text("[tool.other\n")

    assert chosen() == Choice()
