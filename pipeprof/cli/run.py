"""Command ``run``: runs a script as python would, then reports on it, on standard error, after the script's last line.

Everything after the script's name is the script's own. The exit status is the script's, always: what goes wrong in
diagnosing or reporting becomes one line. It must print nothing while the script runs.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeprof.choice import Choice
from pipeprof.cli import amounts, choosing, reporting
from pipeprof.errors import UserError
from pipeprof.launch.handover import keep_problem
from pipeprof.launch.supervisor import check_command, supervise
from pipeprof.model.plan import ApplyPlan
from pipeprof.settings import Settings
from pipeprof.store import RunDirectory, find_run

_WITH_VALUE = frozenset({"--output", "--apply", "--budget", "--json", "--sample-hz", "--allow", "--rerun", "--scratch"})
_OPTIONS_WITH_VALUE = _WITH_VALUE | choosing.OPTIONS_WITH_VALUE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``pipeprof run``."""
    defaults = Settings()
    parser.usage = "pipeprof run [options] script.py [arguments]\n       pipeprof run [options] -m module [arguments]"
    parser.add_argument(
        "--output", metavar="DIR", type=Path, default=defaults.output_root, help="where runs are kept (default: %(default)s/)"
    )
    parser.add_argument("--quiet", action="store_true", help="print nothing; the files are written all the same")
    _add_trial_arguments(parser, defaults)
    parser.add_argument(
        "--json", metavar="PATH", type=Path, default=None, help="also write the diagnosis as JSON to PATH (- for stdout)"
    )
    parser.add_argument("--no-html", action="store_true", help="write no HTML page")
    parser.add_argument(
        "--sample-hz",
        metavar="HZ",
        type=amounts.parse_rate,
        default=defaults.sample_hz,
        help="how often TensorFlow's counters are read (default: %(default)g)",
    )
    choosing.add_rule_arguments(parser)


def _add_trial_arguments(parser: argparse.ArgumentParser, defaults: Settings) -> None:
    parser.add_argument(
        "--apply",
        metavar="RUN",
        help="apply the confirmed changes of an earlier run of the script, its source untouched; nothing is tried",
    )
    parser.add_argument("--no-trials", action="store_true", help="do not try the changes after the script")
    parser.add_argument("--no-replay-python", action="store_true", help="do not run Python functions and generators in trials")
    parser.add_argument(
        "--allow",
        metavar="KIND",
        type=amounts.parse_allowed,
        default=defaults.allow,
        help="also try, or apply, changes that do this to the data: reorders (tried ones are shown, not put into the patch)",
    )
    parser.add_argument(
        "--budget",
        metavar="TIME",
        type=amounts.parse_budget,
        default=defaults.budget_s,
        help="for all trials, as 90, 90s or 2m (default: 60s)",
    )
    parser.add_argument(
        "--rerun",
        metavar="N",
        type=amounts.parse_pairs,
        default=0,
        help="then run the script again, N times without and N times with what was confirmed, and compare the whole of it",
    )
    choosing.add_place_arguments(parser)


def split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split the words into pipeprof's options and the script's command line, which begins at the script or at ``-m``."""
    position = 0
    while position < len(words):
        word = words[position]
        if word == "--":
            return list(words[:position]), list(words[position + 1 :])
        if word.startswith("-m"):
            attached = [word[2:]] if word != "-m" else []
            return list(words[:position]), ["-m", *attached, *words[position + 1 :]]
        if not word.startswith("-") or word == "-":
            return list(words[:position]), list(words[position:])
        position += 2 if word in _OPTIONS_WITH_VALUE else 1
    return list(words), []


def run(arguments: argparse.Namespace) -> int:
    """Run the script and report; return the script's status."""
    choice = choosing.choice_of(arguments)
    settings = Settings(
        output_root=arguments.output,
        quiet=arguments.quiet,
        try_changes=not arguments.no_trials and arguments.apply is None,
        replay_python=not arguments.no_replay_python,
        allow=arguments.allow,
        budget_s=arguments.budget,
        sample_hz=arguments.sample_hz,
        html=not arguments.no_html,
        json_path=None if arguments.json is None or str(arguments.json) == "-" else arguments.json.absolute(),
        choice=choice,
        plan=None if arguments.apply is None else _plan(arguments, choice),
    )
    check_target(settings.json_path)
    check_rerun(arguments)
    directory = Path.cwd()
    run_directory, end = supervise(arguments.command, settings)
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C leaves the report, not the status
        reporting.after_run(run_directory, end, settings, directory, json_to_stdout=str(arguments.json) == "-")
        if arguments.rerun:
            _run_again(arguments, run_directory, end.exit_status, choice)
    return end.exit_status


def check_rerun(arguments: argparse.Namespace) -> None:
    """Refuse, before the script runs, what a re-run cannot go with.

    Raises:
        UserError: nothing would be confirmed that it could show.
    """
    if not arguments.rerun:
        if arguments.yes or arguments.scratch is not None:
            raise UserError(f"{'--yes' if arguments.yes else '--scratch'} says where a re-run may be", "give --rerun N with it")
        return
    for given, name in ((arguments.no_trials, "--no-trials"), (arguments.apply is not None, "--apply")):
        if given:
            raise UserError(f"--rerun needs trials, and {name} forbids them", f"leave {name} out")


def _run_again(arguments: argparse.Namespace, run_directory: RunDirectory, status: int, choice: Choice) -> None:
    """Run the script both ways; why that cannot be done becomes one line, since the status is the script's."""
    reason = "" if status == 0 else f"the script failed (exit status {status})"
    try:
        if not reason:
            _confirm(arguments, run_directory, choice)
    except UserError as error:
        reason = str(error)
    except Exception as error:  # noqa: BLE001 - the script's status comes first
        keep_problem(run_directory)
        reason = f"{type(error).__name__}: {error}"
    if reason and not arguments.quiet:
        sys.stderr.write(f"pipeprof: not run again: {reason}\n")


def _confirm(arguments: argparse.Namespace, run_directory: RunDirectory, choice: Choice) -> None:
    from pipeprof.cli import confirm as confirming

    wanted = confirming.Wanted(
        pairs=arguments.rerun,
        budget_s=confirming.BUDGET_S,
        is_agreed=arguments.yes,
        scratch=arguments.scratch,
        allow=arguments.allow,
    )
    if not arguments.quiet:
        confirming.confirm(run_directory, wanted, choice, sys.stderr)
        return
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stderr(nowhere):
        confirming.confirm(run_directory, wanted, choice, nowhere)


def _plan(arguments: argparse.Namespace, choice: Choice) -> ApplyPlan:
    """Return what ``--apply`` names; the rules are loaded for it alone.

    Raises:
        UserError: it has nothing to apply here.
    """
    check_command(arguments.command)
    from pipeprof.planning import plan_changes

    profile = find_run(arguments.apply, arguments.output).load()
    return plan_changes(profile, arguments.command, choice, allow=arguments.allow)


def check_target(path: Path | None) -> None:
    """Refuse, before the script runs, a file that could not be written after it.

    Raises:
        UserError: its directory does not exist or may not be written to, or the path is a directory.
    """
    if path is None:
        return
    if path.is_dir():
        raise UserError(f"--json {path}: is a directory", "name a file in it")
    if not path.parent.is_dir():
        raise UserError(f"--json {path}: there is no directory {path.parent}", "make it first, or name another file")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise UserError(f"--json {path}: may not be written", "name another file")
