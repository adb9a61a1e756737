"""The limits of control groups, read from small trees of real files laid out as kernels and containers do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeprof.capture.host_facts import ControlGroups, KernelFiles, host_facts, parse_groups, parse_mounts

V1_MOUNTS = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:11 master:3 - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""
V2_MOUNTS = "30 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev - cgroup2 cgroup2 rw,nsdelegate\n"


def plant(root: Path, files: dict[str, str]) -> KernelFiles:
    """Write ``files`` below ``root`` and return a reader."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return KernelFiles()


def groups_of(root: Path, files: dict[str, str]) -> tuple[ControlGroups, KernelFiles]:
    reader = plant(root, files)
    return ControlGroups(reader, root / "proc", root / "sys"), reader


def v2(path: str, mounts: str = V2_MOUNTS) -> dict[str, str]:
    return {"proc/self/cgroup": f"0::{path}\n", "proc/self/mountinfo": mounts}


def v1(path: str) -> dict[str, str]:
    return {
        "proc/self/cgroup": f"4:memory:{path}\n3:cpu,cpuacct:{path}\n1:name=systemd:/\n0::/\n",
        "proc/self/mountinfo": V1_MOUNTS,
    }


def test_version_2_limits_of_the_own_group_are_read(tmp_path: Path) -> None:
    groups, reader = groups_of(
        tmp_path,
        v2("/job")
        | {
            "sys/fs/cgroup/job/memory.max": "4294967296\n",
            "sys/fs/cgroup/job/cpu.max": "150000 100000\n",
            "sys/fs/cgroup/job/cpu.stat": "usage_usec 9\nnr_throttled 4\nthrottled_usec 2500000\n",
        },
    )

    assert groups.memory_limit_bytes() == 4 * 1024**3
    assert groups.cpu_quota() == 1.5
    assert groups.throttled_s() == 2.5
    assert reader.problems == []


def test_version_2_max_means_no_limit(tmp_path: Path) -> None:
    groups, reader = groups_of(
        tmp_path,
        v2("/job") | {"sys/fs/cgroup/job/memory.max": "max\n", "sys/fs/cgroup/job/cpu.max": "max 100000\n"},
    )

    assert groups.memory_limit_bytes() is None
    assert groups.cpu_quota() is None
    assert groups.throttled_s() == 0.0
    assert reader.problems == []


def test_the_limit_of_an_ancestor_counts_where_the_own_group_has_none(tmp_path: Path) -> None:
    base = "sys/fs/cgroup/pod/box"
    groups, _ = groups_of(
        tmp_path,
        v2("/pod/box/leaf")
        | {
            f"{base}/leaf/memory.max": "max\n",
            f"{base}/leaf/cpu.max": "max 100000\n",
            f"{base}/leaf/cpu.stat": "throttled_usec 0\n",
            f"{base}/memory.max": "1000000\n",
            f"{base}/cpu.max": "200000 100000\n",
            f"{base}/cpu.stat": "throttled_usec 7000000\n",
        },
    )

    assert groups.memory_limit_bytes() == 1_000_000
    assert groups.cpu_quota() == 2.0
    assert groups.throttled_s() == 7.0


def test_the_tightest_of_nested_limits_counts(tmp_path: Path) -> None:
    groups, _ = groups_of(
        tmp_path,
        v2("/pod/box")
        | {
            "sys/fs/cgroup/pod/box/memory.max": "8000\n",
            "sys/fs/cgroup/pod/memory.max": "5000\n",
            "sys/fs/cgroup/pod/box/cpu.max": "400000 100000\n",
            "sys/fs/cgroup/pod/cpu.max": "50000 100000\n",
            "sys/fs/cgroup/pod/cpu.stat": "throttled_usec 1\n",
        },
    )

    assert groups.memory_limit_bytes() == 5000
    assert groups.cpu_quota() == 0.5
    assert groups.throttled_s() == 1e-6


