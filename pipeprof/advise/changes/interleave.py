"""Reads several files at a time instead of one after the other.

``TFRecordDataset(files)`` and ``flat_map`` become a parallel interleave. The records are the same; those of several files
come mixed, so that their order changes wherever more than one file is open.
"""

from __future__ import annotations

from collections.abc import Mapping

from pipeprof.advise import graph as graphs
from pipeprof.advise.changes.base import AUTOTUNE, Params, find_node, integer, stage_label
from pipeprof.advise.replayable import Replayable
from pipeprof.analysis.element_size import element_bytes
from pipeprof.errors import TrialError
from pipeprof.model.analysis import PipelineView
from pipeprof.model.diagnosis import Safety

CYCLE = "cycle_length"
_READER_BYTES = 256 * 1024  # of tf.data.TFRecordDataset, where buffer_size is not given


class Interleave:
    """``num_parallel_reads`` of a reader, ``interleave`` in the place of ``flat_map``."""

    kind = "interleave"
    freezes = False

    def title(self, view: PipelineView, stage_id: str, params: Params) -> str:
        """Return the cure and its effect."""
        cycle = params.get(CYCLE)
        many = "several files" if cycle is None else f"{cycle} files"
        return f"Read {many} at a time in {stage_label(view.stage(stage_id))}"

    def safety(self, view: PipelineView, stage_id: str, params: Params) -> tuple[Safety, str]:  # noqa: ARG002
        """Return that the order changes."""
        return Safety.REORDERS, "the records of several files come mixed instead of file after file"

    def memory_bytes(self, view: PipelineView, stage_id: str, params: Params) -> int | None:
        """Return a reader's buffer and two elements for each file that is open; None where AUTOTUNE chooses how many are."""
        size, cycle = element_bytes(view.stage(stage_id)), params.get(CYCLE)
        return None if size is None or not isinstance(cycle, int) or cycle < 1 else int(cycle * (_READER_BYTES + 2 * size))

    def rewrite(self, replayable: Replayable, node_names: Mapping[str, str], stage_id: str, params: Params) -> Replayable:
        """Turn the node that reads file after file into a parallel interleave, as TensorFlow's Python makes it.

        Raises:
            TrialError: the node reads no files one after the other.
        """
        import tensorflow as tf

        cycle = AUTOTUNE if params.get(CYCLE) is None else integer(params, CYCLE)
        if cycle < 1 and cycle != AUTOTUNE:
            raise TrialError(f"{CYCLE} must be positive")
        graph = replayable.copy_graph()
        node = find_node(graph, node_names, stage_id)
        if node.op != "FlatMapDataset":
            raise TrialError(f"{node.op} does not read one file after the other")
        node.op = "ParallelInterleaveDatasetV4"
        block_length, buffer_output, prefetched_inputs, calls = 1, AUTOTUNE, AUTOTUNE, AUTOTUNE
        for value in (cycle, block_length, buffer_output, prefetched_inputs, calls):
            node.input.append(graphs.add_constant(graph, value, tf.int64))
        node.attr["deterministic"].s = b"default"
        return replayable.with_graph(graph)
