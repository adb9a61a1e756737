"""PP707: records keep bytes as numbers or as text, which takes several times their size and their time to parse.

The one idea: one record was looked at, and features whose values all are single bytes, or base64, are named with what they
take and what they would take. It never guesses at features that it cannot read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeprof import units
from pipeprof.analysis.stage_graph import downstream
from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.diagnosis import Confidence, Evidence, Finding, Safety, Severity
from pipeprof.model.profile import FeatureWaste, SourceFiles
from pipeprof.rules.base import COST_SHARE, Parameters, Rule, Status, grade, name_stage, parameter
from pipeprof.rules.cost import busy_of, is_input_bound, share_saved_without
from pipeprof.rules.file_reading import Reader, find_readers
from pipeprof.rules.needs import Need

_KINDS = {"int64-list": "integers of 64 bits", "float-list": "floats", "base64": "base64 text"}
_PARSES = ("ParseExample", "ParseSingleExample", "ParseSequenceExample", "ParseSingleSequenceExample")


@dataclass(frozen=True, kw_only=True, slots=True)
class EncodedWasteParameters(Parameters):
    """Thresholds of PP707."""

    min_wasted: float = parameter(0.25, unit="share of the record", low=0.01, high=1, doc="bytes that need not be there")


class EncodedWaste(Rule[EncodedWasteParameters]):
    """Encoded waste.

    What it looks for:
        Examples in TFRecord files whose features hold bytes in an Int64List or
        a FloatList, or as base64.

    Why it costs time:
        A byte takes one to two bytes in an Int64List, four in a FloatList, and
        eight or four once it is parsed, value by value. Base64 takes a third
        more, and decoding.

    How it is measured:
        The first record of one file is read, field by field. A list counts where
        it has 256 values or more and all are whole numbers from 0 to 255.
        Where a stage only parses Examples, its time is the cost at most.

    When it is wrong:
        Where the first record is not like the others. Numbers that happen to be
        small in it may be larger elsewhere.

    What to do:
        Keep such data in a BytesList: pictures as JPEG or PNG, other bytes as
        they are, with tf.io.decode_raw after parsing.

    What that can change:
        The type of the parsed feature: cast it where other code expects floats
        or integers.

    References:
        tensorflow/tensorflow issue 9675: 30 GB of pictures became 280 GB.
    """

    code = "PP707"
    name = "encoded-waste"
    status = Status.STABLE
    remedy_safety = Safety.CHANGES_DATA
    needs = (Need.PIPELINES, Need.COUNTERS, Need.FILES)
    parameters = EncodedWasteParameters

    def check(self, analysis: Analysis, params: EncodedWasteParameters) -> Iterator[Finding]:
        """Yield a finding for each reader whose records waste much of their bytes."""
        for pipeline in analysis.pipelines:
            for reader in find_readers(pipeline):
                share = wasted_share(reader.files)
                if share is not None and share >= params.min_wasted:
                    yield self._report_reader(analysis, reader, share, params)

    def _report_reader(self, analysis: Analysis, reader: Reader, share: float, params: EncodedWasteParameters) -> Finding:
        dearest = max(reader.files.waste, key=lambda item: item.record_bytes - item.raw_bytes)
        parsing = _find_parsing(reader.pipeline, reader)
        is_waited_for = reader.pipeline is analysis.train and is_input_bound(analysis) and parsing is not None
        cost = share_saved_without(analysis, reader.pipeline, {parsing.id}) if is_waited_for and parsing is not None else 0.0
        time = f" {name_stage(parsing)} parses them, {units.duration(busy_of(parsing))} for each step." if parsing else ""
        return self.report(
            f"The records of {name_stage(reader.view)} hold {_describe(dearest)}: {units.byte_count(dearest.record_bytes)} in "
            f"place of {units.byte_count(dearest.raw_bytes)}, {units.percent(share)} of each record is waste.{time} Keep it in "
            f"a BytesList, pictures as JPEG or PNG.",
            severity=grade(cost) if cost > 0 else Severity.LOW,
            confidence=Confidence.MEDIUM,
            pipeline=reader.pipeline,
            view=reader.view,
            evidence=(
                Evidence(name=COST_SHARE, value=cost, unit="share", n=analysis.steps.count),
                Evidence(name="wasted_share", value=share, unit="share of the record", threshold=params.min_wasted),
                Evidence(name="record_bytes", value=reader.files.record_bytes, unit="bytes"),
            ),
        )


def wasted_share(files: SourceFiles) -> float | None:
    """Return the share of a record's bytes that need not be there; None where nothing is known to be waste."""
    if not files.waste or not files.record_bytes:
        return None
    return sum(max(0, item.record_bytes - item.raw_bytes) for item in files.waste) / files.record_bytes


def _describe(item: FeatureWaste) -> str:
    return f"{item.feature!r} as {_KINDS.get(item.kind, item.kind)}"


def _find_parsing(pipeline: PipelineView, reader: Reader) -> StageView | None:
    """Return the stage that parses the records, where it does little else."""
    for view in downstream(pipeline, reader.view.id):
        function = view.written.function if view.written is not None else None
        if function is not None and any(name.startswith(_PARSES) for name in function.op_types):
            return view
    return None
