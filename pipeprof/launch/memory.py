"""Reads from the kernel how much memory a process has, may have, and whether one was killed for it.

Small enough to do without a library in the supervisor. ``None`` means that the kernel does not say. It decides nothing.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
_LIMIT_FILES = ("memory.max", "memory.limit_in_bytes")
_EVENT_FILES = ("memory.events", "memory.oom_control")


def resident_bytes(pid: int) -> int | None:
    """Return the resident memory of process ``pid``."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def memory_limit_bytes(root: Path = _CGROUP, cgroups: Path = Path("/proc/self/cgroup")) -> int:
    """Return what this process may use: the smallest limit of its cgroups, or the physical memory."""
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for directory in _memory_groups(root, cgroups):
        for name in _LIMIT_FILES:
            text = _read(directory / name)
            if text is not None and text.strip().isdigit():
                limits.append(int(text))
    return min(limits)


def oom_kills(root: Path = _CGROUP, cgroups: Path = Path("/proc/self/cgroup")) -> int | None:
    """Return how many processes the out-of-memory killer has ended in this process's cgroup."""
    for directory in _memory_groups(root, cgroups):
        for name in _EVENT_FILES:
            found = re.search(r"^oom_kill (\d+)$", _read(directory / name) or "", re.MULTILINE)
            if found:
                return int(found.group(1))
    return None


def _memory_groups(root: Path, cgroups: Path) -> list[Path]:
    """Return the cgroup directories that hold this process, innermost first (version 2: ``0::``, version 1: memory)."""
    found: list[Path] = []
    for line in (_read(cgroups) or "").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "memory" not in controllers.split(","):
            continue
        top = root / "memory" if controllers else root
        inner = top / path.lstrip("/")
        found += [directory for directory in (inner, *inner.parents) if directory.is_relative_to(top)]
    return found


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except OSError:
        return None
