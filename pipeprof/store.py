"""Run directories: where a Profile lives on disk, from the first second of a run to its last trial.

The capture rewrites ``profile.json`` atomically, so that a death at any instant leaves the last good one; everything that
comes after the script is appended to ``trials.jsonl`` line by line; ``script.json`` and ``end.json`` hold how the script
and its process ended. ``load`` puts them together again. Nothing here judges.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import msgspec

from pipeprof.errors import UserError
from pipeprof.model.looks import ElementLook
from pipeprof.model.profile import PROFILE_SCHEMA, Control, Profile, RunInfo, TrialRecord, TrialState

T = TypeVar("T")

DEFAULT_ROOT = Path("reports")
PROFILE_FILE = "profile.json"
SCRIPT_FILE = "script.json"
TRIALS_FILE = "trials.jsonl"
END_FILE = "end.json"
DIAGNOSIS_FILE = "diagnosis.json"
HTML_FILE = "report.html"
REFUSED = "refused"  # how a script ended that could not be compiled


@dataclass(frozen=True, kw_only=True, slots=True)
class ScriptEnd:
    """How the user's script ended, as it says itself before any trial."""

    exit_status: int  # -N: it dies of signal N
    ended: str  # returned, raised, exited, killed, refused
    wall_s: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessEnd:
    """How the script's process ended, as the supervisor saw it."""

    exit_status: int
    wall_s: float
    killed_in_trial: bool = False  # by the supervisor, for hanging or for its memory
    reason: str = ""
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialEvent:
    """One line of ``trials.jsonl``."""

    event: str  # start, result, control, look, reason (why nothing was tried), note (of the launcher), end
    at_s: float  # wall clock, seconds since the epoch
    deadline_s: float | None = None  # of a start: seconds after which the supervisor kills
    trial: TrialRecord | None = None
    control: Control | None = None
    look: ElementLook | None = None
    text: str = ""

    @classmethod
    def now(
        cls,
        event: str,
        *,
        deadline_s: float | None = None,
        trial: TrialRecord | None = None,
        control: Control | None = None,
        look: ElementLook | None = None,
        text: str = "",
    ) -> TrialEvent:
        """Return an event that happens now."""
        return cls(event=event, at_s=time.time(), deadline_s=deadline_s, trial=trial, control=control, look=look, text=text)


class RunDirectory:
    """One run on disk."""

    def __init__(self, path: Path) -> None:
        """Wrap ``path``, which need not exist yet."""
        self.path = path

    @classmethod
    def create(cls, root: Path, name: str, pid: int | None = None) -> RunDirectory:
        """Make a new run directory ``<root>/<time>-<name>-<pid>``; the time sorts.

        Raises:
            UserError: the directory cannot be made.
        """
        stamp = time.strftime("%Y%m%d-%H%M%S")
        safe = "".join(char if char.isalnum() or char in "-_." else "_" for char in name)[:40] or "run"
        path = (root / f"{stamp}-{safe}-{os.getpid() if pid is None else pid}").absolute()
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"cannot write to {root}: {error.strerror}", "choose another place with --output DIR") from None
        return cls(path)

    @property
    def id(self) -> str:
        """The directory's name, which is the run's id."""
        return self.path.name

    def write_profile(self, profile: Profile) -> None:
        """Replace the profile atomically."""
        self._write(PROFILE_FILE, msgspec.json.encode(profile))

    def write_script_end(self, end: ScriptEnd) -> None:
        """Record how the script ended; from here on its status is safe."""
        self._write(SCRIPT_FILE, msgspec.json.encode(end))

    def write_end(self, end: ProcessEnd) -> None:
        """Record how the process ended."""
        self._write(END_FILE, msgspec.json.encode(end))

    def append_event(self, event: TrialEvent) -> None:
        """Append one line to the trials' stream."""
        with (self.path / TRIALS_FILE).open("ab") as stream:
            stream.write(msgspec.json.encode(event) + b"\n")

    def write_document(self, name: str, content: bytes) -> Path:
        """Write a rendered document atomically and return its path."""
        self._write(name, content)
        return self.path / name

    def script_end(self) -> ScriptEnd | None:
        """Return how the script ended, None while it runs or where it could not say."""
        return _read(self.path / SCRIPT_FILE, ScriptEnd)

    def process_end(self) -> ProcessEnd | None:
        """Return how the process ended."""
        return _read(self.path / END_FILE, ProcessEnd)

    def events(self) -> tuple[TrialEvent, ...]:
        """Return the trials' stream; a last line that was cut short by a death is left out."""
        try:
            lines = (self.path / TRIALS_FILE).read_bytes().splitlines()
        except OSError:
            return ()
        found = []
        for line in lines:
            try:
                found.append(msgspec.json.decode(line, type=TrialEvent))
            except msgspec.DecodeError:
                continue
        return tuple(found)

    def load(self) -> Profile:
        """Return the profile with its trials and its end.

        Raises:
            UserError: there is no profile, or it cannot be read.
        """
        profile = _decode_profile(self.path / PROFILE_FILE)
        events = self.events()
        controls, trials = _replay_events(events)
        note = next(
            (_NOTES.get(event.text, event.text) for event in reversed(events) if _is_reason(event)), profile.trials_note
        )
        run = _with_end(profile.run, self.script_end(), self.process_end())
        return replace(
            profile,
            run=run,
            controls=(*profile.controls, *controls),
            looks=(*profile.looks, *(event.look for event in events if event.look is not None)),
            trials=(*profile.trials, *trials),
            trials_note=note,
        )

    def _write(self, name: str, content: bytes) -> None:
        temporary = self.path / f".{name}.{os.getpid()}"
        temporary.write_bytes(content)
        temporary.replace(self.path / name)