def test_version_2_in_a_namespace_reads_the_mounted_top(tmp_path: Path) -> None:
    groups, _ = groups_of(
        tmp_path,
        v2("/") | {"sys/fs/cgroup/memory.max": "123456\n", "sys/fs/cgroup/cpu.max": "100000 100000\n"},
    )

    assert groups.memory_limit_bytes() == 123456
    assert groups.cpu_quota() == 1.0


def test_a_group_outside_the_namespace_falls_back_to_the_mounted_top(tmp_path: Path) -> None:
    groups, _ = groups_of(
        tmp_path,
        v2("/../other/job") | {"sys/fs/cgroup/memory.max": "99\n", "sys/fs/other/job/memory.max": "1\n"},
    )

    assert groups.memory_limit_bytes() == 99


def test_a_container_that_mounts_its_own_group_is_followed(tmp_path: Path) -> None:
    mounts = "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"
    groups, _ = groups_of(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/docker/abc/inner\n",
            "proc/self/mountinfo": mounts,
            "sys/fs/cgroup/memory/inner/memory.limit_in_bytes": "9223372036854771712\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "777\n",
        },
    )

    assert groups.memory_limit_bytes() == 777


def test_version_1_limits_are_read_from_each_controllers_own_tree(tmp_path: Path) -> None:
    groups, reader = groups_of(
        tmp_path,
        v1("/job")
        | {
            "sys/fs/cgroup/memory/job/memory.limit_in_bytes": "2147483648\n",
            "sys/fs/cgroup/memory/job/memory.stat": "cache 1\nhierarchical_memory_limit 2147483648\n",
            "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us": "250000\n",
            "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/cpu,cpuacct/job/cpu.stat": "nr_periods 3\nnr_throttled 2\nthrottled_time 1500000000\n",
        },
    )

    assert groups.memory_limit_bytes() == 2 * 1024**3
    assert groups.cpu_quota() == 2.5
    assert groups.throttled_s() == 1.5
    assert reader.problems == []


def test_version_1_without_limits_has_none(tmp_path: Path) -> None:
    groups, reader = groups_of(
        tmp_path,
        v1("/")
        | {
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        },
    )

    assert groups.memory_limit_bytes() is None
    assert groups.cpu_quota() is None
    assert groups.throttled_s() == 0.0
    assert reader.problems == []


def test_version_1_names_the_limit_of_an_ancestor_that_cannot_be_seen(tmp_path: Path) -> None:
    groups, _ = groups_of(
        tmp_path,
        v1("/")
        | {
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            "sys/fs/cgroup/memory/memory.stat": "hierarchical_memory_limit 5555\n",
        },
    )

    assert groups.memory_limit_bytes() == 5555


def test_a_hybrid_machine_takes_each_controller_from_where_it_is(tmp_path: Path) -> None:
    groups, _ = groups_of(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/a\n0::/b\n",
            "proc/self/mountinfo": V1_MOUNTS,
            "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "1111\n",
            "sys/fs/cgroup/unified/b/cpu.max": "300000 100000\n",
        },
    )

    assert groups.memory_limit_bytes() == 1111
    assert groups.cpu_quota() == 3.0


def test_no_control_groups_is_one_problem_for_each_missing_file_and_no_limit(tmp_path: Path) -> None:
    groups, reader = groups_of(tmp_path, {"proc/self/mountinfo": V2_MOUNTS})

    assert groups.memory_limit_bytes() is None
    assert groups.cpu_quota() is None
    assert groups.throttled_s() is None
    assert reader.problems == [f"control group limits not measured: {tmp_path}/proc/self/cgroup: No such file or directory"]


def test_groups_that_are_not_mounted_are_a_problem(tmp_path: Path) -> None:
    groups, reader = groups_of(tmp_path, v2("/job", mounts="20 1 8:1 / / rw - ext4 /dev/sda1 rw\n"))

    assert groups.memory_limit_bytes() is None
    assert groups.throttled_s() is None
    assert reader.problems == ["control group limits of memory and cpu not measured: no such file system is mounted"]


