"""PP601: a cheap map runs once per element where it could run once per batch.

The one idea: calling a function costs TensorFlow some 15 µs, so work that is cheaper than that is mostly calling. Only
functions whose every operation has a batched form are proposed; whether the results agree is left to the trial. Functions
that parse records are PP602's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeprof import units
from pipeprof.analysis.stage_graph import consumer_of, elements_per_step
from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.diagnosis import Confidence, Evidence, Finding, Safety, Severity
from pipeprof.rules.base import COST_SHARE, Parameters, Rule, Status, grade, name_stage, parameter, say_wait, weakest
from pipeprof.rules.batched_form import has_batched_form, parses_records, share_of_hand_over
from pipeprof.rules.cost import busy_of, is_input_bound, share_saved_at
from pipeprof.rules.needs import Need

BY_HAND = "by_hand"  # name of the evidence that the function must be rewritten first


@dataclass(frozen=True, kw_only=True, slots=True)
class MapBeforeBatchParameters(Parameters):
    """Thresholds of PP601."""

    min_share: float = parameter(0.05, unit="share of the step", low=0, high=1, doc="fewer calls must save this much")
    max_element_s: float = parameter(100e-6, unit="s", low=1e-6, high=0.01, doc="a dearer call is worth its dispatch")
    dispatch_s: float = parameter(15e-6, unit="s", low=1e-7, high=1e-3, doc="what one call costs TensorFlow")
    min_elements: float = parameter(8.0, unit="elements per step", low=2, high=1e6, doc="fewer calls are not worth it")
    max_element_bytes: float = parameter(
        65536.0, unit="bytes", low=16, high=1e9, doc="larger elements are bound by memory, not by calls"
    )


class MapBeforeBatch(Rule[MapBeforeBatchParameters]):
    """Map before batch.

    What it looks for:
        A map directly before a batch that handles many small elements for each
        step, at less than 100 microseconds each, with a function made of
        operations that work on a whole batch as well.

    Why it costs time:
        Calling a function costs 15-25 microseconds whatever it does. For cheap
        functions that is most of the time: scaling a number took 23
        microseconds as map.batch and 0.7 as batch.map.

    How it is measured:
        Busy time for one step over the elements for one step. The saving is
        counted low: 15 microseconds for each element, less one call for each
        batch.

    When it is wrong:
        A function may mean something else on a batch: a mean over all axes,
        x[0], reshape. Where its operations do not prove that it means the
        same, it weighs less and is to be rewritten by hand. Large elements
        are bound by memory: cast and scale of 224 x 224 images was slower
        batched. Silent for random operations, image decoding, strings,
        tables, loops and Python; the parsing of records is PP602's.

    What to do:
        batch first, then map, with the function written for a leading batch
        dimension.

    What that can change:
        One bad record fails its whole batch. Floating-point reductions can
        differ in the last bits.

    References:
        TensorFlow guide "Better performance with the tf.data API", on
        vectorizing; tensorflow/tensorflow issues 13187, 15694.
    """

    code = "PP601"
    name = "map-before-batch"
    status = Status.STABLE
    remedy_safety = Safety.SAFE
    needs = (Need.TRAINING, Need.VERDICT, Need.COUNTERS)
    rivals = ("PP201",)
    parameters = MapBeforeBatchParameters

    def check(self, analysis: Analysis, params: MapBeforeBatchParameters) -> Iterator[Finding]:
        """Yield a finding for each cheap map before a batch that training waits for."""
        train = analysis.train
        if train is None or not is_input_bound(analysis):
            return
        for view in train.stages:
            if not _stands_before_batch(train, view) or not _is_small_and_frequent(train, view, params):
                continue
            visits, busy_s = elements_per_step(train, view) or 0.0, busy_of(view)
            saved_s = min(busy_s, (visits - 1) * params.dispatch_s)
            cost = share_saved_at(analysis, train, view, (busy_s - saved_s) / max(view.slots, 1.0))
            cost = max(cost, share_of_hand_over(train, visits, params.max_element_s))
            if cost >= params.min_share and cost > 0:
                yield self._report_map(analysis, train, view, cost, params)

    def _report_map(
        self, analysis: Analysis, train: PipelineView, view: StageView, cost: float, params: MapBeforeBatchParameters
    ) -> Finding:
        visits = elements_per_step(train, view) or 1.0
        element_s = busy_of(view) / visits
        reason = _why_by_hand(view)
        message = (
            f"{name_stage(view)} is called for each of the {visits:.0f} elements of a step, {units.duration(element_s)} each, "
            f"of which about {units.duration(min(element_s, params.dispatch_s))} is the call itself. "
            f"{say_wait(analysis)}. {_describe_cure(reason)}"
        )
        return self.report(
            message,
            severity=grade(cost) if reason is None else _next_lower(grade(cost)),
            confidence=weakest(Confidence.MEDIUM, analysis.verdict.confidence),  # the cost of a call is a constant here
            pipeline=train,
            view=view,
            evidence=(
                Evidence(name=COST_SHARE, value=cost, unit="share", threshold=params.min_share, n=analysis.steps.count),
                Evidence(name="busy_s_per_element", value=element_s, unit="s", threshold=params.max_element_s),
                Evidence(name="elements_per_step", value=visits, unit="elements", threshold=params.min_elements),
                Evidence(name="busy_s_per_step", value=busy_of(view), unit="s"),
                *(() if reason is None else (Evidence(name=BY_HAND, value=reason or "not known"),)),
            ),
        )


def _why_by_hand(view: StageView) -> str | None:
    """Return None where the function is proven to work on a batch as it is, else why not, empty where that is not known."""
    function = view.written.function if view.written is not None else None
    reason = function.not_elementwise if function is not None else None
    return None if reason == "" else reason or ""


def _describe_cure(reason: str | None) -> str:
    if reason is None:
        return "Call it once for each batch: batch first, then map."
    why = f" ({reason})" if reason else ""
    return (
        f"It is not proven to mean the same on a batch{why}: rewrite it for a leading batch dimension, then put batch before "
        "it."
    )


def _next_lower(severity: Severity) -> Severity:
    return Severity.MEDIUM if severity is Severity.HIGH else Severity.LOW


def _stands_before_batch(train: PipelineView, view: StageView) -> bool:
    if view.written is None or view.written.op != "map" or not view.executed:
        return False
    consumer = consumer_of(train, view.id)
    is_batched = consumer is not None and consumer.written is not None and consumer.written.op == "batch"
    function = view.written.function
    return is_batched and function is not None and has_batched_form(function) and not parses_records(function)


def _is_small_and_frequent(train: PipelineView, view: StageView, params: MapBeforeBatchParameters) -> bool:
    visits = elements_per_step(train, view)
    if not visits or visits < params.min_elements or busy_of(view) / visits >= params.max_element_s:
        return False
    size = _largest_element(train, view)
    return size is None or size <= params.max_element_bytes


def _largest_element(train: PipelineView, view: StageView) -> int | None:
    """Return the bytes of the stage's element or of its input's, whichever is larger; None where neither is static."""
    if view.written is None:
        return None
    ids = {view.id, *view.written.inputs}
    sizes = [item.written.element_bytes for item in train.stages if item.id in ids and item.written is not None]
    known = [size for size in sizes if size is not None]
    return max(known) if known else None
