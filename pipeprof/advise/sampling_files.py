"""Makes epochs short where a change lies in how files are read: a few files, and of each file a few records.

A take behind a reader cannot be used there: file after file or mixed, the first records are others. So the takes stand where
both graphs are still equal: behind the list of files, and in the reader's function behind each file. For comparing only.
"""

from __future__ import annotations

from typing import Any  # protocol buffers of TensorFlow carry no types

from pipeprof.advise import graph as graphs

_READERS = ("FlatMapDataset", "InterleaveDataset", "ParallelInterleaveDataset", "LegacyParallelInterleaveDataset")
_FILES = 4  # or whatever a reader's function is called for


def limit_files(original: Any, changed: Any, records: int) -> tuple[Any, Any] | None:
    """Return copies of two graphs whose one reader, of another kind in each, gives about ``records`` elements.

    None where not exactly one reader differs, or where its input or its function differ as well.
    """
    ours, theirs = graphs.nodes_by_name(original), graphs.nodes_by_name(changed)
    readers = [
        name for name, node in ours.items() if node.op.startswith(_READERS) and name in theirs and theirs[name].op != node.op
    ]
    if len(readers) != 1:
        return None
    (name,) = readers
    source = graphs.node_name(ours[name].input[0])
    above = graphs.ancestors(original, source)
    if above != graphs.ancestors(changed, source) or any(ours[item] != theirs[item] for item in above):
        return None
    if ours[name].attr["f"].func.name != theirs[name].attr["f"].func.name:
        return None
    copies = graphs.copy_graph(original), graphs.copy_graph(changed)
    for copy in copies:
        _limit_reader(copy, name, -(-records // _FILES))
    return copies


def _limit_reader(graph: Any, name: str, records: int) -> None:
    import tensorflow as tf

    node = graphs.nodes_by_name(graph)[name]
    source = node.input[0]
    take = graphs.add_node(graph, "TakeDataset", [source, graphs.add_constant(graph, _FILES, tf.int64)])
    graphs.copy_element_types(graph, graphs.node_name(source), take)
    node.input[0] = take.name
    function = graphs.reachable_functions(graph, [node])[node.attr["f"].func.name]
    ((output, inner),) = function.ret.items()
    count = graphs.add_function_constant(function, records, tf.int64)
    few = graphs.add_function_node(function, "TakeDataset", [inner, count])
    for key in ("output_types", "output_shapes"):
        few.attr[key].CopyFrom(node.attr[key])
    function.ret[output] = f"{few.name}:handle:0"
    graphs.rename_edited(graph, [function.signature.name])
