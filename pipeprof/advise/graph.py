"""Reads and edits the GraphDef of a serialised dataset.

A dataset's graph is a tree of nodes whose functions live in a library beside it. The one idea: an edited library function
gets a name made of its new content, with every reference to it, because TensorFlow takes the first of two bodies of one
name. Edits here know nodes and edges only; what a change means is written in ``changes``. Nothing here runs a graph.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any  # protocol buffers of TensorFlow carry no types

from pipeprof.errors import TrialError

RETURN_OP = "_Retval"
_STRING_SOURCES = frozenset(
    {"TFRecordDataset", "TFRecordDatasetV2", "TextLineDataset", "FixedLengthRecordDataset", "FixedLengthRecordDatasetV2"}
)
_NO_DATASETS = frozenset({"InitializeTableFromDataset", "ReduceDataset", "RegisterDataset", "RegisterDatasetV2", "SaveDataset"})
_EDITED_MARK = "_pipeprof_"


def parse_graph(serialized: bytes) -> Any:
    """Return the GraphDef of a serialised dataset.

    Raises:
        TrialError: it is empty (TensorFlow returns no bytes, and no error, above 2 GiB).
    """
    from tensorflow.core.framework import graph_pb2

    graph = graph_pb2.GraphDef()
    graph.ParseFromString(serialized)
    if not any(node.op == RETURN_OP for node in graph.node):
        raise TrialError("TensorFlow serialised the dataset to nothing: it is too large")
    return graph


def copy_graph(graph: Any) -> Any:
    """Return a copy that can be edited."""
    from tensorflow.core.framework import graph_pb2

    copy = graph_pb2.GraphDef()
    copy.CopyFrom(graph)
    return copy


def node_name(text: str) -> str:
    """Return the node that an input names (``^node``, ``node:1``, ``node:handle:0``)."""
    return text.lstrip("^").split(":", 1)[0]


def nodes_by_name(graph: Any) -> dict[str, Any]:
    """Return the nodes outside of functions."""
    return {node.name: node for node in graph.node}


def output_name(graph: Any) -> str:
    """Return the name of the dataset that the graph returns."""
    return next(node_name(node.input[0]) for node in graph.node if node.op == RETURN_OP)


def set_output(graph: Any, name: str) -> None:
    """Make the graph return another of its datasets and drop what that does not need."""
    for node in graph.node:
        if node.op == RETURN_OP:
            node.input[0] = name
    keep = ancestors(graph, name)
    kept = [node for node in graph.node if node.op == RETURN_OP or node.name in keep]
    drop_nodes(graph, {node.name for node in graph.node} - {node.name for node in kept})


def drop_nodes(graph: Any, names: Iterable[str]) -> None:
    """Remove nodes; their consumers must have been pointed elsewhere before."""
    gone = set(names)
    for index in range(len(graph.node) - 1, -1, -1):
        if graph.node[index].name in gone:
            del graph.node[index]


def is_dataset_op(op: str) -> bool:
    """Say whether an op makes a dataset."""
    return re.search(r"Dataset(?:V\d+)?$", op) is not None and op not in _NO_DATASETS


def plain_name(op: str) -> str:
    """Return the name of a dataset op without "Dataset" and version: ``MapDataset`` -> ``Map``."""
    return re.sub(r"(?:V\d+)?Dataset(?:V\d+)?$", "", op)


def dataset_inputs(graph: Any, node: Any) -> list[str]:
    """Return the names of the datasets that a node reads, in order; captured datasets come last."""
    nodes = nodes_by_name(graph)
    names = [node_name(text) for text in node.input if not text.startswith("^")]
    return [name for name in names if name in nodes and is_dataset_op(nodes[name].op)]


def ancestors(graph: Any, name: str) -> set[str]:
    """Return the names of a node and of everything above it, control inputs included."""
    nodes = nodes_by_name(graph)
    found: set[str] = set()
    stack = [name]
    while stack:
        current = stack.pop()
        if current in found or current not in nodes:
            continue
        found.add(current)
        stack.extend(node_name(text) for text in nodes[current].input)
    return found


def consumers(graph: Any, name: str) -> list[Any]:
    """Return the nodes that read ``name``, the return node included."""
    return [node for node in graph.node if any(node_name(text) == name for text in node.input)]


def redirect(graph: Any, old: str, new: str, *, keep: Iterable[str] = ()) -> None:
    """Point every reader of ``old`` at ``new``, but for the nodes named in ``keep``."""
    untouched = set(keep)
    for node in graph.node:
        if node.name in untouched:
            continue
        for index, text in enumerate(node.input):
            if text == old:
                node.input[index] = new


def unique_name(graph: Any, prefix: str) -> str:
    """Return a node name that is still free."""
    taken = {node.name for node in graph.node}
    number = 0
    while f"{prefix}/pipeprof_{number}" in taken:
        number += 1
    return f"{prefix}/pipeprof_{number}"


def add_node(graph: Any, op: str, inputs: Iterable[str] = ()) -> Any:
    """Append a node and return it; its attributes are the caller's."""
    name = unique_name(graph, op)
    node = graph.node.add()
    node.name, node.op = name, op
    node.input.extend(inputs)
    return node


