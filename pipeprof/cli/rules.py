"""Command ``rules``: lists the rules. It must not judge anything."""

from __future__ import annotations

import argparse
import sys


def add_arguments(_parser: argparse.ArgumentParser) -> None:
    """Take no arguments."""


def run(_arguments: argparse.Namespace) -> int:
    """Print one line per rule: its code, its name and what it is about."""
    from pipeprof.rules.registry import all_rules

    rules = sorted(all_rules(), key=lambda rule: rule.code)
    width = max((len(rule.name) for rule in rules), default=0)
    for rule in rules:
        summary = (rule.__doc__ or "").strip().partition("\n")[0]
        sys.stdout.write(f"{rule.code}  {rule.name:{width}}  {summary}\n")
    sys.stdout.write("pipeprof explain CODE tells more.\n")
    return 0
