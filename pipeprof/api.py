"""The public API, and the hooks that ``pipeprof run`` puts around a script.

``profile()`` observes a block of the user's program and never changes or tries anything by itself; ``try_changes`` does.
"""

from __future__ import annotations

import datetime
import os
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, TextIO

from pipeprof.capture.profile_maker import RunFacts
from pipeprof.capture.session import CaptureSession
from pipeprof.capture.step_limit import StepLimit
from pipeprof.errors import UserError
from pipeprof.launch import streams
from pipeprof.launch.hooks import Hooks
from pipeprof.model.diagnosis import Diagnosis
from pipeprof.model.profile import Profile
from pipeprof.settings import Settings
from pipeprof.store import HTML_FILE, RunDirectory, ScriptEnd, TrialEvent, find_run

_KEPT_SHARE = 0.05  # of the memory limit: datasets whose arrays and caches hold more are not kept for trials

_active_lock = threading.Lock()
_active: CaptureSession | None = None  # the one capture of this process; guarded by _active_lock


class Run:
    """One run, loaded or just captured."""

    def __init__(self, directory: RunDirectory) -> None:
        """Wrap a run directory."""
        self._directory = directory
        self._diagnosis: Diagnosis | None = None

    @property
    def path(self) -> Path:
        """The run directory."""
        return self._directory.path

    @property
    def profile(self) -> Profile:
        """What was measured."""
        return self._directory.load()

    @property
    def diagnosis(self) -> Diagnosis:
        """What pipeprof concludes from it."""
        from pipeprof.diagnose import diagnose

        if self._diagnosis is None:
            self._diagnosis = diagnose(self.profile)
        return self._diagnosis

    def show(self, stream: TextIO | None = None) -> None:
        """Print the report, to standard output where no stream is given."""
        from pipeprof.report.terminal import print_report

        print_report(self.diagnosis, stream or sys.stdout, self.path)

    def html(self) -> Path:
        """Write the HTML report and return its path."""
        from pipeprof.report.html_page import render

        return self._directory.write_document(HTML_FILE, render(self.diagnosis).encode())


class Profiling(Run):
    """A capture around a block: ``with pipeprof.profile() as prof: ...``.

    Datasets that were made before the block are observed too, but pipeprof cannot know the lines that made them.
    """

    def __init__(self, settings: Settings, name: str) -> None:
        """Prepare; nothing is observed before the block begins."""
        super().__init__(RunDirectory.create(settings.output_root, name))
        self._settings = settings
        self._session: CaptureSession | None = None
        self._captured: Profile | None = None

    def __enter__(self) -> Profiling:
        """Begin to observe.

        Raises:
            UserError: a capture is running already.
        """
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop observing; an exception passes unchanged and the capture is kept."""
        self.stop("returned" if kind is None else "raised")

    def start(self) -> None:
        """Begin to observe."""
        self._session = _start_session(self._settings, self._directory, tuple(sys.argv))

    def stop(self, ended: str = "returned") -> None:
        """Stop observing and write the profile; does nothing when it was stopped already."""
        if self._session is None or self._captured is not None:
            return
        captured = _stop_session(self._session)
        self._captured = replace(captured, run=replace(captured.run, ended=ended))
        self._directory.write_profile(self._captured)

    def pipeline_id(self, dataset: Any) -> str | None:
        """Return the pipeline of a dataset that was iterated within the block, None where it was not."""
        return None if self._session is None else self._session.pipelines.id_of(dataset)

    def keep(self, captured: Profile) -> None:
        """Keep a profile in place of the captured one: what was measured after the block."""
        self._captured, self._diagnosis = captured, None
        self._directory.write_profile(captured)

    def try_changes(self, budget_s: float = 60.0, on_progress: Callable[[str, float], None] | None = None) -> Diagnosis:
        """Replay the pipeline with the recommended changes and return the new diagnosis.

        Args:
            budget_s: seconds for all trials together.
            on_progress: called with a text and the share of the budget that is used.

        Raises:
            UserError: the block has not ended yet.
        """
        if self._session is None or self._captured is None:
            raise UserError("there is nothing to try yet", "call try_changes() after the with block")
        settings = replace(self._settings, budget_s=budget_s)
        _try(self._captured, self._session, self._directory, settings, on_progress or (lambda _text, _share: None))
        self._diagnosis = None
        return self.diagnosis


def profile(*, output: str | Path | None = None, name: str = "profile") -> Profiling:
    """Return a context manager that observes the block it is put around.

    Args:
        output: the directory in which run directories are made; ``reports/`` by default.
        name: a part of the run directory's name.

    Raises:
        UserError: the run directory cannot be made.
    """
    return Profiling(Settings(output_root=Path(output)) if output is not None else Settings(), name)


def load(path: str | Path) -> Run:
    """Load a run from its directory.

    Raises:
        UserError: there is no run, or it cannot be read.
    """
    run = Run(find_run(path))
    _ = run.profile
    return run


def script_hooks(run: RunDirectory, settings: Settings, command: tuple[str, ...]) -> Hooks:
    """Return what happens before and after the user's script under ``pipeprof run``."""
    state: dict[str, Any] = {}

    def before() -> None:
        state["session"] = _start_session(settings, run, command, is_rerunnable=True)
        if settings.plan is not None:
            from pipeprof.advise.applying import Applier

            state["applier"] = Applier(settings.plan, state["session"].origin)
            state["session"].on_dataset = state["applier"].made
        if settings.stop_after_steps:
            state["session"].step_limit = StepLimit(settings.stop_pipeline, settings.stop_after_steps, cut_short)

    def cut_short() -> None:
        _cut_short(run, _guarded(run, ended))

    def ended(end: ScriptEnd) -> None:
        captured = _stop_session(state["session"])
        info = replace(captured.run, exit_status=end.exit_status, ended=end.ended, wall_s=end.wall_s or captured.run.wall_s)
        if "applier" in state:
            info = state["applier"].told(info)
        state["profile"] = replace(captured, run=info)
        run.write_profile(state["profile"])

    def trials() -> None:
        from pipeprof.report.progress import TrialProgress

        with TrialProgress(streams.terminal(), quiet=settings.quiet) as progress:
            _try(state["profile"], state["session"], run, settings, progress.update)

    def forked() -> None:
        if "session" in state:
            state["session"].forked()

    return Hooks(
        before=_guarded(run, before), ended=_guarded(run, ended), trials=_guarded(run, trials), forked=_guarded(run, forked)
    )


