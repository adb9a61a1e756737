"""What the machine grants this process: cores, memory, and the limits of its control groups (versions 1 and 2).

The kernel's own files are the only source; a limit anywhere between the process's group and the visible root binds, and the
tightest one counts. The roots of ``/proc`` and ``/sys`` are parameters. Nothing here raises for what cannot be read: it
becomes one line of ``problems``, and its value ``None``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pipeprof.model.profile import Host

T = TypeVar("T")

PROC = Path("/proc")
SYS = Path("/sys")
_NO_LIMIT_BYTES = 2**60  # version 1 writes "no limit" as the largest number of whole pages in 63 bits


class KernelFiles:
    """Reads small kernel files; what cannot be read or understood becomes one line of ``problems``, once."""

    def __init__(self) -> None:
        """Start without problems."""
        self.problems: list[str] = []

    def note(self, line: str) -> None:
        """Record a problem unless it is known already."""
        if line not in self.problems:
            self.problems.append(line)

    def parse(self, path: Path, purpose: str, parser: Callable[[str], T], *, optional: bool = False) -> T | None:
        """Return ``parser`` of the file's text, ``None`` if that fails; an ``optional`` file may be missing silently."""
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            missing = isinstance(error, FileNotFoundError | NotADirectoryError)
            if not (optional and missing):
                self.note(f"{purpose} not measured: {path}: {error.strerror or error}")
            return None
        try:
            return parser(text)
        except (ValueError, LookupError, ZeroDivisionError):
            self.note(f"{purpose} not measured: {path} is not understood")
            return None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Mount:
    """A mounted control group hierarchy."""

    unified: bool  # version 2
    options: frozenset[str]  # of version 1: its controllers
    root: str  # the group that the mount point shows
    point: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class _Level:
    """One group on the way from the process's own up to the visible root."""

    unified: bool  # version 2
    directory: Path


class ControlGroups:
    """The limits of the process's control groups, and the time they took away."""

    def __init__(self, files: KernelFiles, proc: Path = PROC, sys: Path = SYS) -> None:
        """Find the groups; they are looked up once, their limits are read whenever asked."""
        self._files = files
        groups = files.parse(proc / "self" / "cgroup", "control group limits", parse_groups)
        mounts = files.parse(proc / "self" / "mountinfo", "control group limits", lambda text: parse_mounts(text, sys))
        self._memory = _levels(groups or {}, mounts or [], "memory")
        self._cpu = _levels(groups or {}, mounts or [], "cpu")
        self._quota_level = self._tightest_quota()
        limits = {"memory": self._memory, "cpu": self._cpu}
        unseen = [name for name, levels in limits.items() if not levels and {name, ""} & (groups or {}).keys()]
        if unseen and mounts is not None:
            files.note(f"control group limits of {' and '.join(unseen)} not measured: no such file system is mounted")

    def memory_limit_bytes(self) -> int | None:
        """Return the tightest memory limit, ``None`` where there is none."""
        limits: list[int | None] = []
        for level in self._memory:
            if level.unified:
                limits.append(self._optional(level.directory / "memory.max", "memory limit", _parse_limit))
            else:
                limits.append(self._optional(level.directory / "memory.limit_in_bytes", "memory limit", _parse_limit))
                limits.append(self._optional(level.directory / "memory.stat", "memory limit", _parse_inherited_limit))
        return min((limit for limit in limits if limit is not None), default=None)

    def cpu_quota(self) -> float | None:
        """Return the tightest CPU quota in cores, ``None`` where there is none."""
        quotas = (self._quota(level) for level in self._cpu)
        return min((quota for quota in quotas if quota is not None), default=None)

    def throttled_s(self) -> float | None:
        """Return how long the quota has held back the group, in seconds summed over its cores; 0 without a quota.

        ``None`` when it is not known. The group that counts is the one whose quota was the tightest at construction.
        """
        if self._quota_level is None:
            return 0.0 if self._cpu else None
        return self._files.parse(self._quota_level.directory / "cpu.stat", "CPU throttling", parse_throttled)

    def _tightest_quota(self) -> _Level | None:
        found = [(quota, level) for level in self._cpu if (quota := self._quota(level)) is not None]
        return min(found, key=lambda pair: pair[0])[1] if found else None

    def _quota(self, level: _Level) -> float | None:
        if level.unified:
            return self._optional(level.directory / "cpu.max", "CPU quota", _parse_quota)
        quota = self._optional(level.directory / "cpu.cfs_quota_us", "CPU quota", int)
        period = self._optional(level.directory / "cpu.cfs_period_us", "CPU quota", int)
        return quota / period if quota is not None and period and quota > 0 else None

    def _optional(self, path: Path, purpose: str, parser: Callable[[str], T]) -> T | None:
        return self._files.parse(path, purpose, parser, optional=True)


