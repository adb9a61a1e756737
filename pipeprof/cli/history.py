"""Command ``history``: the runs that were kept, and how good their predictions were.

The runs on disk are the ledger, with each prediction as it was made before its trial. It must not run or try anything, nor
write.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pipeprof.errors import UserError
from pipeprof.model.history import ConfirmedChange, History, RunRow, Unreadable
from pipeprof.model.profile import TrialState
from pipeprof.store import DEFAULT_ROOT, RunDirectory, all_runs

if TYPE_CHECKING:
    from pipeprof.model.history import Scored
    from pipeprof.model.profile import Profile

T = TypeVar("T")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``pipeprof history``."""
    parser.add_argument(
        "--output", metavar="DIR", type=Path, default=DEFAULT_ROOT, help="where runs are kept (default: %(default)s/)"
    )
    parser.add_argument("--calibration", action="store_true", help="show how good the predictions were, by the runs' trials")
    parser.add_argument("--json", action="store_true", help="print it as JSON")


def run(arguments: argparse.Namespace) -> int:
    """List the runs, or how good their predictions were."""
    from pipeprof.analysis.calibration import calibrate
    from pipeprof.report.history import calibration_lines, history_lines
    from pipeprof.report.machine import encoded
    from pipeprof.report.terminal import print_lines

    directories = all_runs(arguments.output)
    if arguments.calibration:
        scored, unreadable = _read(directories, _scored)
        calibration = calibrate(scored, unreadable)
        is_empty = not scored
        document, make = encoded(calibration), lambda width: calibration_lines(calibration, width)
    else:
        rows, unreadable = _read(directories, _row)
        history = History(runs=tuple(rows), unreadable=tuple(unreadable))
        is_empty = not rows
        document, make = encoded(history), lambda width: history_lines(history, width)
    if is_empty:
        raise _nothing_there(arguments.output, len(unreadable))
    if arguments.json:
        sys.stdout.buffer.write(document)
    else:
        print_lines(make, sys.stdout)
    return 0


def _read(directories: Sequence[RunDirectory], judge: Callable[[str, Profile], T]) -> tuple[list[T], list[Unreadable]]:
    """Judge every run; one that cannot be read or judged is kept apart, with the reason."""
    found: list[T] = []
    unreadable: list[Unreadable] = []
    for directory in directories:
        try:
            found.append(judge(directory.id, directory.load()))
        except UserError as error:
            unreadable.append(Unreadable(id=directory.id, reason=error.what))
        except Exception as error:  # noqa: BLE001 - a damaged run must not hide the others
            unreadable.append(Unreadable(id=directory.id, reason=f"{type(error).__name__}: {error}"))
    return found, unreadable


def _nothing_there(root: Path, unreadable: int) -> UserError:
    if not unreadable:
        return UserError(f"no run in {root}/", "make one with: pipeprof run train.py")
    which = "the only run" if unreadable == 1 else f"none of the {unreadable} runs"
    return UserError(f"{which} in {root}/ can{'not' if unreadable == 1 else ''} be read", "pipeprof report RUN says why")


def _scored(run_id: str, profile: Profile) -> Scored:
    from pipeprof.analysis import analyse
    from pipeprof.analysis.calibration import score_trials

    return score_trials(run_id, analyse(profile))


def _row(run_id: str, profile: Profile) -> RunRow:
    from pipeprof.diagnose import diagnose

    diagnosis = diagnose(profile, with_patches=False)
    return RunRow(
        id=run_id,
        started_at=profile.run.started_at,
        command=profile.run.command,
        ended=profile.run.ended,
        exit_status=profile.run.exit_status,
        input_bound=diagnosis.verdict.input_bound,
        limit=diagnosis.verdict.limit,
        wait_share=diagnosis.steps.wait_share,
        wait_share_low=diagnosis.steps.wait_share_low,
        wait_share_high=diagnosis.steps.wait_share_high,
        confirmed=tuple(
            ConfirmedChange(
                id=record.id,
                kind=record.change.kind,
                speedup=record.speedup,
                low=record.low,
                high=record.high,
                elements=record.elements,
                on_top_of=record.on_top_of,
            )
            for record in profile.trials
            if record.state is TrialState.CONFIRMED
        ),
    )