# How the launcher ends the trials' stream where they did not end by themselves.
_NOTES = {
    "interrupted": "the trials were skipped (Ctrl-C)",
    "abandoned": "the trials hung and were given up",
}


def _is_reason(event: TrialEvent) -> bool:
    return event.event == "reason" or (event.event == "end" and event.text in _NOTES)


def _read(path: Path, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError):
        return None


def find_run(given: str | Path | None, root: Path = DEFAULT_ROOT) -> RunDirectory:
    """Return the run directory that the user means: a path, a name below ``root``, or the newest run.

    Raises:
        UserError: there is none.
    """
    if given is None:
        runs = sorted(root.glob(f"*/{PROFILE_FILE}")) if root.is_dir() else []
        if not runs:
            raise UserError(f"no run in {root}/", "make one with: pipeprof run train.py")
        return RunDirectory(runs[-1].parent)
    path = Path(given)
    if path.is_file() and path.name == PROFILE_FILE:
        path = path.parent
    for candidate in (path, root / path):
        if (candidate / PROFILE_FILE).is_file():
            return RunDirectory(candidate)
    if path.exists():
        raise UserError(f"{given} is not a run directory: it has no {PROFILE_FILE}", "name a directory that pipeprof run made")
    raise UserError(f"no such run: {given}", f"the runs are in {root}/")


def all_runs(root: Path = DEFAULT_ROOT) -> list[RunDirectory]:
    """Return the runs below ``root``, newest last; also those that left no profile."""
    files = (PROFILE_FILE, SCRIPT_FILE, TRIALS_FILE, END_FILE)
    return [RunDirectory(path) for path in sorted({found.parent for name in files for found in root.glob(f"*/{name}")})]


def _decode_profile(path: Path) -> Profile:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}", "name a directory that pipeprof run made") from None
    try:
        raw = msgspec.json.decode(content)
    except msgspec.DecodeError as error:
        raise UserError(f"{path} is corrupt: {error}", "run the script again") from None
    schema = raw.get("schema") if isinstance(raw, dict) else None
    if not isinstance(schema, str) or not schema.startswith("pipeprof.profile/"):
        raise UserError(f"{path} is not a pipeprof profile", "name a directory that pipeprof run made")
    if schema != PROFILE_SCHEMA:
        raise UserError(
            f"{path} was written by a newer pipeprof ({schema}; this one reads {PROFILE_SCHEMA})", "upgrade pipeprof"
        )
    try:
        return msgspec.convert(raw, Profile)
    except msgspec.ValidationError as error:
        raise UserError(f"{path} is corrupt: {error}", "run the script again") from None


def _replay_events(events: Sequence[TrialEvent]) -> tuple[list[Control], list[TrialRecord]]:
    controls: list[Control] = []
    trials: dict[str, TrialRecord] = {}
    for event in events:
        if event.control is not None:
            controls.append(event.control)
        if event.trial is not None:
            trials[event.trial.id] = event.trial
    return controls, list(trials.values())


def _with_end(run: RunInfo, script: ScriptEnd | None, process: ProcessEnd | None) -> RunInfo:
    problems = run.problems + (process.problems if process else ())
    if script is not None:
        return replace(
            run, exit_status=script.exit_status, ended=script.ended, wall_s=script.wall_s or run.wall_s, problems=problems
        )
    if process is not None:
        ended = "killed" if process.exit_status < 0 else "exited"
        return replace(run, exit_status=process.exit_status, ended=ended, wall_s=process.wall_s, problems=problems)
    return replace(run, problems=problems)


def killed_trial(record: TrialRecord, reason: str) -> TrialRecord:
    """Return the result of a trial that had to be killed: worse, with the reason."""
    return replace(record, state=TrialState.WORSE, reason=reason)
