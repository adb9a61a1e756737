"""Buffers that are full all the time: what they hold, and how far that is from what the loop draws on.

The one idea: a buffer in front of a loop that never waits, filled faster than it is drained, needs a few elements; the rest is
memory. It judges nothing: the rules set the thresholds.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.diagnosis import InputBound
from pipeprof.rules.base import Parameters, parameter
from pipeprof.rules.memory_room import memory_limit


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldParameters(Parameters):
    """Thresholds of the rules on memory that lies in buffers."""

    min_memory: float = parameter(
        0.05, unit="share of the memory", low=0.001, high=1, doc="that must lie in the buffer for nothing"
    )
    full: float = parameter(0.5, unit="share of its most", low=0.1, high=1, doc="a buffer with more on average is full")
    keeps_up: float = parameter(
        0.8, unit="steps' own time", low=0.1, high=1, doc="the input must make an element in less than this"
    )
    high_memory: float = parameter(
        0.8, unit="share of the memory", low=0.1, high=1, doc="in use, from which on it weighs more than low"
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """What lies in a stage's buffer for nothing."""

    elements: float  # at most
    bytes: float  # at most
    spare_bytes: float  # of these, what the loop would not miss
    memory_bytes: float  # limit of the program's memory

    @property
    def share(self) -> float:
        """Share of the memory that is held for nothing."""
        return self.spare_bytes / self.memory_bytes


def find_held(analysis: Analysis, train: PipelineView, view: StageView, needed: float, params: HeldParameters) -> Held | None:
    """Return what a stage's buffer holds for nothing, None where that is little, or the loop draws on it.

    Args:
        analysis: the run.
        train: the pipeline.
        view: the stage.
        needed: elements that the stage is to keep.
        params: thresholds.
    """
    node = view.executed[0] if view.executed else None
    memory = memory_limit(analysis)
    if node is None or memory is None or not node.buffered_bytes_max or not node.buffered_elements_max:
        return None
    most, mean = node.buffered_elements_max, node.buffered_elements or 0.0
    if most <= needed or mean < params.full * most or not _keeps_up(analysis, train, params):
        return None
    if (analysis.resources.rss_peak_bytes or 0) < node.buffered_bytes_max:
        return None  # the elements share their memory
    spare = node.buffered_bytes_max * (1 - needed / most)
    held = Held(elements=most, bytes=node.buffered_bytes_max, spare_bytes=spare, memory_bytes=memory)
    return held if held.share >= params.min_memory else None


def is_memory_short(analysis: Analysis, params: HeldParameters) -> bool:
    """Tell whether the program's memory was nearly used up."""
    limit, used = memory_limit(analysis), analysis.resources.rss_peak_bytes
    return limit is not None and used is not None and used >= params.high_memory * limit


def _keeps_up(analysis: Analysis, train: PipelineView, params: HeldParameters) -> bool:
    """Tell whether training does not wait, and the input is faster than the loop with something to spare."""
    made_s, gap_s = train.production_s_per_step, train.gap_s
    if analysis.verdict.input_bound is not InputBound.NOT or made_s is None or not gap_s:
        return False
    return made_s <= params.keeps_up * gap_s
