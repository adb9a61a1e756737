"""Command ``analyze``: diagnoses a profile that TensorFlow's profiler wrote, with or without step markers.

The report goes to standard output, like that of ``report``: it is what was asked for. Nothing is run and nothing is tried.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from pipeprof.cli import choosing
from pipeprof.cli.reporting import short_path, write_html
from pipeprof.errors import UserError
from pipeprof.store import DEFAULT_ROOT, DIAGNOSIS_FILE, RunDirectory


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``pipeprof analyze``."""
    parser.add_argument(
        "logdir", metavar="LOGDIR", type=Path, help="a TensorBoard log directory, a profile's folder, or an .xplane.pb file"
    )
    parser.add_argument(
        "--output", metavar="DIR", type=Path, default=DEFAULT_ROOT, help="where runs are kept (default: %(default)s/)"
    )
    parser.add_argument(
        "--json", metavar="PATH", type=Path, default=None, help="also write the diagnosis as JSON to PATH (- for stdout)"
    )
    parser.add_argument("--html", action="store_true", help="also write the HTML page")
    choosing.add_rule_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Read the profile, keep it as a run, and print its report."""
    from pipeprof.diagnose import diagnose
    from pipeprof.interop.logdir import find_profile
    from pipeprof.interop.trace_profile import profile_of
    from pipeprof.report.machine import to_json
    from pipeprof.report.terminal import print_report

    choice = choosing.choice_of(arguments)
    found = find_profile(arguments.logdir)
    profile = profile_of(found, command=("pipeprof", "analyze", str(arguments.logdir)))
    directory = RunDirectory.create(arguments.output, arguments.logdir.absolute().name.partition(".")[0])
    directory.write_profile(replace(profile, run=replace(profile.run, id=directory.id)))
    diagnosis = diagnose(directory.load(), choice)
    document = to_json(diagnosis)
    directory.write_document(DIAGNOSIS_FILE, document)
    if arguments.html:
        write_html(directory, diagnosis)
    if str(arguments.json) == "-":
        sys.stdout.buffer.write(document.rstrip(b"\n") + b"\n")
        return 0
    if arguments.json is not None:
        _write(arguments.json, document)
    print_report(diagnosis, sys.stdout, short_path(directory.path, Path.cwd()))
    return 0


def _write(path: Path, document: bytes) -> None:
    try:
        path.write_bytes(document)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}", "choose another place with --json PATH") from None
