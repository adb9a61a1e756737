"""PP001: the run is too short, or too noisy for its length, to be judged.

The one idea: a verdict needs enough steps for its interval to fit into one band. It says so and never withholds a number.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeprof.analysis.grading import MAX_WIDTH, MIN_STEPS, MIN_WALL_S, describe_shortcomings, find_shortcomings, lasted_s
from pipeprof.model.analysis import Analysis
from pipeprof.model.diagnosis import Confidence, Evidence, Finding, InputBound, Severity
from pipeprof.rules.base import Parameters, Rule, Status, parameter
from pipeprof.rules.needs import Need


@dataclass(frozen=True, kw_only=True, slots=True)
class TooShortParameters(Parameters):
    """Thresholds of PP001."""

    min_steps: int = parameter(MIN_STEPS, unit="steps", low=2, high=10_000, doc="fewer steps are too few")
    min_wall_s: float = parameter(MIN_WALL_S, unit="s", low=0.1, high=3600, doc="a shorter loop is too short")
    max_width: float = parameter(MAX_WIDTH, unit="share of the step", low=0.01, high=1, doc="a wider wait interval is too wide")


class TooShortToJudge(Rule[TooShortParameters]):
    """Too short to judge.

    What it looks for:
        A training loop of few steps or few seconds, or one whose interval of
        the wait share is wider than the "moderately input-bound" band
        (5-20 % of the step) and does not lie above it as a whole.

    Why it costs time:
        It costs nothing by itself. But in its first seconds TensorFlow traces
        functions, fills buffers, and AUTOTUNE still raises its parallelism:
        what is seen then is not what a long run does.

    How it is measured:
        Number of steps, wall time of the loop without what lies between its
        iterators' lives, and the interval of the wait share over the steps.

    When it is wrong:
        A job that really is that short is judged as it is: where it waits for
        certain the verdict stands, at low confidence. "Nothing to fix" is never
        said of it.

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
    status = Status.STABLE
    remedy_safety = None
    needs = (Need.TRAINING,)
    parameters = TooShortParameters

    def check(self, analysis: Analysis, params: TooShortParameters) -> Iterator[Finding]:
        """Yield one finding where the run cannot carry a verdict."""
        train = analysis.train
        if train is None:
            return
        found = find_shortcomings(
            analysis.steps,
            lasted_s(train.record.loop),
            min_steps=params.min_steps,
            min_wall_s=params.min_wall_s,
            max_width=params.max_width,
        )
        if found:
            is_open = analysis.verdict.input_bound is InputBound.UNKNOWN
            head = "Too short to judge" if is_open else "Too short to be sure of the verdict"
            yield self.report(
                f"{head}: {describe_shortcomings(found)}. What is seen this early is not what a long run does; run more steps.",
                severity=Severity.INFO,
                confidence=Confidence.HIGH,
                pipeline=train,
                evidence=[
                    Evidence(name=item.name, value=item.value, unit=item.unit, threshold=item.threshold, n=analysis.steps.count)
                    for item in found
                ],
            )
