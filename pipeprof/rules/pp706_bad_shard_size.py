"""PP706: the data are cut into more and smaller files than reading wants, or into fewer than there are readers.

The one idea: a file should be large enough to be read in one go, and there should be one for each reader. It tells; where
opening files costs time, PP701 says what.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeprof import units
from pipeprof.model.analysis import Analysis
from pipeprof.model.diagnosis import Confidence, Evidence, Finding, Safety, Severity
from pipeprof.rules.base import Parameters, Rule, Status, name_stage, parameter
from pipeprof.rules.file_reading import Reader, describe_files, find_readers
from pipeprof.rules.needs import Need

_ASKED = ("num_parallel_reads", "cycle_length")


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardSizeParameters(Parameters):
    """Thresholds of PP706."""

    min_bytes: float = parameter(1e7, unit="bytes", low=1e5, high=1e9, doc="a file of less is small")
    min_files: float = parameter(16, unit="files", low=2, high=1e6, doc="fewer small files are left alone")


class BadShardSize(Rule[ShardSizeParameters]):
    """Bad shard size.

    What it looks for:
        TFRecord files of less than 10 MB, many of them; or fewer files than
        the reader is told to read at once, though they could be split.

    Why it costs time:
        Small files cost an open each, which is dear on cold or remote storage,
        and end before reading ahead pays. Too few leave readers without work,
        and workers without a part of the data.

    How it is measured:
        From the names that the reader was given and the sizes of at most 256
        of them. No time is measured for it.

    When it is wrong:
        On a fast local disk small files may cost nothing that can be measured.

    What to do:
        Write files of 100 to 200 MB, or of 10 MB at least, and some for each
        reader and worker.

    What that can change:
        The order of the records, if the packing changes it.

    References:
        TensorFlow guide "TFRecord and tf.train.Example": at least 10 MB, ideally
        100 MB and more, and ten times as many files as hosts.
    """

    code = "PP706"
    name = "bad-shard-size"
    status = Status.STABLE
    remedy_safety = Safety.REORDERS
    needs = (Need.PIPELINES, Need.COUNTERS, Need.FILES)
    rivals = ("PP701",)
    parameters = ShardSizeParameters

    def check(self, analysis: Analysis, params: ShardSizeParameters) -> Iterator[Finding]:
        """Yield a finding for each reader of record files that are cut badly."""
        for pipeline in analysis.pipelines:
            for reader in find_readers(pipeline):
                total, mean = reader.files.bytes, reader.files.mean_bytes
                if reader.files.format != "tfrecord" or total is None or mean is None:
                    continue
                asked = _asked(reader)
                if mean < params.min_bytes and reader.files.files >= params.min_files and total >= 2 * params.min_bytes:
                    yield self._report_small(reader, mean, params)
                elif 1 < reader.files.files < asked and mean >= 2 * params.min_bytes:
                    yield self._report_few(reader, asked)

    def _report_small(self, reader: Reader, mean: float, params: ShardSizeParameters) -> Finding:
        total = reader.files.bytes or 0
        return self._report_reader(
            reader,
            f"{name_stage(reader.view)} reads {describe_files(reader.files)}, {units.byte_count(total)} in all. Each costs an "
            "open, which is dear on cold or remote storage. Write files of 100 to 200 MB, or of 10 MB at least.",
            (Evidence(name="mean_bytes", value=mean, unit="bytes", threshold=params.min_bytes),),
        )

    def _report_few(self, reader: Reader, asked: int) -> Finding:
        count = reader.files.files
        return self._report_reader(
            reader,
            f"{name_stage(reader.view)} is to read {asked} files at once, and there are {describe_files(reader.files)}: "
            f"{units.count_of(asked - count, 'reader has', 'readers have')} nothing to do. Split the data into at least "
            f"{asked} files.",
            (Evidence(name="files", value=count, unit="files", threshold=asked),),
        )

    def _report_reader(self, reader: Reader, message: str, evidence: tuple[Evidence, ...]) -> Finding:
        return self.report(
            message,
            severity=Severity.INFO,
            confidence=Confidence.HIGH,
            pipeline=reader.pipeline,
            view=reader.view,
            evidence=evidence,
        )


def _asked(reader: Reader) -> int:
    """Return how many files somebody wrote down to read at once, 0 where nobody did."""
    written = reader.view.written
    found = [written.arguments.get(name) for name in _ASKED] if written is not None else []
    return max((int(value) for value in found if isinstance(value, int | float)), default=0)
