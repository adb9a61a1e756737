"""PP101: training waits for its input.

The one idea: it restates the verdict as a finding, with the share, its interval and the most that any input could give, so
that gates and code reviews see it. It never decides the verdict itself.
"""

from __future__ import annotations

from collections.abc import Iterator

from pipeprof import units
from pipeprof.model.analysis import Analysis
from pipeprof.model.diagnosis import Evidence, Finding, InputBound, Severity, Verdict
from pipeprof.rules.base import COST_SHARE, Parameters, Rule, Status, describe_wait, name_stage
from pipeprof.rules.cost import is_input_bound
from pipeprof.rules.needs import Need


class InputIsTheLimit(Rule[Parameters]):
    """Input-bound.

    What it looks for:
        A verdict of "highly" or "moderately" input-bound: at least 20 % or 5 %
        of each step could be had back from a faster input.

    Why it costs time:
        The device stands still while the loop is blocked in next().

    How it is measured:
        Time blocked in next() against the time between two calls. Where trials
        were allowed, the wait of the same loop fed with one ready element is
        taken off, since healthy loops wait a little too; what is left is graded
        at the low end of its interval. The ceiling is the speed-up that an
        input which is always ready would give.

    When it is wrong:
        Without the ready-element control the confidence is low. A loop that
        hands work to a GPU asynchronously can wait while the GPU is busy; on a
        CPU the pipeline and the model fight for the same cores.

    What to do:
        Work through the findings on the stages, the dearest first.

    What that can change:
        See each of them; this finding changes nothing by itself.

    References:
        XProf's input-pipeline analyzer, bands of 5 % and 20 %
        (op_stats_to_input_pipeline_analysis.cc); TensorFlow guide "Analyze
        tf.data performance with the TF Profiler".
    """

    code = "PP101"
    name = "input-bound"
    status = Status.STABLE
    remedy_safety = None
    needs = (Need.TRAINING, Need.CONSUMER, Need.VERDICT)

    def check(self, analysis: Analysis, params: Parameters) -> Iterator[Finding]:  # noqa: ARG002 - rules share one shape
        """Yield one finding where the verdict is input-bound."""
        train = analysis.train
        if train is None or not is_input_bound(analysis):
            return
        verdict = analysis.verdict
        bottleneck = train.bottleneck
        slowest = "" if bottleneck is None else f" The slowest stage is {name_stage(bottleneck)}."
        is_high = verdict.input_bound is InputBound.HIGHLY
        yield self.report(
            f"Training waits for its input {describe_wait(analysis)}.{_describe_ceiling(verdict)}{slowest}",
            severity=Severity.HIGH if is_high else Severity.MEDIUM,
            confidence=verdict.confidence,
            pipeline=train,
            view=bottleneck,
            evidence=_collect_evidence(analysis, train.record.id),
        )


def _describe_ceiling(verdict: Verdict) -> str:
    if verdict.ceiling_speedup is None:
        return ""
    if verdict.ceiling_high is None:
        return f" An input that is always ready would make it {units.ratio(verdict.ceiling_speedup)} as fast or more."
    interval = ""
    if verdict.ceiling_low is not None:
        interval = f" ({units.ratio_interval(verdict.ceiling_low, verdict.ceiling_high)})"
    return f" An input that is always ready would make it at most {units.ratio(verdict.ceiling_speedup)} as fast{interval}."


def _collect_evidence(analysis: Analysis, pipeline_id: str) -> list[Evidence]:
    steps, verdict = analysis.steps, analysis.verdict
    control = analysis.control(pipeline_id)
    recoverable = control.recoverable_low if control is not None and control.reproduces_run else steps.wait_share
    threshold = 0.20 if verdict.input_bound is InputBound.HIGHLY else 0.05
    found = [
        Evidence(name=COST_SHARE, value=recoverable, unit="share", threshold=threshold, n=steps.count),
        Evidence(name="wait_share", value=steps.wait_share, unit="share", n=steps.count),
        Evidence(name="wait_share_low", value=steps.wait_share_low, unit="share", n=steps.count),
        Evidence(name="wait_share_high", value=steps.wait_share_high, unit="share", n=steps.count),
    ]
    if verdict.ceiling_speedup is not None:
        found.append(Evidence(name="ceiling_speedup", value=verdict.ceiling_speedup, unit="ratio"))
    return found
