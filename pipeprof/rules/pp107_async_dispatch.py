"""PP107: the loop waits in next while every GPU computes, so that the waiting costs nothing.

The one idea: a loop that hands work to a GPU runs ahead of it, and then waits somewhere; a GPU that is always busy cannot be
kept waiting by its input. It says that, and leaves the verdict on the host's own times to stand beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeprof import units
from pipeprof.analysis.devices import name_gpu, used_gpus
from pipeprof.model.analysis import Analysis
from pipeprof.model.diagnosis import Confidence, Evidence, Finding, Severity
from pipeprof.rules.base import Parameters, Rule, describe_wait, parameter
from pipeprof.rules.cost import is_input_bound
from pipeprof.rules.needs import Need


@dataclass(frozen=True, kw_only=True, slots=True)
class AsyncDispatchParameters(Parameters):
    """Thresholds of PP107."""

    min_busy: float = parameter(
        0.95, unit="share of the loop", low=0.5, high=1, doc="in which each GPU that is used ran kernels"
    )


class AsyncDispatch(Rule[AsyncDispatchParameters]):
    """Async dispatch.

    What it looks for:
        A loop that waits for its input while all the GPUs that it uses run
        kernels nearly all the time.

    Why it costs time:
        It does not. The host is ahead of the device, and waits for the next
        batch while the device is still busy with the batches before.

    How it is measured:
        By NVML: the share of the loop's time in which any kernel ran. What is
        left of it is the most that any input could give back.

    When it is wrong:
        Where another program uses the same GPU. With several GPUs, kernels that
        wait for other GPUs (all-reduce) count as busy.

    What to do:
        Leave the input alone; look at the step itself. To be sure, replace the
        input by one batch, dataset.take(1).cache().repeat(), and compare.

    What that can change:
        Nothing.

    References:
        NVML API reference, nvmlUtilization_t; TensorFlow guide "Optimize
        TensorFlow GPU performance with the TensorFlow Profiler".
    """

    code = "PP107"
    name = "async-dispatch"
    remedy_safety = None
    needs = (Need.TRAINING, Need.CONSUMER, Need.VERDICT, Need.WAITS, Need.GPU)
    parameters = AsyncDispatchParameters

    def check(self, analysis: Analysis, params: AsyncDispatchParameters) -> Iterator[Finding]:
        """Yield one finding where the loop waits and its GPUs do not."""
        train = analysis.train
        if train is None or not is_input_bound(analysis):
            return
        used = used_gpus(analysis.profile.gpus, train.record.loop)
        if not used or min(share for _, share in used) < params.min_busy:
            return
        idlest, share = min(used, key=lambda item: item[1])
        yield self.report(
            f"The loop waits for its input {describe_wait(analysis)}, but {name_gpu(idlest)} runs kernels "
            f"{units.percent(share)} of that time: the host is ahead of the device, and no input could give back more than "
            f"{units.percent(1 - share)}. Look at the step itself.",
            severity=Severity.INFO,
            confidence=Confidence.MEDIUM,
            pipeline=train,
            evidence=(
                Evidence(name="gpu_busy_share", value=share, unit="share", threshold=params.min_busy, n=len(used)),
                Evidence(name="wait_share", value=analysis.steps.wait_share, unit="share", n=analysis.steps.count),
            ),
        )
