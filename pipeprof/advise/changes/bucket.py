"""Lets rows of about one length meet in a batch: ``.padded_batch(n)`` becomes ``.bucket_by_sequence_length(...)``.

Every row stays as it is; which rows meet, and when, is another. What that gives is in the model's step, on shorter batches.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any  # protocol buffers and datasets of TensorFlow carry no types

from pipeprof.advise import graph as graphs
from pipeprof.advise.changes.base import Params, find_node
from pipeprof.advise.changes.cache import elements_per_epoch
from pipeprof.advise.changes.python_stage import cut_at
from pipeprof.advise.replayable import Replayable, python_datasets
from pipeprof.advise.row_lengths import FEWEST_BATCHES, MOST_ROWS, Component, component_of, length_of, read_lengths
from pipeprof.advise.sampling import limit_records
from pipeprof.advise.splice import add_output_of
from pipeprof.analysis.element_size import element_bytes
from pipeprof.analysis.padding import MOST_BUCKETS, choose_boundaries, padding_share
from pipeprof.analysis.prediction import predict
from pipeprof.errors import TrialError
from pipeprof.model.analysis import Analysis, PipelineView
from pipeprof.model.diagnosis import Recommendation, Safety
from pipeprof.units import percent

BUCKET = "bucket"
PADDED = frozenset({"PaddedBatchDataset", "PaddedBatchDatasetV2"})
_PYTHON_PADDED = "_PaddedBatchDataset"
_ONE_BY_ONE = ("MapDataset", "ParallelMapDataset", "PrefetchDataset", "OptionsDataset", "RepeatDataset")
_READ_S = 2.0
_SHORT_BATCHES = 0.05  # of an epoch's: as many as there are buckets
_FEWEST_BUCKETS = 2
_BATCH_INPUT, _DROP_INPUT = 1, -1


class Bucket:
    """``.bucket_by_sequence_length(...)`` in the place of ``.padded_batch(n)``."""

    kind = BUCKET
    freezes = False

    def title(self, view: PipelineView, stage_id: str, params: Params) -> str:  # noqa: ARG002 - one signature for all kinds
        """Return the cure and its effect."""
        return "Let rows of about one length meet in a batch: bucket_by_sequence_length"

    def safety(self, view: PipelineView, stage_id: str, params: Params) -> tuple[Safety, str]:  # noqa: ARG002
        """Return that rows meet others, and what that saves as far as it was measured."""
        now, then = params.get("padding_now"), params.get("padding_then")
        caution = "rows meet others in a batch, in another order, a few batches more are short, and len() of it is not known"
        if isinstance(now, float) and isinstance(then, float):
            read = f"{params.get('rows'):,} rows read" if isinstance(params.get("rows"), int) else "of the rows read"
            caution = f"{percent(now)} of {params.get('path')} is padding, in these buckets {percent(then)} ({read}); {caution}"
        return Safety.REORDERS, caution

    def memory_bytes(self, view: PipelineView, stage_id: str, params: Params) -> int | None:
        """Return a padded batch for each bucket, the most that wait in them; None where the buckets are not chosen yet."""
        size = element_bytes(view.stage(stage_id))
        return None if size is None or params.get("boundaries") is None else int(size * (len(boundaries_of(params)) + 1))

    def rewrite(self, replayable: Replayable, node_names: Mapping[str, str], stage_id: str, params: Params) -> Replayable:
        """Put the buckets in the place of the padded batch.

        Raises:
            TrialError: the stage is no padded batch of a known size, or its rows have no length.
        """
        graph = replayable.copy_graph()
        node, padded = _find_batch(replayable, graph, find_node(graph, node_names, stage_id))
        rows = cut_at(replayable, graphs.node_name(node.input[0]), padded.spec)
        new = add_output_of(graph, bucketed(rows, padded, boundaries_of(params)))
        source = node.input[0]
        node.op = new.node.op
        node.ClearField("attr")
        node.ClearField("input")
        for key, value in new.node.attr.items():
            node.attr[key].CopyFrom(value)
        node.input.extend([source, *new.captured])
        return replayable.with_graph(graph)


@dataclass(frozen=True, kw_only=True, slots=True)
class Padded:
    """What a padded batch was made with."""

    spec: Any  # of its rows
    batch: int
    shapes: Any
    values: Any
    drop_remainder: bool

    @classmethod
    def of(cls, dataset: Any, batch: int, *, drop_remainder: bool) -> Padded:
        """Read it off TensorFlow's dataset."""
        import tensorflow as tf

        return cls(
            spec=dataset._input_dataset.element_spec,
            batch=batch,
            shapes=tf.nest.map_structure(_dimensions, dataset._padded_shapes),
            values=tf.nest.map_structure(lambda value: value.numpy(), dataset._padding_values),
            drop_remainder=drop_remainder,
        )

    @property
    def component(self) -> Component:
        """Which part of a row counts as its length.

        Raises:
            TrialError: there is none.
        """
        return component_of(self.spec, self.shapes)


def bucketed(rows: Any, padded: Padded, boundaries: tuple[int, ...]) -> Any:
    """Return the dataset of buckets, as the edited source would make it."""
    return rows.bucket_by_sequence_length(
        length_of(padded.component),
        bucket_boundaries=list(boundaries),
        bucket_batch_sizes=[padded.batch] * (len(boundaries) + 1),
        padded_shapes=padded.shapes,
        padding_values=padded.values,
        drop_remainder=padded.drop_remainder,
    )


