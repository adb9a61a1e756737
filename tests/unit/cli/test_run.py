"""The words of ``pipeprof run`` are split where the script begins."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from pipeprof.cli import run
from pipeprof.cli.main import Parser
from pipeprof.errors import UserError
from pipeprof.model.diagnosis import Safety


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
    for option in ("--output", "--budget", "--json", "--sample-hz", "--allow"):
        value = "reorders" if option == "--allow" else "5"
        assert run.split([option, value, "s.py"]) == ([option, value], ["s.py"])
        assert parser.parse_args([option, value])
    for option in ("--quiet", "--no-trials", "--no-replay-python", "--no-html"):
        assert run.split([option, "s.py"]) == ([option], ["s.py"])
        assert parser.parse_args([option])


@pytest.mark.parametrize(
    ("text", "seconds"), [("60", 60.0), ("60s", 60.0), ("2m", 120.0), ("1.5min", 90.0), (" 5 ", 5.0), ("0", 0.0)]
)
def test_budgets_are_times(text: str, seconds: float) -> None:
    assert run.parse_budget(text) == seconds


@pytest.mark.parametrize("text", ["soon", "", "-1", "5h", "1e3", "m"])
def test_other_budgets_are_mistakes(text: str) -> None:
    with pytest.raises(UserError, match="not a time"):
        run.parse_budget(text)


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "1001", "fast"])
def test_rates_out_of_range_are_mistakes(text: str) -> None:
    with pytest.raises(UserError, match="not a rate"):
        run.parse_rate(text)


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
    ("text", "allowed"), [("reorders", (Safety.REORDERS,)), ("", ()), (" reorders,reorders ", (Safety.REORDERS,))]
)
def test_what_changes_may_do_is_said_in_words(text: str, allowed: tuple[Safety, ...]) -> None:
    assert run.parse_allowed(text) == allowed


@pytest.mark.parametrize("text", ["safe", "changes-data", "reorder", "reorders,all"])
def test_nothing_else_can_be_allowed(text: str) -> None:
    with pytest.raises(UserError, match="nothing that can be allowed"):
        run.parse_allowed(text)
