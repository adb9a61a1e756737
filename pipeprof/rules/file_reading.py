"""What a pipeline reads from files: which stage, how many bytes for a step, and what of its time is reading.

The one idea: a stage that reads may do other work too (decode, parse), so that only what is known to be reading counts.
What is not known is ``None``, never guessed. Nothing here judges.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeprof import units
from pipeprof.analysis.alignment import stem
from pipeprof.analysis.cores import waits_surely
from pipeprof.analysis.element_size import element_bytes
from pipeprof.analysis.stage_graph import elements_per_step
from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.profile import SourceFiles
from pipeprof.rules.cost import busy_of, effective_slots, segment_of, share_saved_at

FINE = "hand_over_s"  # the evidence that says why single elements are not worth a thread
HAND_OVER_S = 8e-6  # one element from a parallel interleave; TensorFlow 2.21: 4 to 20 us, where one reader took 0.8 for all
WHOLE_FILES = frozenset({"image", "audio", "whole"})
_READING_NODES = frozenset(
    {"TFRecord", "TextLine", "FixedLengthRecord", "CSV", "FlatMap", "TensorSlice", "Interleave", "ParallelInterleave"}
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reader:
    """A stage that reads files."""

    pipeline: PipelineView
    view: StageView
    files: SourceFiles

    @property
    def is_local(self) -> bool:
        """Whether the files lie on the machine's own storage."""
        return self.files.filesystem == "local"

    @property
    def elements(self) -> float | None:
        """Records, lines or whole files that one step takes."""
        return elements_per_step(self.pipeline, self.view)

    @property
    def content_bytes(self) -> float | None:
        """Bytes that one step reads, uncompressed."""
        if self.files.format in WHOLE_FILES:
            size = self.files.mean_bytes
        else:
            size = self.files.record_bytes or element_bytes(self.view)
        return size * self.elements if size and self.elements else None

    @property
    def stored_bytes(self) -> float | None:
        """Bytes that one step reads, as they lie in the files."""
        content = self.content_bytes
        if content is None or not self.files.compression:
            return content
        return content / self.files.payload_compresses if self.files.payload_compresses else None

    @property
    def opens(self) -> float | None:
        """Files that are opened for one step."""
        if self.files.format in WHOLE_FILES:
            return self.elements
        stored, mean = self.stored_bytes, self.files.mean_bytes
        return stored / mean if stored is not None and mean else None

    @property
    def reading_s(self) -> float | None:
        """Seconds of a step in which the stage reads; None where that is not told from its other work."""
        if self.files.format in WHOLE_FILES:
            costs = [op.busy_s for node in self.view.executed for op in node.ops if op.op == "ReadFile"]
            return min(sum(costs) * self.elements, busy_of(self.view)) if costs and self.elements else None
        whole = sum(node.busy_s for node in self.view.executed)
        if whole <= 0:
            return None
        reading = sum(node.busy_s for node in self.view.executed if stem(node.node) in _READING_NODES)
        return busy_of(self.view) * reading / whole


def is_fine(reading_s: float, elements: float, at_once: float) -> bool:
    """Tell whether reading single elements in parallel would cost more than it saves: their reading and their hand-over."""
    return reading_s * (1 - 1 / max(at_once, 1.0)) < elements * HAND_OVER_S


def find_readers(pipeline: PipelineView) -> tuple[Reader, ...]:
    """Return the stages that read files, where they were measured."""
    known = {view.id: view for view in pipeline.stages}
    return tuple(
        Reader(pipeline=pipeline, view=known[item.stage_id], files=item)
        for item in pipeline.record.files
        if item.stage_id in known and known[item.stage_id].executed
    )


def share_saved_from(analysis: Analysis, reader: Reader, saved_s: float) -> float:
    """Return the share of the step that is explained by so many busy seconds of the stage, its calls at once unchanged."""
    segment = segment_of(reader.pipeline, reader.view)
    if segment is None or saved_s <= 0:
        return 0.0
    slots = effective_slots(analysis, reader.pipeline, segment)
    return share_saved_at(analysis, reader.pipeline, reader.view, max(0.0, busy_of(reader.view) - saved_s) / slots)


def storage_bytes(analysis: Analysis, pipeline: PipelineView) -> float | None:
    """Return the bytes that storage gave for one step, over the whole run: what the page cache gave is not in them."""
    read, steps = analysis.profile.host.read_bytes, pipeline.record.loop.elements
    return read / steps if read is not None and steps else None


def waits_for_storage(analysis: Analysis, reader: Reader, *, from_storage: float, waits_below: float) -> bool:
    """Tell whether a reader waits, and for the machine's own storage: that gave the bytes, not the page cache.

    Args:
        analysis: what the reader is part of.
        reader: the reader.
        from_storage: the least share of its bytes that storage gave.
        waits_below: CPU seconds for each busy second.
    """
    given, stored = storage_bytes(analysis, reader.pipeline), reader.stored_bytes
    if not reader.is_local or given is None or not stored or given < from_storage * stored:
        return False
    return waits_surely(analysis, reader.pipeline, busy_of(reader.view), waits_below)


def describe_files(files: SourceFiles) -> str:
    """Say how many files of what size: ``1,200 files of 40 kB on average``."""
    size = units.byte_count(files.mean_bytes)
    return f"one file of {size}" if files.files == 1 else f"{units.count_of(files.files, 'file')} of {size} on average"
