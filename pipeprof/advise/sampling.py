"""Makes whole epochs short: the same few records at the sources of two graphs.

Comparing the first elements of a long epoch misses the short last batch, never completes a cache, and cannot compare
orders. So a take is put behind each source (behind the readers of its files, where it has any) of both graphs, at nodes
that are equal in both with everything above them. For comparing only; nothing is timed on such a graph.
"""

from __future__ import annotations

from typing import Any  # protocol buffers of TensorFlow carry no types

from pipeprof.advise import graph as graphs
from pipeprof.errors import TrialError

_BATCH_SIZE_INPUTS = {
    "BatchDataset": 1,
    "BatchDatasetV2": 1,
    "ParallelBatchDataset": 1,
    "PaddedBatchDataset": 1,
    "PaddedBatchDatasetV2": 1,
}
_READERS = ("FlatMapDataset", "InterleaveDataset", "ParallelInterleaveDataset", "LegacyParallelInterleaveDataset")
_BEFORE_READERS = ("ShuffleDataset", "PrefetchDataset", "OptionsDataset", "ShardDataset", "CacheDataset")
_AFTER_BATCH = frozenset({"PrefetchDataset", "OptionsDataset", "TakeDataset", "RepeatDataset"})
_MAX_RECORDS = 1_000_000
_PASSES = 2
_LARGE_BYTES = 100_000


