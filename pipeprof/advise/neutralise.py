"""Holds randomness still, for comparing elements only.

Two runs of a random map never give equal elements, even unchanged. In both graphs every random op is replaced by its
stateless twin, seeded by a fingerprint of the function's first argument and by the op's running number, so that a draw
depends on the element alone and not on its turn. Such a graph is never timed: TensorFlow runs it in parallel by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any  # protocol buffers of TensorFlow carry no types

from pipeprof.advise import graph as graphs
from pipeprof.advise.reset import seed_states


@dataclass(frozen=True, slots=True)
class _Twin:
    """The stateless op of a random op: its inputs by the random op's input positions ("seed" is the new one)."""

    op: str
    inputs: tuple[int | str, ...]
    attributes: tuple[tuple[str, str], ...]  # (its attribute, the random op's)


_SEED = "seed"
_TWINS: Mapping[str, _Twin] = {
    "RandomUniform": _Twin("StatelessRandomUniform", (0, _SEED), (("dtype", "dtype"), ("T", "T"))),
    "RandomStandardNormal": _Twin("StatelessRandomNormal", (0, _SEED), (("dtype", "dtype"), ("T", "T"))),
    "TruncatedNormal": _Twin("StatelessTruncatedNormal", (0, _SEED), (("dtype", "dtype"), ("T", "T"))),
    "RandomUniformInt": _Twin("StatelessRandomUniformInt", (0, _SEED, 1, 2), (("dtype", "Tout"), ("T", "T"))),
    "Multinomial": _Twin("StatelessMultinomial", (0, 1, _SEED), (("T", "T"), ("output_dtype", "output_dtype"))),
    "RandomGamma": _Twin("StatelessRandomGammaV2", (0, _SEED, 1), (("dtype", "T"), ("T", "S"))),
    "RandomPoissonV2": _Twin("StatelessRandomPoisson", (0, _SEED, 1), (("Rtype", "R"), ("dtype", "dtype"), ("T", "S"))),
    "SampleDistortedBoundingBoxV2": _Twin(
        "StatelessSampleDistortedBoundingBox",
        (0, 1, 2, _SEED),
        tuple(
            (key, key) for key in ("T", "aspect_ratio_range", "area_range", "max_attempts", "use_image_if_no_bounding_boxes")
        ),
    ),
}
_SHUFFLES = ("ShuffleDataset", "ShuffleAndRepeatDataset")
_BUFFER_INPUT = 1  # of a shuffle
_GENERATOR_OP = "RngReadAndSkip"
_STATEFUL_RANDOM = (
    "Random",
    "Stateful",
    "TruncatedNormal",
    "ParameterizedTruncatedNormal",
    "NonDeterministicInts",
    "Multinomial",
)
_NOT_RANDOM = ("RandomDataset", "StatefulPartitionedCall", "RandomShuffleQueue", "RandomIndexShuffle")
_UNUSABLE = ("resource", "variant")


@dataclass(frozen=True, slots=True)
class Neutralised:
    """A graph with its randomness held still.

    Attributes:
        graph: the new GraphDef.
        replaced: random ops that were replaced.
        left: names of random ops that could not be; where there are any, elements cannot be expected to be equal.
    """

    graph: Any
    replaced: int
    left: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HeldStill:
    """What was done about the randomness of two graphs that are compared.

    Attributes:
        replaced: random ops that were replaced.
        left: names of those that could not be.
        by_element: whether elements draw different values.
    """

    replaced: int
    left: tuple[str, ...]
    by_element: bool

    @classmethod
    def of(cls, original: Neutralised, changed: Neutralised, *, by_element: bool) -> HeldStill:
        """Sum up what was held still in both graphs."""
        left = tuple(sorted({*original.left, *changed.left}))
        return cls(max(original.replaced, changed.replaced), left, by_element)

    @property
    def is_random(self) -> bool:
        """Whether elements are drawn anew in the real graphs."""
        return bool(self.replaced or self.left)

    @property
    def note(self) -> str:
        """What was done about it, in a sentence part."""
        if not self.replaced:
            return ""
        same = "" if self.by_element else ", the same for all elements"
        return f"compared with the random draws held still{same}"


def neutralise(graph: Any, *, by_element: bool = True) -> Neutralised:
    """Return a copy of ``graph`` whose random draws depend on the element alone.

    Args:
        graph: a GraphDef.
        by_element: whether elements draw different values; else each op draws one for all of them, as a function needs whose
            arguments are no longer the element.
    """
    copy = graphs.copy_graph(graph)
    replaced, left, edited = 0, set(), set()
    of_stages = {node.attr["f"].func.name for node in copy.node if "f" in node.attr}
    for function in graphs.reachable_functions(copy).values():  # loops and branches within get what they always got
        count, rest = _neutralise_function(function, by_element=by_element or function.signature.name not in of_stages)
        replaced += count
        left.update(rest)
        if count:
            edited.add(function.signature.name)
    graphs.rename_edited(copy, edited)
    return Neutralised(copy, replaced, tuple(sorted(left)))


