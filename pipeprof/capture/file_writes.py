"""Which files outside of its working directory a program writes, so that it is not run again without a word about them.

Python tells of them by its audit events, TensorFlow by the hooks of ``file_hooks``. An audit hook cannot be taken out: there is
one in a process, and between two captures it does nothing. What child processes write is not seen. Temporary files and caches
are nobody's results and are left out. It must not raise into the program, hold a lock or keep more than a few paths.
"""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MOST_PATHS = 200
_MOST_DIRECTORIES = 1_000
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_SLACK_NS = 1_000_000_000  # of the clock of a file system
_NO_FILES = ("/dev", "/proc", "/sys")
_TEMPORARY = ("/tmp", "/var/tmp", "/usr/tmp")  # noqa: S108 - where tempfile looks
_COMPILED = "/__pycache__/"
_FOLLOWS = frozenset({"os.truncate", "sqlite3.connect"})  # a link at the end of a path: these write what it leads to
# Of each event that makes, changes or removes a file: where its path stands, and the directory that the path is relative to.
_PATHS: Mapping[str, tuple[tuple[int, int | None], ...]] = {
    "os.link": ((1, 3),),
    "os.mkdir": ((0, 2),),
    "os.remove": ((0, 1),),
    "os.rename": ((0, 2), (1, 3)),
    "os.rmdir": ((0, 1),),
    "os.symlink": ((1, 2),),
    "os.truncate": ((0, None),),
    "shutil.rmtree": ((0, 1),),
    "sqlite3.connect": ((0, None),),
}

_State = tuple[int, int, int]
_current: FileWrites | None = None  # of the one capture of this process, None between captures
_is_hooked = False