def append_stage(graph: Any, op: str, inputs: Iterable[str] = ()) -> Any:
    """Put a stage that hands elements on behind the last one, and return its node; ``inputs`` are its others.

    Raises:
        TrialError: the last node does not say what its elements are.
    """
    last = output_name(graph)
    node = add_node(graph, op, [last, *inputs])
    copy_element_types(graph, last, node)
    redirect(graph, last, node.name, keep=[node.name])
    return node


def add_copy(graph: Any, node: Any) -> Any:
    """Append a copy of a node under a name of its own, and return it; nothing reads it yet."""
    copy = add_node(graph, node.op)
    name = copy.name
    copy.CopyFrom(node)
    copy.name = name
    return copy


def add_constant(graph: Any, value: Any, dtype: Any) -> str:
    """Append a constant and return its name."""
    node = add_node(graph, "Const")
    fill_constant(node, value, dtype)
    return str(node.name)


def fill_constant(node: Any, value: Any, dtype: Any) -> None:
    """Write ``value`` into a Const node."""
    import tensorflow as tf

    node.attr["dtype"].type = dtype.as_datatype_enum
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value, dtype))


def constant_value(node: Any | None) -> Any:
    """Return a Const node's scalar as a Python value, None where it is no plain scalar constant."""
    import tensorflow as tf

    if node is None or node.op != "Const":
        return None
    proto = node.attr["value"].tensor
    if proto.dtype in (tf.resource.as_datatype_enum, tf.variant.as_datatype_enum) or proto.tensor_shape.dim:
        return None
    if proto.dtype == tf.string.as_datatype_enum:
        return bytes(proto.string_val[0]) if proto.string_val else b""
    return tf.make_ndarray(proto).item()


# --- functions ---------------------------------------------------------------------------------------------------


def function_references(node: Any) -> Iterator[str]:
    """Yield the names of the functions that a node names in its attributes (or is a call of)."""
    yield node.op
    for value in node.attr.values():
        if value.HasField("func"):
            yield value.func.name
        for item in value.list.func:
            yield item.name


def reachable_functions(graph: Any, nodes: Iterable[Any] | None = None) -> dict[str, Any]:
    """Return the library functions that ``nodes`` (by default all) use, directly or through others."""
    library = {function.signature.name: function for function in graph.library.function}
    found: dict[str, Any] = {}
    stack = [name for node in (graph.node if nodes is None else nodes) for name in function_references(node)]
    while stack:
        name = stack.pop()
        if name in found or name not in library:
            continue
        found[name] = library[name]
        stack.extend(reference for node in library[name].node_def for reference in function_references(node))
    return found


def upstream_nodes(graph: Any, name: str) -> Iterator[Any]:
    """Yield a node, everything above it, and the nodes of every function that these use."""
    names = ancestors(graph, name)
    own = [node for node in graph.node if node.name in names]
    yield from own
    for function in reachable_functions(graph, own).values():
        yield from function.node_def