def test_a_level_that_cannot_be_read_is_a_problem_and_the_others_still_count(tmp_path: Path) -> None:
    (tmp_path / "sys/fs/cgroup/pod/job/memory.max").mkdir(parents=True)
    groups, reader = groups_of(tmp_path, v2("/pod/job") | {"sys/fs/cgroup/pod/memory.max": "4321\n"})

    assert groups.memory_limit_bytes() == 4321
    assert groups.memory_limit_bytes() == 4321
    assert reader.problems == [f"memory limit not measured: {tmp_path}/sys/fs/cgroup/pod/job/memory.max: Is a directory"]


@pytest.mark.parametrize("text", ["", "many\n", "1 2 3\n", "100 0\n"])
def test_a_quota_that_is_not_understood_is_a_problem_and_no_quota(tmp_path: Path, text: str) -> None:
    groups, reader = groups_of(tmp_path, v2("/job") | {"sys/fs/cgroup/job/cpu.max": text})

    assert groups.cpu_quota() is None
    assert reader.problems == [f"CPU quota not measured: {tmp_path}/sys/fs/cgroup/job/cpu.max is not understood"]


def test_a_group_whose_path_has_a_colon_is_read_whole() -> None:
    assert parse_groups("0::/kube:pod/a\n") == {"": "/kube:pod/a"}


def test_a_mount_point_with_a_blank_is_unescaped() -> None:
    (mount,) = parse_mounts("1 2 0:1 / /mnt/my\\040groups rw - cgroup2 none rw\n")

    assert mount.point == Path("/mnt/my groups")


def test_host_facts_are_the_machine_as_granted(tmp_path: Path) -> None:
    reader = plant(
        tmp_path,
        v2("/job")
        | {
            "proc/meminfo": "MemTotal:       16384 kB\nMemFree:   1 kB\nHugePages_Total:       0\n",
            "proc/cpuinfo": "processor\t: 0\nmodel name\t: Fast: CPU 9000\n",
            "sys/fs/cgroup/job/memory.max": "1048576\n",
            "sys/fs/cgroup/job/cpu.max": "50000 100000\n",
        },
    )

    host = host_facts(gpus=("A", "B"), proc=tmp_path / "proc", sys=tmp_path / "sys", files=reader)

    assert host.cores == len(os.sched_getaffinity(0))
    assert host.memory_bytes == 16 * 1024**2
    assert host.memory_limit_bytes == 1024**2
    assert host.cpu_quota == 0.5
    assert host.gpus == ("A", "B")
    assert host.cpu_model == "Fast: CPU 9000"
    assert reader.problems == []


def test_host_facts_without_any_file_are_problems_and_never_an_exception(tmp_path: Path) -> None:
    reader = KernelFiles()

    host = host_facts(proc=tmp_path / "proc", sys=tmp_path / "sys", files=reader)

    assert (host.memory_bytes, host.memory_limit_bytes, host.cpu_quota, host.cpu_model) == (None, None, None, None)
    assert [line.split(" not measured")[0] for line in reader.problems] == [
        "control group limits",
        "control group limits",
        "physical memory",
        "CPU model",
    ]


def test_a_processor_that_states_no_model_has_none_and_no_problem(tmp_path: Path) -> None:
    reader = plant(tmp_path, v2("/") | {"proc/cpuinfo": "processor\t: 0\n", "proc/meminfo": "MemTotal: 1 kB\n"})

    assert host_facts(proc=tmp_path / "proc", sys=tmp_path / "sys", files=reader).cpu_model is None
    assert reader.problems == []


def test_this_machines_own_facts_can_be_read() -> None:
    reader = KernelFiles()

    host = host_facts(files=reader)

    assert host.cores >= 1
    assert host.memory_bytes is not None
    assert host.memory_bytes > 2**20
    assert [line for line in reader.problems if "not understood" in line] == []