class FileWrites:
    """The paths of one capture."""

    def __init__(self, working_directory: str, own_directory: str = "", environment: Mapping[str, str] = os.environ) -> None:
        """Prepare; nothing is seen before ``start``.

        Args:
            working_directory: what lies in it is found by looking there; empty: nothing is to be seen.
            own_directory: what pipeprof itself writes into.
            environment: says where temporary files and caches are.
        """
        self.problems: tuple[str, ...] = ()
        self.is_full = False  # there were more paths than are kept
        self._is_wanted = bool(working_directory)
        cache = environment.get("XDG_CACHE_HOME") or os.path.join(environment.get("HOME") or "/nowhere", ".cache")  # noqa: PTH118
        places = (working_directory, own_directory, _temporary_directory(environment), cache, *_NO_FILES)
        self._left_out = tuple(_as_prefix(os.path.realpath(place)) for place in places if place)
        self._before: dict[str, _State | None] = {}  # by path, as it was before the program touched it
        self._begun: dict[str, int] = {}  # what names of files begin with, and since when
        self._seen: set[str] = set()  # of these, those of which there were files
        self._real: dict[str, str] = {}  # directories without links
        self._pid = os.getpid()

    def start(self) -> None:
        """Begin to see; the hook goes into the process once."""
        global _current, _is_hooked  # noqa: PLW0603 - the one documented capture
        if not self._is_wanted:
            return
        if not _is_hooked:
            _is_hooked = True
            try:
                sys.addaudithook(_hook)
            except Exception as error:  # noqa: BLE001 - another hook of the program forbids it
                self.problems = (f"which files were written elsewhere is not known: {type(error).__name__}: {error}",)
        _current = self

    def stop(self) -> None:
        """See nothing more."""
        global _current  # noqa: PLW0603
        if _current is self:
            _current = None

    def touch(self, path: Any, *, follows: bool = True) -> None:
        """Note that a file is about to be made, changed or removed.

        Any: a program may pass anything for a path, and whoever calls takes what is raised for that.
        """
        name = self._whole(path, follows)
        if name is None or name in self._before:
            return
        if len(self._before) + len(self._begun) >= MOST_PATHS:
            self.is_full = True
            return
        self._before.setdefault(name, None if _is_remote(name) else _state(name))

    def begin(self, prefix: Any) -> None:
        """Note that files are about to be written whose names begin so; what it raises is as of ``touch``."""
        name = self._whole(prefix, follows=False)
        if name is None or name in self._begun:
            return
        if _is_remote(name):
            self.touch(name)
        elif len(self._before) + len(self._begun) >= MOST_PATHS:
            self.is_full = True
        else:
            self._begun[name] = time.time_ns() - _SLACK_NS

    def paths(self) -> tuple[str, ...]:
        """Return what was written until now, a ``*`` behind the beginning of names; what is as it was before is none."""
        found = {path for path, before in list(self._before.items()) if _is_remote(path) or _state(path) != before}
        begun = {f"{prefix}*" for prefix, since_ns in list(self._begun.items()) if self._has_files(prefix, since_ns)}
        directories = {str(parent) for path in found | begun for parent in Path(path).parents}
        return tuple(sorted(_plain(path) for path in (found - directories) | begun))

    def _whole(self, path: Any, follows: bool) -> str | None:
        """Return a path in full and without links, None where it is of no interest."""
        if _current is not self or isinstance(path, int) or os.getpid() != self._pid:
            return None
        name = os.fsdecode(path)
        if _is_remote(name):
            return None if name.startswith("ram://") else name
        name = name.removeprefix("file://")
        if not name.startswith("/"):
            name = f"{os.getcwd()}/{name}"  # noqa: PTH109 - in the way of the program
        directory, leaf = os.path.split(name)
        if leaf in {"", ".", ".."}:
            whole = os.path.realpath(name)
        else:
            whole = _as_prefix(self._real_directory(directory)) + leaf
            whole = os.path.realpath(whole) if follows and os.path.islink(whole) else whole  # noqa: PTH114
        return None if f"{whole}/".startswith(self._left_out) or _COMPILED in whole else whole

    def _real_directory(self, directory: str) -> str:
        found = self._real.get(directory)
        if found is None:
            if len(self._real) >= _MOST_DIRECTORIES:
                self._real.clear()
            found = self._real[directory] = os.path.realpath(directory)
        return found

    def _has_files(self, prefix: str, since_ns: int) -> bool:
        """Say whether there are files whose names begin so and that were written since."""
        if prefix not in self._seen:
            directory, beginning = os.path.split(prefix)
            try:
                with os.scandir(directory) as entries:
                    if any(item.name.startswith(beginning) and item.stat().st_mtime_ns >= since_ns for item in entries):
                        self._seen.add(prefix)
            except OSError:
                return False
        return prefix in self._seen


def _hook(event: str, args: tuple[Any, ...]) -> None:
    """Take one audit event; what comes often and is of no interest leaves at once."""
    try:
        if event == "open":
            if args[2] & _WRITING and _current is not None:
                _current.touch(args[0])
        elif event in _PATHS and _current is not None:
            for position, place in _PATHS[event]:
                if place is None or place >= len(args) or args[place] in {-1, None}:
                    _current.touch(args[position], follows=event in _FOLLOWS)
    except Exception:  # noqa: BLE001, S110 - an event that somebody else raised, in another form
        pass


def _state(path: str) -> _State | None:
    """Return what tells a file from itself after a write, None where there is none; of a directory its identity alone."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return (status.st_ino, -1, -1) if stat.S_ISDIR(status.st_mode) else (status.st_ino, status.st_size, status.st_mtime_ns)


def _temporary_directory(environment: Mapping[str, str]) -> str:
    """Return where tempfile puts its files; asking tempfile itself would fix its answer for the program."""
    chosen = getattr(sys.modules.get("tempfile"), "tempdir", None)
    given = (environment.get(name) for name in ("TMPDIR", "TEMP", "TMP"))
    places = (os.fsdecode(chosen) if chosen else None, *given, *_TEMPORARY)
    return next((place for place in places if place and Path(place).is_dir()), "")


def _is_remote(name: str) -> bool:
    return "://" in name and not name.startswith("file://")


def _as_prefix(directory: str) -> str:
    return directory.rstrip("/") + "/"


def _plain(path: str) -> str:
    """Return a path as text that every document can hold."""
    return os.fsencode(path).decode("utf-8", "replace")
