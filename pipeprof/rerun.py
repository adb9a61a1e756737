"""Runs a script again, in fresh processes, without changes (A) and with them (B), in the order A B B A.

Each process is observed like that of ``pipeprof run`` and ends itself after the same number of steps of training; what it
prints goes to files beside its profile. A process that fails is a result, not an error. What was measured is kept after every
pair. It must not decide what may be run.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from pipeprof import units
from pipeprof.analysis.reruns import (
    Measured,
    Pair,
    conclude_pairs,
    first_difference,
    last_loss,
    mean_of,
    measured,
    new_words,
    other_steps,
)
from pipeprof.errors import UserError
from pipeprof.launch.handover import Order, command_line
from pipeprof.launch.interpreter import interpreter_flags
from pipeprof.launch.outcome import signal_name
from pipeprof.model.plan import ApplyPlan
from pipeprof.model.profile import Profile, RerunFacts, TrialRecord, TrialState
from pipeprof.rerun_place import copy_directory, moved, moved_word
from pipeprof.settings import Settings
from pipeprof.store import RunDirectory, TrialEvent

OUTPUT_FILE, ERRORS_FILE = "stdout.log", "stderr.log"  # in a process's run directory
_TAIL_BYTES = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class RerunOrder:
    """What is to be run, and how often."""

    command: tuple[str, ...]
    directory: Path
    plan: ApplyPlan
    pairs: int
    steps: int  # after which a process ends itself; 0: it runs to its end
    deadline_s: float  # after which it is killed
    scratch: Path | None = None  # where copies of the directory are made; None: it is run where it is
    ignored: Path = Path()  # what is not copied
    left_files: str = ""  # that the first run wrote where it is run again
    accepts_words: bool = False  # that the unchanged script prints other words when it is run again


@dataclass(frozen=True, slots=True)
class _Failed:
    """A process that gave no measurement."""

    reason: str
    is_of_changes: bool = True  # and not that they could not be applied


@dataclass(frozen=True, slots=True)
class _Trial:
    measured: Measured
    run: RunDirectory


class Rerun:
    """One re-run, from its first process to its last."""

    def __init__(self, order: RerunOrder, record: TrialRecord, run: RunDirectory, say: Callable[[str], None]) -> None:
        """Prepare; nothing is run yet."""
        self.record = self._unmeasured = record
        self._order = order
        self._run = run
        self._say = say
        self._pairs: list[Pair] = []
        self._outputs: list[tuple[bool, Path]] = []  # whether with the changes
        self._began = time.monotonic()

    def run_all(self) -> TrialRecord:
        """Run every pair and return the record; what is known is in the run's directory after each.

        Raises:
            KeyboardInterrupt: the user ended it; finished pairs are kept.
            UserError: a copy of the directory could not be made, or the script fails or does something else by itself.
        """
        for index in range(self._order.pairs):
            found: dict[bool, Measured] = {}
            for place, with_changes in enumerate((False, True) if index % 2 == 0 else (True, False)):
                number = 2 * index + place + 1
                kind = "with" if with_changes else "without"
                self._say(f"re-run {number} of {2 * self._order.pairs}, {kind} the changes")
                trial = self._trial(number, with_changes)
                if isinstance(trial, _Failed):
                    self._refuse_unrepeatable(trial, number, with_changes)
                    return self._keep(self._failed(trial, with_changes))
                found[with_changes] = trial.measured
                self._outputs.append((with_changes, trial.run.path / OUTPUT_FILE))
            self._pairs.append(Pair(found[False], found[True]))
            self._refuse_another_script()
            self._keep(self._concluded())
        return self.record

    def _refuse_unrepeatable(self, trial: _Failed, number: int, with_changes: bool) -> None:
        """Refuse a script that fails by itself the first time that it is run again; nothing of it is kept.

        Raises:
            UserError: it does.
        """
        if number > 1 or with_changes:
            return
        shutil.rmtree(self._run.path / self.record.id, ignore_errors=True)
        left = f": {self._order.left_files}" if self._order.left_files else ""
        hint = f"run it by hand: what it needs is gone, or what it made is in its way{left}"
        raise UserError(f"the script cannot be run again as it was: {trial.reason}", hint)

    def _refuse_another_script(self) -> None:
        """Refuse a script of which two runs without the changes do not do the same; only that is kept of them.

        Raises:
            UserError: they do not.
        """
        why, hint = other_steps(self._pairs), "--scratch auto starts each run from the same files, if that is the reason"
        if self._order.scratch is not None:
            hint = "--budget ends all of them after as many steps, where they have that many"
        if not why and not self._order.accepts_words:
            why, hint = self._other_words(), "if that is of no matter, --yes compares its times all the same"
        if not why:
            return
        reason = f"the script does something else when it is run again as it was: {why}"
        self._keep(replace(self._unmeasured, reason=reason))
        raise UserError(reason, hint)

    def _other_words(self) -> str:
        """Return what one run without the changes printed and the first did not, or the other way round."""
        first, *others = self._printed(with_changes=False)
        for other in others:
            for one, two, which in ((first, other, "only the second time"), (other, first, "only the first time")):
                with one.open("rb") as output, two.open("rb") as compared:
                    line = new_words(output, compared)
                if line is not None:
                    return f"it printed {line} {which}"
        return ""

    def _keep(self, record: TrialRecord) -> TrialRecord:
        self.record = replace(record, wall_s=time.monotonic() - self._began)
        self._run.append_event(TrialEvent.now("result", trial=self.record))
        return self.record

    def _trial(self, number: int, with_changes: bool) -> _Trial | _Failed:
        order = self._order
        path = self._run.path / self.record.id / f"{number}-{'with' if with_changes else 'without'}"
        path.mkdir(parents=True)
        directory, command, plan = order.directory, order.command, order.plan
        if order.scratch is not None:
            directory = order.scratch / "work"
            copy_directory(order.directory, directory, order.ignored)
            command = tuple(moved_word(word, order.directory, directory) for word in command)
            plan = moved(plan, order.directory, directory)
        settings = Settings(
            output_root=path.parent,
            quiet=True,
            try_changes=False,
            html=False,
            plan=plan if with_changes else None,
            stop_after_steps=order.steps,
            stop_pipeline=self.record.pipeline_id if order.steps else "",
        )
        flags = interpreter_flags(sys.orig_argv)
        status = _run_process(
            command_line(Order(run_path=path, command=command, settings=settings, flags=flags)),
            directory,
            path,
            order.deadline_s,
        )
        return self._read(RunDirectory(path), status, with_changes)

    def _read(self, run: RunDirectory, status: int | None, with_changes: bool) -> _Trial | _Failed:
        if status != 0:
            return _Failed(_why_failed(run.path, status, self._order.deadline_s))
        try:
            profile = run.load()
        except UserError as error:
            return _Failed(f"nothing was captured ({error.what})", is_of_changes=False)
        if with_changes and len(profile.run.applied) < len(self._order.plan.changes):
            return _Failed(_why_not_applied(profile), is_of_changes=False)
        found = measured(profile, self.record.pipeline_id)
        return _Failed("no step of training was seen", is_of_changes=False) if found is None else _Trial(found, run)

    def _failed(self, trial: _Failed, with_changes: bool) -> TrialRecord:
        if with_changes and trial.is_of_changes:
            return replace(self.record, state=TrialState.WORSE, reason=f"with the changes {trial.reason}")
        reason = trial.reason if with_changes else f"without the changes {trial.reason}"
        return replace(self.record, state=TrialState.NOT_TRIED if not self._pairs else self.record.state, reason=reason)

    def _concluded(self) -> TrialRecord:
        state, reason, interval = conclude_pairs(self._pairs)
        before, after = [pair.baseline for pair in self._pairs], [pair.candidate for pair in self._pairs]
        return replace(
            self.record,
            state=state,
            reason=reason,
            speedup=interval.value,
            low=interval.low if len(self._pairs) > 1 else None,
            high=interval.high if len(self._pairs) > 1 else None,
            pairs=len(self._pairs),
            baseline_step_s=mean_of(item.step_s for item in before),
            candidate_step_s=mean_of(item.step_s for item in after),
            rerun=self._facts(before, after),
        )

    def _facts(self, before: list[Measured], after: list[Measured]) -> RerunFacts | None:
        if self.record.rerun is None:
            return None
        same, note, is_steady = (None, "", False) if self.record.rerun.ceiling else self._compare_outputs()
        memory = [mean_of(item.memory_bytes for item in arm) for arm in (before, after)]
        return replace(
            self.record.rerun,
            steps=min(item.steps for item in (*before, *after)),
            baseline_memory_bytes=None if memory[0] is None else int(memory[0]),
            candidate_memory_bytes=None if memory[1] is None else int(memory[1]),
            baseline_wait_share=mean_of(item.wait_share for item in before),
            candidate_wait_share=mean_of(item.wait_share for item in after),
            same_output=same,
            output_note=note,
            steady_output=is_steady and len(before) > 1,
            baseline_losses=self._losses(with_changes=False),
            candidate_losses=self._losses(with_changes=True),
        )

    def _printed(self, *, with_changes: bool) -> list[Path]:
        """Return what each process of one kind printed."""
        return [path for of_changes, path in self._outputs if of_changes is with_changes]

    def _losses(self, *, with_changes: bool) -> tuple[float, ...]:
        """Return the last loss of each process of one kind, none where one of them printed none."""
        found = []
        for path in self._printed(with_changes=with_changes):
            with path.open("rb") as output:
                found.append(last_loss(output))
        return tuple(loss for loss in found if loss is not None) if None not in found else ()

    def _compare_outputs(self) -> tuple[bool, str, bool]:
        """Compare every output with the first one without the changes; tell whether those without them are alike."""
        first, *unchanged = self._printed(with_changes=False)
        if any(_difference(first, path) is not None for path in unchanged):
            return False, "it differs between two runs without the changes too", False
        found = (_difference(first, path) for path in self._printed(with_changes=True))
        note = next((text for text in found if text is not None), "")
        return not note, note, True


def _difference(first: Path, path: Path) -> str | None:
    with first.open("rb") as one, path.open("rb") as other:
        return first_difference(one, other)


def _run_process(words: list[str], directory: Path, logs: Path, deadline_s: float) -> int | None:
    """Run one process to its end and return its status, None where it had to be killed; nothing it started stays."""
    with (logs / OUTPUT_FILE).open("wb") as output, (logs / ERRORS_FILE).open("wb") as errors:
        process = subprocess.Popen(  # noqa: S603 - the user's own script
            words, cwd=directory, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, start_new_session=True
        )
        try:
            return process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            return None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _why_failed(logs: Path, status: int | None, deadline_s: float) -> str:
    if status is None:
        return f"the script did not come to its end within {units.duration(deadline_s)}"
    how = f"exit status {status}" if status > 0 else f"killed by {signal_name(-status)}"
    with (logs / ERRORS_FILE).open("rb") as stream:
        stream.seek(max(0, stream.seek(0, os.SEEK_END) - _TAIL_BYTES))
        lines = [line.strip() for line in stream.read().decode("utf-8", "replace").splitlines() if line.strip()]
    return f"the script failed ({how}){f': {lines[-1]}' if lines else ''}"


def _why_not_applied(profile: Profile) -> str:
    left = [text for text in profile.run.problems if text.startswith("not applied")]
    return left[0] if left else "a change was not applied"
