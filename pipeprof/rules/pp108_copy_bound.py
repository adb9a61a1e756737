"""PP108: so many bytes are copied to the GPU in each step that the copy itself is a part of it.

The one idea: bytes of a batch over what the link can carry is a time, known without a trace; NVML's traffic says whether these
bytes really cross it. It cannot see whether the copy overlaps with computing, and so never speaks of a GPU that is busy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeprof import units
from pipeprof.analysis.devices import mean_in, name_gpu, used_gpus
from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.diagnosis import Confidence, Evidence, Finding, Safety, Severity
from pipeprof.model.profile import GpuSeries
from pipeprof.rules.base import COST_SHARE, Parameters, Rule, name_stage, parameter
from pipeprof.rules.needs import Need

_TO_DEVICE = frozenset({"prefetch_to_device", "copy_to_device"})


@dataclass(frozen=True, kw_only=True, slots=True)
class CopyBoundParameters(Parameters):
    """Thresholds of PP108."""

    link_bytes_per_s: float = parameter(
        12e9, unit="B/s", low=1e8, high=1e12, doc="that the link to a GPU carries (PCIe 3.0 x16 from pinned memory)"
    )
    min_share: float = parameter(0.10, unit="share of the step", low=0, high=1, doc="that the copy of a batch takes at least")
    min_traffic: float = parameter(0.5, unit="share of the batches", low=0, high=1, doc="that NVML must have seen on the link")
    max_busy: float = parameter(0.9, unit="share of the loop", low=0, high=1, doc="a GPU that is busier is not kept waiting")


class CopyBound(Rule[CopyBoundParameters]):
    """Copy-bound.

    What it looks for:
        Batches of so many bytes that the link to the GPU needs a notable part
        of each step for them, while the GPU is not busy all the time.

    Why it costs time:
        Unless the copy runs beside the computing, the GPU waits for it in each
        step. Copies from ordinary (pageable) memory take several times as long.

    How it is measured:
        Bytes of one batch over the rate of the link, against the step; NVML's
        PCIe traffic must hold these bytes. It is a lower bound of the copy's
        time, and an upper one of what hiding it would give.

    When it is wrong:
        Where the copy overlaps with computing already, or the link is faster
        than the threshold says: set link_bytes_per_s to what yours carries.

    What to do:
        Send fewer bytes: keep uint8 and cast on the device. Put
        tf.data.experimental.prefetch_to_device last. End with batch, which
        gives pinned memory behind a map.

    What that can change:
        A cast on the device may round differently.

    References:
        tensorflow/tensorflow issues 43905 and 50825, on pinned memory;
        tf.data.experimental.prefetch_to_device.
    """

    code = "PP108"
    name = "copy-bound"
    remedy_safety = Safety.CHANGES_DATA
    needs = (Need.TRAINING, Need.CONSUMER, Need.GPU, Need.PCIE)
    follows_from = ("PP606",)
    parameters = CopyBoundParameters

    def check(self, analysis: Analysis, params: CopyBoundParameters) -> Iterator[Finding]:
        """Yield one finding where the copy of a batch is a part of the step that no one hides for certain."""
        train = analysis.train
        if train is None or not train.step_s or any(view.stage.op in _TO_DEVICE for view in train.stages):
            return
        last = next((view for view in reversed(train.stages) if view.written is not None), None)
        size = None if last is None else _batch_bytes(last)
        used = used_gpus(analysis.profile.gpus, train.record.loop)
        if last is None or size is None or len(used) != 1:
            return
        gpu, busy = used[0]
        share = size / params.link_bytes_per_s / train.step_s
        traffic = mean_in(gpu, train.record.loop, lambda item: item.pcie_bytes_per_s) or 0.0
        if share >= params.min_share and traffic >= params.min_traffic * size / train.step_s and busy < params.max_busy:
            yield self._report_copy(train, last, gpu, (size, share, traffic, busy), params)

    def _report_copy(
        self,
        train: PipelineView,
        view: StageView,
        gpu: GpuSeries,
        seen: tuple[float, float, float, float],
        params: CopyBoundParameters,
    ) -> Finding:
        size, share, traffic, busy = seen
        least_s = size / params.link_bytes_per_s
        return self.report(
            f"Each step copies {units.byte_count(size)} to {name_gpu(gpu)}: {units.duration(least_s)} at "
            f"{units.byte_count(params.link_bytes_per_s)}/s, {units.percent(share)} of the step or more, and the GPU is busy "
            f"only {units.percent(busy)} of the time. Send fewer bytes (uint8, cast on the device), or put prefetch_to_device "
            f"behind {name_stage(view)}.",
            severity=Severity.LOW,  # how much of the copy is hidden already is not known
            confidence=Confidence.LOW,
            pipeline=train,
            view=view,
            evidence=(
                Evidence(name=COST_SHARE, value=share, unit="share", threshold=params.min_share),
                Evidence(name="batch_bytes", value=size, unit="B"),
                Evidence(
                    name="pcie_bytes_per_s",
                    value=traffic,
                    unit="B/s",
                    threshold=params.min_traffic * size / (train.step_s or 1),
                ),
                Evidence(name="gpu_busy_share", value=busy, unit="share", threshold=params.max_busy),
            ),
        )


def _batch_bytes(last: StageView) -> float | None:
    """Return the bytes of what the pipeline hands over: by its shapes, else as TensorFlow counted them."""
    if last.written is not None and last.written.element_bytes:
        return float(last.written.element_bytes)
    node = next((node for node in last.executed if node.elements and node.bytes_produced), None)
    return node.bytes_produced / node.elements if node is not None else None