def boundaries_of(params: Params) -> tuple[int, ...]:
    """Return the boundaries of a change.

    Raises:
        TrialError: they were not measured.
    """
    said = params.get("boundaries")
    if not isinstance(said, str) or not said:
        raise TrialError("the lengths of the rows were not measured")
    return tuple(int(word) for word in said.split())


def with_buckets(
    item: Recommendation, analysis: Analysis, view: PipelineView, replayable: Replayable, node_names: Mapping[str, str]
) -> Recommendation:
    """Return a recommendation with buckets for the rows as they are, and with what these foretell and take.

    Raises:
        TrialError: there are none that help.
    """
    stage_id = item.stage_id or ""
    batches = elements_per_epoch(view, view.stage(stage_id))
    change = replace(item.change, params=measure_buckets(replayable, node_names, stage_id, batches))
    memory = Bucket().memory_bytes(view, stage_id, change.params)
    return replace(item, change=change, predicted=predict(analysis, view, stage_id, change), memory_bytes=memory)


def measure_buckets(
    replayable: Replayable, node_names: Mapping[str, str], stage_id: str, batches: float | None
) -> dict[str, Any]:
    """Return the params of a change: buckets for the rows as they are, and what padding they leave.

    Args:
        replayable: the pipeline.
        node_names: of its stages.
        stage_id: of the padded batch.
        batches: of an epoch, where known: each bucket can end it with a short one.

    Raises:
        TrialError: the rows cannot be read, they are too few for buckets, or no buckets leave less padding.
    """
    most = MOST_BUCKETS if batches is None else int(batches * _SHORT_BATCHES)
    if most < _FEWEST_BUCKETS:
        raise TrialError(f"an epoch of {batches:.0f} batches is too short for buckets, each of which can end with a short one")
    graph = replayable.copy_graph()
    node, padded = _find_batch(replayable, graph, find_node(graph, node_names, stage_id))
    source, wanted = graphs.node_name(node.input[0]), max(MOST_ROWS, FEWEST_BATCHES * padded.batch)
    few = limit_records(graph, graph, wanted // padded.batch)  # no shuffle's buffer has to be filled for more
    short = replayable if few is None else replayable.with_graph(few[0])
    try:
        lengths = read_lengths(cut_at(short, source, padded.spec), padded.component, padded.batch, _READ_S)
    except TrialError:  # a stage leaves many of them out
        lengths = read_lengths(cut_at(replayable, source, padded.spec), padded.component, padded.batch, _READ_S)
    boundaries = choose_boundaries(lengths, padded.batch, most)
    if not boundaries:
        raise TrialError(f"no buckets leave less padding: the rows that meet are of about one length ({len(lengths):,} read)")
    return {
        "boundaries": " ".join(map(str, boundaries)),
        "path": padded.component.path,
        "unpacks": padded.component.unpacks,
        "padding_now": round(padding_share(lengths, padded.batch), 4),
        "padding_then": round(padding_share(lengths, padded.batch, boundaries), 4),
        "rows": len(lengths),
    }


def with_single_rows(replayable: Replayable) -> Replayable:
    """Return the pipeline with padded batches of one row each, so that rows can be compared whichever batch they are in."""
    import tensorflow as tf

    graph = replayable.copy_graph()
    for node in [node for node in graph.node if node.op in PADDED]:
        node.input[_BATCH_INPUT] = graphs.add_constant(graph, 1, tf.int64)
    return replayable.with_graph(graph)


def _find_batch(replayable: Replayable, graph: Any, node: Any) -> tuple[Any, Padded]:
    """Return the node of a padded batch, and what it was made with."""
    if node.op not in PADDED:
        raise TrialError("the stage is no padded batch")
    nodes = graphs.nodes_by_name(graph)
    batch, drop = (graphs.constant_value(nodes.get(node.input[index])) for index in (_BATCH_INPUT, _DROP_INPUT))
    if drop:
        raise TrialError("drop_remainder would leave rows of every bucket out")
    _refuse_readers(graph, node)
    known = [item for item in python_datasets(replayable.dataset) if type(item).__name__ == _PYTHON_PADDED]
    if not isinstance(batch, int) or not isinstance(drop, bool) or len(known) != 1:
        raise TrialError("the padded batch is not the only one, or its size is no constant")
    return node, Padded.of(known[0], batch, drop_remainder=drop)


def _refuse_readers(graph: Any, node: Any) -> None:
    """Make sure that whatever reads the batches takes them one by one: beside others, or counted, they would be other rows.

    Raises:
        TrialError: it does not.
    """
    readers = graphs.consumers(graph, node.name)
    while readers and readers[0].op != graphs.RETURN_OP:
        if len(readers) != 1 or not readers[0].op.startswith(_ONE_BY_ONE):
            what = graphs.plain_name(readers[0].op) if len(readers) == 1 else "several stages"
            raise TrialError(f"{what} behind it would get other rows together, or leave others out")
        readers = graphs.consumers(graph, readers[0].name)
    if not readers:
        raise TrialError("the padded batch is inside another stage")


def _dimensions(shape: Any) -> list[int | None]:
    """Return a padded shape as dimensions, None for those that a batch decides."""
    return [None if int(size) < 0 else int(size) for size in shape.numpy()]
