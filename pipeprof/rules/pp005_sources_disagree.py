"""PP005: two instruments measured one stage and do not agree.

The one idea: where TensorFlow's counters and trace windows were both read, they are held against each other, and a difference
that sampling cannot explain is told. It does not say which of them is right.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeprof import units
from pipeprof.analysis.sources import DISAGREE_FACTOR, SourcePair, compare_sources
from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.diagnosis import Confidence, Evidence, Finding, Severity
from pipeprof.rules.base import Parameters, Rule, Status, name_stage, parameter
from pipeprof.rules.needs import Need


@dataclass(frozen=True, kw_only=True, slots=True)
class SourcesDisagreeParameters(Parameters):
    """Thresholds of PP005."""

    max_factor: float = parameter(DISAGREE_FACTOR, unit="times", low=1.1, high=100, doc="the larger time may be so much longer")


class SourcesDisagree(Rule[SourcesDisagreeParameters]):
    """Sources disagree.

    What it looks for:
        A stage whose time for one element is very different in TensorFlow's
        counters and in the trace windows that were taken beside them.

    Why it costs time:
        It does not. But what is said of the stage rests on one of the two, and
        one of them is wrong for it, or did not see the same part of the run.

    How it is measured:
        Busy time of one element by the counters, over the whole run, against
        that of the elements inside the windows; only for stages that do at
        least a tenth of the pipeline's work.

    When it is wrong:
        Where the cost of an element changes in the course of the run (longer
        texts, larger pictures, other programs on the machine): windows show
        only some moments of it.

    What to do:
        Run again; if it stays, measure the pipeline alone with pipeprof bench,
        which uses neither of the two.

    What that can change:
        Nothing in the program.

    References:
        tf.data.experimental.get_model_proto; TensorFlow's profiler, XSpace.
    """

    code = "PP005"
    name = "sources-disagree"
    status = Status.STABLE
    remedy_safety = None
    needs = (Need.PIPELINES, Need.TWO_SOURCES)
    parameters = SourcesDisagreeParameters

    def check(self, analysis: Analysis, params: SourcesDisagreeParameters) -> Iterator[Finding]:
        """Yield a finding for the busiest stage of each pipeline on which the sources disagree."""
        for pipeline in analysis.pipelines:
            apart = [pair for pair in compare_sources(pipeline.record) if pair.factor > params.max_factor]
            if apart:
                yield self._report_pair(pipeline, apart[0], params)

    def _report_pair(self, pipeline: PipelineView, pair: SourcePair, params: SourcesDisagreeParameters) -> Finding:
        view = _view_of(pipeline, pair)
        name = name_stage(view) if view is not None else pair.node.node
        return self.report(
            f"Two sources disagree about {name}: {units.duration(pair.counted_s)} for one element by TensorFlow's counters, "
            f"{units.duration(pair.traced_s)} in {pipeline.record.windows}. What is said of this stage is in doubt; run "
            f"again, or measure the pipeline alone with pipeprof bench.",
            severity=Severity.INFO,
            confidence=Confidence.MEDIUM,
            pipeline=pipeline,
            view=view,
            evidence=(
                Evidence(name="factor", value=pair.factor, unit="times", threshold=params.max_factor),
                Evidence(name="counted_s", value=pair.counted_s, unit="s", n=pair.node.elements),
                Evidence(name="traced_s", value=pair.traced_s, unit="s", n=pair.node.traced_elements),
            ),
        )


def _view_of(pipeline: PipelineView, pair: SourcePair) -> StageView | None:
    return next((view for view in pipeline.stages if any(node.id == pair.node.id for node in view.executed)), None)
