"""Levels over time: how full each buffer of a pipeline is, and how many calls AUTOTUNE lets run at once.

Means over a whole run hide a buffer that is full at first and empty later, and AUTOTUNE's way up; so each snapshot is kept, in
bins whose number does not grow. Pure bookkeeping: reads no clock and no TensorFlow object.
"""

from __future__ import annotations

from collections.abc import Mapping

from pipeprof.capture.bins import BoundedSeries
from pipeprof.capture.model_tree import Sample, Snapshot
from pipeprof.model.profile import LevelBin

MAX_LEVELS = 120


class Levels:
    """The levels of one pipeline, by position in the executed tree."""

    def __init__(self) -> None:
        """Start empty."""
        self._series: BoundedSeries[LevelBin] = BoundedSeries(merge_levels, MAX_LEVELS)

    def add(self, at_s: float, snapshot: Snapshot) -> None:
        """Add a snapshot of an iterator in use; before its first element every buffer is empty, which says nothing."""
        if not snapshot.root_elements:
            return
        buffered = {sample.position: float(sample.buffered_elements) for sample in snapshot.samples if _is_buffer(sample)}
        parallelism = {
            sample.position: sample.parallelism
            for sample in snapshot.samples
            if sample.tuned and sample.parallelism is not None
        }
        self._series.add(LevelBin(start_s=at_s, end_s=at_s, buffered=buffered, parallelism=parallelism))

    def freeze(self, ids: Mapping[str, str]) -> tuple[LevelBin, ...]:
        """Return the bins with the ids of the executed stages for their positions."""
        return tuple(
            LevelBin(
                start_s=item.start_s,
                end_s=item.end_s,
                buffered={ids[position]: value for position, value in item.buffered.items() if position in ids},
                parallelism={ids[position]: value for position, value in item.parallelism.items() if position in ids},
                samples=item.samples,
            )
            for item in self._series.items()
        )


def _is_buffer(sample: Sample) -> bool:
    return sample.buffer_size is not None or sample.buffered_elements > 0


def merge_levels(earlier: LevelBin, later: LevelBin) -> LevelBin:
    """Merge two neighbours: means of what is buffered, weighted by samples; of parallelism the last value."""
    samples = earlier.samples + later.samples
    buffered = dict(earlier.buffered) | later.buffered
    for name in earlier.buffered.keys() & later.buffered.keys():
        buffered[name] = (earlier.buffered[name] * earlier.samples + later.buffered[name] * later.samples) / samples
    return LevelBin(
        start_s=earlier.start_s,
        end_s=later.end_s,
        buffered=buffered,
        parallelism=dict(earlier.parallelism) | later.parallelism,
        samples=samples,
    )
