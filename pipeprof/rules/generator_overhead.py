"""What TensorFlow and Python add to each element of a generator, whatever the generator does.

The one idea: a call through TensorFlow, the conversion of each component and the hand-over cost about the same for a scalar and
for a batch, so that they dominate elements that are cheap to make. Nothing here judges.
"""

from __future__ import annotations

from pipeprof.analysis.stage_graph import elements_per_step
from pipeprof.model.analysis import PipelineView, StageView
from pipeprof.rules.cost import busy_of
from pipeprof.rules.memory_room import tensors_of
from pipeprof.rules.python_work import GENERATOR_OPS

MOSTLY = 0.5  # of a generator's time
FEWEST_ELEMENTS = 8.0  # for each step
_CALL_S = 60e-6
_COMPONENT_S = 30e-6  # with TensorFlow 2.21: 117 us for a scalar, 385 us for a tuple of ten


def generator_overhead_s(view: StageView) -> float | None:
    """Return what an element costs beyond the generator's own work, counted low; None for another stage."""
    is_generator = view.written is not None and view.written.op in GENERATOR_OPS
    return _CALL_S + _COMPONENT_S * tensors_of(view) if is_generator else None


def overhead_share(pipeline: PipelineView, view: StageView) -> float:
    """Return the share of a generator's time that is such overhead, 0 where that is not known."""
    overhead_s, visits = generator_overhead_s(view), elements_per_step(pipeline, view)
    if overhead_s is None or not visits or busy_of(view) <= 0:
        return 0.0
    return min(1.0, overhead_s * visits / busy_of(view))


def is_mostly_overhead(
    pipeline: PipelineView, view: StageView, share: float = MOSTLY, min_elements: float = FEWEST_ELEMENTS
) -> bool:
    """Tell whether a generator yields many elements for each step and spends at least this share on their hand-over."""
    visits = elements_per_step(pipeline, view) or 0.0
    return visits >= min_elements and overhead_share(pipeline, view) >= share
