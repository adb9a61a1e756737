"""From a trace to executed stages: ``read_windows`` gives every pipeline that a profiler's window saw, with its steps.

For a file of hours ago and for a window of 50 ms taken a moment ago alike. What an edge of the window cuts is not in a
trace: only whole calls are counted, and shares are of the time from the first wait to the last. Calculates no shares
itself; it reads no file and no clock.
"""

from __future__ import annotations

import re
from dataclasses import replace

from pipeprof.interop.node_kinds import ROOT
from pipeprof.interop.trace_events import Scan, Track, detail_of, scan
from pipeprof.interop.trace_loops import Consumed, find_consumers, read_steps
from pipeprof.interop.trace_tree import PS, Trace, build_stages, tracks_below
from pipeprof.interop.trace_work import measure_work
from pipeprof.interop.traced import (
    Consumption,
    TracedBuffer,
    TracedOp,
    TracedPipeline,
    TracedStage,
    TracedStep,
)
from pipeprof.interop.xplane import Space, Stat

__all__ = [
    "Consumption",
    "TracedBuffer",
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
    """Return the pipelines that were consumed in a window, by their first wait; one for each iterator.

    Args:
        space: the events; read with ``detail_of`` it holds all that is needed and little else.
    """
    found = scan(space)
    trace = Trace(found, measure_work(space, found))
    makings = _Makings(found)
    pipelines = [_pipeline(consumed, trace, makings) for consumed in find_consumers(found) if consumed.waits]
    lost = _count_lost(found)
    if lost and pipelines:
        text = f"{lost:,} calls of stages whose consumer the window does not show are left out"
        pipelines[0] = replace(pipelines[0], notes=(*pipelines[0].notes, text))
    return tuple(pipelines)


def _count_lost(found: Scan) -> int:
    """Count the calls of iterators that hang below none that was seen."""
    placed = set(tracks_below(found.roots))
    return sum(len(track.spans) for track in found.tracks if track not in placed)


class _Makings:
    """Which iterators were made within the window: each making is the next new iterator's."""

    def __init__(self, found: Scan) -> None:
        makings = sorted(found.makings)
        self._born: set[Track] = set()
        for root in sorted(found.roots, key=lambda track: track.life):
            before = [making for making in makings if making[1] <= root.life[0]]
            if before:
                makings.remove(before[-1])
                self._born.add(root)

    def has(self, root: Track) -> bool:
        return root in self._born


def _pipeline(consumed: Consumed, trace: Trace, makings: _Makings) -> TracedPipeline:
    root, stats = consumed.root, consumed.root.stats
    is_autotuned = "algorithm" in stats
    stages = _below_a_root(consumed, trace, is_autotuned=is_autotuned)
    sizes = root.element_bytes
    pool = stats.get("threadpool_size")
    return TracedPipeline(
        id=root.id,
        consumption=consumed.consumption,
        stages=stages,
        steps=read_steps(consumed.waits),
        first_s=consumed.waits[0][0] * PS,
        last_s=max(end for _, end in consumed.waits) * PS,
        is_born=makings.has(root),
        replicas=consumed.replicas,
        element_bytes=sum(sizes) / len(sizes) if sizes else None,
        is_autotuned=is_autotuned,
        cpu_budget=_float(stats.get("cpu_budget")),
        ram_budget_bytes=_scaled(stats.get("ram_budget_megabytes"), _MIB),
        threadpool_size=pool if isinstance(pool, int) else None,
        memory_bytes=_memory(stats.get("ram_usage_megabytes")),
    )


def _below_a_root(consumed: Consumed, trace: Trace, *, is_autotuned: bool) -> tuple[TracedStage, ...]:
    """Return the user's stages below a root whose elements are the consumer's steps."""
    stages = build_stages([consumed.root], trace, is_autotuned=is_autotuned)
    if consumed.consumption is Consumption.GRAPH_LOOP:
        inner = build_stages(consumed.tops, trace, is_autotuned=is_autotuned)
        top = TracedStage(id="0", node=ROOT, name=stages[0].name, inputs=("0.0",))
        moved = (replace(item, id=_below(item.id), inputs=tuple(map(_below, item.inputs))) for item in inner)
        stages = (top, *moved)
    return (replace(stages[0], elements=len(consumed.waits), busy_s=_own_s(stages[0], consumed)), *stages[1:])


def _below(stage_id: str) -> str:
    return f"0.{stage_id}"


def _own_s(root: TracedStage, consumed: Consumed) -> float:
    """Return the root's own time; of a hand-over it says nothing of the replicas' side."""
    return root.busy_s if consumed.consumption is not Consumption.HAND_OVER else 0.0


def _float(value: Stat | None) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _scaled(value: Stat | None, unit: int) -> float | None:
    return float(value) * unit if isinstance(value, int | float) else None


def _memory(value: Stat | None) -> int | None:
    found = _MEMORY.match(value) if isinstance(value, str) else None
    return int(found[1]) * _MIB if found is not None else None
