"""PP205: several files are read one after the other, and training waits for the reading.

The one idea: by the executed graph a reader either opens one file at a time or several; only the first is looked at, and only
the time of reading itself counts. Work that stands inside an interleave beside the reading is PP201's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeprof import units
from pipeprof.analysis.alignment import stem
from pipeprof.analysis.stage_graph import elements_per_step, upstream
from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.diagnosis import Evidence, Finding, Safety
from pipeprof.model.profile import ExecutedStage
from pipeprof.rules.base import COST_SHARE, Rule, Status, grade, name_stage, parameter, say_wait
from pipeprof.rules.cost import busy_of, is_input_bound, share_saved_at
from pipeprof.rules.file_reading import FINE, HAND_OVER_S, is_fine
from pipeprof.rules.needs import Need
from pipeprof.rules.room import Room, RoomParameters, describe_room, find_confidence, find_room

_READERS = frozenset({"TFRecord", "TextLine", "FixedLengthRecord", "CSV"})
_ONE_AFTER_ANOTHER = frozenset({"FlatMap", "Interleave"})  # on one thread, however many files are open
_PARALLEL = frozenset({"ParallelInterleave", "LegacyParallelInterleave"})
_MOST_FILES = 16.0  # that are proposed to be read at once


@dataclass(frozen=True, kw_only=True, slots=True)
class OneFileParameters(RoomParameters):
    """Thresholds of PP205."""

    min_files: int = parameter(2, unit="files", low=2, high=1e6, doc="fewer files cannot be read side by side")


class OneFileAtATime(Rule[OneFileParameters]):
    """One file at a time.

    What it looks for:
        A stage that reads several files (a list given to TFRecordDataset, a
        flat_map or interleave over file names) one at a time, that takes
        longer for one step than the consumer, while cores are free or the
        reading waits for storage.

    Why it costs time:
        One thread reads, unpacks and checks every record. Storage and cores
        could serve several files at once, remote storage many.

    How it is measured:
        From the executed graph: a FlatMap or Interleave, or a parallel one that
        runs one call, above a node that reads files. The cost is the part of
        the wait that goes away when the reading is spread over the free cores
        (where the process uses so little CPU that it must be waiting: over up
        to 16 files).

    When it is wrong:
        Where one disk is at its limit: more readers do not make it faster.
        Where the order of the records must stay as it is.

    What to do:
        interleave(tf.data.TFRecordDataset, cycle_length=N,
        num_parallel_calls=tf.data.AUTOTUNE), or
        TFRecordDataset(files, num_parallel_reads=N). Give N: left to
        TensorFlow it is a third of the cores. Small records take longer to
        hand over than to read: batch inside the interleave, or it is slower.

    What that can change:
        Records of several files are mixed: another order, the same elements.

    References:
        TensorFlow guide "Better performance with the tf.data API", on
        parallelising data extraction; tensorflow/models issue 7127;
        tensorflow/tensorflow issue 31019.
    """

    code = "PP205"
    name = "one-file-at-a-time"
    status = Status.STABLE
    remedy_safety = Safety.REORDERS
    needs = (Need.TRAINING, Need.VERDICT, Need.COUNTERS)
    rivals = ("PP201",)
    parameters = OneFileParameters

    def check(self, analysis: Analysis, params: OneFileParameters) -> Iterator[Finding]:
        """Yield a finding for each sequential reader of several files that training waits for."""
        train = analysis.train
        if train is None or not is_input_bound(analysis):
            return
        for view in train.stages:
            share, files = _reading_share(view), _count_files(train, view)
            if share == 0 or files < params.min_files:
                continue
            room, busy_s = find_room(analysis, train, view, params), busy_of(view)
            at_once = min(float(files), _MOST_FILES if room.waits else room.calls)
            cost = share_saved_at(analysis, train, view, busy_s * (1 - share + share / at_once)) if at_once > 1 else 0.0
            if cost >= params.min_share and cost > 0:
                yield self._report_reader(analysis, train, view, room, (files, at_once), cost)

    def _report_reader(
        self, analysis: Analysis, train: PipelineView, view: StageView, room: Room, files: tuple[int, float], cost: float
    ) -> Finding:
        count, at_once = files
        here = (
            f"it waits rather than computes, and {at_once:.0f} files could wait at once" if room.waits else describe_room(room)
        )
        elements = elements_per_step(train, view) or 0.0
        fine = is_fine(busy_of(view), elements, at_once)
        how = (
            f"To hand over its {elements:,.0f} elements one by one would cost more than that saves: read several at once in "
            "batches, with batch() inside an interleave."
            if fine
            else "Read several at once: interleave, or num_parallel_reads, with a number of your own."
        )
        message = (
            f"{name_stage(view)} reads {count:,} files one after the other, and reading takes {units.duration(busy_of(view))} "
            f"for each {units.duration(train.step_s)} step; {here}. {say_wait(analysis)}. {how}"
        )
        return self.report(
            message,
            severity=grade(cost),
            confidence=find_confidence(analysis, train, view, room),
            pipeline=train,
            view=view,
            evidence=(
                Evidence(name=COST_SHARE, value=cost, unit="share", n=analysis.steps.count),
                Evidence(name="busy_s_per_step", value=busy_of(view), unit="s"),
                Evidence(name="files", value=count, unit="files"),
                Evidence(name="files_at_once", value=at_once, unit="files"),
                *((Evidence(name=FINE, value=HAND_OVER_S, unit="s"),) if fine else ()),
            ),
        )


def _reading_share(view: StageView) -> float:
    """Return the share of a stage's busy time that is reading files one at a time: 0 for any other stage."""
    if not view.executed or view.written is None or not _is_one_at_a_time(view.executed[0]):
        return 0.0
    inner = view.executed[1:]
    if not any(stem(node.node) in _READERS for node in inner):
        return 0.0
    reading_s = sum(node.busy_s for node in view.executed if stem(node.node) in _READERS | _ONE_AFTER_ANOTHER | _PARALLEL)
    total_s = sum(node.busy_s for node in view.executed)
    return reading_s / total_s if total_s > 0 else 0.0


def _is_one_at_a_time(node: ExecutedStage) -> bool:
    name = stem(node.node)
    if name in _ONE_AFTER_ANOTHER:
        return True
    may_grow = node.parallelism_tuned and (node.parallelism_max or 0.0) > 1
    return name in _PARALLEL and (node.parallelism or 1.0) <= 1 and not may_grow


def _count_files(train: PipelineView, view: StageView) -> int:
    """Return how many files there are: as the names given to the reader, else as readers were made in each epoch."""
    names = [item.written.cardinality for item in upstream(train, view.id) if item.id != view.id and item.written is not None]
    known = [count for count in names if count > 0]
    if known:
        return min(known)
    opened = max((node.incarnations for node in view.executed if stem(node.node) in _READERS), default=0)
    return opened // max(1, train.record.loop.epoch_count)
