"""PP702: one file has one reader, and training waits for it.

The one idea: files are read at once, a file is not; data in one file cannot use the cores that are free. It asks for free
cores first, and leaves files alone that are too small to be split.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeprof import units
from pipeprof.model.analysis import Analysis
from pipeprof.model.diagnosis import Evidence, Finding, Safety
from pipeprof.rules.base import COST_SHARE, Rule, Status, grade, name_stage, parameter, say_wait
from pipeprof.rules.cache_weight import is_served_by_cache
from pipeprof.rules.cost import busy_of, is_input_bound
from pipeprof.rules.file_reading import WHOLE_FILES, Reader, describe_files, find_readers, is_fine, share_saved_from
from pipeprof.rules.needs import Need
from pipeprof.rules.room import Room, RoomParameters, describe_room, find_confidence, find_room


@dataclass(frozen=True, kw_only=True, slots=True)
class SingleFileParameters(RoomParameters):
    """Thresholds of PP702."""

    part_bytes: float = parameter(1e7, unit="bytes", low=1e5, high=1e9, doc="the least size of a part; two must be possible")


class SingleLargeFile(Rule[SingleFileParameters]):
    """Single large file.

    What it looks for:
        A reader whose data lie in one file, for which training waits while
        cores are free.

    Why it costs time:
        interleave and num_parallel_reads read several files at once. Of one
        file they make one reader, on one thread.

    How it is measured:
        From the names that the reader was given and the file's size. The cost
        is the part of the wait that goes away when the time of reading is
        spread over as many parts as there is room for.

    When it is wrong:
        Where storage gives no more to several readers than to one.

    What to do:
        Write the data as several files of 10 MB or more, better 100 MB, and
        read them with interleave. Small records take longer to hand over than
        to read: batch inside the interleave, or it is slower than one reader.

    What that can change:
        Records of several files come mixed, in an order that stays the same
        from run to run unless deterministic=False is set.

    References:
        TensorFlow guide "TFRecord and tf.train.Example": at least ten times as
        many files as hosts read them, each of 10 MB or more.
    """

    code = "PP702"
    name = "single-large-file"
    status = Status.STABLE
    remedy_safety = Safety.REORDERS
    needs = (Need.TRAINING, Need.VERDICT, Need.COUNTERS, Need.FILES)
    rivals = ("PP703",)
    parameters = SingleFileParameters

    def check(self, analysis: Analysis, params: SingleFileParameters) -> Iterator[Finding]:
        """Yield a finding for each stage that reads one large file for training that waits."""
        train = analysis.train
        if train is None or not is_input_bound(analysis):
            return
        for reader in find_readers(train):
            size = reader.files.bytes
            if reader.files.files != 1 or size is None or size < 2 * params.part_bytes or reader.files.format in WHOLE_FILES:
                continue
            room = find_room(analysis, train, reader.view, params)
            parts = min(room.calls, size // params.part_bytes)
            saved_s = (reader.reading_s or 0.0) * (1 - 1 / parts)
            cost = share_saved_from(analysis, reader, saved_s)
            if cost >= params.min_share and cost > 0 and not is_served_by_cache(analysis, train, reader.view):
                yield self._report_reader(analysis, reader, room, parts, cost)

    def _report_reader(self, analysis: Analysis, reader: Reader, room: Room, parts: float, cost: float) -> Finding:
        fine = is_fine(reader.reading_s or 0.0, reader.elements or 0.0, parts)
        how = "in batches: batch() inside an interleave" if fine else "with interleave and a number of your own"
        return self.report(
            f"{name_stage(reader.view)} reads {describe_files(reader.files)}, and one file has one reader: "
            f"{units.duration(busy_of(reader.view))} for each {units.duration(reader.pipeline.step_s)} step; "
            f"{describe_room(room)}. {say_wait(analysis)}. Write the data as several files of 10 MB or more and read them at "
            f"once, {how}.",
            severity=grade(cost),
            confidence=find_confidence(analysis, reader.pipeline, reader.view, room),
            pipeline=reader.pipeline,
            view=reader.view,
            evidence=(
                Evidence(name=COST_SHARE, value=cost, unit="share", n=analysis.steps.count),
                Evidence(name="file_bytes", value=reader.files.bytes, unit="bytes"),
                Evidence(name="busy_s_per_step", value=busy_of(reader.view), unit="s"),
                Evidence(name="readers_possible", value=parts, unit="files"),
            ),
        )
