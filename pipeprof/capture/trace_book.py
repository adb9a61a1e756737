"""What trace windows showed of each pipeline, put together over all windows.

Windows are matched with pipelines by how they are consumed and by the kinds of their nodes; what fits none is dropped and
counted. Kept sums only: the size does not grow with the run. Pure but for the reading of a trace's bytes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from pipeprof.capture.pipelines import PipelineEntry
from pipeprof.interop.as_executed import distorted_stages, executed_stages
from pipeprof.interop.as_loop import traced_loop
from pipeprof.interop.trace_stages import detail_of, read_windows
from pipeprof.interop.traced import Consumption, TracedBuffer, TracedOp, TracedPipeline, TracedStage
from pipeprof.interop.xplane import parse_space
from pipeprof.model.profile import ExecutedStage, Loop

_MOST_STEPS = 20_000  # whose times are kept
_IN_GRAPH = frozenset({Consumption.GRAPH_LOOP, Consumption.REDUCE})
_LEAST_LIKENESS = 0.3  # of the kinds of nodes that two trees share
_NODE_NAME = re.compile(r"([A-Za-z]+?)(?:V\d+)?(?=[:,)]|$)")


@dataclass(slots=True)
class _Seen:
    """One pipeline over all windows."""

    sums: TracedPipeline | None = None
    windows: int = 0
    window_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Window:
    """One window: where it lies on the capture's clock, and the pipelines in it."""

    start_s: float
    seconds: float
    events: int
    pipelines: tuple[TracedPipeline, ...]

    @property
    def steps(self) -> int:
        """Whole steps of the pipeline that has most of them."""
        return max((len(item.steps) for item in self.pipelines), default=0)


def read_window(trace: bytes, start_s: float, seconds: float) -> Window:
    """Read a trace that was just taken."""
    space = parse_space(trace, "a window", detail_of)
    return Window(start_s, seconds, sum(len(line.events) for line in space.lines), read_windows(space))


class TraceBook:
    """All windows of a run, by pipeline."""

    def __init__(self) -> None:
        """Start empty."""
        self._seen: dict[str, _Seen] = {}
        self.unmatched = 0  # pipelines in windows that are none of the known ones

    def add(self, window: Window, entries: Sequence[PipelineEntry]) -> None:
        """Add one window's pipelines to those of the run that they are most like."""
        free = list(entries)
        for traced in window.pipelines:
            entry = _most_like(traced, free)
            if entry is None:
                self.unmatched += 1
                continue
            free.remove(entry)
            seen = self._seen.setdefault(entry.id, _Seen())
            moved = _moved(traced, window.start_s)
            seen.sums = moved if seen.sums is None else merge(seen.sums, moved)
            seen.windows += 1
            seen.window_s += window.seconds

    def source(self, pipeline_id: str) -> str:
        """Name the source: ``3 trace windows, 0.35 s in all``; empty where there was none."""
        seen = self._seen.get(pipeline_id)
        if seen is None:
            return ""
        windows = "1 trace window" if seen.windows == 1 else f"{seen.windows} trace windows"
        return f"{windows}, {seen.window_s:.2g} s in all"

    def stages(self, pipeline_id: str) -> tuple[ExecutedStage, ...]:
        """Return the executed tree as the windows showed it; empty where there was none."""
        seen = self._seen.get(pipeline_id)
        return () if seen is None or seen.sums is None else executed_stages(seen.sums)

    def beside(self, pipeline_id: str, counted: tuple[ExecutedStage, ...]) -> tuple[ExecutedStage, ...]:
        """Return counted stages with what the windows showed of the same nodes: their time, and the ops inside them.

        A time that is to a large part that of recording the events of a stage's inputs is left out.
        """
        seen = self._seen.get(pipeline_id)
        if seen is None or seen.sums is None:
            return counted
        distorted = {stage.id for stage in distorted_stages(seen.sums)}
        traced = {(stage.id, stage.node): stage for stage in executed_stages(seen.sums)}
        return tuple(_with_second_look(stage, traced.get((stage.id, stage.node)), distorted) for stage in counted)

    def loop(self, pipeline_id: str) -> Loop | None:
        """Return the steps that the windows showed."""
        seen = self._seen.get(pipeline_id)
        return None if seen is None or seen.sums is None else traced_loop(seen.sums)


def _with_second_look(stage: ExecutedStage, traced: ExecutedStage | None, distorted: Collection[str]) -> ExecutedStage:
    if traced is None:
        return stage
    if stage.id in distorted:
        return replace(stage, ops=traced.ops)
    return replace(stage, ops=traced.ops, traced_elements=traced.elements, traced_busy_s=traced.busy_s)