def all_nodes(graph: Any) -> Iterator[Any]:
    """Yield every node that can run, those of functions included."""
    yield from graph.node
    for function in reachable_functions(graph).values():
        yield from function.node_def


def function_nodes(function: Any) -> dict[str, Any]:
    """Return the nodes of a library function."""
    return {node.name: node for node in function.node_def}


def add_function_node(function: Any, op: str, inputs: Iterable[str] = ()) -> Any:
    """Append a node to a library function; data inputs read ``node:output:index``."""
    taken = {node.name for node in function.node_def} | {argument.name for argument in function.signature.input_arg}
    number = 0
    while f"pipeprof_{op}_{number}" in taken:
        number += 1
    node = function.node_def.add()
    node.name, node.op = f"pipeprof_{op}_{number}", op
    node.input.extend(inputs)
    return node


def add_function_constant(function: Any, value: Any, dtype: Any) -> str:
    """Append a constant to a library function and return the input text that reads it."""
    node = add_function_node(function, "Const")
    fill_constant(node, value, dtype)
    return f"{node.name}:output:0"


def rename_edited(graph: Any, edited: Iterable[str]) -> dict[str, str]:
    """Give edited functions, and the functions that name them, new names with every reference; return old to new.

    The name is made of the edited body, so that equal edits are equal names and different ones never meet.
    """
    names = _with_callers(graph, set(edited))
    library = [function for function in graph.library.function if function.signature.name in names]
    content = hashlib.blake2b(digest_size=6)
    for function in sorted(library, key=lambda item: str(item.signature.name)):
        content.update(function.SerializeToString(deterministic=True))
    mark = content.hexdigest()
    mapping = {name: f"{name.split(_EDITED_MARK)[0]}{_EDITED_MARK}{mark}{index}" for index, name in enumerate(sorted(names))}
    for function in library:
        function.signature.name = mapping[function.signature.name]
    for node in graph.node:
        _rename_references(node, mapping)
    for function in graph.library.function:
        for node in function.node_def:
            _rename_references(node, mapping)
    return mapping


def _with_callers(graph: Any, edited: set[str]) -> set[str]:
    names = {function.signature.name for function in graph.library.function} & edited
    while True:
        callers = {
            function.signature.name
            for function in graph.library.function
            if any(reference in names for node in function.node_def for reference in function_references(node))
        }
        if callers <= names:
            return names
        names |= callers


def _rename_references(node: Any, mapping: Mapping[str, str]) -> None:
    node.op = mapping.get(node.op, node.op)
    for value in node.attr.values():
        if value.HasField("func"):
            value.func.name = mapping.get(value.func.name, value.func.name)
        for item in value.list.func:
            item.name = mapping.get(item.name, item.name)


# --- element types -----------------------------------------------------------------------------------------------


def copy_element_types(graph: Any, source: str, target: Any) -> None:
    """Write the element types of node ``source`` into ``target``'s ``output_types`` and ``output_shapes``.

    Raises:
        TrialError: the source's node does not say what its elements are.
    """
    import tensorflow as tf

    node = nodes_by_name(graph)[source]
    if node.op in _STRING_SOURCES:
        target.attr["output_types"].list.type[:] = [tf.string.as_datatype_enum]
        del target.attr["output_shapes"].list.shape[:]
        target.attr["output_shapes"].list.shape.add()
        return
    types = next((node.attr[key].list.type for key in ("output_types", "Toutput_types") if key in node.attr), None)
    if types is None or "output_shapes" not in node.attr:
        raise TrialError(f"TensorFlow's {node.op} does not say what its elements are")
    target.attr["output_types"].list.type[:] = list(types)
    target.attr["output_shapes"].CopyFrom(node.attr["output_shapes"])


def set_element_types(node: Any, types: Iterable[int]) -> None:
    """Write element types (TensorFlow's DataType numbers) into a node, of shapes that are not known."""
    key = "Toutput_types" if "Toutput_types" in node.attr else "output_types"
    node.attr[key].list.type[:] = list(types)
    del node.attr["output_shapes"].list.shape[:]
    for _ in node.attr[key].list.type:
        node.attr["output_shapes"].list.shape.add().unknown_rank = True
