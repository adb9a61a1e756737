"""PP102: there is nothing to gain from the input.

The one idea: a healthy input pipeline is a result, told with its headroom. It never fires beside PP101.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeprof import units
from pipeprof.model.analysis import Analysis, PipelineView
from pipeprof.model.diagnosis import Evidence, Finding, InputBound, Limit, Severity
from pipeprof.rules.base import Parameters, Rule, describe_wait, parameter
from pipeprof.rules.needs import Need

_LARGE = 10.0  # beyond it the exact headroom says nothing more


@dataclass(frozen=True, kw_only=True, slots=True)
class ComputeBoundParameters(Parameters):
    """Thresholds of PP102."""

    max_ceiling: float = parameter(1.05, unit="ratio", low=1, high=2, doc="a ceiling below this is nothing to gain")


class ComputeIsTheLimit(Rule[ComputeBoundParameters]):
    """Compute-bound.

    What it looks for:
        A verdict of "not input-bound", or a ceiling below 1.05: even an input
        that is always ready would make training less than 5 % faster.

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
    needs = (Need.TRAINING, Need.VERDICT)
    parameters = ComputeBoundParameters

    def check(self, analysis: Analysis, params: ComputeBoundParameters) -> Iterator[Finding]:
        """Yield one finding where the input keeps up."""
        train = analysis.train
        if train is None or not _keeps_up(analysis, params):
            return
        headroom = _find_headroom(train)
        evidence = [Evidence(name="wait_share", value=analysis.steps.wait_share, unit="share", n=analysis.steps.count)]
        ceiling = analysis.verdict.ceiling_speedup
        if ceiling is not None:
            evidence.append(Evidence(name="ceiling_speedup", value=ceiling, unit="ratio", threshold=params.max_ceiling))
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


def _keeps_up(analysis: Analysis, params: ComputeBoundParameters) -> bool:
    verdict = analysis.verdict
    if verdict.limit in {Limit.CONTENTION, Limit.STARTUP}:
        return False
    if verdict.input_bound is InputBound.NOT:
        return True
    is_unknown = verdict.input_bound is InputBound.UNKNOWN
    return is_unknown and verdict.ceiling_speedup is not None and verdict.ceiling_speedup < params.max_ceiling


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
