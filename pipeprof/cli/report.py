"""Command ``report``: shows a run again, judged by the rules of today.

What is asked for goes to standard output. It must not run or try anything.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pipeprof.cli import choosing
from pipeprof.cli.reporting import short_path, write_html
from pipeprof.store import DEFAULT_ROOT, find_run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``pipeprof report``."""
    parser.add_argument("run_name", metavar="RUN", nargs="?", help="a run's directory or its name (default: the newest)")
    parser.add_argument(
        "--output", metavar="DIR", type=Path, default=DEFAULT_ROOT, help="where runs are kept (default: %(default)s/)"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print the diagnosis as JSON")
    form.add_argument("--html", action="store_true", help="write the HTML page again and print its path")
    form.add_argument(
        "--tensorboard",
        metavar="DIR",
        type=Path,
        help="write the run below a TensorBoard log directory, for XProf, and print where",
    )
    choosing.add_rule_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the report of one run."""
    from pipeprof.diagnose import diagnose

    directory = find_run(arguments.run_name, arguments.output)
    profile = directory.load()
    diagnosis = diagnose(profile, choosing.choice_of(arguments))
    if arguments.json:
        from pipeprof.report.machine import to_json

        sys.stdout.buffer.write(to_json(diagnosis).rstrip(b"\n") + b"\n")
    elif arguments.html:
        sys.stdout.write(f"{write_html(directory, diagnosis)}\n")
    elif arguments.tensorboard is not None:
        from pipeprof.interop.tensorboard import write_logdir

        sys.stdout.write(f"{write_logdir(profile, diagnosis, arguments.tensorboard)}\n")
    else:
        from pipeprof.report.terminal import print_report

        print_report(diagnosis, sys.stdout, short_path(directory.path.absolute(), Path.cwd()))
    return 0
