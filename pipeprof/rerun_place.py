"""Where a script is run again: the files it would overwrite, and a copy of its directory in which it may.

Looks at modification times alone, so a file that was written again after the run is not found. It must never write outside
the copy.
"""

from __future__ import annotations

import datetime
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from pipeprof import units
from pipeprof.errors import UserError
from pipeprof.model.plan import ApplyPlan, PlannedChange, PlannedStage
from pipeprof.model.profile import RunInfo

MOST_BYTES = 2_000_000_000
_MOST_FILES = 20_000  # that are looked at
_NOT_LOOKED_INTO = frozenset({"__pycache__", ".git"})
_SLACK_S = 1.0  # of the clock of a file system


def written_files(run: RunInfo, ignored: Path) -> list[Path]:
    """Return the files below a run's working directory that were last written while it ran.

    The user's sources are none of them, nor is a file that a shell sent its output to: run again, it prints elsewhere.

    Args:
        run: the run.
        ignored: the directory that runs are kept in.

    Raises:
        UserError: there are too many files to look at.
    """
    base = Path(run.working_directory)
    start_s = datetime.datetime.fromisoformat(run.started_at).timestamp()
    end_s = start_s + run.wall_s + _SLACK_S
    known = {os.path.realpath(path) for path in (*run.printed_into, *(source.path for source in run.sources))}
    known.update(os.path.realpath(base / word) for word in run.command[:1])
    found = []
    for number, (path, status) in enumerate(_files(base, ignored)):
        if number >= _MOST_FILES:
            hint = "--scratch auto runs it in a copy, --yes runs it where it is"
            raise UserError(f"{base} has more than {_MOST_FILES:,} files: what the script wrote is not known", hint)
        if start_s <= status.st_mtime <= end_s and os.path.realpath(path) not in known:
            found.append(path.relative_to(base))
    return sorted(found)


def copy_directory(source: Path, target: Path, ignored: Path) -> None:
    """Copy a working directory afresh; links out of it lead where they led, caches and kept runs stay behind.

    Raises:
        UserError: it is too large, or cannot be copied.
    """
    size = 0
    for _path, status in _files(source, ignored):
        size += status.st_size
        if size > MOST_BYTES:
            what = f"{source} holds more than {units.byte_count(MOST_BYTES)}"
            raise UserError(f"{what}: it is not copied", "--yes runs the script where it is")
    try:
        if target.exists():
            shutil.rmtree(target)
        target.mkdir(parents=True)
        _copy(source, source.resolve(), target, ignored)
    except OSError as error:
        what = f"cannot copy {source} to {target}: {error.strerror or error}"
        raise UserError(what, "name another place with --scratch DIR") from None


def _copy(source: Path, base: Path, target: Path, ignored: Path) -> None:
    for entry in source.iterdir():
        path = target / entry.name
        if entry.is_symlink():
            real, link = entry.resolve(), entry.readlink()
            path.symlink_to(link if real.is_relative_to(base) and not link.is_absolute() else real)
        elif entry.is_dir() and not _is_left_out(entry, ignored):
            path.mkdir()
            _copy(entry, base, path, ignored)
        elif entry.is_file():
            shutil.copy2(entry, path)


def moved(plan: ApplyPlan, source: Path, target: Path) -> ApplyPlan:
    """Return a plan whose calls stand in the copy of the directory that they were in."""
    return replace(plan, changes=tuple(_moved_change(change, source, target) for change in plan.changes))


def moved_word(word: str, source: Path, target: Path) -> str:
    """Return a path of the command line as it is in the copy: one that leads into the directory leads into the copy."""
    path = Path(word)
    return str(target / path.relative_to(source)) if path.is_absolute() and path.is_relative_to(source) else word


def _moved_change(change: PlannedChange, source: Path, target: Path) -> PlannedChange:
    return replace(change, trees=tuple(tuple(_moved_stage(item, source, target) for item in tree) for tree in change.trees))


def _moved_stage(stage: PlannedStage, source: Path, target: Path) -> PlannedStage:
    if stage.site is None:
        return stage
    return replace(stage, site=(moved_word(stage.site[0], source, target), *stage.site[1:]))


def _files(base: Path, ignored: Path) -> Iterator[tuple[Path, os.stat_result]]:
    for directory, names, files in os.walk(base):
        names[:] = [name for name in names if not _is_left_out(Path(directory, name), ignored)]
        for name in files:
            path = Path(directory, name)
            try:
                yield path, path.lstat()
            except OSError:
                continue


def _is_left_out(path: Path, ignored: Path) -> bool:
    return path.name in _NOT_LOOKED_INTO or path == ignored