def random_ops(graph: Any, name: str | None = None) -> tuple[str, ...]:
    """Return the names of ops that draw anew at each call, in the functions at and above ``name`` (by default anywhere)."""
    nodes = graphs.all_nodes(graph) if name is None else graphs.upstream_nodes(graph, name)
    found = {node.op for node in nodes if is_random(node.op)}
    own = None if name is None else [node for node in graph.node if node.name in graphs.ancestors(graph, name)]
    if any(seed_states(function) for function in graphs.reachable_functions(graph, own).values()):
        found.add("Keras seed generator")
    return tuple(sorted(found))


def draws(graph: Any, node: Any) -> bool:
    """Say whether the functions that a node calls draw anew at each call."""
    functions = graphs.reachable_functions(graph, [node]).values()
    return any(seed_states(function) or any(is_random(item.op) for item in function.node_def) for function in functions)


def reshuffles(graph: Any, name: str | None = None) -> bool:
    """Say whether the graph (or what is at and above ``name``) gives another order at each epoch."""
    nodes = graphs.all_nodes(graph) if name is None else graphs.upstream_nodes(graph, name)
    return any(is_reshuffling(node) for node in nodes)


def is_reshuffling(node: Any) -> bool:
    """Say whether a node shuffles into another order at each epoch."""
    if not node.op.startswith(_SHUFFLES):
        return False
    key = "reshuffle_each_iteration"
    return key not in node.attr or bool(node.attr[key].b)


def limit_shuffles(graph: Any, most: int) -> None:
    """Let no shuffle of the graph hold more than so many elements; one that holds a single element keeps the order."""
    import tensorflow as tf

    nodes = graphs.nodes_by_name(graph)
    for node in [node for node in graph.node if node.op.startswith(_SHUFFLES)]:
        size = graphs.constant_value(nodes.get(graphs.node_name(node.input[_BUFFER_INPUT])))
        if isinstance(size, int) and (size > most or size < 0):  # of an unknown size: it holds everything
            node.input[_BUFFER_INPUT] = graphs.add_constant(graph, most, tf.int64)


def is_random(op: str) -> bool:
    """Say whether an op draws anew at each call."""
    if op in _TWINS or op == _GENERATOR_OP:
        return True
    return (op.startswith(_STATEFUL_RANDOM) and not op.startswith(_NOT_RANDOM)) or op == "SampleDistortedBoundingBox"


def _neutralise_function(function: Any, *, by_element: bool) -> tuple[int, list[str]]:
    seeds = seed_states(function)
    targets = [node for node in function.node_def if _is_target(node, seeds)]
    left = [str(node.op) for node in function.node_def if is_random(node.op) and not _is_target(node, seeds)]
    if not targets:
        return 0, left
    key = _fingerprint(function) if by_element else _one_for_all(function)
    for number, node in enumerate(targets):
        if node.op in _TWINS:
            _replace_by_twin(function, node, _seed_pair(function, key, number))
        elif node.op == _GENERATOR_OP:
            _replace_generator_state(function, node, key, number)
        else:
            _replace_seed_read(function, node, key, number)
    return len(targets), left


def _is_target(node: Any, seeds: set[str]) -> bool:
    if node.op in _TWINS or node.op == _GENERATOR_OP:
        return True
    return node.op == "ReadVariableOp" and node.input[0] in seeds


def _fingerprint(function: Any) -> str:
    """Add nodes that hash the first argument that holds data to an int64 scalar; a constant where there is none."""
    import tensorflow as tf

    for argument in function.signature.input_arg:
        dtype = tf.as_dtype(argument.type) if argument.type else None
        if dtype is None or dtype.name in _UNUSABLE or argument.number_attr or argument.type_list_attr:
            continue
        data = str(argument.name)
        if dtype == tf.bool:
            data, dtype = _cast(function, data, tf.bool, tf.uint8), tf.uint8
        flat = _reshape(function, data, dtype, [1, -1])
        method = graphs.add_function_constant(function, b"farmhash64", tf.string)
        hashed = graphs.add_function_node(function, "Fingerprint", [flat, method])
        hashed.attr["T"].type = dtype.as_datatype_enum
        number = graphs.add_function_node(function, "Bitcast", [f"{hashed.name}:fingerprint:0"])
        number.attr["T"].type = tf.uint8.as_datatype_enum
        number.attr["type"].type = tf.int64.as_datatype_enum
        return _reshape(function, f"{number.name}:output:0", tf.int64, [])
    return _one_for_all(function)


