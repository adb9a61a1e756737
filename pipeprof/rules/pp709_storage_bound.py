"""PP709: training waits for the machine's own storage, and the bytes cannot be made fewer by compression.

The one idea: a reader that waits for bytes which storage gives is at the limit of what storage gives to so many readers. What
compression would cure is PP704's, what lies on remote storage PP708's.
"""

from __future__ import annotations

from collections.abc import Iterator

from pipeprof import units
from pipeprof.model.analysis import Analysis
from pipeprof.model.diagnosis import Confidence, Evidence, Finding, Safety
from pipeprof.rules.base import COST_SHARE, Rule, grade, name_stage, say_wait, weakest
from pipeprof.rules.cache_weight import is_served_by_cache
from pipeprof.rules.cost import is_input_bound
from pipeprof.rules.file_reading import Reader, describe_files, find_readers, share_saved_from, storage_bytes, waits_for_storage
from pipeprof.rules.needs import Need
from pipeprof.rules.pp704_uncompressed_io_bound import could_shrink
from pipeprof.rules.storage_parameters import StorageParameters


class StorageBound(Rule[StorageParameters]):
    """Storage-bound.

    What it looks for:
        A stage that reads local files, waits, and gets most of its bytes from
        storage rather than from the page cache.

    Why it costs time:
        The disk gives so many bytes a second, and training takes them as they
        come.

    How it is measured:
        Bytes that storage gave are the kernel's count for the process. A stage
        waits where the whole pipeline uses far less CPU than it is busy. The
        cost is the part of the wait that goes away when reading takes no time.

    When it is wrong:
        In a first epoch over files that the page cache holds from then on. What
        the disk could give to more readers is not measured: read several files
        at once first.

    What to do:
        Read fewer bytes: keep what training uses (smaller pictures, needed
        columns), or hold the data on a faster disk or in memory.

    What that can change:
        A copy of the data on disk; its content, where it is made smaller.

    References:
        PRESTO (SIGMOD 2022): preprocessing that makes data larger moves the
        limit to storage; DS-Analyzer (VLDB 2021) on fetch stalls.
    """

    code = "PP709"
    name = "storage-bound"
    remedy_safety = Safety.CHANGES_DATA
    needs = (Need.TRAINING, Need.VERDICT, Need.COUNTERS, Need.FILES, Need.STORAGE_READS)
    follows_from = ("PP403", "PP707")
    yields_to = ("PP205", "PP701")
    parameters = StorageParameters

    def check(self, analysis: Analysis, params: StorageParameters) -> Iterator[Finding]:
        """Yield a finding for each reader that waits for storage."""
        train = analysis.train
        if train is None or not is_input_bound(analysis):
            return
        for reader in find_readers(train):
            if could_shrink(reader, params) or not waits_for_storage(
                analysis, reader, from_storage=params.from_storage, waits_below=params.waits_below
            ):
                continue
            cost = share_saved_from(analysis, reader, reader.reading_s or 0.0)
            if cost >= params.min_share and cost > 0 and not is_served_by_cache(analysis, train, reader.view):
                yield self._report_reader(analysis, reader, cost)

    def _report_reader(self, analysis: Analysis, reader: Reader, cost: float) -> Finding:
        given = storage_bytes(analysis, reader.pipeline) or 0.0
        rate = given / reader.pipeline.step_s if reader.pipeline.step_s else None
        return self.report(
            f"{name_stage(reader.view)} waits for storage: {units.byte_count(rate)} a second, {units.byte_count(given)} for "
            f"each {units.duration(reader.pipeline.step_s)} step, from {describe_files(reader.files)}. {say_wait(analysis)}. "
            "Keep only what training uses in the files, or hold them on a faster disk or in memory.",
            severity=grade(cost),
            confidence=weakest(Confidence.MEDIUM, analysis.verdict.confidence),
            pipeline=reader.pipeline,
            view=reader.view,
            evidence=(
                Evidence(name=COST_SHARE, value=cost, unit="share", n=analysis.steps.count),
                Evidence(name="read_bytes_per_s", value=rate, unit="bytes/s"),
                Evidence(name="reading_s_per_step", value=reader.reading_s, unit="s"),
                Evidence(name="stored_bytes_per_step", value=reader.stored_bytes, unit="bytes"),
            ),
        )
