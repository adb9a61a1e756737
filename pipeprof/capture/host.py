"""What the host does while the script runs: CPU, memory, storage and the limits of the process's control groups.

Everything is read from the kernel's counters as differences between two samples, so a late sample loses resolution and
nothing else. Children of the process are not followed; they are counted. Nothing here raises for what cannot be read: it
becomes one line of ``problems``, and its value ``None``.
"""

from __future__ import annotations

import os
import resource
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import psutil

from pipeprof.capture.bins import BoundedSeries
from pipeprof.capture.host_facts import PROC, SYS, ControlGroups, KernelFiles, host_facts, schedulable_cores
from pipeprof.model.profile import HostBin, HostSeries

__all__ = ["HostSampler", "Process", "host_facts"]

_CHILDREN_EVERY_S = 5.0  # finding children reads one file for every process of the machine
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def _live_children() -> frozenset[tuple[int, float]]:
    """Return the direct children as (process id, start time): ids alone are used again."""
    found = set()
    for child in psutil.Process().children():
        try:
            found.add((child.pid, child.create_time()))
        except psutil.Error:  # it ended in between
            continue
    return frozenset(found)


def _involuntary_switches() -> int:
    """Return the involuntary context switches of all threads; ``/proc/self/status`` has the main thread's alone."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


@dataclass(frozen=True, kw_only=True, slots=True)
class Process:
    """How this process is asked about itself; each reader is the system's own."""

    cpu_s: Callable[[], float] = time.process_time  # all threads, children excluded, seconds
    involuntary_switches: Callable[[], int] = _involuntary_switches
    cores: Callable[[], Collection[int]] = schedulable_cores
    children: Callable[[], Collection[tuple[int, float]]] = _live_children


@dataclass(frozen=True, kw_only=True, slots=True)
class _CoreTicks:
    """One core's time since boot, in the kernel's ticks."""

    busy: int  # all processes: user, nice, system and interrupts
    stolen: int  # taken by the hypervisor
    total: int


class _Counter:
    """A number that only grows, of which the growth since its first reading is asked."""

    __slots__ = ("first", "growth", "step")

    def __init__(self) -> None:
        self.first: float | None = None
        self.growth: float | None = None  # since the first reading
        self.step: float = 0.0  # since the reading before

    def read(self, value: float | None) -> None:
        if value is None:
            self.step = 0.0
        elif self.first is None or self.growth is None:
            self.first, self.growth, self.step = value, 0.0, 0.0
        else:
            growth = max(self.growth, value - self.first)
            self.step, self.growth = growth - self.growth, growth

    def whole(self) -> int | None:
        return None if self.growth is None else int(self.growth)


