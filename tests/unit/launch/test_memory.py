"""Memory limits are read from the kernel's files, of both versions of cgroups."""

from __future__ import annotations

import os
from pathlib import Path

from pipeprof.launch.memory import memory_limit_bytes, oom_kills, resident_bytes


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_smallest_limit_of_version_2_counts(tmp_path: Path) -> None:
    cgroups = write(tmp_path / "cgroup", "0::/user/job\n")
    write(tmp_path / "fs/user/job/memory.max", "max\n")
    write(tmp_path / "fs/user/memory.max", "4096\n")
    write(tmp_path / "fs/user/job/memory.events", "oom 7\noom_kill 2\n")

    assert memory_limit_bytes(tmp_path / "fs", cgroups) == 4096
    assert oom_kills(tmp_path / "fs", cgroups) == 2


def test_limit_of_version_1_is_found_at_the_root_of_a_container(tmp_path: Path) -> None:
    cgroups = write(tmp_path / "cgroup", "9:name=systemd:/\n4:cpu,memory:/docker/abc\n1:cpuset:/\n0::/\n")
    write(tmp_path / "fs/memory/memory.limit_in_bytes", "8192\n")
    write(tmp_path / "fs/memory/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n")

    assert memory_limit_bytes(tmp_path / "fs", cgroups) == 8192
    assert oom_kills(tmp_path / "fs", cgroups) == 5


def test_without_cgroups_the_machine_is_the_limit(tmp_path: Path) -> None:
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")

    assert memory_limit_bytes(tmp_path / "fs", tmp_path / "none") == physical
    assert oom_kills(tmp_path / "fs", tmp_path / "none") is None


def test_resident_memory_of_a_process() -> None:
    assert (resident_bytes(os.getpid()) or 0) > 1_000_000
    assert resident_bytes(2**22 + 1) is None