def _one_for_all(function: Any) -> str:
    import tensorflow as tf

    return graphs.add_function_constant(function, 1, tf.int64)


def _seed_pair(function: Any, key: str, number: int) -> str:
    import tensorflow as tf

    return _pack(function, [key, graphs.add_function_constant(function, number, tf.int64)])


def _replace_by_twin(function: Any, node: Any, seed: str) -> None:
    """Turn ``node`` into its stateless twin in place: its name, and with it its readers, stay."""
    import tensorflow as tf

    twin = _TWINS[node.op]
    inputs = [text for text in node.input if not text.startswith("^")]
    controls = [text for text in node.input if text.startswith("^")]
    attributes = {new: node.attr[old] for new, old in twin.attributes if old in node.attr}
    copies = {}
    for new, value in attributes.items():
        copies[new] = type(value)()
        copies[new].CopyFrom(value)
    node.op = twin.op
    node.ClearField("input")
    node.input.extend([seed if item == _SEED else inputs[int(item)] for item in twin.inputs] + controls)
    node.ClearField("attr")
    for new, value in copies.items():
        node.attr[new].CopyFrom(value)
    node.attr["Tseed"].type = tf.int64.as_datatype_enum
    _rename_outputs(function, node.name, twin.op)


def _rename_outputs(function: Any, name: str, op: str) -> None:
    """Point readers of ``name``'s only output at the new op's output name."""
    from tensorflow.python.framework import op_def_registry

    outputs = [argument.name for argument in op_def_registry.get(op).output_arg]
    if len(outputs) != 1:
        return
    for reader in function.node_def:
        for index, text in enumerate(reader.input):
            reader.input[index] = _with_output(text, name, outputs[0])
    for key, text in function.ret.items():
        function.ret[key] = _with_output(text, name, outputs[0])


def _with_output(text: str, name: str, output: str) -> str:
    """Return an input text (``node:output:index``) with the output's name replaced where it reads node ``name``."""
    node, _, rest = text.partition(":")
    return f"{name}:{output}:{rest.rpartition(':')[2]}" if node == name and rest else text


def _replace_generator_state(function: Any, node: Any, key: str, number: int) -> None:
    """Replace the state that a ``tf.random.Generator`` hands out ([counter, counter, key]) by the element's own."""
    import tensorflow as tf

    zero = graphs.add_function_constant(function, 0, tf.int64)
    own = _pack(function, [graphs.add_function_constant(function, number, tf.int64), zero, key])
    _redirect(function, f"{node.name}:value:0", own)


def _replace_seed_read(function: Any, node: Any, key: str, number: int) -> None:
    """Replace the state that a Keras seed generator hands out (two integers) by the element's own."""
    import tensorflow as tf

    dtype = tf.as_dtype(node.attr["dtype"].type)
    own = _seed_pair(function, key, number)
    if dtype != tf.int64:
        own = _cast(function, own, tf.int64, dtype)
    _redirect(function, f"{node.name}:value:0", own)


def _redirect(function: Any, old: str, new: str) -> None:
    for reader in function.node_def:
        for index, text in enumerate(reader.input):
            if text == old:
                reader.input[index] = new
    for key, text in function.ret.items():
        if text == old:
            function.ret[key] = new


def _pack(function: Any, scalars: list[str]) -> str:
    import tensorflow as tf

    node = graphs.add_function_node(function, "Pack", scalars)
    node.attr["T"].type = tf.int64.as_datatype_enum
    node.attr["N"].i = len(scalars)
    node.attr["axis"].i = 0
    return f"{node.name}:output:0"


def _reshape(function: Any, data: str, dtype: Any, shape: list[int]) -> str:
    import tensorflow as tf

    target = graphs.add_function_constant(function, shape, tf.int32)
    node = graphs.add_function_node(function, "Reshape", [data, target])
    node.attr["T"].type = dtype.as_datatype_enum
    node.attr["Tshape"].type = tf.int32.as_datatype_enum
    return f"{node.name}:output:0"


def _cast(function: Any, data: str, source: Any, target: Any) -> str:
    node = graphs.add_function_node(function, "Cast", [data])
    node.attr["SrcT"].type = source.as_datatype_enum
    node.attr["DstT"].type = target.as_datatype_enum
    node.attr["Truncate"].b = False
    return f"{node.name}:y:0"
