"""PP807: of several GPUs that train together, one works much less than another.

The one idea: replicas of one step end together, so that the one with less to do waits for the others. It compares GPUs of this
machine; what workers on other machines do is not seen here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeprof import units
from pipeprof.analysis.devices import name_gpu, well_sampled_gpus
from pipeprof.model.analysis import Analysis
from pipeprof.model.diagnosis import Confidence, Evidence, Finding, Safety, Severity
from pipeprof.rules.base import Parameters, Rule, parameter
from pipeprof.rules.needs import Need

_FEWEST_GPUS = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class ImbalanceParameters(Parameters):
    """Thresholds of PP807."""

    min_gap: float = parameter(
        0.3, unit="share of the loop", low=0.01, high=1, doc="between the busiest and the idlest GPU, to report it"
    )


class ReplicaImbalance(Rule[ImbalanceParameters]):
    """Replica imbalance.

    What it looks for:
        Several GPUs that the program uses, of which one runs kernels for a much
        smaller part of the loop than another.

    Why it costs time:
        Replicas exchange gradients in every step, and all wait for the last. A
        GPU with half the work idles for half of the step.

    How it is measured:
        By NVML: the share of the loop's time in which any kernel ran, for each
        GPU that held a model or ran kernels.

    When it is wrong:
        Of a GPU that is meant to do something else (evaluation, display), and
        of a program that uses one GPU only but holds memory on all: TensorFlow
        does so by default. Waiting inside a collective counts as a kernel, so
        that imbalance within NCCL is not seen.

    What to do:
        Where one GPU is idle throughout, the strategy does not use it: check
        MirroredStrategy's devices. Give each replica the same batch: a global
        batch that the number of replicas divides, padded lengths in buckets,
        files sharded evenly.

    What that can change:
        Another batch per replica changes training a little; buckets change the
        order.

    References:
        TensorFlow guide "Distributed training with TensorFlow"; SageMaker
        Debugger, rule LoadBalancing.
    """

    code = "PP807"
    name = "replica-imbalance"
    remedy_safety = Safety.CHANGES_DATA
    needs = (Need.TRAINING, Need.CONSUMER, Need.GPU)
    parameters = ImbalanceParameters

    def check(self, analysis: Analysis, params: ImbalanceParameters) -> Iterator[Finding]:
        """Yield one finding for the GPU that is idlest beside the others."""
        train = analysis.train
        if train is None:
            return
        used = well_sampled_gpus(analysis.profile.gpus, train.record.loop)
        if len(used) < _FEWEST_GPUS:
            return
        idle, busy = min(used, key=lambda item: item[1]), max(used, key=lambda item: item[1])
        gap = busy[1] - idle[1]
        if gap < params.min_gap:
            return
        yield self.report(
            f"{name_gpu(idle[0])} runs kernels {units.percent(idle[1])} of the time, {name_gpu(busy[0])} "
            f"{units.percent(busy[1])}: replicas wait for the one with most to do, or one of them is not used. Check the "
            "strategy's devices, and give each replica the same batch.",
            severity=Severity.LOW,
            confidence=Confidence.MEDIUM,
            pipeline=train,
            evidence=(
                Evidence(name="busy_gap", value=gap, unit="share", threshold=params.min_gap, n=len(used)),
                Evidence(name="idlest_busy_share", value=idle[1], unit="share"),
                Evidence(name="busiest_busy_share", value=busy[1], unit="share"),
            ),
        )
