"""PP806: memory of a GPU that grows all through training, and will be full some day.

The one idea: memory that is needed is taken in the first steps; what still grows in each part of the run is kept by somebody.
A single jump, as for a larger batch or for validation, is none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from pipeprof import units
from pipeprof.analysis.devices import bins_in, name_gpu
from pipeprof.model.analysis import Analysis
from pipeprof.model.diagnosis import Confidence, Evidence, Finding, Safety, Severity
from pipeprof.model.profile import GpuSeries, Loop
from pipeprof.rules.base import Parameters, Rule, parameter
from pipeprof.rules.needs import Need

_PARTS = 5  # of the loop; the first is left out
_FEWEST = 20  # samples
_EVEN = 0.1  # of the whole growth, in each part


@dataclass(frozen=True, kw_only=True, slots=True)
class GpuMemoryGrowthParameters(Parameters):
    """Thresholds of PP806."""

    min_growth: float = parameter(
        0.02,
        unit="share of the GPU's memory",
        low=0,
        high=1,
        doc="that is taken after the first part of the loop, to report it",
    )


class GpuMemoryGrowth(Rule[GpuMemoryGrowthParameters]):
    """GPU memory growth.

    What it looks for:
        Memory of a GPU whose mean grows from each fifth of the loop to the
        next, after the first.

    Why it costs time:
        It does not until the memory is full; then the run dies, often after
        hours.

    How it is measured:
        By NVML: means over parts of the loop, so that one peak is no growth.
        TensorFlow takes all memory at once unless memory growth is allowed;
        then nothing is seen of what it does inside.

    When it is wrong:
        In short runs with shapes that vary: buffers of new sizes are kept for
        later use, and the growth ends.

    What to do:
        Look for what is kept across steps: tensors in lists, losses that are
        not turned into numbers, functions traced anew for each shape (pad to a
        few shapes, give an input_signature).

    What that can change:
        Nothing in the results.

    References:
        TensorFlow guide "Use a GPU", on limiting GPU memory growth; "Better
        performance with tf.function", on retracing.
    """

    code = "PP806"
    name = "gpu-memory-growth"
    remedy_safety = Safety.SAFE
    needs = (Need.TRAINING, Need.GPU)
    parameters = GpuMemoryGrowthParameters

    def check(self, analysis: Analysis, params: GpuMemoryGrowthParameters) -> Iterator[Finding]:
        """Yield a finding for each GPU whose memory grows in every part of the loop."""
        train = analysis.train
        if train is None:
            return
        for gpu in analysis.profile.gpus:
            means = _means(gpu, train.record.loop)
            total = gpu.memory_total_bytes
            if not means or not total or not _grows(means) or means[-1] - means[0] < params.min_growth * total:
                continue
            grown, span_s = means[-1] - means[0], _span_s(gpu, train.record.loop)
            left_s = (total - means[-1]) / grown * span_s
            yield self.report(
                f"Memory of {name_gpu(gpu)} grew by {units.byte_count(grown)} in {units.duration(span_s)}, in every part of "
                f"the loop: at this rate its {units.byte_count(total)} are full in {units.duration(left_s)}. Something is kept "
                "across steps: tensors in a list, or functions traced anew.",
                severity=Severity.LOW,
                confidence=Confidence.LOW,
                pipeline=train,
                evidence=(
                    Evidence(
                        name="grown_bytes",
                        value=grown,
                        unit="B",
                        threshold=params.min_growth * total,
                        n=len(bins_in(gpu, train.record.loop)),
                    ),
                    Evidence(name="memory_total_bytes", value=total, unit="B"),
                    Evidence(name="left_s", value=left_s, unit="s"),
                ),
            )


def _means(gpu: GpuSeries, loop: Loop) -> list[float]:
    """Return the mean memory in each part of the loop but the first; empty where too little was seen."""
    known = [item.memory_bytes for item in bins_in(gpu, loop) if item.memory_bytes is not None]
    if len(known) < _FEWEST:
        return []
    size = len(known) // _PARTS
    parts = [known[number * size : (number + 1) * size] for number in range(1, _PARTS)]
    return [sum(part) / len(part) for part in parts]


def _grows(means: list[float]) -> bool:
    """Tell whether the memory grows from each part to the next, by a good part of the whole growth."""
    whole = means[-1] - means[0]
    return all(later - earlier >= _EVEN * whole > 0 for earlier, later in pairwise(means))


def _span_s(gpu: GpuSeries, loop: Loop) -> float:
    """Return the time between the middles of the first and the last part that were compared."""
    found = bins_in(gpu, loop)
    return (found[-1].end_s - found[0].start_s) * (_PARTS - 2) / _PARTS
