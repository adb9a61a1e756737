"""PP503: a generator that yields single small elements, so that handing them over takes most of the time.

The one idea: the hand-over costs the same for a scalar and for a batch; a generator that yields batches pays it once for each.
It leaves alone generators whose own work dominates (PP501, PP502).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeprof import units
from pipeprof.analysis.stage_graph import downstream, elements_per_step
from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.diagnosis import Confidence, Evidence, Finding, Safety
from pipeprof.rules.base import COST_SHARE, Parameters, Rule, Status, grade, name_stage, parameter, say_wait, weakest
from pipeprof.rules.cache_point import measure_element
from pipeprof.rules.cost import busy_of, is_input_bound, share_saved_at
from pipeprof.rules.generator_overhead import FEWEST_ELEMENTS, MOSTLY, is_mostly_overhead, overhead_share
from pipeprof.rules.needs import Need


@dataclass(frozen=True, kw_only=True, slots=True)
class ScalarGeneratorParameters(Parameters):
    """Thresholds of PP503."""

    min_share: float = parameter(0.05, unit="share of the step", low=0, high=1, doc="yielding batches must save this much")
    min_overhead: float = parameter(
        MOSTLY, unit="share of the generator's time", low=0.1, high=1, doc="that the hand-over of elements takes"
    )
    max_element_bytes: float = parameter(65536.0, unit="bytes", low=1, high=1e9, doc="larger elements are no small ones")
    min_elements: float = parameter(
        FEWEST_ELEMENTS, unit="elements per step", low=2, high=1e6, doc="fewer are not worth a batch"
    )


class ScalarGenerator(Rule[ScalarGeneratorParameters]):
    """Scalar generator.

    What it looks for:
        A from_generator that yields many small elements for each step, that
        training waits for, and whose time is mostly the hand-over of elements
        to TensorFlow.

    Why it costs time:
        Each element is a call from TensorFlow into Python, a conversion of each
        component to an array and a copy, all under the interpreter lock: 117
        microseconds for a scalar, 385 for a tuple of ten, 2.9 for each scalar
        in batches of 32.

    How it is measured:
        The generator's busy time for one element against 60 microseconds for
        the call and 30 for each component, which is counted low.

    When it is wrong:
        On a machine that is much faster or slower the share is off. Where the
        generator's own work for an element takes long it stays silent.

    What to do:
        Yield arrays that hold many elements (a whole batch, or a chunk and
        unbatch() after it), or read arrays with from_tensor_slices.

    What that can change:
        Nothing in the elements; the last batch may be smaller.

    References:
        TensorFlow guide "tf.data: Build TensorFlow input pipelines", on
        from_generator; tensorflow/tensorflow issues 44274 and 56258.
    """

    code = "PP503"
    name = "scalar-generator"
    status = Status.STABLE
    remedy_safety = Safety.SAFE
    needs = (Need.TRAINING, Need.VERDICT, Need.COUNTERS)
    rivals = ("PP501", "PP502")
    parameters = ScalarGeneratorParameters

    def check(self, analysis: Analysis, params: ScalarGeneratorParameters) -> Iterator[Finding]:
        """Yield a finding for each generator that spends its time on handing over small elements."""
        train = analysis.train
        if train is None or not is_input_bound(analysis):
            return
        for view in train.stages:
            size = measure_element(train, view)
            if size is None or size > params.max_element_bytes:
                continue
            if not is_mostly_overhead(train, view, params.min_overhead, params.min_elements):
                continue
            share, batch = overhead_share(train, view), _batch_size(train, view)
            left_s = busy_of(view) * (1 - share) + busy_of(view) * share / batch
            cost = share_saved_at(analysis, train, view, left_s)
            if cost >= params.min_share and cost > 0:
                yield self._report_generator(analysis, train, view, size, cost, params)

    def _report_generator(
        self,
        analysis: Analysis,
        train: PipelineView,
        view: StageView,
        size: float,
        cost: float,
        params: ScalarGeneratorParameters,
    ) -> Finding:
        visits, share = elements_per_step(train, view) or 1.0, overhead_share(train, view)
        return self.report(
            f"{name_stage(view)} yields {visits:,.0f} single elements of {units.byte_count(size)} for each step, "
            f"{units.duration(busy_of(view) / visits)} each, of which at least {units.percent(share)} is their hand-over from "
            f"Python. {say_wait(analysis)}. Yield arrays of a whole batch, {_batch_size(train, view):,.0f} elements at a time, "
            "and leave the batch() after it out.",
            severity=grade(cost),
            confidence=weakest(Confidence.MEDIUM, analysis.verdict.confidence),  # what a hand-over costs is a constant here
            pipeline=train,
            view=view,
            evidence=(
                Evidence(name=COST_SHARE, value=cost, unit="share", threshold=params.min_share, n=analysis.steps.count),
                Evidence(name="overhead_share", value=share, unit="share", threshold=params.min_overhead),
                Evidence(name="busy_s_per_element", value=busy_of(view) / visits, unit="s"),
                Evidence(name="elements_per_step", value=visits, unit="elements", threshold=params.min_elements),
            ),
        )


def _batch_size(train: PipelineView, view: StageView) -> float:
    """Return the elements of the first batch after the stage, else those of a step."""
    for item in downstream(train, view.id):
        size = item.written.arguments.get("batch_size") if item.written is not None else None
        if isinstance(size, int) and size > 1:
            return float(size)
    return max(2.0, elements_per_step(train, view) or 2.0)
