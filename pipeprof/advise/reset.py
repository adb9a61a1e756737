"""Cuts a serialised dataset loose from the running program's state.

A graph carries the program's own memory caches, shuffle seeds and file names by handle: replaying it would advance the
program's shuffle order, read or fill its caches, write into its files. Each handle becomes a fresh resource (one for all
nodes that shared it, so that sharing stays as it was), unseeded shuffles get fixed seeds (the same in every graph made
from this one), and files that a dataset writes move into a scratch directory. What cannot be cut loose is refused; never
let a graph through that still names a resource of the program.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any  # protocol buffers of TensorFlow carry no types

from pipeprof.advise import graph as graphs
from pipeprof.errors import TrialError

SCRATCH_PREFIX = b"pipeprof-scratch://"
_DUMMY_HANDLE = "dummy_resource"
# Positions of (seed, seed2, seed generator); None where the op holds no generator.
_SEED_INPUTS: Mapping[str, tuple[int, int, int | None]] = {
    "ShuffleDataset": (2, 3, None),
    "ShuffleDatasetV3": (2, 3, 4),
    "ShuffleAndRepeatDataset": (2, 3, None),
    "ShuffleAndRepeatDatasetV2": (2, 3, 5),
    "RandomDataset": (0, 1, None),
    "RandomDatasetV2": (0, 1, 2),
}
_PATH_INPUTS: Mapping[str, int] = {
    "CacheDataset": 1,
    "CacheDatasetV2": 1,
    "SnapshotDataset": 1,
    "SnapshotDatasetV2": 1,
    "SaveDataset": 1,
    "SaveDatasetV2": 1,
}
_FIRST_SEEDS = (0x5EED_0001, 0x5EED_1001)
_ASSIGNING = ("AssignVariableOp", "AssignAddVariableOp", "AssignSubVariableOp", "ResourceScatter", "ResourceStridedSliceAssign")
_WRITING = frozenset(
    {"WriteFile", "SaveV2", "Save", "SaveSlices", "DatasetToTFRecord", "DatasetToTFRecordV2", "MergeV2Checkpoints"}
)
_TABLE_CHANGING = ("LookupTableInsert", "LookupTableRemove")


def reset_shared_state(graph: Any) -> None:
    """Replace in place everything by which ``graph`` would touch the running program.

    Raises:
        TrialError: it names state of the program that cannot be replaced, or does what must not be done again.
    """
    refuse_side_effects(graph)
    _replace_handles(graph)
    _fix_seeds(graph)
    _move_paths(graph)
    _refuse_leftovers(graph)


def writes_files(graph: Any) -> bool:
    """Say whether a load of ``graph`` needs a scratch directory."""
    return any(_scratch_text(node) is not None for node in graphs.all_nodes(graph))


def point_to_scratch(graph: Any, directory: Path) -> Any:
    """Return a copy of ``graph`` that writes its files below ``directory``."""
    copy = graphs.copy_graph(graph)
    for node in copy.node:
        _point_constant(node, directory)
    edited = set()
    for function in copy.library.function:
        for node in function.node_def:
            if _point_constant(node, directory):
                edited.add(function.signature.name)
    graphs.rename_edited(copy, edited)
    return copy


def seed_states(function: Any) -> set[str]:
    """Return the inputs of a library function that hold the state of a Keras seed generator.

    Keras 3 keeps (seed, count) in a variable of two integers and assigns ``state + [0, 1]`` at each draw.
    """
    nodes = graphs.function_nodes(function)
    found = set()
    for node in function.node_def:
        if node.op != "AssignVariableOp":
            continue
        value = nodes.get(graphs.node_name(node.input[1]))
        if value is None or value.op not in {"Add", "AddV2"}:
            continue
        parts = [nodes.get(graphs.node_name(text)) for text in value.input[:2]]
        reads = [part for part in parts if part is not None and part.op == "ReadVariableOp" and part.input[0] == node.input[0]]
        if reads and any(_is_seed_step(part) for part in parts):
            found.add(str(node.input[0]))
    return found


def _is_seed_step(node: Any | None) -> bool:
    import tensorflow as tf

    if node is None or node.op != "Const":
        return False
    proto = node.attr["value"].tensor
    if proto.dtype not in {tf.int64.as_datatype_enum, tf.uint32.as_datatype_enum, tf.int32.as_datatype_enum}:
        return False
    return bool(tf.make_ndarray(proto).tolist() == [0, 1])


def assigns_variable(function: Any) -> bool:
    """Say whether a library function assigns a variable that is not a Keras seed generator's."""
    seeds = seed_states(function)
    return any(node.op.startswith(_ASSIGNING) and node.input[0] not in seeds for node in function.node_def)


