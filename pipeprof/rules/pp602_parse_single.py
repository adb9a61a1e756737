"""PP602: records are parsed one by one before a batch, where one call could parse the whole batch.

The one idea: parsing a record costs mostly the call and the setting up of its features, which a batch pays once. Only functions
that do nothing but parse, and what works on batches as well, are proposed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeprof import units
from pipeprof.analysis.stage_graph import elements_per_step, neighbours, upstream
from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.diagnosis import Confidence, Evidence, Finding, Safety
from pipeprof.rules.base import COST_SHARE, Parameters, Rule, Status, grade, name_stage, parameter, say_wait, weakest
from pipeprof.rules.batched_form import PARSERS, has_batched_form, parses_records, share_of_hand_over
from pipeprof.rules.cost import busy_of, is_input_bound, share_saved_at
from pipeprof.rules.needs import Need
from pipeprof.rules.pp601_map_before_batch import BY_HAND
from pipeprof.rules.reordering import walk_on

PARSER = "parser"  # the evidence that the map could parse a batch where it stands
_BETWEEN = frozenset({"map", "shuffle", "repeat", "prefetch", "cache", "take", "skip"})
_BATCHES = frozenset({"batch", "padded_batch", "ragged_batch"})
_IN_BATCHES = {"DecodeCSV": "tf.io.decode_csv on the batch of lines", "ParseSequence": "tf.io.parse_sequence_example"}


@dataclass(frozen=True, kw_only=True, slots=True)
class ParseSingleParameters(Parameters):
    """Thresholds of PP602."""

    min_share: float = parameter(0.05, unit="share of the step", low=0, high=1, doc="parsing in batches must save this much")
    min_elements: float = parameter(8.0, unit="records per step", low=2, high=1e6, doc="fewer calls are not worth it")
    dispatch_s: float = parameter(15e-6, unit="s", low=1e-7, high=1e-3, doc="what one call costs, whatever it parses")
    feature_s: float = parameter(0.5e-6, unit="s", low=0, high=1e-4, doc="what setting up one feature costs in each call")
    left_share: float = parameter(
        0.2, unit="share of the stage", low=0.02, high=0.9, doc="of its time that parsing whole batches takes at least"
    )
    max_element_s: float = parameter(
        100e-6, unit="s", low=1e-6, high=0.01, doc="at most this much of a record's time is taken for handing it over"
    )


class ParseSingle(Rule[ParseSingleParameters]):
    """Parse single.

    What it looks for:
        A map that parses one record at a time (parse_single_example,
        parse_single_sequence_example, decode_csv) before a batch, and takes
        longer for one step than the consumer.

    Why it costs time:
        Each call sets up every feature anew. An example of 21 features took 36
        microseconds one by one and 3.0 in batches, one with a single vector 23
        and 1.3. Large features gain less: 60 vectors of 32 numbers 144 and 97.

    How it is measured:
        From the executed graph: records for one step, and the busy time of the
        map. The saving is counted low: 15 microseconds for each record and half
        a microsecond for each feature, and no more than four fifths in all.

    When it is wrong:
        Where the map also does what cannot be done on a batch (decode a picture,
        draw random numbers, look into strings) it stays silent: parsing is then
        seldom what costs. A filter between the map and the batch needs the
        parsed record, and keeps it silent as well.

    What to do:
        Batch the records first, then parse them together: tf.io.parse_example
        for parse_single_example, decode_csv on a vector of lines.

    What that can change:
        One bad record fails its whole batch. A shuffle between the two then
        holds records that are not parsed, which is less memory.

    References:
        tf.io.parse_example; TensorFlow guide "Better performance with the
        tf.data API", on vectorizing; tensorflow/tensorflow issues 390, 37093.
    """

    code = "PP602"
    name = "parse-single"
    status = Status.STABLE
    remedy_safety = Safety.SAFE
    needs = (Need.TRAINING, Need.VERDICT, Need.COUNTERS)
    rivals = ("PP201", "PP203")
    parameters = ParseSingleParameters

    def check(self, analysis: Analysis, params: ParseSingleParameters) -> Iterator[Finding]:
        """Yield a finding for each map that parses single records and that training waits for."""
        train = analysis.train
        if train is None or not is_input_bound(analysis):
            return
        for view in train.stages:
            visits = elements_per_step(train, view)
            if not _parses_single(view) or not _may_follow_a_batch(train, view) or (visits or 0.0) < params.min_elements:
                continue
            left_s = max(params.left_share * busy_of(view), busy_of(view) - (visits or 0.0) * _call_s(view, params))
            cost = share_saved_at(analysis, train, view, left_s / max(view.slots, 1.0))
            cost = max(cost, share_of_hand_over(train, visits or 1.0, params.max_element_s))
            if cost >= params.min_share and cost > 0:
                yield self._report_map(analysis, train, view, cost, params)

    def _report_map(
        self, analysis: Analysis, train: PipelineView, view: StageView, cost: float, params: ParseSingleParameters
    ) -> Finding:
        visits = elements_per_step(train, view) or 1.0
        element_s = busy_of(view) / visits
        return self.report(
            f"{name_stage(view)} parses the {visits:.0f} records of a step one by one, {units.duration(element_s)} each. "
            f"{say_wait(analysis)}. Batch them first and parse each batch in one call: {_cure(view)}.",
            severity=grade(cost),
            confidence=weakest(Confidence.MEDIUM, analysis.verdict.confidence),  # what a batch costs was not measured here
            pipeline=train,
            view=view,
            evidence=(
                Evidence(name=COST_SHARE, value=cost, unit="share", threshold=params.min_share, n=analysis.steps.count),
                Evidence(name="busy_s_per_element", value=element_s, unit="s"),
                Evidence(name="records_per_step", value=visits, unit="records", threshold=params.min_elements),
                Evidence(name="busy_s_per_step", value=busy_of(view), unit="s"),
                *_form(train, view),
            ),
        )


def _form(train: PipelineView, view: StageView) -> tuple[Evidence, ...]:
    """Return what parses where the call could take a batch as it stands, else why it must be rewritten first."""
    function = view.written.function if view.written is not None else None
    pair = neighbours(train, view.id)
    if pair is None or pair[1].stage.op != "batch":
        return (Evidence(name=BY_HAND, value="other stages stand between it and the batch"),)
    if function is None or function.not_elementwise != "":
        return (Evidence(name=BY_HAND, value=(function.not_elementwise if function is not None else None) or "not known"),)
    return (Evidence(name=PARSER, value="csv" if "DecodeCSV" in function.op_types else "example"),)


def _parses_single(view: StageView) -> bool:
    function = view.written.function if view.written is not None else None
    if view.stage.op != "map" or not view.executed or function is None:
        return False
    return parses_records(function) and has_batched_form(function)


def _may_follow_a_batch(train: PipelineView, view: StageView) -> bool:
    """Tell whether the records come singly and are batched later, with nothing between that needs them parsed and single."""
    if any(item.stage.op in _BATCHES for item in upstream(train, view.id)):
        return False
    for after in walk_on(train, view, _BETWEEN | {"batch"}):
        if after.stage.op == "batch":
            return True
        function = after.written.function if after.written is not None else None
        if after.stage.op == "map" and (function is None or not has_batched_form(function)):
            return False
    return False


def _call_s(view: StageView, params: ParseSingleParameters) -> float:
    """Return what is paid for each record beside the reading of its values."""
    features = (view.written.element_tensors if view.written is not None else None) or 1
    return params.dispatch_s + params.feature_s * features


def _cure(view: StageView) -> str:
    function = view.written.function if view.written is not None else None
    names = sorted(PARSERS.intersection(function.op_types)) if function is not None else []
    return next((text for start, text in _IN_BATCHES.items() if names and names[0].startswith(start)), "tf.io.parse_example")
