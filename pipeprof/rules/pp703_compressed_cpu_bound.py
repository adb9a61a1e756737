"""PP703: training waits while files are inflated, though storage could give more.

The one idea: how fast one core inflates these very files was measured on the start of one of them; what that makes of the
reader's time is what compression costs. It never says that reading uncompressed files is free.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeprof import units
from pipeprof.analysis.cores import waits_surely
from pipeprof.model.analysis import Analysis
from pipeprof.model.diagnosis import Confidence, Evidence, Finding, Safety
from pipeprof.rules.base import COST_SHARE, Parameters, Rule, Status, grade, name_stage, parameter, say_wait, weakest
from pipeprof.rules.cache_weight import is_served_by_cache
from pipeprof.rules.cost import busy_of, is_input_bound
from pipeprof.rules.file_reading import Reader, describe_files, find_readers, share_saved_from
from pipeprof.rules.needs import Need


@dataclass(frozen=True, kw_only=True, slots=True)
class CompressedParameters(Parameters):
    """Thresholds of PP703."""

    min_share: float = parameter(0.05, unit="share of the step", low=0, high=1, doc="inflating must explain this much")
    waits_below: float = parameter(
        0.5, unit="CPU s per busy s", low=0, high=1, doc="a reader with less CPU waits for storage, and is left alone"
    )


class CompressedCpuBound(Rule[CompressedParameters]):
    """Compressed, CPU-bound.

    What it looks for:
        Files with GZIP or ZLIB compression whose inflating keeps training
        waiting, while the reader computes rather than waits for storage.

    Why it costs time:
        One thread inflates one file, some hundred megabytes a second. Pictures
        and sound that are coded already do not even become smaller by it.

    How it is measured:
        The start of one file is inflated five times by the capture: bytes for a
        second of CPU. The bytes that one step reads, at that rate, are the time
        that goes to inflating; what of it is waited for is the cost.

    When it is wrong:
        Where files differ much from the one that was looked at. Where storage
        could not give the uncompressed bytes as fast: compare the rate that is
        named with what the storage can do. Then read more files at once.

    What to do:
        Write the files without compression, or read several at once. Keep
        compression where storage or the network is the limit.

    What that can change:
        Nothing in the records. The files take more space, as stated.

    References:
        tf.data.TFRecordDataset, compression_type; tensorflow/tensorflow issues
        37675 and 37630.
    """

    code = "PP703"
    name = "compressed-cpu-bound"
    status = Status.STABLE
    remedy_safety = Safety.SAFE
    needs = (Need.TRAINING, Need.VERDICT, Need.COUNTERS, Need.FILES)
    rivals = ("PP702",)
    yields_to = ("PP205",)
    parameters = CompressedParameters

    def check(self, analysis: Analysis, params: CompressedParameters) -> Iterator[Finding]:
        """Yield a finding for each reader of compressed files that training waits for."""
        train = analysis.train
        if train is None or not is_input_bound(analysis):
            return
        for reader in find_readers(train):
            inflating_s = find_inflating_s(reader)
            if inflating_s is None or waits_surely(analysis, train, busy_of(reader.view), params.waits_below):
                continue
            cost = share_saved_from(analysis, reader, inflating_s)
            if cost >= params.min_share and cost > 0 and not is_served_by_cache(analysis, train, reader.view):
                yield self._report_reader(analysis, reader, inflating_s, cost)

    def _report_reader(self, analysis: Analysis, reader: Reader, inflating_s: float, cost: float) -> Finding:
        files, busy, step = reader.files, units.duration(busy_of(reader.view)), units.duration(reader.pipeline.step_s)
        return self.report(
            f"{name_stage(reader.view)} inflates {files.compression} files ({describe_files(files)}): "
            f"{units.duration(inflating_s)} of its {busy} for each {step} step. "
            f"{say_wait(analysis)}. Write them without compression: {_describe_size(reader)}.",
            severity=grade(cost),
            confidence=weakest(Confidence.MEDIUM, analysis.verdict.confidence),
            pipeline=reader.pipeline,
            view=reader.view,
            evidence=(
                Evidence(name=COST_SHARE, value=cost, unit="share", n=analysis.steps.count),
                Evidence(name="inflating_s_per_step", value=inflating_s, unit="s"),
                Evidence(name="busy_s_per_step", value=busy_of(reader.view), unit="s"),
                Evidence(name="inflate_bytes_per_s", value=files.inflate_bytes_per_s, unit="bytes/s"),
                Evidence(name="compresses", value=files.payload_compresses, unit="ratio"),
            ),
        )


def find_inflating_s(reader: Reader) -> float | None:
    """Return the seconds of a step that go to inflating, no more than all of the reading; None where that is not known."""
    content, rate, reading_s = reader.content_bytes, reader.files.inflate_bytes_per_s, reader.reading_s
    if not reader.files.compression or content is None or not rate or reading_s is None:
        return None
    return min(content / rate, reading_s)


def _describe_size(reader: Reader) -> str:
    """Say what the files would take, and how fast storage would have to give them."""
    ratio, size, gap_s = reader.files.payload_compresses, reader.files.bytes, reader.pipeline.gap_s
    if ratio is None or size is None:
        return "they would take more space"
    text = f"they would take {units.byte_count(size * ratio)} in place of {units.byte_count(size)}"
    if not gap_s or reader.content_bytes is None:
        return text
    return f"{text}, and storage would have to give at most {units.byte_count(reader.content_bytes / gap_s)} a second"