def refuse_side_effects(graph: Any) -> None:
    """Raise where a replay would do again what must be done once.

    A Keras seed generator is let through: its copy belongs to the replay alone.

    Raises:
        TrialError: with the reason.
    """
    if any(node.op.startswith("DataServiceDataset") for node in graph.node):
        raise TrialError("the pipeline reads from a tf.data service, which hands each element out once")
    for function in graphs.reachable_functions(graph).values():
        if assigns_variable(function):
            raise TrialError("a function of the pipeline assigns a variable")
        for node in function.node_def:
            if node.op in _WRITING:
                raise TrialError(f"a function of the pipeline writes files ({node.op})")
            if node.op.startswith(_TABLE_CHANGING):
                raise TrialError("a function of the pipeline changes a lookup table")


def _replace_handles(graph: Any) -> None:
    """Replace caches and seed generators held by handle with fresh ones, one for each distinct handle."""
    fresh: dict[tuple[str, ...], str] = {}
    for constant in [node for node in graph.node if _resource(node) is not None]:
        handle = _resource(constant)
        make = _maker(handle.maybe_type_name)
        if make is None:
            continue
        key = (handle.container, handle.name, handle.maybe_type_name)
        for reader in graphs.consumers(graph, constant.name):
            if handle.name == _DUMMY_HANDLE:
                new = str(graphs.add_node(graph, "DummyMemoryCache").name)
            else:
                new = fresh.get(key) or make(graph, reader)
                fresh[key] = new
            for index, text in enumerate(reader.input):
                if text == constant.name:
                    reader.input[index] = new
        graphs.drop_nodes(graph, {constant.name})


def _maker(type_name: str) -> Callable[[Any, Any], str] | None:
    if "MemoryCache" in type_name:
        return _add_cache
    return _add_seed_generator if "SeedGenerator" in type_name else None


def _add_cache(graph: Any, _reader: Any) -> str:
    return str(graphs.add_node(graph, "AnonymousMemoryCache").name)


def _add_seed_generator(graph: Any, reader: Any) -> str:
    import tensorflow as tf

    positions = _SEED_INPUTS.get(reader.op)
    if positions is None:
        raise TrialError(f"the pipeline holds a seed generator in an unknown place ({reader.op})")
    key = "rerandomize_each_iteration" if reader.op.startswith("Random") else "reshuffle_each_iteration"
    again = reader.attr[key].b if key in reader.attr else True
    seeds = [str(reader.input[positions[0]]), str(reader.input[positions[1]])]
    nodes = graphs.nodes_by_name(graph)
    if all(graphs.constant_value(nodes.get(name)) == 0 for name in seeds):
        number = sum(node.op == "AnonymousSeedGenerator" for node in graph.node)
        seeds = [graphs.add_constant(graph, base + number, tf.int64) for base in _FIRST_SEEDS]
    flag = graphs.add_constant(graph, again, tf.bool)
    return str(graphs.add_node(graph, "AnonymousSeedGenerator", [*seeds, flag]).name)


def _fix_seeds(graph: Any) -> None:
    """Write fixed seeds where none were given; a seed of zero means another order for each load."""
    import tensorflow as tf

    number = 1000
    nodes = graphs.nodes_by_name(graph)
    for node in list(graph.node):
        positions = _SEED_INPUTS.get(node.op)
        if positions and all(graphs.constant_value(nodes.get(node.input[index])) == 0 for index in positions[:2]):
            number += 1
            for index, base in zip(positions[:2], _FIRST_SEEDS, strict=True):
                node.input[index] = graphs.add_constant(graph, base + number, tf.int64)
    edited = set()
    for function in sorted(graphs.reachable_functions(graph).values(), key=lambda item: str(item.signature.name)):
        inside = graphs.function_nodes(function)
        for node in list(function.node_def):
            positions = _SEED_INPUTS.get(node.op)
            if not positions or not _both_zero(inside, node, positions):
                continue
            number += 1
            edited.add(function.signature.name)
            for index, base in zip(positions[:2], _FIRST_SEEDS, strict=True):
                node.input[index] = graphs.add_function_constant(function, base + number, tf.int64)
    graphs.rename_edited(graph, edited)