def limit_records(original: Any, changed: Any, elements: int) -> tuple[Any, Any] | None:
    """Return copies of two graphs whose epochs have about ``elements`` elements, the last batch being a short one.

    None where no node is surely the same in both, or where the graph counts its elements itself.
    """
    if any(node.op.startswith("AssertCardinality") for node in original.node):
        return None
    points = [name for name in _limit_points(original) if _same_above(original, changed, name)]
    if not points:
        return None
    copies = graphs.copy_graph(original), graphs.copy_graph(changed)
    times = _limit_repeats(*copies)
    records = max(1, records_for(original, elements) // times)
    try:
        for name in points:
            for copy in copies:
                _insert_take(copy, name, records)
    except TrialError:
        return None
    return copies


def repeat_first_record(original: Any, changed: Any, times: int) -> tuple[Any, Any] | None:
    """Return copies of two graphs whose sources give their first record so many times, and nothing else.

    None where no node is surely the same in both.
    """
    points = [name for name in _limit_points(original) if _same_above(original, changed, name)]
    if not points:
        return None
    copies = graphs.copy_graph(original), graphs.copy_graph(changed)
    try:
        for name in points:
            for copy in copies:
                readers = graphs.consumers(copy, name)
                last = add_first_record(copy, name, times)
                for reader in readers:
                    reader.input[:] = [last if graphs.node_name(text) == name else text for text in reader.input]
    except TrialError:
        return None
    return copies


def add_first_record(graph: Any, name: str, times: int) -> str:
    """Add nodes that give the first element of a dataset so many times, made once, and return the last; nothing reads it yet.

    Raises:
        TrialError: the dataset does not say what its elements are.
    """
    import tensorflow as tf

    for op, value, dtype in (
        ("TakeDataset", 1, tf.int64),
        ("CacheDataset", b"", tf.string),
        ("RepeatDataset", times, tf.int64),
    ):
        node = graphs.add_node(graph, op, [name, graphs.add_constant(graph, value, dtype)])
        graphs.copy_element_types(graph, name, node)
        name = node.name
    return name


def shrink_batches(graph: Any, most: int) -> None:
    """Let no batch have more elements."""
    import tensorflow as tf

    nodes = graphs.nodes_by_name(graph)
    for node in [node for node in graph.node if node.op in _BATCH_SIZE_INPUTS]:
        position = _BATCH_SIZE_INPUTS[node.op]
        size = graphs.constant_value(nodes.get(graphs.node_name(node.input[position])))
        if isinstance(size, int) and size > most:
            node.input[position] = graphs.add_constant(graph, most, tf.int64)


def batch_sizes(graph: Any) -> list[int]:
    """Return the sizes of all batch nodes that are constants."""
    nodes = graphs.nodes_by_name(graph)
    sizes = []
    for node in graph.node:
        position = _BATCH_SIZE_INPUTS.get(node.op)
        value = None if position is None else graphs.constant_value(nodes.get(node.input[position]))
        if isinstance(value, int) and value > 0:
            sizes.append(value)
    return sizes


def ends_with_batch(graph: Any) -> bool:
    """Say whether the elements of the graph are batches made by its last transforming node."""
    nodes = graphs.nodes_by_name(graph)
    node = nodes[graphs.output_name(graph)]
    while node.op in _AFTER_BATCH:
        node = nodes[graphs.dataset_inputs(graph, node)[0]]
    return node.op in {"BatchDataset", "BatchDatasetV2", "ParallelBatchDataset"}


def _limit_repeats(original: Any, changed: Any) -> int:
    """Cut repeats, endless ones too, to two passes in both graphs; return how often the longest chain repeats a record.

    Left alone where the two do not repeat alike: then the repeats are what changed.
    """
    import tensorflow as tf

    counts = [_repeat_counts(graph) for graph in (original, changed)]
    if counts[0] != counts[1]:
        return 1
    for graph in (original, changed):
        for node in [node for node in graph.node if node.op == "RepeatDataset"]:
            count = counts[0].get(node.name)
            if count is not None and (count < 0 or count > _PASSES):
                node.input[1] = graphs.add_constant(graph, _PASSES, tf.int64)
    product = 1
    for count in counts[0].values():
        product *= _PASSES if count < 0 else max(1, min(count, _PASSES))
    return product


def _repeat_counts(graph: Any) -> dict[str, int]:
    nodes = graphs.nodes_by_name(graph)
    found = {node.name: graphs.constant_value(nodes.get(node.input[1])) for node in graph.node if node.op == "RepeatDataset"}
    return {name: count for name, count in found.items() if isinstance(count, int)}


def _limit_points(graph: Any) -> list[str]:
    sources = [node for node in graph.node if graphs.is_dataset_op(node.op) and not graphs.dataset_inputs(graph, node)]
    return sorted({_reader_behind(graph, node) for node in sources})


def _reader_behind(graph: Any, source: Any) -> str:
    """Return the node that reads the files a source names, the source itself where none does."""
    current = source
    while True:
        readers = [node for node in graphs.consumers(graph, current.name) if graphs.is_dataset_op(node.op)]
        if len(readers) != 1:
            return str(source.name)
        current = readers[0]
        if current.op.startswith(_READERS):
            return str(current.name)
        if not current.op.startswith(_BEFORE_READERS):
            return str(source.name)


def _cut_rows(constants: list[Any], rows: int) -> None:
    """Keep the first rows of large arrays; all of a source's, or none where one of them is not plain numbers."""
    import tensorflow as tf

    protos = [constant.attr["value"].tensor for constant in constants]
    if any(constant.op != "Const" for constant in constants) or not all(proto.tensor_content for proto in protos):
        return
    if any(proto.dtype == tf.string.as_datatype_enum for proto in protos):  # its content is no array of equal parts
        return
    if sum(len(proto.tensor_content) for proto in protos) < _LARGE_BYTES:
        return
    for proto in protos:
        size = proto.tensor_shape.dim[0].size
        if size > rows:
            proto.tensor_content = proto.tensor_content[: rows * (len(proto.tensor_content) // size)]
            proto.tensor_shape.dim[0].size = rows


def _same_above(original: Any, changed: Any, name: str) -> bool:
    ours, theirs = graphs.nodes_by_name(original), graphs.nodes_by_name(changed)
    names = graphs.ancestors(original, name)
    return names == graphs.ancestors(changed, name) and all(ours[item] == theirs[item] for item in names)


def records_for(graph: Any, elements: int) -> int:
    """Return the records that give ``elements`` elements: whole batches but the last, after skips and shards."""
    batch = 1
    for size in batch_sizes(graph):
        batch *= size
    shards, skipped = 1, 0
    nodes = graphs.nodes_by_name(graph)
    for node in graph.node:
        value = graphs.constant_value(nodes.get(node.input[1])) if node.op in {"SkipDataset", "ShardDataset"} else None
        if isinstance(value, int) and value > 0:
            shards, skipped = (shards * value, skipped) if node.op == "ShardDataset" else (shards, skipped + value * batch)
    records = (max(elements, 2) - 1) * batch + batch // 2 + 1
    return min(records * shards + skipped, _MAX_RECORDS)


def _insert_take(graph: Any, name: str, records: int) -> None:
    """Put a take behind a node; an array in memory is cut as well, so that it need not be loaded for a few rows.

    Raises:
        TrialError: the node does not say what its elements are.
    """
    import tensorflow as tf

    nodes = graphs.nodes_by_name(graph)
    if nodes[name].op == "TensorSliceDataset":
        _cut_rows([nodes[graphs.node_name(text)] for text in nodes[name].input], records)
    count = graphs.add_constant(graph, records, tf.int64)
    take = graphs.add_node(graph, "TakeDataset", [name, count])
    graphs.copy_element_types(graph, name, take)
    graphs.redirect(graph, name, take.name, keep=[take.name])
