"""PP103: Python code between the steps is what limits the loop.

The one idea: the interpreter's lock is sampled, so that time in which the loop runs Python can be told from time in which ops
compute. It says nothing of the input but that it keeps up.
"""

from __future__ import annotations

from collections.abc import Iterator

from pipeprof import units
from pipeprof.analysis.verdict import HOST_BOUND
from pipeprof.model.analysis import Analysis
from pipeprof.model.diagnosis import Evidence, Finding, Limit, Safety, Severity
from pipeprof.rules.base import Parameters, Rule, Status, describe_wait
from pipeprof.rules.needs import Need


class HostBoundLoop(Rule[Parameters]):
    """Host-bound loop.

    What it looks for:
        A loop that does not wait for its input, and in which Python code
        outside the pipeline holds the interpreter's lock nearly all the time.

    Why it costs time:
        Between two calls into TensorFlow the device idles while Python runs:
        metrics, logging, augmentation by NumPy, many small eager ops.

    How it is measured:
        A thread that wakes at times of its own choosing sees whether it has to
        wait for the lock; what the pipeline's own Python functions computed is
        taken off.

    When it is wrong:
        Where the Python code in question is a thread of its own that training
        does not wait for. Holds shorter than half a millisecond are not seen,
        so that a loop of small eager ops may pass.

    What to do:
        Put several steps into one call (steps_per_execution in Keras, a
        tf.function over several batches), fetch metrics less often, and move
        computing from Python into ops.

    What that can change:
        Callbacks and metrics are then called once for several steps.

    References:
        TensorFlow guide "Optimize TensorFlow GPU performance with the
        TensorFlow Profiler", on host-side gaps.
    """

    code = "PP103"
    name = "host-bound-loop"
    status = Status.STABLE
    remedy_safety = Safety.SAFE
    needs = (Need.TRAINING, Need.CONSUMER, Need.VERDICT)

    def check(self, analysis: Analysis, params: Parameters) -> Iterator[Finding]:  # noqa: ARG002 - rules share one shape
        """Yield one finding where the verdict names the host."""
        train = analysis.train
        if train is None or analysis.verdict.limit is not Limit.HOST:
            return
        held = analysis.resources.lock_held_share
        yield self.report(
            f"The input keeps up: training waits {describe_wait(analysis)}. Python's lock is held {units.percent(held)} of the "
            "loop: put several steps into one call, or less Python between them.",
            severity=Severity.INFO,
            confidence=analysis.verdict.confidence,
            pipeline=train,
            evidence=(
                Evidence(name="lock_held_share", value=held, unit="share", threshold=HOST_BOUND),
                Evidence(name="wait_share", value=analysis.steps.wait_share, unit="share", n=analysis.steps.count),
            ),
        )
