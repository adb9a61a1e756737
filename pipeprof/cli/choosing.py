"""Options that commands share: which rules judge, by which thresholds, and where a script may run again.

The rules are imported only where something was chosen: the script of ``run`` is not to wait for them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeprof.choice import Choice, read_choice

OPTIONS_WITH_VALUE = frozenset({"--select", "--ignore", "--set"})


def add_rule_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--select``, ``--ignore`` and ``--set``."""
    group = parser.add_argument_group("rules", "as in [tool.pipeprof] of the nearest pyproject.toml")
    group.add_argument("--select", metavar="CODES", type=_codes, default=(), help="judge by these rules alone, as PP2,PP401")
    group.add_argument("--ignore", metavar="CODES", type=_codes, default=(), help="leave these rules out")
    group.add_argument(
        "--set", metavar="RULE.NAME=VALUE", action="append", default=[], help="set a threshold, as PP201.min_share=0.1"
    )


def add_place_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say where a script may run again."""
    parser.add_argument(
        "--yes",
        action="store_true",
        help="run it though it writes files into its working directory or, with --scratch, outside of the copy, "
        "and compare its times though it prints other words each time",
    )
    parser.add_argument(
        "--scratch",
        metavar="DIR",
        help="run it in copies of its working directory, made in DIR or where temporary files are (auto), and deleted after",
    )


def choice_of(arguments: argparse.Namespace) -> Choice:
    """Return what was asked for, checked.

    Raises:
        UserError: a rule or a parameter is unknown, or a value out of range.
    """
    choice = read_choice(Path.cwd(), arguments.select, arguments.ignore, arguments.set)
    if choice != Choice():
        from pipeprof.rules.chosen import check_choice

        check_choice(choice)
    return choice


def _codes(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())
