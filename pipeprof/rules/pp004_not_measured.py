"""PP004: an instrument could not run, or saw only a part.

The one idea: "not measured" must never read as "no problem". It reports what capture recorded and adds how to get it; it
never guesses the missing number.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeprof import units
from pipeprof.model.analysis import Analysis, PipelineView
from pipeprof.model.diagnosis import Confidence, Evidence, Finding, Severity
from pipeprof.model.profile import GpuSeries
from pipeprof.rules.base import Parameters, Rule, Status, name_place, parameter

# (words of a problem, how to get what is missing); the first that matches is said.
_REMEDIES = (
    (("autotune",), "Leave options.autotune.enabled on while profiling: TensorFlow keeps counters only then."),
    (("distribut", "multi-device", "replica"), "Profile with one device and no strategy, or measure the pipeline alone."),
    (("tf.function", "in-graph", "in graph", "compiled"), "Iterate over the dataset in Python, outside tf.function."),
    (("no nvidia gpu",), "Where there is one, check that nvidia-smi works for this user and in this container."),
    (("mig",), "Ask for a whole GPU: NVML does not give these values for a MIG slice."),
    (("nvml", "gpu", "nvidia"), "Check that nvidia-smi works for this user and in this container."),
    (("cgroup", "/proc", "permission"), "Give the process read access to it, then run again."),
    (("child", "fork", "process"), "Profile the work of child processes in a run of its own."),
)
_DEFAULT_REMEDY = "What depends on it is left out of this report."


@dataclass(frozen=True, kw_only=True, slots=True)
class NotMeasuredParameters(Parameters):
    """Thresholds of PP004."""

    min_seen: float = parameter(0.5, unit="share of the steps", low=0, high=1, doc="fewer timed steps are reported")


class NotMeasured(Rule[NotMeasuredParameters]):
    """Not measured.

    What it looks for:
        Instruments that could not run; pipelines whose stages TensorFlow gave
        no counters for; loops of which most steps were not timed; values that
        a GPU does not give; child processes that were not observed.

    Why it costs time:
        It does not. But a problem may hide in what was not measured.

    How it is measured:
        From the notes that each instrument leaves when it fails, and from the
        share of the steps that was timed.

    When it is wrong:
        Where the missing instrument has no bearing on the question, such as
        the power draw of a GPU.

    What to do:
        Follow the last sentence of the message: it says how to get the number.

    What that can change:
        Profiling without a strategy or outside tf.function changes how the
        loop runs; compare the step times before drawing conclusions.

    References:
        tf.data.experimental.get_model_proto (needs autotune); NVML API
        reference, "nvmlReturn_t", NOT_SUPPORTED.
    """

    code = "PP004"
    name = "not-measured"
    status = Status.STABLE
    remedy_safety = None
    parameters = NotMeasuredParameters

    def check(self, analysis: Analysis, params: NotMeasuredParameters) -> Iterator[Finding]:
        """Yield one finding for each thing that was not measured."""
        for problem in dict.fromkeys(analysis.profile.run.problems):
            yield self._missing(f"Not measured: {problem.rstrip('.')}.", problem)
        for pipeline in analysis.pipelines:
            yield from self._check_pipeline(pipeline, params)
        for gpu in analysis.profile.gpus:
            if gpu.unsupported:
                yield self._missing(_describe_gpu(gpu), "gpu")
        children = analysis.profile.children_not_observed
        if children:
            text = f"{children} child process{' was' if children == 1 else 'es were'} not observed."
            yield self._missing(text, "child", evidence=(Evidence(name="children", value=children, unit="processes"),))

    def _check_pipeline(self, pipeline: PipelineView, params: NotMeasuredParameters) -> Iterator[Finding]:
        record = pipeline.record
        if record.loop.elements > 0 and not record.executed:
            place = "a pipeline" if record.call_site is None else f"the pipeline at {name_place(record.call_site)}"
            yield self._missing(f"No time per stage for {place}: {record.counters.rstrip('.')}.", record.counters, pipeline)
        if record.loop.elements > 0 and record.loop.seen_share < params.min_seen:
            text = f"Only {units.percent(record.loop.seen_share)} of the steps were timed; the wait share rests on these."
            evidence = Evidence(name="seen_share", value=record.loop.seen_share, unit="share", threshold=params.min_seen)
            yield self._missing(text, record.loop.method, pipeline, (evidence,))

    def _missing(
        self, text: str, cause: str, pipeline: PipelineView | None = None, evidence: tuple[Evidence, ...] = ()
    ) -> Finding:
        return self.report(
            f"{text} {_find_remedy(cause)}",
            severity=Severity.INFO,
            confidence=Confidence.HIGH,
            pipeline=pipeline,
            evidence=evidence,
        )


def _find_remedy(cause: str) -> str:
    lowered = cause.lower()
    for words, remedy in _REMEDIES:
        if any(word in lowered for word in words):
            return remedy
    return _DEFAULT_REMEDY


def _describe_gpu(gpu: GpuSeries) -> str:
    return f"GPU {gpu.index} ({gpu.name}) does not give: {', '.join(gpu.unsupported)}."