class HostSampler:
    """Samples the process and its host; one thread calls :meth:`sample`, any thread :meth:`freeze`.

    The counters start at construction. Shares of the process and of the system are of the cores it may run on.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        *,
        proc: Path = PROC,
        sys: Path = SYS,
        process: Process | None = None,
    ) -> None:
        """Read every counter once.

        Args:
            clock: the capture's clock, in seconds.
            proc: root of the process file system.
            sys: root of the system file system.
            process: how this process is asked about itself.
        """
        self._clock = clock
        self._proc = proc
        self._process = process or Process()
        self._files = KernelFiles()
        self._groups = ControlGroups(self._files, proc, sys)
        self._lock = threading.Lock()
        self._series: BoundedSeries[HostBin] = BoundedSeries(merge_host_bins)
        self._cpu, self._switches, self._throttled = _Counter(), _Counter(), _Counter()
        self._storage, self._requested = _Counter(), _Counter()
        self._first_ticks: dict[int, _CoreTicks] = {}
        self._ticks: dict[int, _CoreTicks] = {}
        self._rss_peak = 0
        self._children: frozenset[tuple[int, float]] = frozenset()
        self._child_count = 0
        self._children_at = -_CHILDREN_EVERY_S
        self._lock_checks = self._lock_held = 0
        self._at = clock()
        with self._lock:
            self._read_counters()
            self._read_ticks()

    def add_lock_checks(self, checks: int, held: int) -> None:
        """The interpreter's lock was asked for so often, and so often another thread had it, since the last call."""
        self._lock_checks += checks
        self._lock_held += held

    def sample(self) -> None:
        """Take one sample, which covers the time since the one before; never raises for what cannot be read."""
        with self._lock:
            now = self._clock()
            if now <= self._at:
                return
            start, self._at = self._at, now
            self._read_counters()
            cores = self._process.cores()
            rss = self._read_memory()
            host_bin = HostBin(
                start_s=start,
                end_s=now,
                cpu_share=min(1.0, self._cpu.step / ((now - start) * max(1, len(cores)))),
                system_cpu_share=self._system_share(cores),
                rss_max_bytes=rss,
                read_bytes=int(self._storage.step),
                lock_checks=self._lock_checks,
                lock_held=self._lock_held,
            )
            self._lock_checks = self._lock_held = 0
            self._series.add(host_bin)
            self._count_children(now)

    def freeze(self) -> HostSeries:
        """Return everything up to the last sample."""
        with self._lock:
            storage, requested = self._storage.whole(), self._requested.whole()
            cached = None if storage is None or requested is None else max(0, requested - storage)
            return HostSeries(
                bins=self._series.items(),
                process_cpu_s=self._cpu.growth or 0.0,
                per_core=self._per_core(),
                steal_share=self._steal_share(),
                rss_peak_bytes=self._rss_peak or None,
                read_bytes=storage,
                page_cache_read_bytes=cached,
                throttled_s=self._throttled.growth,
                involuntary_switches=self._switches.whole(),
            )

    @property
    def problems(self) -> tuple[str, ...]:
        """What could not be read, one line each."""
        return tuple(self._files.problems)

    @property
    def children_not_observed(self) -> int:
        """How many direct children were seen; those that live shorter than five seconds may be missed."""
        return self._child_count

    def _read_counters(self) -> None:
        self._cpu.read(self._process.cpu_s())
        self._switches.read(self._process.involuntary_switches())
        self._throttled.read(self._groups.throttled_s())
        storage, requested = self._files.parse(self._proc / "self" / "io", "disk reads", _parse_io) or (None, None)
        self._storage.read(storage)
        self._requested.read(requested)

    def _read_memory(self) -> int:
        """Return resident memory in bytes, 0 if unknown, and remember the highest that the kernel or a sample saw."""
        pages = self._files.parse(self._proc / "self" / "statm", "memory use", lambda text: int(text.split()[1]))
        rss = (pages or 0) * _PAGE_BYTES
        peak = self._files.parse(self._proc / "self" / "status", "peak memory", _parse_peak)
        self._rss_peak = max(self._rss_peak, rss, peak or 0)
        return rss

    def _read_ticks(self) -> dict[int, _CoreTicks]:
        """Read all cores and return what they had before."""
        before = self._ticks
        self._ticks = self._files.parse(self._proc / "stat", "CPU use of the machine", parse_core_ticks) or {}
        for core, ticks in self._ticks.items():
            self._first_ticks.setdefault(core, ticks)
        return before

    def _system_share(self, cores: Collection[int]) -> float | None:
        """Return how busy the schedulable cores were since the sample before; all cores where those are not listed."""
        before = self._read_ticks()
        listed = self._ticks.keys() & before.keys()
        chosen = (listed & set(cores)) or listed
        busy = sum(self._ticks[core].busy - before[core].busy for core in chosen)
        total = sum(self._ticks[core].total - before[core].total for core in chosen)
        return _share(busy, total)

    def _per_core(self) -> tuple[float, ...]:
        pairs = ((self._first_ticks[core], self._ticks[core]) for core in sorted(self._ticks))
        return tuple(_share(last.busy - first.busy, last.total - first.total) or 0.0 for first, last in pairs)

    def _steal_share(self) -> float | None:
        pairs = [(self._first_ticks[core], self._ticks[core]) for core in self._ticks]
        stolen = sum(last.stolen - first.stolen for first, last in pairs)
        return _share(stolen, sum(last.total - first.total for first, last in pairs))

    def _count_children(self, now: float) -> None:
        if now - self._children_at < _CHILDREN_EVERY_S:
            return
        self._children_at = now
        try:
            alive = frozenset(self._process.children())
        except (psutil.Error, OSError) as error:
            self._files.note(f"child processes not counted: {error}")
            return
        self._child_count += len(alive - self._children)
        self._children = alive


def merge_host_bins(earlier: HostBin, later: HostBin) -> HostBin:
    """Merge two neighbours: shares are weighted by time, memory keeps its maximum, bytes and samples add up."""
    return HostBin(
        start_s=earlier.start_s,
        end_s=later.end_s,
        cpu_share=_mean_share(earlier, later, earlier.cpu_share, later.cpu_share) or 0.0,
        system_cpu_share=_mean_share(earlier, later, earlier.system_cpu_share, later.system_cpu_share),
        rss_max_bytes=max(earlier.rss_max_bytes, later.rss_max_bytes),
        read_bytes=earlier.read_bytes + later.read_bytes,
        samples=earlier.samples + later.samples,
        lock_checks=earlier.lock_checks + later.lock_checks,
        lock_held=earlier.lock_held + later.lock_held,
    )


def parse_core_ticks(text: str) -> dict[int, _CoreTicks]:
    """Return each core's ticks of ``/proc/stat``.

    Guest time is part of user time already; waiting for storage is idle time. See proc(5).
    """
    cores = {}
    for line in text.splitlines():
        name, *fields = line.split()
        if name.startswith("cpu") and name != "cpu":
            user, nice, system, idle, io_wait, hard, soft, stolen = (*map(int, fields[:8]), *(0,) * (8 - len(fields[:8])))
            busy = user + nice + system + hard + soft
            cores[int(name[3:])] = _CoreTicks(busy=busy, stolen=stolen, total=busy + idle + io_wait + stolen)
    return cores


def _mean_share(earlier: HostBin, later: HostBin, first: float | None, second: float | None) -> float | None:
    if first is None or second is None:
        return second if first is None else first
    first_s, second_s = earlier.end_s - earlier.start_s, later.end_s - later.start_s
    return (first * first_s + second * second_s) / (first_s + second_s)


def _share(part: int, whole: int) -> float | None:
    """Return ``part`` of ``whole`` between 0 and 1; ticks of an idle core may step back by one."""
    return min(1.0, max(0.0, part / whole)) if whole > 0 else None


def _parse_io(text: str) -> tuple[int, int]:
    """Return bytes fetched from storage, and bytes asked for by read calls (files, but pipes and sockets too)."""
    fields = dict(line.split(": ") for line in text.splitlines())
    return int(fields["read_bytes"]), int(fields["rchar"])


def _parse_peak(text: str) -> int | None:
    """Return the highest resident memory so far; some sandboxes do not state it."""
    line = next((line for line in text.splitlines() if line.startswith("VmHWM:")), None)
    return None if line is None else int(line.split()[1]) * 1024
