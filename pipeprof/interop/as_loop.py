"""Traced steps as the Profile's Loop: bins, histograms and epochs of what the window saw.

The first step of a pipeline that was made within the window is a start (tracing, filling buffers) and kept apart, as in a
run. Nothing is added for what lies outside the window.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from pipeprof.interop.traced import TracedEpoch, TracedPipeline, TracedStep
from pipeprof.model.profile import MAX_BINS, EpochRecord, Histogram, Loop, LoopBin

METHOD = "trace"
MAX_EPOCHS = 64
_SHORTEST_S = 1e-9


def traced_loop(pipeline: TracedPipeline) -> Loop:
    """Return how a pipeline was consumed."""
    epochs = [epoch for epoch in pipeline.epochs if epoch.steps]
    if not epochs:
        return Loop(method=METHOD, elements=sum(len(epoch.steps) for epoch in pipeline.epochs))
    started = epochs[0] if epochs[0].is_born else None
    first = started.steps[0] if started is not None else None
    steps = [step for epoch in epochs for step in epoch.steps if step is not first]
    creations = [epoch.made_s or 0.0 for epoch in epochs]
    return Loop(
        method=METHOD,
        elements=sum(len(epoch.steps) for epoch in epochs),
        start_s=epochs[0].first_s,
        end_s=epochs[-1].last_s,
        wall_s=sum(creations) + sum(_wall(epoch) for epoch in epochs),
        wait_s=sum(step.wait_s for epoch in epochs for step in epoch.steps),
        creation_s=sum(creations),
        first_batch_s=creations[0] + first.wait_s if first is not None else None,
        first_step_s=creations[0] + first.wait_s + first.gap_s if first is not None else None,
        steps_in_bins=len(steps),
        steps_histogram=_histogram(step.wait_s + step.gap_s for step in steps),
        wait_histogram=_histogram(step.wait_s for step in steps),
        gap_histogram=_histogram(step.gap_s for step in steps),
        epochs=tuple(_record(epoch) for epoch in epochs[:MAX_EPOCHS]),
        epoch_count=len(epochs),
        bins=_bins(steps, epochs[1:]),
        boundary_wait_s=_boundaries(epochs[1:]),
    )


def _wall(epoch: TracedEpoch) -> float:
    return sum(step.wait_s + step.gap_s for step in epoch.steps)


def _boundaries(later: Sequence[TracedEpoch]) -> float:
    """Return the making of later iterators and the wait for their first elements."""
    return sum((epoch.made_s or 0.0) + epoch.steps[0].wait_s for epoch in later if epoch.is_born)


def _record(epoch: TracedEpoch) -> EpochRecord:
    return EpochRecord(
        start_s=epoch.first_s - (epoch.made_s or 0.0),
        elements=len(epoch.steps),
        creation_s=epoch.made_s or 0.0,
        first_wait_s=epoch.steps[0].wait_s if epoch.is_born else 0.0,
        wait_s=sum(step.wait_s for step in epoch.steps),
        wall_s=(epoch.made_s or 0.0) + _wall(epoch),
    )


def _bins(steps: Sequence[TracedStep], later: Sequence[TracedEpoch]) -> tuple[LoopBin, ...]:
    """Return the steps, and the makings of later iterators as waiting, in at most ``MAX_BINS`` bins of equally many."""
    items = [(step.start_s, 1, step.wait_s, step.gap_s) for step in steps]
    items += [(epoch.first_s - epoch.made_s, 0, epoch.made_s, 0.0) for epoch in later if epoch.made_s]
    items.sort()
    size = max(1, math.ceil(len(items) / MAX_BINS))
    return tuple(_bin(items[at : at + size]) for at in range(0, len(items), size))


def _bin(items: Sequence[tuple[float, int, float, float]]) -> LoopBin:
    start, _, _, _ = items[0]
    last, _, wait, gap = items[-1]
    lengths = [item_wait + item_gap for _, is_step, item_wait, item_gap in items if is_step]
    return LoopBin(
        start_s=start,
        end_s=last + wait + gap,
        steps=len(lengths),
        wait_s=sum(item[2] for item in items),
        gap_s=sum(item[3] for item in items),
        wait_max_s=max(item[2] for item in items),
        step_max_s=max(lengths, default=wait + gap),
        step_min_s=min(lengths, default=0.0),
    )


def _histogram(seconds: Iterable[float]) -> Histogram:
    empty = Histogram()
    base = math.log(empty.base)
    counts = Counter(math.floor(math.log(max(value, _SHORTEST_S)) / base) for value in seconds)
    return Histogram(base=empty.base, counts={str(bucket): counts[bucket] for bucket in sorted(counts)})
