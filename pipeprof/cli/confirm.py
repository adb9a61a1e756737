"""Command ``confirm``: runs the script of a run again, with its confirmed changes and without, and says what that gave.

A trial replays the input alone; only the script itself shows whether training gets faster. Before anything runs, everything
that forbids it is said. The user's source is never touched.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from pipeprof.choice import Choice
from pipeprof.cli import amounts, choosing
from pipeprof.cli.reporting import write_html
from pipeprof.errors import UserError
from pipeprof.model.diagnosis import Safety
from pipeprof.model.profile import TRACED, PipelineRecord, Profile, RunInfo, TrialRecord
from pipeprof.report.text import one_line
from pipeprof.rerun import Rerun, RerunOrder
from pipeprof.store import DEFAULT_ROOT, DIAGNOSIS_FILE, HTML_FILE, RunDirectory, find_run

_PAIRS = 2
BUDGET_S = 60.0
_LEAST_STEPS = 5
_PATIENCE, _START_S = 5.0, 120.0  # a process is killed after so many times the expected time, and the start
_SHOWN_FILES = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``pipeprof confirm``."""
    parser.add_argument("run_name", metavar="RUN", nargs="?", help="a run's directory or its name (default: the newest)")
    parser.add_argument(
        "--rerun",
        metavar="N",
        type=amounts.parse_pairs,
        default=_PAIRS,
        help="pairs of processes to run (default: %(default)s)",
    )
    parser.add_argument(
        "--ceiling",
        action="store_true",
        help="put one batch, always ready, in the place of the input: what the fastest input could give, in the script itself; "
        "what is trained and saved then is of no use",
    )
    parser.add_argument(
        "--budget",
        metavar="TIME",
        type=amounts.parse_budget,
        default=BUDGET_S,
        help="for the steps of one process, as 90, 90s or 2m (default: 60s): where the run took longer, each is ended earlier",
    )
    parser.add_argument(
        "--allow",
        metavar="KIND",
        type=amounts.parse_allowed,
        default=(),
        help="also make changes that do this to the data, confirmed ones and those that only the script can confirm: reorders",
    )
    choosing.add_place_arguments(parser)
    parser.add_argument(
        "--output", metavar="DIR", type=Path, default=DEFAULT_ROOT, help="where runs are kept (default: %(default)s/)"
    )
    choosing.add_rule_arguments(parser)


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What is asked of a re-run."""

    pairs: int
    budget_s: float  # for the steps of one process
    is_agreed: bool  # to run it though it writes files, where it is or outside of its copy, or prints other words each time
    scratch: str | None
    is_of_ceiling: bool = False  # instead of the confirmed changes
    allow: tuple[Safety, ...] = ()  # what else changes may do to the data


def run(arguments: argparse.Namespace) -> int:
    """Run the pairs and print what they showed.

    Raises:
        UserError: the script cannot be run again, or would overwrite files.
    """
    choice = choosing.choice_of(arguments)
    directory = find_run(arguments.run_name, arguments.output)
    wanted = Wanted(
        pairs=arguments.rerun,
        budget_s=arguments.budget,
        is_agreed=arguments.yes,
        scratch=arguments.scratch,
        is_of_ceiling=arguments.ceiling,
        allow=arguments.allow,
    )
    return confirm(directory, wanted, choice, sys.stdout)


def confirm(found: RunDirectory, wanted: Wanted, choice: Choice, output: TextIO) -> int:
    """Run the script of a run again, both ways, and write what that showed to ``output``.

    Raises:
        UserError: it cannot be run again, or would overwrite files.
    """
    directory = RunDirectory(found.path.absolute())
    profile = directory.load()
    _check_script(profile)

    from pipeprof.analysis.reruns import new_rerun
    from pipeprof.planning import plan_ceiling, plan_changes

    base = Path(profile.run.working_directory)
    plan = (
        plan_ceiling(profile)
        if wanted.is_of_ceiling
        else plan_changes(profile, profile.run.command, choice, base, wanted.allow, untimed=True)
    )
    train = _train(profile)
    steps = _steps_within(train, wanted.budget_s)
    inside = _written(profile.run, directory.path.parent, must_know=not wanted.is_agreed and wanted.scratch is None)
    if not wanted.is_agreed:
        _refuse_written(profile.run, inside, in_copy=wanted.scratch is not None)
    elif profile.run.wrote_outside:
        _say(f"the script wrote {_outside(profile.run)} outside of {base}, and will again, as --yes allows")
    with _scratch(wanted.scratch, base) as scratch:
        order = RerunOrder(
            command=profile.run.command,
            directory=base,
            plan=plan,
            pairs=wanted.pairs,
            steps=steps,
            deadline_s=_PATIENCE * min(profile.run.wall_s, wanted.budget_s) + _START_S if steps else _deadline(profile),
            scratch=scratch,
            ignored=directory.path.parent,
            left_files=_some(inside) if inside else "",
            accepts_words=wanted.is_agreed,
        )
        number = 1 + sum(item.rerun is not None for item in profile.trials)
        while (directory.path / f"rerun-{number}").exists():  # of one that was interrupted
            number += 1
        changes = [] if wanted.is_of_ceiling else [item.id for item in plan.changes]
        record = new_rerun(number, train.id, changes, whole=not steps, ceiling=wanted.is_of_ceiling)
        return _run_pairs(order, record, directory, choice, output)


def _run_pairs(order: RerunOrder, record: TrialRecord, directory: RunDirectory, choice: Choice, output: TextIO) -> int:
    from pipeprof.diagnose import diagnose
    from pipeprof.report.machine import to_json
    from pipeprof.report.reruns import rerun_text

    length = f"{order.steps:,} steps each" if order.steps else "each to its end"
    for text in order.plan.left:
        _say(text)
    _say(f"running {' '.join(order.command)} {2 * order.pairs} times, {length}; Ctrl-C ends it and keeps what was measured")
    rerun, status = Rerun(order, record, directory, _say), 0
    try:
        rerun.run_all()
    except KeyboardInterrupt:
        status = -signal.SIGINT
    diagnosis = diagnose(directory.load(), choice)
    directory.write_document(DIAGNOSIS_FILE, to_json(diagnosis))
    if (directory.path / HTML_FILE).exists():
        write_html(directory, diagnosis)
    found = next((item for item in diagnosis.reruns if item.id == rerun.record.id), None)
    if found is None:
        _say("no pair was finished; nothing is kept")
        return status
    output.writelines(f"with: {change.phrase}\n" for change in order.plan.changes)
    output.write(f"{rerun_text(found)}\n")
    taken = [item for item in diagnosis.recommendations if item.id in found.changes and item.safety is Safety.CHANGES_DATA]
    output.writelines(f"taken back: {item.title}: {item.trial.elements_note}\n" for item in taken)
    return status


def _check_script(profile: Profile) -> None:
    run = profile.run
    if run.ended == TRACED or run.bench_step_s is not None or not run.command:
        raise UserError(f"{run.id} is not the run of a script", "name a run that pipeprof run made")
    base = Path(run.working_directory)
    if not run.working_directory or not base.is_dir():
        raise UserError(f"the working directory of {run.id} is gone: {base}", "run the script again with pipeprof run")
    if run.command[0] != "-m" and not (base / run.command[0]).exists():
        raise UserError(f"{base / run.command[0]} is gone since {run.id}", "run the script again with pipeprof run")


def _train(profile: Profile) -> PipelineRecord:
    from pipeprof.analysis import analyse

    train = analyse(profile).train
    if train is None or not train.record.loop.steps_in_bins:
        raise UserError(f"no training loop was seen in {profile.run.id}", "pipeprof report shows what was")
    return train.record


def _steps_within(train: PipelineRecord, budget_s: float) -> int:
    """Return after how many steps a process is ended, 0 where the whole run fits into the budget."""
    loop = train.loop
    steady_s = loop.wall_s - (loop.first_step_s or 0.0)
    if steady_s <= budget_s:
        return 0
    if loop.method == "gaps":
        what = f"training takes {steady_s:.0f} s inside TensorFlow, where it cannot be ended earlier"
        raise UserError(what, f"give it that time: --budget {steady_s * 1.2:.0f}s")
    return max(_LEAST_STEPS, int(budget_s / (steady_s / loop.steps_in_bins))) + 1


def _deadline(profile: Profile) -> float:
    return _PATIENCE * profile.run.wall_s + _START_S


def _written(run: RunInfo, ignored: Path, *, must_know: bool) -> list[str]:
    """Return the files that the script wrote into its directory, none where they are too many to look at.

    Raises:
        UserError: they are, and must be known.
    """
    from pipeprof.rerun_place import written_files

    try:
        return [str(path) for path in written_files(run, ignored)]
    except UserError:
        if must_know:
            raise
        return []


def _refuse_written(run: RunInfo, written: Sequence[str], *, in_copy: bool) -> None:
    """Refuse what the script would write again, where nobody agreed to it: a copy takes only what it writes into itself.

    Raises:
        UserError: it wrote files, and where.
    """
    inside = [] if in_copy else written
    if inside and run.wrote_outside:
        raise UserError(
            f"the script wrote {_some(inside)} in {run.working_directory} and {_outside(run)} outside of it, and would again",
            "--scratch auto --yes runs it in a copy, which protects only the former, --yes runs it where it is",
        )
    if inside:
        raise UserError(
            f"the script wrote {_some(inside)} in {run.working_directory}, and would again",
            "--scratch auto runs it in a copy, --yes runs it where it is",
        )
    if run.wrote_outside:
        raise UserError(
            f"the script wrote {_outside(run)} outside of {run.working_directory}, and would again",
            f"a copy does not protect that: {'--yes beside --scratch' if in_copy else '--yes'} runs it all the same",
        )


def _outside(run: RunInfo) -> str:
    return _some(run.wrote_outside, is_all=not run.wrote_more)


def _some(paths: Sequence[str], *, is_all: bool = True) -> str:
    more = len(paths) - _SHOWN_FILES
    counted = f" and {'' if is_all else 'at least '}{more} more" if more > 0 else ""
    return f"{', '.join(one_line(path) for path in paths[:_SHOWN_FILES])}{counted}"


@contextlib.contextmanager
def _scratch(given: str | None, base: Path) -> Iterator[Path | None]:
    """Make a directory of our own for the copies, and take it away again."""
    if given is None:
        yield None
        return
    root = Path(tempfile.gettempdir() if given == "auto" else given).resolve()
    if root.is_relative_to(base.resolve()):
        raise UserError(f"--scratch {given}: lies in the directory that is to be copied", "name another place")
    try:
        root.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix="pipeprof-rerun-", dir=root))
    except OSError as error:
        raise UserError(f"--scratch {given}: {error.strerror}", "name another place") from None
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _say(line: str) -> None:
    sys.stderr.write(f"pipeprof: {line}\n")
    sys.stderr.flush()