def _cut_short(run: RunDirectory, ended: Callable[[ScriptEnd], None]) -> NoReturn:
    """End the script's process in the middle of its training, its profile and its output written; nothing else of it runs."""
    end = ScriptEnd(exit_status=0, ended="exited")
    ended(end)
    _guarded(run, run.write_script_end)(end)
    streams.flush()
    os._exit(0)


def _start_session(
    settings: Settings, run: RunDirectory, command: tuple[str, ...], *, is_rerunnable: bool = False
) -> CaptureSession:
    global _active  # noqa: PLW0603 - the one documented active session
    facts = RunFacts(
        id=run.id,
        command=command,
        started_at=datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        working_directory=str(Path.cwd()),
        own_directory=str(run.path),
        printed_into=streams.files_behind(),
        is_rerunnable=is_rerunnable,
    )
    with _active_lock:
        if _active is not None and _active.active:
            raise UserError("a capture is running already in this process", "leave its with block first")
        session = CaptureSession(settings, facts, save=run.write_profile)
        limit = session.memory_limit_bytes
        session.pipelines.keep_limit_bytes = int(limit * _KEPT_SHARE) if limit is not None else None
        session.start()
        _active = session
    return session


def _stop_session(session: CaptureSession) -> Profile:
    global _active  # noqa: PLW0603
    captured = session.stop()
    with _active_lock:
        if _active is session:
            _active = None
    return captured


def _try(
    captured: Profile,
    session: CaptureSession,
    run: RunDirectory,
    settings: Settings,
    on_progress: Callable[[str, float], None],
) -> None:
    if not captured.pipelines:
        return
    from pipeprof.advise.search import Search

    datasets: Mapping[str, Any] = {entry.id: entry.dataset for entry in session.pipelines.all() if entry.dataset is not None}
    search = Search(captured, datasets, settings, run.append_event, on_progress)
    try:
        search.run()
    finally:
        session.pipelines.release()
        run.append_event(TrialEvent.now("end"))


def _guarded(run: RunDirectory, hook: Callable[..., None]) -> Callable[..., None]:
    """Keep our own failure from the user's program: its traceback goes to the run directory."""

    def call(*arguments: Any) -> None:
        try:
            hook(*arguments)
        except Exception as error:  # noqa: BLE001 - the user's program comes first
            with (run.path / "problem.log").open("a") as stream:
                traceback.print_exception(error, file=stream)

    return call


__all__ = ["Profiling", "Run", "load", "profile", "script_hooks"]