def _moved(traced: TracedPipeline, by_s: float) -> TracedPipeline:
    """Put a pipeline's moments on the capture's clock; what began before the window was not born in it."""
    epochs = tuple(
        replace(
            epoch,
            first_s=epoch.first_s + by_s,
            last_s=epoch.last_s + by_s,
            steps=tuple(replace(step, start_s=step.start_s + by_s) for step in epoch.steps),
        )
        for epoch in traced.epochs
    )
    return replace(traced, epochs=epochs)


# --- which pipeline ----------------------------------------------------------------------------------------------


def _most_like(traced: TracedPipeline, entries: Iterable[PipelineEntry]) -> PipelineEntry | None:
    fitting = [entry for entry in entries if _is_consumed_so(entry, traced.consumption)]
    kinds = Counter(kind for stage in traced.stages for kind in _NODE_NAME.findall(stage.name))
    scored = [(_likeness(kinds, entry), index, entry) for index, entry in enumerate(fitting)]
    best = max(scored, default=None)
    return None if best is None or best[0] < _LEAST_LIKENESS else best[2]


def _is_consumed_so(entry: PipelineEntry, consumption: Consumption) -> bool:
    if consumption is Consumption.HAND_OVER:
        return entry.is_behind_devices
    return not entry.is_behind_devices and (entry.is_in_graph or consumption not in _IN_GRAPH)


def _likeness(kinds: Counter[str], entry: PipelineEntry) -> float:
    """Return the share of kinds of nodes that two trees have in common (a Jaccard index of multisets)."""
    own = Counter(_NODE_NAME.findall(stage.class_name.lstrip("_"))[0] for stage in entry.tree.stages)
    every = sum((kinds | own).values())
    return sum((kinds & own).values()) / every if every else 0.0


# --- sums --------------------------------------------------------------------------------------------------------


def merge(first: TracedPipeline, second: TracedPipeline) -> TracedPipeline:
    """Add a later window to the earlier ones; the state is the later one's."""
    stages = {stage.id: stage for stage in first.stages}
    for stage in second.stages:
        before = stages.get(stage.id)
        stages[stage.id] = stage if before is None or before.node != stage.node else _merge_stages(before, stage)
    steps = len(first.steps)
    epochs = (*first.epochs, *second.epochs) if steps < _MOST_STEPS else first.epochs
    return replace(second, stages=tuple(stages.values()), epochs=epochs)


def _merge_stages(first: TracedStage, second: TracedStage) -> TracedStage:
    return replace(
        second,
        inputs=tuple(dict.fromkeys((*first.inputs, *second.inputs))),
        elements=first.elements + second.elements,
        busy_s=first.busy_s + second.busy_s,
        blocked_s=first.blocked_s + second.blocked_s,
        slot_wait_s=first.slot_wait_s + second.slot_wait_s,
        function_calls=first.function_calls + second.function_calls,
        ops=_merge_ops((*first.ops, *second.ops)),
        passed=_sum(first.passed, second.passed),
        filtered=_sum(first.filtered, second.filtered),
        buffer=_merge_buffers(first, second),
        incarnations=first.incarnations + second.incarnations,
    )


def _merge_ops(ops: Iterable[TracedOp]) -> tuple[TracedOp, ...]:
    found: dict[str, TracedOp] = {}
    for item in ops:
        before = found.get(item.op)
        found[item.op] = (
            item
            if before is None
            else TracedOp(op=item.op, calls=before.calls + item.calls, busy_s=before.busy_s + item.busy_s)
        )
    return tuple(sorted(found.values(), key=lambda item: -item.busy_s))


def _merge_buffers(first: TracedStage, second: TracedStage) -> TracedBuffer | None:
    """Average over windows, each as heavy as the elements that it saw."""
    one, two = first.buffer, second.buffer
    if one is None or two is None:
        return one or two
    weight = first.elements / max(1, first.elements + second.elements)
    return TracedBuffer(
        mean=one.mean * weight + two.mean * (1 - weight),
        most=max(one.most, two.most),
        empty_share=one.empty_share * weight + two.empty_share * (1 - weight),
        bytes_max=max((size for size in (one.bytes_max, two.bytes_max) if size is not None), default=None),
        by_lag=one.by_lag or two.by_lag,
    )


def _sum(first: int | None, second: int | None) -> int | None:
    return second if first is None else first + (second or 0)
