"""Two sources for one number: a stage's busy time by TensorFlow's counters, and by trace windows taken beside them.

The one idea: both are brought to one element, so that a window of a moment can be held against the counters of a whole run.
Only stages that do a notable part of the work, and of which the windows saw enough elements, are compared. It must not choose
between the two: who reads the pairs is told how far they lie apart.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeprof.analysis.alignment import stem
from pipeprof.model.profile import ExecutedStage, PipelineRecord

MIN_ELEMENTS = 10  # in the windows
MIN_SHARE = 0.1  # of the pipeline's counted work
DISAGREE_FACTOR = 2.0  # between the two; agreeing sources lay within 1.4 of each other


@dataclass(frozen=True, kw_only=True, slots=True)
class SourcePair:
    """One stage by both sources, for one of its elements."""

    node: ExecutedStage
    counted_s: float
    traced_s: float

    @property
    def factor(self) -> float:
        """How many times the smaller the larger is."""
        return max(self.counted_s, self.traced_s) / min(self.counted_s, self.traced_s)


def compare_sources(record: PipelineRecord) -> tuple[SourcePair, ...]:
    """Return the stages that both sources saw, the busiest first; empty where there is one source alone."""
    working = [node for node in record.executed if node.busy_s > 0 and stem(node.node) not in {"Root", "Prefetch"}]
    notable_s = MIN_SHARE * sum(node.busy_s for node in working)
    compared = [
        SourcePair(node=node, counted_s=node.busy_s / node.elements, traced_s=node.traced_busy_s / node.traced_elements)
        for node in working
        if node.elements and node.busy_s >= notable_s and node.traced_elements >= MIN_ELEMENTS and node.traced_busy_s > 0
    ]
    return tuple(sorted(compared, key=lambda pair: -pair.node.busy_s))
