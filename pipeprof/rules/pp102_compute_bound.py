"""PP102: there is nothing to gain from the input.

The one idea: a healthy input pipeline is a result, told with its headroom. It never fires beside PP101.
"""

from __future__ import annotations

from collections.abc import Iterator

from pipeprof import units
from pipeprof.model.analysis import Analysis, PipelineView
from pipeprof.model.diagnosis import Evidence, Finding, Limit, Severity
from pipeprof.rules.base import Parameters, Rule, Status, describe_wait
from pipeprof.rules.needs import Need

_LARGE = 10.0  # beyond it the exact headroom says nothing more


class ComputeIsTheLimit(Rule[Parameters]):
    """Compute-bound.

    What it looks for:
        A verdict of "not input-bound" that is decided: even an input that is
        always ready would give little.

    Why it costs time:
        It does not: the input keeps up, and work on it would be wasted.

    How it is measured:
        As for PP101. The headroom is the consumer's own time for one step over
        the time in which the slowest part of the pipeline makes what one step
        takes.

    When it is wrong:
        On a CPU a pipeline that keeps up can still take cores from the model;
        it does not fire where the verdict names contention, nor where start-up
        was most of what was seen. Headroom shrinks when the model becomes
        faster or moves to more devices.

    What to do:
        Leave the input alone. Look at the step itself: batch size, mixed
        precision, XLA, steps_per_execution.

    What that can change:
        Nothing.

    References:
        TensorFlow guide "Optimize TensorFlow GPU performance with the
        TensorFlow Profiler"; DS-Analyzer (VLDB 2021) for the differential test.
    """

    code = "PP102"
    name = "compute-bound"
    status = Status.STABLE
    remedy_safety = None
    needs = (Need.TRAINING, Need.CONSUMER, Need.VERDICT)

    def check(self, analysis: Analysis, params: Parameters) -> Iterator[Finding]:  # noqa: ARG002 - rules share one shape
        """Yield one finding where the input keeps up."""
        train = analysis.train
        if train is None or not analysis.verdict.nothing_to_fix or analysis.verdict.limit is Limit.HOST:
            return
        headroom = _find_headroom(train)
        evidence = [Evidence(name="wait_share", value=analysis.steps.wait_share, unit="share", n=analysis.steps.count)]
        ceiling = analysis.verdict.ceiling_speedup
        if ceiling is not None:
            evidence.append(Evidence(name="ceiling_speedup", value=ceiling, unit="ratio"))
        if headroom is not None:
            evidence.append(Evidence(name="headroom", value=headroom, unit="ratio"))
        yield self.report(
            f"The input keeps up: training waits {describe_wait(analysis)}.{_describe_headroom(headroom)} "
            "Leave the input alone.",
            severity=Severity.INFO,
            confidence=analysis.verdict.confidence,
            pipeline=train,
            evidence=evidence,
        )


def _find_headroom(train: PipelineView) -> float | None:
    """Return how many times faster the pipeline could feed than the consumer takes; None where not known or none."""
    if not train.gap_s or not train.production_s_per_step:
        return None
    headroom = train.gap_s / train.production_s_per_step
    return headroom if headroom > 1 else None


def _describe_headroom(headroom: float | None) -> str:
    if headroom is None:
        return ""
    text = units.ratio(headroom) if headroom < _LARGE else f"more than {units.ratio(_LARGE)}"
    return f" It could feed {text} as fast as the step takes."