def host_facts(*, gpus: tuple[str, ...] = (), proc: Path = PROC, sys: Path = SYS, files: KernelFiles | None = None) -> Host:
    """Return the machine as this process may use it.

    Args:
        gpus: names of the GPUs, which only their driver knows.
        proc: root of the process file system.
        sys: root of the system file system.
        files: collects what could not be read.
    """
    files = files or KernelFiles()
    groups = ControlGroups(files, proc, sys)
    return Host(
        cores=len(schedulable_cores()),
        memory_bytes=files.parse(proc / "meminfo", "physical memory", _parse_memory_total),
        memory_limit_bytes=groups.memory_limit_bytes(),
        cpu_quota=groups.cpu_quota(),
        gpus=gpus,
        cpu_model=files.parse(proc / "cpuinfo", "CPU model", _parse_cpu_model),
    )


def schedulable_cores() -> frozenset[int]:
    """Return the numbers of the cores that this process may run on."""
    return frozenset(os.sched_getaffinity(0))


def parse_groups(text: str) -> dict[str, str]:
    """Return the group's path for each controller of ``/proc/self/cgroup``; version 2 stands under the empty name."""
    groups: dict[str, str] = {}
    for line in text.splitlines():
        number, controllers, path = line.split(":", 2)
        names = [""] if number == "0" and not controllers else controllers.split(",")
        groups.update(dict.fromkeys(names, path))
    return groups


def parse_mounts(text: str, sys: Path = SYS) -> list[_Mount]:
    """Return the control group mounts of ``/proc/self/mountinfo``; mount points below ``/sys`` are taken below ``sys``."""
    mounts = []
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        root, point = (_unescape(field) for field in before.split()[3:5])
        kind, _, options = (*after.split(), "", "", "")[:3]
        if kind in {"cgroup", "cgroup2"}:
            place = sys / point.removeprefix("/sys/") if point.startswith("/sys/") else Path(point)
            unified = kind == "cgroup2"
            mounts.append(_Mount(unified=unified, options=frozenset(options.split(",")), root=root, point=place))
    return mounts


def parse_throttled(text: str) -> float:
    """Return the seconds a group was throttled, from ``cpu.stat`` of either version."""
    fields = dict(line.split() for line in text.splitlines() if line.strip())
    if "throttled_usec" in fields:
        return int(fields["throttled_usec"]) / 1e6
    return int(fields["throttled_time"]) / 1e9


def _levels(groups: dict[str, str], mounts: list[_Mount], controller: str) -> list[_Level]:
    """Return the groups that limit ``controller``, from the process's own up to the top of the mount."""
    unified = controller not in groups
    path = groups.get("" if unified else controller)
    fitting = [mount for mount in mounts if mount.unified == unified and (unified or controller in mount.options)]
    if path is None or not fitting:
        return []
    mount = next((mount for mount in fitting if _below(path, mount.root) is not None), fitting[0])
    parts = _below(path, mount.root) or ()
    places = (mount.point.joinpath(*parts[:depth]) for depth in range(len(parts), -1, -1))
    return [_Level(unified=unified, directory=place) for place in places]


def _below(path: str, root: str) -> tuple[str, ...] | None:
    """Return the parts of ``path`` below ``root``; ``None`` if it is not there (another namespace's view)."""
    parts = tuple(part for part in path.split("/") if part)
    top = tuple(part for part in root.split("/") if part)
    if ".." in parts or parts[: len(top)] != top:
        return None
    return parts[len(top) :]


def _unescape(field: str) -> str:
    """Undo mountinfo's octal escapes of blanks and backslashes."""
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(code, character)
    return field


def _parse_limit(text: str) -> int | None:
    if text.strip() == "max":
        return None
    limit = int(text)
    return limit if 0 <= limit < _NO_LIMIT_BYTES else None


def _parse_inherited_limit(text: str) -> int | None:
    """Return version 1's tightest limit of all ancestors, which it names even where they cannot be seen."""
    fields = dict(line.split() for line in text.splitlines() if line.strip())
    inherited = fields.get("hierarchical_memory_limit")
    return None if inherited is None else _parse_limit(inherited)


def _parse_quota(text: str) -> float | None:
    quota, period = text.split()
    return None if quota == "max" else int(quota) / int(period)


def _parse_memory_total(text: str) -> int:
    fields = dict(line.split(":", 1) for line in text.splitlines() if line.strip())
    return int(fields["MemTotal"].split()[0]) * 1024


def _parse_cpu_model(text: str) -> str | None:
    """Return the model's name; processors other than x86 often state none."""
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip().lower() in {"model name", "cpu model"}:
            return value.strip() or None
    return None
