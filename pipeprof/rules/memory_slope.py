"""How the memory of the process moves while a loop runs, and which buffers move with it.

The one idea: windows of the loop (its epochs, or equal parts), the highest memory of each, the median of all slopes between
them (Theil-Sen), so that one outlier decides nothing. Nothing here judges.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.profile import Loop
from pipeprof.rules.cache_point import measure_element
from pipeprof.rules.memory_room import TENSOR_OVERHEAD_BYTES, tensors_of

_PARTS = 8
_FEWEST_EPOCHS = 4
_WARM_UP = 0.25  # of the windows: buffers fill, functions are traced


@dataclass(frozen=True, kw_only=True, slots=True)
class Growth:
    """The memory over the windows after the warm-up."""

    windows: int
    by_epoch: bool  # else equal parts of the loop
    start_s: float
    end_s: float
    first_bytes: float
    last_bytes: float
    slope_bytes: float  # for each window
    late_share: float  # slope of the second half over that of the first; near 0 where it levels off

    @property
    def bytes(self) -> float:
        """All growth after the warm-up, by the slope."""
        return self.slope_bytes * (self.windows - 1)


def measure_growth(analysis: Analysis, pipeline: PipelineView) -> Growth | None:
    """Return how the memory moved while the pipeline was consumed; None where too little was sampled."""
    spans, by_epoch = _windows(pipeline.record.loop)
    bins = analysis.profile.host.bins
    peaks = []
    for start_s, end_s in spans:
        inside = [item.rss_max_bytes for item in bins if start_s <= item.end_s and item.start_s < end_s and item.rss_max_bytes]
        if inside:
            peaks.append((start_s, end_s, float(max(inside))))
    used = peaks[round(_WARM_UP * len(peaks)) :]
    if len(used) < _FEWEST_EPOCHS - 1:
        return None
    sizes = [size for _, _, size in used]
    half = len(sizes) // 2
    early, late = _slope(sizes[: half + 1]), _slope(sizes[half:])
    return Growth(
        windows=len(sizes),
        by_epoch=by_epoch,
        start_s=used[0][0],
        end_s=used[-1][1],
        first_bytes=sizes[0],
        last_bytes=sizes[-1],
        slope_bytes=_slope(sizes),
        late_share=late / early if early > 0 else 0.0,
    )


def buffer_growth(pipeline: PipelineView, view: StageView, growth: Growth) -> float:
    """Return how many bytes the stage's own buffers hold more at the end of the growth than at its start."""
    size = measure_element(pipeline, view)
    if size is None:
        return 0.0
    inside = [item for item in pipeline.record.levels if growth.start_s <= item.end_s and item.start_s < growth.end_s]
    grown = 0.0
    for node in view.executed:
        levels = [item.buffered[node.id] for item in inside if node.id in item.buffered]
        grown += levels[-1] - levels[0] if levels else 0.0
    return grown * (size + tensors_of(view) * TENSOR_OVERHEAD_BYTES)


def _windows(loop: Loop) -> tuple[list[tuple[float, float]], bool]:
    """Return the spans of the epochs where there are enough, else equal parts of the loop."""
    epochs = [(item.start_s, item.start_s + item.wall_s) for item in loop.epochs]
    if len(epochs) >= _FEWEST_EPOCHS and loop.epoch_count == len(epochs):
        return epochs, True
    part_s = (loop.end_s - loop.start_s) / _PARTS
    return [(loop.start_s + index * part_s, loop.start_s + (index + 1) * part_s) for index in range(_PARTS)], False


def _slope(values: Sequence[float]) -> float:
    """Return the median slope between all pairs, 0 for fewer than two values (Theil 1950, Sen 1968)."""
    slopes = [
        (values[later] - values[earlier]) / (later - earlier)
        for earlier in range(len(values))
        for later in range(earlier + 1, len(values))
    ]
    return statistics.median(slopes) if slopes else 0.0
