"""PP805: the GPU idles although its input is ready.

The one idea: where the loop does not wait for data and the device does not compute, the time goes between the two, on the host.
It never speaks of a loop that waits for its input.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeprof import units
from pipeprof.analysis.devices import name_gpu, well_sampled_gpus
from pipeprof.model.analysis import Analysis
from pipeprof.model.diagnosis import Confidence, Evidence, Finding, InputBound, Limit, Safety, Severity
from pipeprof.rules.base import Parameters, Rule, describe_wait, parameter
from pipeprof.rules.needs import Need


@dataclass(frozen=True, kw_only=True, slots=True)
class UnderusedParameters(Parameters):
    """Thresholds of PP805."""

    max_busy: float = parameter(0.5, unit="share of the loop", low=0, high=1, doc="a GPU that runs kernels longer is used")


class UnderusedGpu(Rule[UnderusedParameters]):
    """Underused GPU.

    What it looks for:
        A loop that does not wait for its input, and a GPU that runs no kernel
        for more than half of the time.

    Why it costs time:
        The device idles between short kernels while the host launches them,
        copies, runs Python or callbacks. More data would not help.

    How it is measured:
        By NVML: the share of the loop's time in which any kernel ran, beside
        the verdict that the input keeps up.

    When it is wrong:
        Where the model is meant to run on the CPU and only a part of it on the
        GPU. A whole step shorter than NVML's sampling period is averaged.

    What to do:
        Larger batches, steps_per_execution or a tf.function over several
        batches, jit_compile=True, fewer callbacks for each batch.

    What that can change:
        Larger batches change training: the learning rate must follow. Callbacks
        are called once for several steps.

    References:
        TensorFlow guide "Optimize TensorFlow GPU performance with the
        TensorFlow Profiler", on gaps between steps.
    """

    code = "PP805"
    name = "underused-gpu"
    remedy_safety = Safety.CHANGES_DATA
    needs = (Need.TRAINING, Need.CONSUMER, Need.VERDICT, Need.GPU)
    follows_from = ("PP103",)
    parameters = UnderusedParameters

    def check(self, analysis: Analysis, params: UnderusedParameters) -> Iterator[Finding]:
        """Yield one finding for the idlest GPU that the loop uses."""
        train = analysis.train
        is_fed = analysis.verdict.input_bound is InputBound.NOT and analysis.verdict.limit is not Limit.CONTENTION
        if train is None or not is_fed:
            return
        loop = train.record.loop
        used = well_sampled_gpus(analysis.profile.gpus, loop)
        gpu, share = min(used, key=lambda item: item[1], default=(None, 1.0))
        if gpu is None or share >= params.max_busy:
            return
        cause = "Python between the steps takes the time" if analysis.verdict.limit is Limit.HOST else "the host is the limit"
        yield self.report(
            f"{name_gpu(gpu)} runs kernels only {units.percent(share)} of the time, though training waits for its input "
            f"{describe_wait(analysis)}: {cause}. Larger batches, steps_per_execution or jit_compile=True give it more to do "
            "at a time.",
            severity=Severity.LOW,
            confidence=Confidence.MEDIUM,
            pipeline=train,
            evidence=(
                Evidence(name="gpu_busy_share", value=share, unit="share", threshold=params.max_busy, n=len(used)),
                Evidence(name="wait_share", value=analysis.steps.wait_share, unit="share", n=analysis.steps.count),
            ),
        )
