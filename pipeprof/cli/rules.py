"""Command ``rules``: lists the rules. It must not judge anything."""

from __future__ import annotations

import argparse
import inspect
import json
import sys
import textwrap
from dataclasses import fields
from typing import TYPE_CHECKING

from pipeprof.errors import UserError

if TYPE_CHECKING:
    from pipeprof.rules.registry import AnyRule


_COLUMNS = 80


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``pipeprof rules``."""
    parser.add_argument("wanted", metavar="WORD", nargs="?", default="", help="a code's beginning or a word: only these rules")
    parser.add_argument("--json", action="store_true", help="print them as JSON, with their parameters")


def run(arguments: argparse.Namespace) -> int:
    """Print one line per rule: its code, its name and the beginning of what it looks for."""
    from pipeprof.rules.plugins import known_rules

    rules = [rule for rule in known_rules() if _is_wanted(rule, arguments.wanted)]
    if not rules:
        raise UserError(f"no rule is about {arguments.wanted}", "list them all with: pipeprof rules")
    if arguments.json:
        sys.stdout.write(json.dumps([_described(rule) for rule in rules], indent=2) + "\n")
        return 0
    width = max(len(rule.name) for rule in rules)
    for rule in rules:
        about = textwrap.shorten(_looks_for(rule), max(20, _COLUMNS - width - 9), placeholder="\N{HORIZONTAL ELLIPSIS}")
        sys.stdout.write(f"{rule.code}  {rule.name:{width}}  {about}\n")
    sys.stdout.write("pipeprof explain CODE tells more.\n")
    return 0


def _is_wanted(rule: AnyRule, wanted: str) -> bool:
    text = wanted.strip().lower()
    return rule.code.lower().startswith(text) or text in rule.name or text in (rule.__doc__ or "").lower()


def _looks_for(rule: AnyRule) -> str:
    """Return what a rule looks for, on one line; its first line where its page has no such section."""
    text = inspect.cleandoc(rule.__doc__ or "").partition("What it looks for:\n")[2].partition("\n\n")[0]
    return " ".join(text.split()) or _summary(rule)


def _summary(rule: AnyRule) -> str:
    return (rule.__doc__ or "").strip().partition("\n")[0]


def _described(rule: AnyRule) -> dict[str, object]:
    return {
        "code": rule.code,
        "name": rule.name,
        "status": str(rule.status),
        "since": rule.since,
        "summary": _summary(rule),
        "remedy_safety": None if rule.remedy_safety is None else str(rule.remedy_safety),
        "needs": [str(need) for need in rule.needs],
        "parameters": [{"name": item.name, "default": item.default, **dict(item.metadata)} for item in fields(rule.parameters)],
    }
