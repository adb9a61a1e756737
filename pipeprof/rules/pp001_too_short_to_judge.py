"""PP001: the run is too short, or too noisy for its length, to be judged.

The one idea: a verdict needs enough steps for its interval to fit into one band. It says so and never withholds a number.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeprof import units
from pipeprof.model.analysis import Analysis
from pipeprof.model.diagnosis import Confidence, Evidence, Finding, Severity
from pipeprof.rules.base import Parameters, Rule, parameter
from pipeprof.rules.needs import Need


@dataclass(frozen=True, kw_only=True, slots=True)
class TooShortParameters(Parameters):
    """Thresholds of PP001."""

    min_steps: int = parameter(20, unit="steps", low=2, high=10_000, doc="fewer steps are too few")
    min_wall_s: float = parameter(3.0, unit="s", low=0.1, high=3600, doc="a shorter loop is too short")
    max_width: float = parameter(0.15, unit="share of the step", low=0.01, high=1, doc="a wider wait interval is too wide")


class TooShortToJudge(Rule[TooShortParameters]):
    """Too short to judge.

    What it looks for:
        A training loop of few steps or few seconds, or one whose interval of
        the wait share is wider than the "moderately input-bound" band
        (5-20 % of the step).

    Why it costs time:
        It costs nothing by itself. But in its first seconds TensorFlow traces
        functions, fills buffers, and AUTOTUNE still raises its parallelism:
        what is seen then is not what a long run does.

    How it is measured:
        Number of steps, wall time of the loop without what lies between its
        iterators' lives, and the interval of the wait share over the steps.

    When it is wrong:
        A job that really is that short is judged as it is: then the verdict
        stands, with its interval.

    What to do:
        Run more steps: several hundred, and at least two epochs, so that the
        second one (caches filled, files in the page cache) is seen too.

    What that can change:
        Nothing in the program.

    References:
        TensorFlow guide "Better performance with the tf.data API", on
        benchmark hazards.
    """

    code = "PP001"
    name = "too-short-to-judge"
    needs = (Need.TRAINING,)
    parameters = TooShortParameters

    def check(self, analysis: Analysis, params: TooShortParameters) -> Iterator[Finding]:
        """Yield one finding where the run cannot carry a verdict."""
        train = analysis.train
        if train is None:
            return
        evidence = _find_shortcomings(analysis, train.record.loop.wall_s, params)
        if evidence:
            reasons = "; ".join(_say(item) for item in evidence)
            yield self.report(
                f"Too short to judge: {reasons}. What is seen this early is not what a long run does; run more steps.",
                severity=Severity.INFO,
                confidence=Confidence.HIGH,
                pipeline=train,
                evidence=evidence,
            )


def _find_shortcomings(analysis: Analysis, wall_s: float, params: TooShortParameters) -> list[Evidence]:
    steps = analysis.steps
    found = []
    if steps.count < params.min_steps:
        found.append(Evidence(name="steps", value=steps.count, unit="steps", threshold=params.min_steps, n=steps.count))
    if wall_s < params.min_wall_s:
        found.append(Evidence(name="loop_wall_s", value=wall_s, unit="s", threshold=params.min_wall_s, n=steps.count))
    if steps.wait_share_low is not None and steps.wait_share_high is not None:
        width = steps.wait_share_high - steps.wait_share_low
        if width > params.max_width:
            found.append(
                Evidence(name="wait_interval_width", value=width, unit="share", threshold=params.max_width, n=steps.count)
            )
    return found


def _say(item: Evidence) -> str:
    value, threshold = float(item.value or 0), float(item.threshold or 0)
    if item.name == "steps":
        return f"{value:.0f} steps were seen, {threshold:.0f} are needed"
    if item.name == "loop_wall_s":
        return f"the loop ran for {units.duration(value)}, {units.duration(threshold)} are needed"
    return f"the share of waiting is known to within {units.percent(value)} only, {units.percent(threshold)} are needed"
