"""PP802: augmentation keeps every core busy while the GPU has time left.

The one idea: work on pictures that is drawn anew in every epoch cannot be kept, but it can be done where there is time for it.
It speaks only where both sides were measured: cores in use, and a GPU that is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeprof import units
from pipeprof.analysis.cores import granted_cores, used_cores
from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.diagnosis import Confidence, Evidence, Finding, Safety
from pipeprof.rules.base import COST_SHARE, Parameters, Rule, grade, name_stage, parameter, say_wait, weakest
from pipeprof.rules.cost import busy_of, is_input_bound, share_saved_without
from pipeprof.rules.needs import Need

_ON_PICTURES = (
    "AdjustContrast", "AdjustHue", "AdjustSaturation", "ImageProjectiveTransform", "ResizeBilinear", "ResizeBicubic",
    "ResizeNearestNeighbor", "ResizeArea", "ScaleAndTranslate", "CropAndResize", "ReverseV2", "RGBToHSV", "HSVToRGB",
)  # fmt: skip
_NOT_ON_GPU = ("Decode", "ReadFile", "Parse", "String")


@dataclass(frozen=True, kw_only=True, slots=True)
class MoveToModelParameters(Parameters):
    """Thresholds of PP802."""

    min_share: float = parameter(0.05, unit="share of the step", low=0, high=1, doc="the augmentation must explain this much")
    busy_cores: float = parameter(0.85, unit="share of the cores", low=0.1, high=1, doc="in use, so that none is free")
    gpu_busy: float = parameter(0.6, unit="share of the time", low=0.05, high=1, doc="a GPU in use for longer has no slack")


class MoveToModel(Rule[MoveToModelParameters]):
    """Move to the model.

    What it looks for:
        A random augmentation of pictures in the input pipeline that training
        waits for, with all cores in use, beside a GPU with time left.

    Why it costs time:
        tf.data runs on the CPU only. Where that is full, the GPU stands by for
        work that it does many times as fast.

    How it is measured:
        From the ops of the map's function: random ones beside those that work
        on pictures, and nothing that runs on the CPU alone (decoding, reading,
        parsing). Cores in use are the process's CPU time, the GPU's share is
        NVML's mean over the run.

    When it is wrong:
        Where the layers that take over are slow or need much memory: measure
        the step with them. Text and tables stay in the pipeline.

    What to do:
        Put the augmentation into the model as Keras preprocessing layers, or
        into the training step, for whole batches on the GPU.

    What that can change:
        Other random numbers; some layers draw once a batch and not once a
        picture. The layers must be off when the model is evaluated.

    References:
        Keras guide "Working with preprocessing layers"; Keras issue 23245 for a
        layer that is slow on a GPU.
    """

    code = "PP802"
    name = "move-to-model"
    remedy_safety = Safety.CHANGES_DATA
    needs = (Need.TRAINING, Need.VERDICT, Need.COUNTERS, Need.PROCESS_CPU, Need.GPU)
    yields_to = ("PP201", "PP202", "PP203", "PP501", "PP601")
    parameters = MoveToModelParameters

    def check(self, analysis: Analysis, params: MoveToModelParameters) -> Iterator[Finding]:
        """Yield a finding for each augmentation that a GPU with slack could take over."""
        train = analysis.train
        if train is None or not is_input_bound(analysis):
            return
        cores, used = granted_cores(analysis), used_cores(analysis, train) or 0.0
        gpu_share = max((gpu.sm_share for gpu in analysis.resources.gpus if gpu.sm_share is not None), default=None)
        if used < params.busy_cores * cores or gpu_share is None or gpu_share > params.gpu_busy:
            return
        for view in train.stages:
            cost = share_saved_without(analysis, train, {view.id}) if _augments(view) else 0.0
            if cost >= params.min_share and cost > 0:
                yield self._report_stage(analysis, train, view, cost, gpu_share)

    def _report_stage(self, analysis: Analysis, train: PipelineView, view: StageView, cost: float, gpu_share: float) -> Finding:
        used, cores = used_cores(analysis, train) or 0.0, granted_cores(analysis)
        return self.report(
            f"{name_stage(view)} augments pictures on the CPU, {units.duration(busy_of(view))} for each "
            f"{units.duration(train.step_s)} step; {units.significant(used)} of {cores:g} cores are in use, the GPU for "
            f"{units.percent(gpu_share)} of the time. {say_wait(analysis)}. Do it in the model, on whole batches on the GPU.",
            severity=grade(cost),
            confidence=weakest(Confidence.MEDIUM, analysis.verdict.confidence),
            pipeline=train,
            view=view,
            evidence=(
                Evidence(name=COST_SHARE, value=cost, unit="share", n=analysis.steps.count),
                Evidence(name="busy_s_per_step", value=busy_of(view), unit="s"),
                Evidence(name="used_cores", value=used, unit="cores"),
                Evidence(name="gpu_share", value=gpu_share, unit="share of the time"),
            ),
        )


def _augments(view: StageView) -> bool:
    """Tell whether a map changes pictures at random, and does nothing that only a CPU can do."""
    function = view.written.function if view.written is not None else None
    if view.stage.op != "map" or function is None or not function.random_ops or function.python_ops:
        return False
    on_pictures = any(name.startswith(_ON_PICTURES) for name in function.op_types)
    return on_pictures and not any(name.startswith(_NOT_ON_GPU) for name in function.op_types)
