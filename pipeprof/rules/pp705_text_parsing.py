"""PP705: numbers are parsed out of text, in every epoch of every run.

The one idea: a table that is parsed once and kept in binary form costs a copy of its bytes from then on. It speaks only where
no change of the code alone would do: parallel calls, parsing whole batches and a cache come first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeprof import units
from pipeprof.analysis.stage_graph import downstream
from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.diagnosis import Confidence, Evidence, Finding, Safety
from pipeprof.rules.base import COST_SHARE, Parameters, Rule, Status, grade, name_stage, parameter, say_wait, weakest
from pipeprof.rules.cache_weight import is_served_by_cache
from pipeprof.rules.cost import busy_of, is_input_bound, share_saved_without
from pipeprof.rules.file_reading import Reader, describe_files, find_readers
from pipeprof.rules.needs import Need

_PARSERS = {
    "DecodeCSV": "parses CSV",
    "DecodeJSONExample": "parses JSON",
    "StringToNumber": "turns text into numbers",
}
_CHEAP = frozenset(
    {"Placeholder", "Const", "Identity", "NoOp", "Pack", "Reshape", "StringStrip", "ExpandDims", "Cast", "ConcatV2"}
)


@dataclass(frozen=True, kw_only=True, slots=True)
class TextParsingParameters(Parameters):
    """Thresholds of PP705."""

    min_share: float = parameter(0.10, unit="share of the step", low=0, high=1, doc="parsing must explain this much")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Parsing:
    """One stage that parses text."""

    view: StageView
    what: str
    does_more: bool  # beside parsing, other work whose share is not known


class TextParsing(Rule[TextParsingParameters]):
    """Text parsing.

    What it looks for:
        Numbers that are parsed from CSV, JSON or other text while training
        waits for it, in maps that already run in parallel and on batches, or in
        CsvDataset.

    Why it costs time:
        Reading a number from text takes many times as long as copying its four
        bytes, and it is done again for each element of each epoch and run.

    How it is measured:
        From the ops of the stages that take the lines of text files, and the
        stage's busy time. Where a cheaper cure is known for the same stage
        (parallel calls, whole batches, a cache), that one is reported.

    When it is wrong:
        Where the stage does other work beside parsing, which is said by a low
        confidence. Where the data change between runs, and each file is read
        once.

    What to do:
        Convert the files once: TFRecord with several rows in a record, or
        arrays of fixed size read by FixedLengthRecordDataset and decode_raw.

    What that can change:
        Numbers that have more digits in the text than a float32 keeps are
        rounded once, as they are now in each epoch.

    References:
        tf.data.experimental.CsvDataset, tf.io.decode_csv;
        tensorflow/tensorflow issues 37093 and 13187.
    """

    code = "PP705"
    name = "text-parsing"
    status = Status.STABLE
    remedy_safety = Safety.SAFE
    needs = (Need.TRAINING, Need.VERDICT, Need.COUNTERS, Need.FILES)
    yields_to = ("PP201", "PP202", "PP203", "PP601", "PP602")
    parameters = TextParsingParameters

    def check(self, analysis: Analysis, params: TextParsingParameters) -> Iterator[Finding]:
        """Yield a finding for each stage that parses text for training that waits."""
        train = analysis.train
        if train is None or not is_input_bound(analysis):
            return
        for reader in find_readers(train):
            for parsing in _find_parsing(train, reader):
                cost = share_saved_without(analysis, train, {parsing.view.id})
                if cost >= params.min_share and cost > 0 and not is_served_by_cache(analysis, train, parsing.view):
                    yield self._report_stage(analysis, reader, parsing, cost)

    def _report_stage(self, analysis: Analysis, reader: Reader, parsing: _Parsing, cost: float) -> Finding:
        own = Confidence.LOW if parsing.does_more else Confidence.MEDIUM
        return self.report(
            f"{name_stage(parsing.view)} {parsing.what} in every epoch of every run, "
            f"{units.duration(busy_of(parsing.view))} for each {units.duration(reader.pipeline.step_s)} step, from "
            f"{describe_files(reader.files)}. {say_wait(analysis)}. Convert the files once to TFRecord or to arrays of fixed "
            "size, several rows in a record.",
            severity=grade(cost),
            confidence=weakest(own, analysis.verdict.confidence),
            pipeline=reader.pipeline,
            view=parsing.view,
            evidence=(
                Evidence(name=COST_SHARE, value=cost, unit="share", n=analysis.steps.count),
                Evidence(name="busy_s_per_step", value=busy_of(parsing.view), unit="s"),
                Evidence(name="file_bytes", value=reader.files.bytes, unit="bytes"),
            ),
        )


def _find_parsing(train: PipelineView, reader: Reader) -> Iterator[_Parsing]:
    """Yield the stages that parse what the reader gives, the reader itself where it parses."""
    if reader.files.format not in {"text", "csv"}:
        return
    if reader.files.format == "csv":
        yield _Parsing(view=reader.view, what="parses CSV", does_more=False)
    for view in (reader.view, *downstream(train, reader.view.id)):
        function = view.written.function if view.written is not None else None
        ops = set(function.op_types) if function is not None else set()
        known = [_PARSERS[name] for name in _PARSERS if name in ops]
        if known and not (view is reader.view and reader.files.format == "csv"):
            yield _Parsing(view=view, what=known[0], does_more=bool(ops - set(_PARSERS) - _CHEAP))
