"""The host sampler on planted kernel files and a fake clock: exact differences, exact means, no exceptions."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from pipeprof.capture.host import HostSampler, Process, merge_host_bins, parse_core_ticks
from pipeprof.model.profile import MAX_BINS, HostBin, HostSeries

PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Machine:
    """A small machine: its kernel files in a folder, its clock and its process in attributes."""

    root: Path
    now_s: float = 100.0
    cpu_s: float = 5.0
    switches: int = 10
    cores: tuple[int, ...] = (0, 1)
    children: set[tuple[int, float]] = field(default_factory=set)

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def io(self, read_bytes: int, rchar: int) -> None:
        self.write("proc/self/io", f"rchar: {rchar}\nwchar: 1\nread_bytes: {read_bytes}\nwrite_bytes: 0\n")

    def memory(self, pages: int, peak_kib: int) -> None:
        self.write("proc/self/statm", f"9999 {pages} 10 1 0 50 0\n")
        self.write("proc/self/status", f"Name:\tpython\nVmHWM:\t{peak_kib} kB\nVmRSS:\t1 kB\n")

    def ticks(self, *cores: tuple[int, int, int, int]) -> None:
        """Plant (user, system, idle, steal) of each core."""
        lines = ["cpu  1 2 3 4 5 6 7 8 9 0"]
        lines += [f"cpu{n} {user} 0 {system} {idle} 0 0 0 {steal} 0 0" for n, (user, system, idle, steal) in enumerate(cores)]
        self.write("proc/stat", "\n".join([*lines, "intr 5 0 0", "ctxt 3"]) + "\n")

    def throttled(self, microseconds: int) -> None:
        self.write("sys/fs/cgroup/cpu.stat", f"throttled_usec {microseconds}\n")

    def sampler(self) -> HostSampler:
        process = Process(
            cpu_s=lambda: self.cpu_s,
            involuntary_switches=lambda: self.switches,
            cores=lambda: self.cores,
            children=lambda: self.children,
        )
        return HostSampler(lambda: self.now_s, proc=self.root / "proc", sys=self.root / "sys", process=process)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine of two cores with a quota of one core, all counters at a start that is not zero."""
    planted = Machine(tmp_path)
    planted.write("proc/self/cgroup", "0::/\n")
    planted.write("proc/self/mountinfo", "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n")
    planted.write("sys/fs/cgroup/cpu.max", "100000 100000\n")
    planted.throttled(500_000)
    planted.io(read_bytes=1000, rchar=5000)
    planted.memory(pages=100, peak_kib=PAGE * 100 // 1024)
    planted.ticks((100, 0, 900, 0), (200, 0, 800, 0))
    return planted


def test_nothing_sampled_is_an_empty_series(machine: Machine) -> None:
    assert machine.sampler().freeze() == HostSeries(
        per_core=(0.0, 0.0), read_bytes=0, page_cache_read_bytes=0, throttled_s=0.0, involuntary_switches=0
    )


def test_one_sample_is_the_difference_to_the_start(machine: Machine) -> None:
    sampler = machine.sampler()

    machine.now_s, machine.cpu_s, machine.switches = 102.0, 8.0, 17
    machine.io(read_bytes=4000, rchar=12_000)
    machine.memory(pages=250, peak_kib=PAGE * 300 // 1024)
    machine.ticks((240, 20, 940, 0), (240, 0, 930, 30))
    machine.throttled(750_000)
    sampler.add_lock_checks(30, 11)
    sampler.add_lock_checks(10, 1)
    sampler.sample()

    series = sampler.freeze()
    assert series.bins == (
        HostBin(
            start_s=100.0,
            end_s=102.0,
            cpu_share=0.75,  # 3 CPU seconds in 2 s on 2 cores
            system_cpu_share=0.5,  # 160 + 40 of 200 + 200 ticks
            rss_max_bytes=250 * PAGE,
            read_bytes=3000,
            lock_checks=40,
            lock_held=12,
        ),
    )
    assert series.process_cpu_s == 3.0
    assert series.per_core == (0.8, 0.2)
    assert series.steal_share == 0.075  # 30 of 400 ticks
    assert series.rss_peak_bytes == 300 * PAGE  # the kernel's peak lies between two samples
    assert series.read_bytes == 3000
    assert series.page_cache_read_bytes == 4000  # 7000 asked for, 3000 fetched
    assert series.throttled_s == 0.25
    assert series.involuntary_switches == 7
    assert sampler.problems == ()


def test_each_sample_covers_the_time_since_the_one_before(machine: Machine) -> None:
    sampler = machine.sampler()
    for step in range(1, 4):
        machine.now_s, machine.cpu_s = 100.0 + step, 5.0 + step * 0.5
        machine.io(read_bytes=1000 + 10 * step * step, rchar=5000)
        sampler.sample()

    bins = sampler.freeze().bins

    assert [(one.start_s, one.end_s, one.read_bytes) for one in bins] == [(100, 101, 10), (101, 102, 30), (102, 103, 50)]
    assert [one.cpu_share for one in bins] == [0.25, 0.25, 0.25]


def test_the_systems_share_is_of_the_cores_this_process_may_use(machine: Machine) -> None:
    machine.cores = (1,)
    sampler = machine.sampler()

    machine.now_s, machine.cpu_s = 101.0, 5.5
    machine.ticks((200, 0, 900, 0), (225, 0, 875, 0))
    sampler.sample()

    (only,) = sampler.freeze().bins
    assert only.system_cpu_share == 0.25
    assert only.cpu_share == 0.5
    assert sampler.freeze().per_core == (1.0, 0.25)


def test_a_sample_at_the_same_instant_adds_nothing(machine: Machine) -> None:
    sampler = machine.sampler()

    sampler.sample()

    assert sampler.freeze().bins == ()


def test_reads_from_the_page_cache_are_never_negative(machine: Machine) -> None:
    sampler = machine.sampler()

    machine.now_s = 101.0
    machine.io(read_bytes=9000, rchar=5500)  # read ahead and memory maps fetch more than read calls ask for
    sampler.sample()

    assert sampler.freeze().page_cache_read_bytes == 0


def test_everything_unreadable_is_a_line_each_once_and_never_an_exception(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    sampler = machine.sampler()

    for _ in range(3):
        machine.now_s += 1.0
        machine.cpu_s += 1.0
        sampler.sample()

    series = sampler.freeze()
    assert [one.cpu_share for one in series.bins] == [0.5, 0.5, 0.5]
    assert {(one.system_cpu_share, one.rss_max_bytes, one.read_bytes) for one in series.bins} == {(None, 0, 0)}
    assert (series.rss_peak_bytes, series.read_bytes, series.page_cache_read_bytes) == (None, None, None)
    assert (series.per_core, series.steal_share, series.throttled_s) == ((), None, None)
    assert [line.split(" not measured")[0] for line in sampler.problems] == [
        "control group limits",
        "control group limits",
        "disk reads",
        "CPU use of the machine",
        "memory use",
        "peak memory",
    ]


def test_a_file_that_is_not_understood_is_a_problem(machine: Machine) -> None:
    machine.write("proc/self/io", "something else\n")
    sampler = machine.sampler()

    assert sampler.problems == (f"disk reads not measured: {machine.root}/proc/self/io is not understood",)
    assert sampler.freeze().read_bytes is None


def test_a_sandbox_that_states_no_peak_uses_the_highest_sample(machine: Machine) -> None:
    sampler = machine.sampler()
    for pages in (100, 400, 200):
        machine.now_s += 1.0
        machine.memory(pages=pages, peak_kib=0)
        machine.write("proc/self/status", "Name:\tpython\n")
        sampler.sample()

    assert sampler.freeze().rss_peak_bytes == 400 * PAGE
    assert sampler.problems == ()


def test_children_are_counted_once_each_and_looked_for_every_five_seconds(machine: Machine) -> None:
    sampler = machine.sampler()
    sightings = [{(7, 1.0)}, {(8, 1.0)}, {(7, 1.0), (9, 1.0)}, {(7, 2.0)}]  # at 1, 2, 6 and 11 s; 7's id is used again

    for after_s, alive in zip((1.0, 1.0, 4.0, 5.0), sightings, strict=True):
        machine.now_s += after_s
        machine.children = alive
        sampler.sample()

    assert sampler.children_not_observed == 3


def test_children_that_cannot_be_listed_are_a_problem(machine: Machine) -> None:
    def refuse() -> set[tuple[int, float]]:
        raise psutil.AccessDenied(pid=1)

    sampler = HostSampler(lambda: machine.now_s, proc=machine.root / "proc", process=Process(children=refuse))

    machine.now_s += 1.0
    sampler.sample()

    assert sampler.children_not_observed == 0
    assert any(line.startswith("child processes not counted") for line in sampler.problems)


def test_a_real_child_is_seen(machine: Machine) -> None:
    ticking = itertools.count(0.0, 10.0)
    sampler = HostSampler(lambda: next(ticking), proc=machine.root / "proc", sys=machine.root / "sys")
    sampler.sample()
    before = sampler.children_not_observed

    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        sampler.sample()
        child.communicate(b"\n")

    assert sampler.children_not_observed == before + 1


def test_a_day_of_samples_stays_bounded_and_loses_nothing(machine: Machine) -> None:
    sampler = machine.sampler()
    for step in range(1, 3001):
        machine.now_s = 100.0 + step
        machine.cpu_s = 5.0 + step
        sampler.sample()

    series = sampler.freeze()

    assert len(series.bins) <= MAX_BINS
    assert sum(one.samples for one in series.bins) == 3000
    assert series.process_cpu_s == 3000.0
    assert {round(one.cpu_share, 9) for one in series.bins} == {0.5}


def test_merging_weights_shares_by_time_and_keeps_the_highest_memory() -> None:
    first, second = {"lock_checks": 5, "lock_held": 2}, {"lock_checks": 7, "lock_held": 1}
    short = HostBin(start_s=0, end_s=1, cpu_share=1.0, system_cpu_share=None, rss_max_bytes=9, read_bytes=5, **first)
    long = HostBin(start_s=1, end_s=4, cpu_share=0.2, system_cpu_share=0.4, rss_max_bytes=3, read_bytes=6, samples=2, **second)

    assert merge_host_bins(short, long) == HostBin(
        start_s=0,
        end_s=4,
        cpu_share=pytest.approx(0.4),
        system_cpu_share=0.4,
        rss_max_bytes=9,
        read_bytes=11,
        samples=3,
        lock_checks=12,
        lock_held=3,
    )


def test_waiting_for_storage_is_idle_time_and_old_kernels_have_fewer_columns() -> None:
    cores = parse_core_ticks("cpu 1 1 1 1\ncpu0 10 1 5 100 40 3 2 7 9 9\ncpu3 1 2 3 4\nintr 9\n")

    assert (cores[0].busy, cores[0].stolen, cores[0].total) == (21, 7, 168)
    assert (cores[3].busy, cores[3].stolen, cores[3].total) == (6, 0, 10)


def test_this_process_can_be_sampled() -> None:
    ticking = itertools.count(0.0, 1.0)
    sampler = HostSampler(lambda: next(ticking))

    sampler.sample()

    series = sampler.freeze()
    assert len(series.bins) == 1
    assert series.rss_peak_bytes is not None
    assert series.rss_peak_bytes >= series.bins[0].rss_max_bytes > 2**20
    assert len(series.per_core) >= 1
    assert [line for line in sampler.problems if "not understood" in line] == []
