"""Summaries of a run: its steps, its resources and its time line, from the bins of the Profile."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from statistics import median

from pipeprof.analysis.histograms import quantile
from pipeprof.analysis.significance import Interval, share_interval
from pipeprof.model.diagnosis import Gpu, Quantiles, Resources, Steps, TimelinePoint
from pipeprof.model.profile import MAX_BINS, EpochRecord, GpuSeries, Histogram, Loop, PipelineRecord, Profile

_MIN_BINS = 3
_MIN_LOCK_CHECKS = 40  # the share is then known to 8 points (one standard error)
_BINS_OF_A_BOUNDARY = 5  # the old iterator taken down, the end of its epoch, the new iterator, the first step


def summarise_steps(record: PipelineRecord | None) -> Steps:
    """Summarise the loop that the verdict is about.

    The wait share is of the loop's wall time after the first step; the making of iterators and the first wait of each
    later epoch are in it, since a per-step median would hide them. Its interval is at 90 %.
    """
    if record is None:
        return Steps(count=0)
    loop = record.loop
    wall = sum(item.wait_s + item.gap_s for item in loop.bins)
    share = low = high = boundary = None
    if len(loop.bins) >= _MIN_BINS and wall > 0 and loop.seen_share > 0:
        interval = _wait_share(loop)
        share, low, high = (min(1.0, max(0.0, value)) for value in (interval.value, interval.low, interval.high))
        boundary = min(share, loop.boundary_wait_s / wall)
    return Steps(
        count=loop.elements,
        median_s=quantile(loop.steps_histogram, 0.5),
        p95_s=quantile(loop.steps_histogram, 0.95),
        first_batch_s=loop.first_batch_s,
        wait_share=share,
        wait_share_low=low,
        wait_share_high=high,
        boundary_wait_share=boundary,
        epochs=max(loop.epoch_count, loop.consumer_epochs),
        method=loop.method,
        step=_quantiles(loop.steps_histogram),
        wait=_quantiles(loop.wait_histogram),
        own=_quantiles(loop.gap_histogram),
        creation_s=loop.creation_s / loop.epoch_count if loop.epoch_count else None,
        teardown_s=_usual_of_later(loop, lambda epoch: epoch.teardown_s),
        epoch_first_wait_s=_usual_of_later(loop, lambda epoch: epoch.first_wait_s),
        edge_s=_usual_of_later(loop, lambda epoch: epoch.teardown_s + epoch.creation_s + epoch.first_wait_s),
    )


def _quantiles(histogram: Histogram) -> Quantiles | None:
    middle, most, nearly_all = (quantile(histogram, q) for q in (0.5, 0.95, 0.99))
    if middle is None or most is None or nearly_all is None:
        return None
    return Quantiles(p50_s=middle, p95_s=most, p99_s=nearly_all)


def _usual_of_later(loop: Loop, value: Callable[[EpochRecord], float]) -> float | None:
    """Return the median over the later epochs, of those that were not merged: the first of them often costs the most."""
    epochs = loop.epochs[1:] if loop.epoch_count == len(loop.epochs) else loop.epochs[1:-1]
    return median(value(epoch) for epoch in epochs) if epochs else None


def _wait_share(loop: Loop) -> Interval:
    """Return the wait share with its interval, in two strata: the steps, and the boundaries between epochs.

    Boundaries are few and long. Taken for ordinary bins they would only widen the interval, and waiting at nothing but
    boundaries would never be found, though every epoch has one: so their spread is judged among themselves.
    """
    blocks = [(item.wait_s, item.wait_s + item.gap_s) for item in loop.bins]
    boundaries = [epoch.teardown_s + epoch.creation_s + epoch.first_wait_s for epoch in loop.epochs[1:]]
    largest = max(boundaries, default=0.0)
    if loop.epoch_count != len(loop.epochs) or largest <= 0:  # where epochs were merged every bin has its boundaries
        return share_interval(blocks)
    steady, taken = _without_boundaries(loop, blocks)
    wall = sum(length for _, length in blocks)
    if wall - taken <= 0:
        return share_interval(blocks)
    within = share_interval(steady)
    between = share_interval([(amount / largest, 1.0) for amount in boundaries])
    weight = (wall - taken) / wall
    scale = taken / wall / between.value
    value = within.value * weight + between.value * scale
    below = math.hypot((within.value - within.low) * weight, (between.value - between.low) * scale)
    above = math.hypot((within.high - within.value) * weight, (between.high - between.value) * scale)
    return Interval(value, max(0.0, value - below), min(1.0, value + above))


def _without_boundaries(loop: Loop, blocks: Sequence[tuple[float, float]]) -> tuple[list[tuple[float, float]], float]:
    """Take the waits between epochs (iterators taken down and made, first elements) out of the bins; return also how much."""
    starts = [item.start_s for item in loop.bins]
    cleaned = list(blocks)
    taken = 0.0
    for epoch in loop.epochs[1:]:
        left = epoch.teardown_s + epoch.creation_s + epoch.first_wait_s
        first = max(0, bisect_right(starts, epoch.start_s - epoch.teardown_s) - 1)
        for index in range(first, min(first + _BINS_OF_A_BOUNDARY, len(cleaned))):
            wait, length = cleaned[index]
            part = min(left, max(0.0, wait))
            cleaned[index] = (wait - part, length - part)
            left -= part
            taken += part
    return cleaned, taken


def summarise_resources(profile: Profile, record: PipelineRecord | None) -> Resources:
    """Summarise what the run used of the machine."""
    host = profile.host
    wall = sum(item.end_s - item.start_s for item in host.bins)
    busy = sum(item.cpu_share * (item.end_s - item.start_s) for item in host.bins)
    loop = record.loop if record is not None else None
    has_cpu = loop is not None and loop.cpu_s is not None and loop.steps_in_bins > 0
    return Resources(
        cpu_share=busy / wall if wall > 0 else None,
        per_core=host.per_core,
        rss_peak_bytes=host.rss_peak_bytes,
        memory_limit_bytes=profile.run.host.memory_limit_bytes or profile.run.host.memory_bytes,
        read_bytes_per_s=host.read_bytes / wall if host.read_bytes is not None and wall > 0 else None,
        throttled_s=host.throttled_s,
        lock_held_share=_lock_held_share(profile, loop),
        gpus=tuple(_gpu(series) for series in profile.gpus),
        cpu_s_per_step=(loop.cpu_s or 0.0) / loop.steps_in_bins if loop is not None and has_cpu else None,
    )


def _lock_held_share(profile: Profile, loop: Loop | None) -> float | None:
    """Return the share of the moments in the loop at which the interpreter's lock was held; None where they are few."""
    if loop is None:
        return None
    bins = [item for item in profile.host.bins if loop.start_s <= item.start_s and item.end_s <= loop.end_s]
    checks = sum(item.lock_checks for item in bins)
    return sum(item.lock_held for item in bins) / checks if checks >= _MIN_LOCK_CHECKS else None


