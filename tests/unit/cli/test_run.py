"""The words of ``pipeprof run`` are split where the script begins."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from pipeprof.cli import run
from pipeprof.cli.main import Parser
from pipeprof.errors import UserError


@pytest.fixture
def parser() -> Parser:
    parser = Parser(prog="pipeprof run", allow_abbrev=False)
    run.add_arguments(parser)
    return parser


@pytest.mark.parametrize(
    ("typed", "options", "command"),
    [
        ("s.py", "", "s.py"),
        ("--quiet s.py --quiet --output x", "--quiet", "s.py --quiet --output x"),
        ("--output DIR --budget 2m s.py -m mod", "--output DIR --budget 2m", "s.py -m mod"),
        ("--output=DIR s.py", "--output=DIR", "s.py"),
        ("--json - -m pkg.train -- --lr 1", "--json -", "-m pkg.train -- --lr 1"),
        ("-mpkg --quiet", "", "-m pkg --quiet"),
        ("--no-html -- s.py -- x", "--no-html", "s.py -- x"),
        ("-- -m mod", "", "-m mod"),
        ("--quiet", "--quiet", ""),
        ("-", "", "-"),
    ],
)
def test_everything_after_the_script_is_the_scripts(typed: str, options: str, command: str) -> None:
    assert run.split(typed.split()) == (options.split(), command.split())


def test_options_with_a_value_are_the_ones_the_parser_knows(parser: Parser) -> None:
    for option in ("--output", "--budget", "--json", "--sample-hz", "--allow", "--rerun", "--scratch", "--apply"):
        value = "reorders" if option == "--allow" else "5"
        assert run.split([option, value, "s.py"]) == ([option, value], ["s.py"])
        assert parser.parse_args([option, value])
    for option in ("--quiet", "--no-trials", "--no-replay-python", "--no-html", "--yes"):
        assert run.split([option, "s.py"]) == ([option], ["s.py"])
        assert parser.parse_args([option])


def test_mistakes_of_the_parser_are_user_errors(parser: argparse.ArgumentParser) -> None:
    with pytest.raises(UserError, match="unrecognized arguments: --out") as caught:
        parser.parse_args(["--out", "x"])

    assert caught.value.hint == "see pipeprof run --help"


@pytest.mark.parametrize(("name", "told"), [("nowhere/d.json", "no directory"), (".", "is a directory")])
def test_a_json_file_that_cannot_be_written_is_refused_before_the_script_runs(name: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=told):
        run.check_target(tmp_path / name)


def test_a_json_file_in_a_directory_that_is_there_is_no_mistake(tmp_path: Path) -> None:
    run.check_target(None)
    run.check_target(tmp_path / "d.json")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--rerun 2 --no-trials", "--rerun needs trials, and --no-trials forbids them"),
        ("--rerun 2 --apply x", "--rerun needs trials, and --apply forbids them"),
        ("--yes", "--yes says where a re-run may be"),
        ("--scratch auto", "--scratch says where a re-run may be"),
    ],
)
def test_a_re_run_that_could_show_nothing_is_refused_before_the_script_runs(parser: Parser, words: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        run.check_rerun(parser.parse_args(words.split()))


@pytest.mark.parametrize("words", ["", "--rerun 2", "--rerun 2 --yes", "--rerun 2 --scratch auto"])
def test_other_re_runs_are_no_mistake(parser: Parser, words: str) -> None:
    run.check_rerun(parser.parse_args(words.split()))
