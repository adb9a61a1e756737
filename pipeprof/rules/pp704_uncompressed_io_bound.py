"""PP704: training waits for storage, and what it reads could be much smaller.

The one idea: where storage is the limit and cores are not, fewer bytes are less time. It asks for a reader that waits, for
bytes that storage really gave, and for data that zlib was seen to shrink.
"""

from __future__ import annotations

from collections.abc import Iterator

from pipeprof import units
from pipeprof.model.analysis import Analysis
from pipeprof.model.diagnosis import Confidence, Evidence, Finding, Safety
from pipeprof.rules.base import COST_SHARE, Rule, grade, name_stage, say_wait, weakest
from pipeprof.rules.cache_weight import is_served_by_cache
from pipeprof.rules.cost import is_input_bound
from pipeprof.rules.file_reading import (
    WHOLE_FILES,
    Reader,
    describe_files,
    find_readers,
    share_saved_from,
    storage_bytes,
    waits_for_storage,
)
from pipeprof.rules.needs import Need
from pipeprof.rules.storage_parameters import StorageParameters


class UncompressedIoBound(Rule[StorageParameters]):
    """Uncompressed, I/O-bound.

    What it looks for:
        Files without compression, read from storage by a stage that waits for
        it, whose content zlib shrinks to half or less.

    Why it costs time:
        Storage gives so many bytes a second. Half the bytes take half the time,
        as long as there are cores to inflate them.

    How it is measured:
        The first 256 kB of one file are compressed once by the capture. Bytes
        that storage gave are the kernel's count for the process; what came from
        the page cache is not in it. A stage waits where the whole pipeline uses
        far less CPU than it is busy. The cost is what reading fewer bytes saves.

    When it is wrong:
        Where the rest of the files compresses less. Where the files are read
        once and for all, and later epochs come from the page cache.

    What to do:
        Write the files with compression_type="GZIP", and read several at once:
        inflating needs cores.

    What that can change:
        Nothing in the records. Reading takes more CPU.

    References:
        tf.data.TFRecordDataset, compression_type; tensorflow/tensorflow issue
        338: 115 MB became 1.7 MB.
    """

    code = "PP704"
    name = "uncompressed-io-bound"
    remedy_safety = Safety.SAFE
    needs = (Need.TRAINING, Need.VERDICT, Need.COUNTERS, Need.FILES, Need.STORAGE_READS)
    yields_to = ("PP205",)
    parameters = StorageParameters

    def check(self, analysis: Analysis, params: StorageParameters) -> Iterator[Finding]:
        """Yield a finding for each reader that waits for bytes which need not be so many."""
        train = analysis.train
        if train is None or not is_input_bound(analysis):
            return
        for reader in find_readers(train):
            if not could_shrink(reader, params) or not waits_for_storage(
                analysis, reader, from_storage=params.from_storage, waits_below=params.waits_below
            ):
                continue
            saved_s = (reader.reading_s or 0.0) * (1 - 1 / (reader.files.payload_compresses or 1.0))
            cost = share_saved_from(analysis, reader, saved_s)
            if cost >= params.min_share and cost > 0 and not is_served_by_cache(analysis, train, reader.view):
                yield self._report_reader(analysis, reader, cost, params)

    def _report_reader(self, analysis: Analysis, reader: Reader, cost: float, params: StorageParameters) -> Finding:
        ratio, given = reader.files.payload_compresses, storage_bytes(analysis, reader.pipeline) or 0.0
        return self.report(
            f"{name_stage(reader.view)} waits for storage, which gives {units.byte_count(given)} for each "
            f"{units.duration(reader.pipeline.step_s)} step, from {describe_files(reader.files)} without compression. GZIP "
            f"makes the start of one {units.ratio(ratio)} smaller. {say_wait(analysis)}. "
            'Write them with compression_type="GZIP", and read several at once.',
            severity=grade(cost),
            confidence=weakest(Confidence.MEDIUM, analysis.verdict.confidence),
            pipeline=reader.pipeline,
            view=reader.view,
            evidence=(
                Evidence(name=COST_SHARE, value=cost, unit="share", n=analysis.steps.count),
                Evidence(name="compresses", value=ratio, unit="ratio", threshold=params.compresses),
                Evidence(name="storage_bytes_per_step", value=given, unit="bytes"),
                Evidence(name="stored_bytes_per_step", value=reader.stored_bytes, unit="bytes"),
            ),
        )


def could_shrink(reader: Reader, params: StorageParameters) -> bool:
    """Tell whether files are plain, and known to shrink enough."""
    files = reader.files
    plain = not files.compression and files.format not in WHOLE_FILES
    return plain and files.payload_compresses is not None and files.payload_compresses >= params.compresses