def _gpu(series: GpuSeries) -> Gpu:
    def mean(name: str) -> float | None:
        pairs = [(getattr(item, name), item.samples) for item in series.bins if getattr(item, name) is not None]
        count = sum(samples for _, samples in pairs)
        return sum(value * samples for value, samples in pairs) / count if count else None

    memory = [item.memory_bytes for item in series.bins if item.memory_bytes is not None]
    return Gpu(
        name=series.name,
        sm_share=mean("sm_share"),
        memory_bytes=max(memory, default=None),
        power_w=mean("power_w"),
        pcie_bytes_per_s=mean("pcie_bytes_per_s"),
    )


def draw_timeline(profile: Profile, record: PipelineRecord | None) -> tuple[TimelinePoint, ...]:
    """Return the time line: one point for each bin of steps, with the host's and the GPU's values of that moment."""
    loop_bins = [item for item in record.loop.bins if item.steps] if record is not None else []
    if not loop_bins:
        return tuple(
            TimelinePoint(t_s=item.start_s, cpu_share=item.cpu_share, rss_bytes=item.rss_max_bytes)
            for item in profile.host.bins[:MAX_BINS]
        )
    host, gpu = profile.host.bins, profile.gpus[0].bins if profile.gpus else ()
    host_starts, gpu_starts = [item.start_s for item in host], [item.start_s for item in gpu]
    points = []
    for item in loop_bins[:MAX_BINS]:
        middle = (item.start_s + item.end_s) / 2
        at_host, at_gpu = _index(host_starts, middle), _index(gpu_starts, middle)
        points.append(
            TimelinePoint(
                t_s=item.start_s,
                step_s=item.step_max_s,
                wait_s=item.wait_max_s,
                cpu_share=host[at_host].cpu_share if at_host is not None else None,
                rss_bytes=host[at_host].rss_max_bytes if at_host is not None else None,
                gpu_share=gpu[at_gpu].sm_share if at_gpu is not None else None,
            )
        )
    return tuple(points)


def _index(starts: Sequence[float], moment: float) -> int | None:
    return max(0, min(len(starts) - 1, bisect_left(starts, moment) - 1)) if starts else None
