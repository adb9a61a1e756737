"""What the GPUs did while a pipeline was consumed: the samples that lie within its loop.

The one idea: before the first step a GPU is idle and empty, which says nothing of training. NVML's busy share is that of the
time in which any kernel ran, however small: it bounds what is left to gain, and never says how well a GPU is used.
"""

from __future__ import annotations

from collections.abc import Callable

from pipeprof.model.profile import GpuBin, GpuSeries, Loop

IN_USE_BYTES = 100_000_000  # a GPU that holds less has no model on it
_IN_USE_SHARE = 0.02
_FEWEST_SAMPLES = 10


def bins_in(series: GpuSeries, loop: Loop) -> list[GpuBin]:
    """Return the samples of a GPU from the end of the loop's first step to the end of its last."""
    start_s = loop.start_s + (loop.first_step_s or loop.first_batch_s or 0.0)
    return [item for item in series.bins if item.start_s >= start_s and item.end_s <= loop.end_s]


def mean_in(series: GpuSeries, loop: Loop, read: Callable[[GpuBin], float | None]) -> float | None:
    """Return the mean of a value over the loop, each sample weighted by its length; None where it was not measured."""
    known = [(item.end_s - item.start_s, value) for item in bins_in(series, loop) if (value := read(item)) is not None]
    whole_s = sum(span_s for span_s, _ in known)
    return sum(span_s * value for span_s, value in known) / whole_s if whole_s > 0 else None


def busy_share(series: GpuSeries, loop: Loop) -> float | None:
    """Return the share of the loop in which any kernel ran on a GPU."""
    return mean_in(series, loop, lambda item: item.sm_share)


def used_gpus(gpus: tuple[GpuSeries, ...], loop: Loop) -> list[tuple[GpuSeries, float]]:
    """Return the GPUs that did something in the loop, each with its busy share."""
    found = []
    for series in gpus:
        share = busy_share(series, loop)
        held = max((item.memory_bytes or 0 for item in bins_in(series, loop)), default=0)
        if share is not None and (share >= _IN_USE_SHARE or held >= IN_USE_BYTES):
            found.append((series, share))
    return found


def well_sampled_gpus(gpus: tuple[GpuSeries, ...], loop: Loop) -> list[tuple[GpuSeries, float]]:
    """Return the GPUs that did something in the loop and were sampled often enough to say how busy they were."""
    return [item for item in used_gpus(gpus, loop) if sum(one.samples for one in bins_in(item[0], loop)) >= _FEWEST_SAMPLES]


def name_gpu(series: GpuSeries) -> str:
    """Name a GPU: ``GPU 0 (A100)``."""
    return f"GPU {series.index} ({series.name})"
