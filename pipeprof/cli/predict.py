"""Command ``predict``: would the input of a run keep up on another machine, or before a faster step?

What is asked for goes to standard output. It must not run or try anything.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

from pipeprof.errors import UserError
from pipeprof.store import DEFAULT_ROOT, find_run

_MOST_CORES = 4096
_MOST_WORKERS = 10_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``pipeprof predict``."""
    parser.add_argument("run_name", metavar="RUN", nargs="?", help="a run's directory or its name (default: the newest)")
    parser.add_argument(
        "--output", metavar="DIR", type=Path, default=DEFAULT_ROOT, help="where runs are kept (default: %(default)s/)"
    )
    parser.add_argument("--cores", metavar="N", type=_cores, help="cores of the machine (default: as in the run)")
    parser.add_argument(
        "--step-ms", metavar="X", type=_step_ms, help="the step's own time without its input (default: as in the run)"
    )
    parser.add_argument("--workers", metavar="W", type=_workers, help="tf.data service workers, of N cores each, run the input")
    parser.add_argument("--json", metavar="PATH", type=Path, help="also write the prediction as JSON to PATH (- for stdout)")


def run(arguments: argparse.Namespace) -> int:
    """Print what would become of the run's loop."""
    from pipeprof.analysis import analyse
    from pipeprof.analysis.outlook import look_ahead
    from pipeprof.report.outlook import outlook_lines, to_json
    from pipeprof.report.terminal import print_lines

    directory = find_run(arguments.run_name, arguments.output)
    step_s = None if arguments.step_ms is None else arguments.step_ms / 1000
    outlook = look_ahead(analyse(directory.load()), cores=arguments.cores, step_s=step_s, workers=arguments.workers)
    if arguments.json is not None and str(arguments.json) == "-":
        sys.stdout.buffer.write(to_json(outlook))
        return 0
    if arguments.json is not None:
        _write(arguments.json, to_json(outlook))
    print_lines(lambda width: outlook_lines(outlook, width), sys.stdout)
    return 0


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}", "choose another place with --json PATH") from None


def _cores(text: str) -> int:
    return _whole(text, "--cores", _MOST_CORES)


def _workers(text: str) -> int:
    return _whole(text, "--workers", _MOST_WORKERS)


def _whole(text: str, option: str, most: int) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise UserError(f"{option} {text} is no number that can be predicted for", f"choose a whole number from 1 to {most:,}")
    return int(text)


def _step_ms(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise UserError(f"--step-ms {text} is no duration of a step", "give milliseconds above 0, as 12.5")
    return value
