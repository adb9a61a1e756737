"""Command ``bench``: measures a pipeline alone, without training, and each of its stages by itself.

The report goes to standard output, like that of ``analyze``: it is what was asked for. What the user's module prints goes to a
log in the run's directory. It must import TensorFlow neither for its help nor to refuse bad arguments.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from pathlib import Path

from pipeprof.choice import Choice
from pipeprof.cli import choosing
from pipeprof.cli.reporting import short_path, write_html
from pipeprof.cli.run import check_target
from pipeprof.errors import UserError
from pipeprof.store import DEFAULT_ROOT, DIAGNOSIS_FILE, RunDirectory

_MISTAKE = 2
_INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``pipeprof bench``."""
    parser.add_argument(
        "target", metavar="TARGET", help="module:function or path/to/file.py:function; it returns a tf.data.Dataset"
    )
    parser.add_argument(
        "--arg", metavar="NAME=VALUE", action="append", default=[], help="an argument of the function, as JSON or plain text"
    )
    parser.add_argument("--seconds", metavar="S", type=_seconds, default=10.0, help="how long to measure (default: 10)")
    parser.add_argument(
        "--step-ms", metavar="X", type=_step_ms, help="put a consumer behind it that takes X ms a step (default: full speed)"
    )
    parser.add_argument(
        "--deadline", metavar="S", type=_seconds, default=60.0, help="give up where one element takes longer (default: 60)"
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
    """Measure the pipeline, keep it as a run and print its report."""
    to_stdout = str(arguments.json) == "-"
    check_target(None if to_stdout else arguments.json)
    from pipeprof.launch.target import Target

    target, values = Target.parse(arguments.target), parse_values(arguments.arg)
    choice = choosing.choice_of(arguments)

    from pipeprof.bench import BenchOrder, run_bench
    from pipeprof.settings import Settings

    order = BenchOrder(
        target=target,
        arguments=values,
        seconds=arguments.seconds,
        step_s=(arguments.step_ms or 0.0) / 1000,
        deadline_s=arguments.deadline,
        command=("pipeprof", *sys.argv[1:]),
    )
    done = run_bench(order, Settings(output_root=arguments.output))
    _report(RunDirectory(done.path), arguments, choice, to_stdout=to_stdout)
    status = _INTERRUPTED if done.interrupted else 0
    if done.mistake is not None:
        status = _MISTAKE
        print(f"pipeprof: {done.mistake.what} \N{EM DASH} {done.mistake.hint}", file=sys.stderr)
    if done.left_behind:  # a thread hangs inside TensorFlow: ending in the usual way would wait for it, or crash
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return status


def _report(directory: RunDirectory, arguments: argparse.Namespace, choice: Choice, *, to_stdout: bool) -> None:
    from pipeprof.diagnose import diagnose
    from pipeprof.report.machine import to_json
    from pipeprof.report.terminal import print_report

    diagnosis = diagnose(directory.load(), choice)
    document = to_json(diagnosis)
    directory.write_document(DIAGNOSIS_FILE, document)
    if arguments.html:
        write_html(directory, diagnosis)
    if to_stdout:
        sys.stdout.buffer.write(document.rstrip(b"\n") + b"\n")
        return
    if arguments.json is not None:
        try:
            arguments.json.write_bytes(document)
        except OSError as error:
            raise UserError(f"cannot write {arguments.json}: {error.strerror}", "choose another place with --json") from None
    print_report(diagnosis, sys.stdout, short_path(directory.path, Path.cwd()))


def parse_values(given: list[str]) -> dict[str, object]:
    """Return the function's arguments by name; what is no JSON is text.

    Raises:
        UserError: one has no name.
    """
    values: dict[str, object] = {}
    for text in given:
        name, separator, value = text.partition("=")
        if not separator or not name.isidentifier():
            raise UserError(f"--arg {text}: not an argument", "write it as --arg name=value")
        try:
            values[name] = json.loads(value)
        except json.JSONDecodeError:
            values[name] = value
    return values


def _seconds(text: str) -> float:
    return _number(text, 0.1, 86_400.0, "is no number of seconds", "give seconds, as 10")


def _step_ms(text: str) -> float:
    return _number(text, 1e-3, 1e7, "is no duration of a step", "give milliseconds above 0, as 12.5")


def _number(text: str, low: float, high: float, what: str, hint: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise UserError(f"{text} {what}", hint)
    return value
