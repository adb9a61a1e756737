"""Command ``explain``: prints a rule's own page. It must not judge anything."""

from __future__ import annotations

import argparse
import sys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the argument of ``pipeprof explain``."""
    parser.add_argument("code", metavar="CODE", help="a rule's code, as PP201")


def run(arguments: argparse.Namespace) -> int:
    """Print what a rule looks for, why it matters and what to do."""
    from pipeprof.rules.plugins import known_rules
    from pipeprof.rules.registry import explain_text

    sys.stdout.write(explain_text(arguments.code, known_rules()).rstrip("\n") + "\n")
    return 0
