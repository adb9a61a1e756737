"""What the GPUs of this process do while the script runs, as NVIDIA's management library (NVML) counts it.

The library is loaded with the first sample, never creates a CUDA context, and is asked only about the GPUs that CUDA shows
this process. A value that a device does not support is named, a device that is lost is asked no more, and a machine without
a GPU costs one line of ``problems``. Nothing here raises for what cannot be read.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from pipeprof.capture.bins import BoundedSeries
from pipeprof.model.profile import GpuBin, GpuSeries

_PCIE = "PCIe throughput"
_PCIE_EVERY_S = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class _Mean:
    """A sum that knows how many values are in it."""

    total: float = 0.0
    count: int = 0

    def __add__(self, other: _Mean) -> _Mean:
        return _Mean(total=self.total + other.total, count=self.count + other.count)

    def value(self) -> float | None:
        return self.total / self.count if self.count else None


def _mean_of(value: float | None) -> _Mean:
    return _Mean() if value is None else _Mean(total=value, count=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Bin:
    """Consecutive samples of one GPU, as sums, so that merging loses nothing."""

    start_s: float
    end_s: float
    sm_share: _Mean
    memory_bytes: int | None
    power_w: _Mean
    pcie_bytes_per_s: _Mean
    samples: int = 1

    def freeze(self) -> GpuBin:
        return GpuBin(
            start_s=self.start_s,
            end_s=self.end_s,
            sm_share=self.sm_share.value(),
            memory_bytes=self.memory_bytes,
            power_w=self.power_w.value(),
            pcie_bytes_per_s=self.pcie_bytes_per_s.value(),
            samples=self.samples,
        )


def _merge(earlier: _Bin, later: _Bin) -> _Bin:
    """Merge two neighbours: memory keeps its maximum, the others their means."""
    memory = [size for size in (earlier.memory_bytes, later.memory_bytes) if size is not None]
    return _Bin(
        start_s=earlier.start_s,
        end_s=later.end_s,
        sm_share=earlier.sm_share + later.sm_share,
        memory_bytes=max(memory, default=None),
        power_w=earlier.power_w + later.power_w,
        pcie_bytes_per_s=earlier.pcie_bytes_per_s + later.pcie_bytes_per_s,
        samples=earlier.samples + later.samples,
    )


@dataclass(kw_only=True, slots=True)
class _Device:
    """One GPU, or one instance of a GPU that is divided (MIG)."""

    handle: Any  # NVML's opaque handle
    uuid: str
    index: int
    name: str
    memory_total_bytes: int | None = None
    unsupported: list[str] = field(default_factory=list)
    series: BoundedSeries[_Bin] = field(default_factory=lambda: BoundedSeries(_merge))
    sampled_at_s: float = 0.0
    pcie_bytes_per_s: float | None = None  # the last reading holds until the next
    pcie_at_s: float = -math.inf
    lost: bool = False

    @property
    def title(self) -> str:
        return f"GPU {self.index} ({self.name})"


class GpuSampler:
    """Samples the GPUs that this process can see; one thread calls :meth:`sample`, any thread :meth:`freeze`.

    ``CUDA_VISIBLE_DEVICES`` is looked at again with every sample, since scripts set it in their first lines; the last
    value counts. Shares are NVML's: the share of its last sampling period (up to a second) in which any kernel ran.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, environment: Mapping[str, str] = os.environ) -> None:
        """Load nothing yet.

        Args:
            clock: the capture's clock, in seconds.
            environment: where CUDA's own settings are.
        """
        self._clock = clock
        self._environment = environment
        self._lock = threading.Lock()
        self._nvml: ModuleType | None = None
        self._started_s = clock()
        self._closed = False
        self._selected = False
        self._setting: str | None = None  # CUDA_VISIBLE_DEVICES as it was when the GPUs were selected
        self._known: dict[str, _Device] = {}  # by UUID, whether visible or not
        self._visible: list[_Device] = []
        self._problems: list[str] = []
        self._no_gpu: str | None = None

    def sample(self) -> None:
        """Take one sample of each visible GPU; free without any, and never raises for what cannot be read."""
        with self._lock:
            if self._closed or not self._open():
                return
            self._select()
            on_the_bus = self._next_on_the_bus()
            for device in self._visible:
                self._sample(device, reads_bus=device is on_the_bus)

    def freeze(self) -> tuple[GpuSeries, ...]:
        """Return everything up to the last sample, one series for each visible GPU."""
        with self._lock:
            return tuple(
                GpuSeries(
                    index=device.index,
                    name=device.name,
                    bins=tuple(one.freeze() for one in device.series.items()),
                    memory_total_bytes=device.memory_total_bytes,
                    unsupported=tuple(device.unsupported),
                )
                for device in self._visible
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the visible GPUs, known after the first sample."""
        return tuple(device.name for device in self._visible)

    @property
    def problems(self) -> tuple[str, ...]:
        """What could not be read, one line each."""
        absent = [f"no NVIDIA GPU seen: {self._no_gpu}; GPU figures are not measured"] if self._no_gpu else []
        return (*absent, *self._problems)

    def close(self) -> None:
        """Let go of the library; what was sampled stays. May be called again."""
        with self._lock:
            self._closed = True
            nvml, self._nvml = self._nvml, None
            if nvml is None:
                return
            try:
                nvml.nvmlShutdown()
            except nvml.NVMLError as error:
                self._note(f"NVML was not shut down: {error}")

    def _open(self) -> bool:
        """Load the library once; without it this sampler is closed."""
        if self._nvml is not None:
            return True
        try:
            import pynvml
        except ImportError as error:
            return self._give_up(str(error))
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            return self._give_up(str(error))
        self._nvml = pynvml
        return True

    def _give_up(self, reason: str) -> bool:
        self._closed, self._no_gpu = True, reason
        return False

    def _select(self) -> None:
        """Find the visible GPUs, at first and again when CUDA's setting changes."""
        setting = self._environment.get("CUDA_VISIBLE_DEVICES")
        if self._selected and setting == self._setting:
            return
        self._selected, self._setting, self._no_gpu = True, setting, None
        installed = self._installed()
        chosen = installed if setting is None else self._chosen(setting, installed)
        devices = (self._device(handle) for handle in chosen if handle is not None)
        self._visible = list({device.uuid: device for device in devices if device is not None}.values())
        if not self._visible:
            self._no_gpu = "the driver shows none" if setting is None else f"CUDA_VISIBLE_DEVICES={setting!r} shows none"

    def _installed(self) -> list[Any]:
        """Return a handle for each GPU of the driver, ``None`` in the place of one that cannot be had."""
        nvml = self._library()
        count = self._asked("the number of GPUs", nvml.nvmlDeviceGetCount) or 0
        return [self._asked(f"GPU {index}", nvml.nvmlDeviceGetHandleByIndex, index) for index in range(count)]

    def _chosen(self, setting: str, installed: list[Any]) -> list[Any]:
        """Return the handles that ``CUDA_VISIBLE_DEVICES`` names, up to the first name that is not valid.

        Names are indices, UUIDs or unambiguous beginnings of UUIDs, as the CUDA programming guide states them.
        """
        nvml = self._library()
        chosen: list[Any] = []
        for name in (part.strip() for part in setting.split(",")):
            if name.startswith("MIG-"):
                handle = self._asked(name, nvml.nvmlDeviceGetHandleByUUID, name)
            elif name.startswith("GPU-"):
                handle = self._by_uuid(name, installed)
            else:
                handle = installed[int(name)] if name.isdecimal() and int(name) < len(installed) else None
            if handle is None:
                break
            chosen.append(handle)
        if chosen and any(name.strip().isdecimal() for name in setting.split(",")):
            self._warn_of_order(installed)
        return chosen

    def _by_uuid(self, beginning: str, installed: list[Any]) -> Any:
        """Return the handle of the one GPU whose UUID begins so, ``None`` if there are none or several."""
        ask = self._library().nvmlDeviceGetUUID
        handles = [handle for handle in installed if handle is not None]
        fitting = [handle for handle in handles if (self._asked("a GPU", ask, handle) or "").startswith(beginning)]
        return fitting[0] if len(fitting) == 1 else None

    def _warn_of_order(self, installed: list[Any]) -> None:
        """CUDA counts the fastest GPU first unless told otherwise, NVML counts by bus: unlike GPUs may be mixed up."""
        ask = self._library().nvmlDeviceGetName
        names = {self._asked("a GPU", ask, handle) for handle in installed if handle is not None}
        if len(names) > 1 and self._environment.get("CUDA_DEVICE_ORDER") != "PCI_BUS_ID":
            self._note("GPUs of different kinds: without CUDA_DEVICE_ORDER=PCI_BUS_ID the figures may be of another GPU")

    def _device(self, handle: Any) -> _Device | None:
        """Describe a GPU, or return it if it is known, so that its series goes on; ``None`` if it does not answer."""
        uuid = self._asked("a GPU", self._library().nvmlDeviceGetUUID, handle)
        if uuid is None:
            return None
        if uuid not in self._known:
            described = self._asked(uuid, self._described, handle, uuid)
            if described is None:
                return None
            self._known[uuid] = described
        return self._known[uuid]

    def _described(self, handle: Any, uuid: str) -> _Device:
        nvml = self._library()
        whole = nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle) if uuid.startswith("MIG-") else handle
        return _Device(
            handle=handle,
            uuid=uuid,
            index=nvml.nvmlDeviceGetIndex(whole),
            name=nvml.nvmlDeviceGetName(handle),
            sampled_at_s=self._started_s,
        )

    def _asked(self, what: str, ask: Callable[..., Any], *arguments: Any) -> Any:
        """Return NVML's answer, ``None`` and a problem where it refuses."""
        try:
            return ask(*arguments)
        except self._library().NVMLError as error:
            self._note(f"{what} not measured: {error}")
            return None

    def _next_on_the_bus(self) -> _Device | None:
        """Return the GPU whose PCIe throughput is due: reading it waits 40 ms, so they take turns, and not often."""
        able = [device for device in self._visible if not device.lost and _PCIE not in device.unsupported]
        longest_ago = min(able, key=lambda device: device.pcie_at_s, default=None)
        latest_s = max((device.pcie_at_s for device in able), default=-math.inf)
        return longest_ago if self._clock() - latest_s >= _PCIE_EVERY_S else None

    def _sample(self, device: _Device, *, reads_bus: bool) -> None:
        nvml, handle = self._library(), device.handle
        memory = self._value(device, "memory", lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
        sm_percent = self._value(device, "SM utilisation", lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
        milliwatts = self._value(device, "power", lambda: nvml.nvmlDeviceGetPowerUsage(handle))
        if reads_bus:
            device.pcie_at_s = self._clock()
            device.pcie_bytes_per_s = self._value(device, _PCIE, lambda: _pcie_bytes_per_s(nvml, handle))
        if device.lost:
            return
        if memory is not None:
            device.memory_total_bytes = int(memory.total)
        now = self._clock()
        device.series.add(
            _Bin(
                start_s=device.sampled_at_s,
                end_s=now,
                sm_share=_mean_of(None if sm_percent is None else sm_percent / 100),
                memory_bytes=None if memory is None else int(memory.used),
                power_w=_mean_of(None if milliwatts is None else milliwatts / 1000),
                pcie_bytes_per_s=_mean_of(device.pcie_bytes_per_s),
            )
        )
        device.sampled_at_s = now

    def _value(self, device: _Device, what: str, read: Callable[[], Any]) -> Any:
        """Return one reading, ``None`` where it is not supported or fails; a device that is gone is marked lost."""
        if device.lost or what in device.unsupported:
            return None
        nvml = self._library()
        try:
            return read()
        except nvml.NVMLError as error:
            if error.value in self._not_supported(device):
                device.unsupported.append(what)
            elif error.value in {nvml.NVML_ERROR_GPU_IS_LOST, nvml.NVML_ERROR_RESET_REQUIRED, nvml.NVML_ERROR_UNINITIALIZED}:
                device.lost = True
                self._note(f"{device.title} is not measured any more: {error}")
            else:
                self._note(f"{what} of {device.title} not measured: {error}")
            return None

    def _not_supported(self, device: _Device) -> set[int]:
        """Return the errors that mean so: an instance of a divided GPU refuses what only the whole GPU has."""
        nvml = self._library()
        always = {nvml.NVML_ERROR_NOT_SUPPORTED, nvml.NVML_ERROR_FUNCTION_NOT_FOUND}
        return always | {nvml.NVML_ERROR_INVALID_ARGUMENT} if device.uuid.startswith("MIG-") else always

    def _library(self) -> ModuleType:
        if self._nvml is None:
            raise RuntimeError("NVML is not loaded")
        return self._nvml

    def _note(self, line: str) -> None:
        if line not in self._problems:
            self._problems.append(line)


def _pcie_bytes_per_s(nvml: ModuleType, handle: Any) -> float:
    """Return the bus's throughput in both directions; NVML watches each for 20 ms and states kB/s."""
    directions = (nvml.NVML_PCIE_UTIL_TX_BYTES, nvml.NVML_PCIE_UTIL_RX_BYTES)
    return float(sum(nvml.nvmlDeviceGetPcieThroughput(handle, one) for one in directions) * 1000)
