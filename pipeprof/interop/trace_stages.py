"""From a trace to executed stages: ``read_windows`` gives every pipeline that a profiler's window saw, with its steps.

For a file of hours ago and for a window of 50 ms taken a moment ago alike. What an edge of the window cuts is not in a
trace: only whole calls are counted, and shares are of the time from the first wait to the last. Calculates no shares
itself; it reads no file and no clock.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from pipeprof.interop.trace_epochs import Makings, group_epochs
from pipeprof.interop.trace_events import Scan, detail_of, scan
from pipeprof.interop.trace_loops import Consumed, find_consumers, read_steps
from pipeprof.interop.trace_tree import PS, Trace, build_stages, tracks_below
from pipeprof.interop.trace_work import measure_work
from pipeprof.interop.traced import (
    Consumption,
    TracedBuffer,
    TracedEpoch,
    TracedOp,
    TracedPipeline,
    TracedStage,
    TracedStep,
)
from pipeprof.interop.xplane import Space, Stat

__all__ = [
    "Consumption",
    "TracedBuffer",
    "TracedEpoch",
    "TracedOp",
    "TracedPipeline",
    "TracedStage",
    "TracedStep",
    "detail_of",
    "read_windows",
]

_MEMORY = re.compile(r"\d+ out of (\d+)")
_MIB = 2**20


def read_windows(space: Space) -> tuple[TracedPipeline, ...]:
    """Return the pipelines that were consumed in a window, by their first wait; its iterators are a pipeline's epochs.

    Args:
        space: the events; read with ``detail_of`` it holds all that is needed and little else.
    """
    found = scan(space)
    trace = Trace(found, measure_work(space, found))
    makings = Makings(found)
    consumed = [item for item in find_consumers(found) if item.waits]
    pipelines = [_pipeline(epochs, trace, makings) for epochs in group_epochs(consumed)]
    if pipelines:
        pipelines[0] = replace(pipelines[0], lost_calls=_count_lost(found))
    return tuple(pipelines)


def _count_lost(found: Scan) -> int:
    """Count the calls of iterators that hang below none that was seen."""
    placed = set(tracks_below(found.roots))
    return sum(len(track.spans) for track in found.tracks if track not in placed)


def _pipeline(lives: Sequence[Consumed], trace: Trace, makings: Makings) -> TracedPipeline:
    stats = lives[-1].root.stats
    is_autotuned = "algorithm" in stats
    sizes = [size for life in lives for size in life.root.element_bytes]
    pool = stats.get("threadpool_size")
    return TracedPipeline(
        consumption=lives[0].consumption,
        stages=_below_a_root(lives, trace, is_autotuned=is_autotuned),
        epochs=tuple(_epoch(life, makings) for life in lives),
        thread=lives[0].root.line.partition("/")[0],
        replicas=max(life.replicas for life in lives),
        element_bytes=sum(sizes) / len(sizes) if sizes else None,
        is_autotuned=is_autotuned,
        cpu_budget=_scaled(stats.get("cpu_budget"), 1),
        ram_budget_bytes=_scaled(stats.get("ram_budget_megabytes"), _MIB),
        threadpool_size=pool if isinstance(pool, int) else None,
        memory_bytes=_memory(stats.get("ram_usage_megabytes")),
    )


def _epoch(life: Consumed, makings: Makings) -> TracedEpoch:
    made_s = makings.seconds(life.root)
    return TracedEpoch(
        id=life.root.id,
        steps=read_steps(life.waits),
        first_s=life.waits[0][0] * PS,
        last_s=max(end for _, end in life.waits) * PS,
        is_born=made_s is not None,
        made_s=made_s,
    )


def _below_a_root(lives: Sequence[Consumed], trace: Trace, *, is_autotuned: bool) -> tuple[TracedStage, ...]:
    """Return the user's stages below a root whose elements are the consumer's steps."""
    consumption = lives[0].consumption
    stages = build_stages([life.root for life in lives], trace, is_autotuned=is_autotuned)
    root = replace(stages[0], elements=sum(len(life.waits) for life in lives))
    if consumption is Consumption.GRAPH_LOOP:  # what lies between the root and the loop's body is the loop
        inner = build_stages([top for life in lives for top in life.tops], trace, is_autotuned=is_autotuned)
        moved = (replace(item, id=_below(item.id), inputs=tuple(map(_below, item.inputs))) for item in inner)
        return (replace(root, inputs=(_below("0"),), busy_s=0.0), *moved)
    if consumption is Consumption.HAND_OVER:  # the shared root's time is none of the replicas'
        root = replace(root, busy_s=0.0)
    return (root, *stages[1:])


def _below(stage_id: str) -> str:
    return f"0.{stage_id}"


def _scaled(value: Stat | None, unit: float) -> float | None:
    return float(value) * unit if isinstance(value, int | float) else None


def _memory(value: Stat | None) -> int | None:
    found = _MEMORY.match(value) if isinstance(value, str) else None
    return int(found[1]) * _MIB if found is not None else None