def _both_zero(nodes: Mapping[str, Any], node: Any, positions: Sequence[int | None]) -> bool:
    return all(graphs.constant_value(nodes.get(graphs.node_name(node.input[index]))) == 0 for index in positions[:2])


def _move_paths(graph: Any) -> None:
    """Give every file that a dataset writes a scratch name; equal names stay equal, memory caches ("") stay so."""
    import tensorflow as tf

    nodes = graphs.nodes_by_name(graph)
    for node in list(graph.node):
        position = _PATH_INPUTS.get(node.op)
        if position is None:
            continue
        path = graphs.constant_value(nodes.get(node.input[position]))
        if path is None:
            raise TrialError(f"the file name of {node.op} is not known before it runs")
        if path and not path.startswith(SCRATCH_PREFIX):
            node.input[position] = graphs.add_constant(graph, _scratch_name(path), tf.string)
    edited = set()
    for function in graphs.reachable_functions(graph).values():
        if _move_function_paths(function):
            edited.add(function.signature.name)
    graphs.rename_edited(graph, edited)


def _move_function_paths(function: Any) -> bool:
    import tensorflow as tf

    nodes = graphs.function_nodes(function)
    moved = False
    for node in list(function.node_def):
        position = _PATH_INPUTS.get(node.op)
        if position is None:
            continue
        path = graphs.constant_value(nodes.get(graphs.node_name(node.input[position])))
        if path == b"" or (path is not None and path.startswith(SCRATCH_PREFIX)):
            continue
        moved = True
        if path is None:
            node.input[position] = _hashed_path(function, node.input[position])
        else:
            node.input[position] = graphs.add_function_constant(function, _scratch_name(path), tf.string)
    return moved


def _hashed_path(function: Any, path: str) -> str:
    """Add nodes that turn a computed file name into one below the scratch directory."""
    import tensorflow as tf

    bucket = graphs.add_function_node(function, "StringToHashBucketFast", [path])
    bucket.attr["num_buckets"].i = 2**62
    text = graphs.add_function_node(function, "AsString", [f"{bucket.name}:output:0"])
    text.attr["T"].type = tf.int64.as_datatype_enum
    prefix = graphs.add_function_constant(function, SCRATCH_PREFIX, tf.string)
    joined = graphs.add_function_node(function, "StringJoin", [prefix, f"{text.name}:output:0"])
    joined.attr["N"].i = 2
    joined.attr["separator"].s = b""
    return f"{joined.name}:output:0"


def _refuse_leftovers(graph: Any) -> None:
    for node in graphs.all_nodes(graph):
        handle = _resource(node)
        if handle is not None:
            kind = "".join(char for char in handle.maybe_type_name.split("tensorflow")[-1] if not char.isdigit()) or "resource"
            raise TrialError(f"the pipeline shares a resource with the program that cannot be copied ({kind} {handle.name!r})")


def _resource(node: Any) -> Any:  # a handle, or None
    """Return the handle of a resource constant."""
    if node.op != "Const" or not node.attr["value"].tensor.resource_handle_val:
        return None
    return node.attr["value"].tensor.resource_handle_val[0]


def _scratch_name(path: bytes) -> bytes:
    return SCRATCH_PREFIX + hashlib.blake2b(path, digest_size=8).hexdigest().encode()


def _scratch_text(node: Any) -> bytes | None:
    texts = list(node.attr["value"].tensor.string_val) if node.op == "Const" else []
    return bytes(texts[0]) if len(texts) == 1 and texts[0].startswith(SCRATCH_PREFIX) else None


def _point_constant(node: Any, directory: Path) -> bool:
    import tensorflow as tf

    text = _scratch_text(node)
    if text is None:
        return False
    name = text.removeprefix(SCRATCH_PREFIX)
    graphs.fill_constant(node, f"{directory}/".encode() + name, tf.string)
    return True
