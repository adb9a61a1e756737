"""What a stage's function is made of, read from its traced graph.

Reads op names and attributes only; it never calls the function and never changes its graph.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeprof.capture.call_sites import call_on_line, kind_of_file
from pipeprof.capture.data_flow import WITHOUT_COST, DataFlow, follow
from pipeprof.capture.draw_line import first_draw
from pipeprof.capture.draws import single_draws
from pipeprof.capture.elementwise import why_not_elementwise
from pipeprof.interop.node_kinds import PYTHON_OPS
from pipeprof.model.profile import CallSite, FirstDraw, StageFunction

_FUNCTION_ATTRIBUTES = ("_map_func", "_predicate", "_reduce_func", "_scan_func", "_key_func", "_finalize_func")
_LOOKED_UP = 300  # ops of a function whose lines are looked up
_RANDOM_OPS = frozenset(
    {
        "RandomUniform",
        "RandomUniformInt",
        "RandomStandardNormal",
        "TruncatedNormal",
        "RandomShuffle",
        "Multinomial",
        "RandomGamma",
        "RandomGammaGrad",
        "RandomPoisson",
        "RandomPoissonV2",
        "ParameterizedTruncatedNormal",
        "SampleDistortedBoundingBox",
        "SampleDistortedBoundingBoxV2",
        "RandomCrop",
        "RngReadAndSkip",
        "RngSkip",
        "StatefulUniform",
        "StatefulUniformFullInt",
        "StatefulUniformInt",
        "StatefulStandardNormal",
        "StatefulStandardNormalV2",
        "StatefulTruncatedNormal",
        "StatefulRandomBinomial",
        "NonDeterministicInts",
        "RandomDataset",
        "RandomDatasetV2",
    }
)
READS_STATE = frozenset({"ReadVariableOp", "ResourceGather", "ResourceGatherNd"})  # what they give may change
SETTLED_STATE = frozenset({"Assert", "ReadFile", "MatchingFiles"})  # state that changes no result, or only with the files
# Other at the next call, perhaps, where the program changes what they read meanwhile; the last not stateful to TensorFlow.
CHANGING = READS_STATE | {"LookupTableFind", "LookupTableFindV2"}
CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall", "If", "While", "Case"})  # what they call says more
_ASSIGN_OPS = ("AssignVariableOp", "AssignAddVariableOp", "AssignSubVariableOp", "ResourceScatter")
# Stateful by TensorFlow's registry, and yet no reason for it to run a map one call at a time.
_HARMLESS_STATEFUL = frozenset({"Assert", "ReadFile", "PartitionedCall", "StatefulPartitionedCall", "PyFuncStateless"})


def describe_function(dataset: Any, site: CallSite | None = None) -> StageFunction | None:  # Any: a tf.data.Dataset
    """Describe the function of a transformation (all of them together where it has several), None where it has none.

    ``site`` is the transformation's own call, where it is known.
    """
    wrappers = _wrappers(dataset)
    if not wrappers:
        return None
    nodes = [node for wrapper in wrappers for node in _all_nodes(wrapper.function.graph.as_graph_def())]
    types = [node.op for node in nodes]
    drawn = tuple(sorted(set(_random(types))))
    python = tuple(sorted(PYTHON_OPS.intersection(types)))
    flow = _follow(wrappers[0].function.graph, frozenset({*drawn, *python, *READS_STATE})) if len(wrappers) == 1 else None
    return StageFunction(
        name=_readable_name(wrappers[0]),
        op_types=tuple(sorted(set(types))),
        op_count=len(nodes),
        stateful_ops=_stateful(types),
        random_ops=drawn,
        single_draws=_single_draws(wrappers, drawn),
        python_ops=python,
        assigns_variables=any(name.startswith(_ASSIGN_OPS) for name in types),
        has_op_seed=any(_has_seed(node) for node in nodes),
        python_tokens=tuple(sorted({_text(node.attr["token"].s) for node in nodes if node.op in PYTHON_OPS})),
        inner_datasets=tuple(sorted({name for name in types if "Dataset" in name})),
        parse_call=_call_of(wrappers, types, ("ParseExampleV2", "parse_single_example"), site),
        inner_map=_call_of(wrappers, types, ("MapDataset", "map"), site),
        op_lines=_op_lines(wrappers),
        not_elementwise=_why_not_elementwise(wrappers[0].function.graph) if len(wrappers) == 1 else None,
        first_draw=_first_draw(wrappers, types) if drawn else None,
        gives_tuple=type(dataset.element_spec) is tuple,
        **({} if flow is None else asdict(flow)),
    )


def _op_lines(wrappers: Sequence[Any]) -> dict[str, str]:
    """Return the user's line of the first op of each type, where TensorFlow kept the stack that made it (0.15 ms an op)."""
    found: dict[str, str] = {}
    ops = (op for wrapper in wrappers for op in wrapper.function.graph.get_operations())
    for op in itertools.islice(ops, _LOOKED_UP):
        if op.type in found or op.type in WITHOUT_COST:
            continue
        try:
            frames = list(op.traceback or ())
        except Exception:  # noqa: BLE001 - private to TensorFlow: without it there are no lines
            return found
        mine = [frame for frame in frames if kind_of_file(frame.filename) == "user"]
        if mine:
            found[op.type] = f"{Path(mine[-1].filename).name}:{mine[-1].lineno}"
    return found


def _call_of(wrappers: Sequence[Any], types: Sequence[str], made_by: tuple[str, str], site: CallSite | None) -> CallSite | None:
    """Return the user's call of a method by which a function, with all that it calls, makes its only op of a type.

    Args:
        wrappers: TensorFlow's, of the function.
        types: of all its ops, nested functions included.
        made_by: the type of the op, and the method.
        site: the transformation's own call.
    """
    op_type, method = made_by
    if types.count(op_type) != 1:
        return None
    operations = (op for wrapper in wrappers for op in wrapper.function.graph.get_operations())
    try:
        made = next((op for op in operations if op.type == op_type), None)
        frames = (
            [frame for frame in (made.traceback or ()) if kind_of_file(frame.filename) == "user"] if made is not None else []
        )
    except Exception:  # noqa: BLE001 - private to TensorFlow: without it there is no line
        return None
    return call_on_line(frames[-1].filename, frames[-1].lineno, method, site) if frames else None


def _single_draws(wrappers: Sequence[Any], drawn: Sequence[str]) -> tuple[str, ...]:
    try:
        return single_draws(wrappers[0].function.graph, frozenset(drawn)) if len(wrappers) == 1 and drawn else ()
    except Exception:  # noqa: BLE001 - a graph that this cannot read tells nothing, and nothing of the user's fails for it
        return ()


def _first_draw(wrappers: Sequence[Any], types: Sequence[str]) -> FirstDraw | None:
    """Return where a function first draws: what is stateful counts as drawing, but for what only reads files or checks."""
    try:
        return (
            first_draw(wrappers[0], frozenset({*_random(types), *(name for name in set(types) - CALLS if may_change(name))}))
            if len(wrappers) == 1
            else None
        )
    except Exception:  # noqa: BLE001 - private to TensorFlow: without it there is no line
        return None


def may_change(op_type: str) -> bool:
    """Tell whether ops of a type may give something else at the next call, or are called for their effect, by their state."""
    from tensorflow.python.framework import op_def_registry

    definition = op_def_registry.get(op_type)
    is_stateful = definition is None or bool(definition.is_stateful)
    return op_type in CHANGING or (is_stateful and op_type not in SETTLED_STATE)


def _why_not_elementwise(graph: Any) -> str | None:
    try:
        return why_not_elementwise(graph)
    except Exception:  # noqa: BLE001 - a graph that this cannot read is not proven, and nothing of the user's fails for it
        return None


def graph_nodes(dataset: Any) -> Iterator[Any]:  # Any: a tf.data.Dataset
    """Yield the nodes of a transformation's functions, nested ones included; nothing where it has no function."""
    for wrapper in _wrappers(dataset):
        yield from _all_nodes(wrapper.function.graph.as_graph_def())


def _follow(graph: Any, draws: frozenset[str]) -> DataFlow | None:
    try:
        return follow(graph, draws)
    except Exception:  # noqa: BLE001 - a graph that this cannot read proves nothing, and nothing of the user's fails for it
        return None


def captured_bytes(dataset: Any) -> int:  # Any: a tf.data.Dataset
    """Return the size of the in-memory arrays that a stage holds (its own tensors and what its function captured)."""
    own = getattr(dataset, "_tensors", None) or ()
    return sum(_tensor_bytes(tensor) for tensor in (*own, *captured_tensors(dataset)))


def captured_tensors(dataset: Any) -> list[Any]:  # Any: a tf.data.Dataset, tensors
    """Return what the functions of a stage captured of the program: arrays, and handles of variables, tables, generators."""
    return [tensor for wrapper in _wrappers(dataset) for tensor in getattr(wrapper.function, "captured_inputs", ())]


def variables_of(dataset: Any) -> list[Any]:  # Any: a tf.data.Dataset, tf.Variables
    """Return the variables that the functions of a stage use; those that are gone are left out."""
    found: list[Any] = []
    for wrapper in _wrappers(dataset):
        try:
            found.extend(wrapper.function.graph.variables)
        except (AttributeError, AssertionError):  # one of them was dropped by the program
            continue
    return found


def traced_callables(dataset: Any) -> list[Any]:  # Any: a tf.data.Dataset, the user's callables
    """Return the user's own functions that a transformation traced."""
    found = (getattr(wrapper, "_func", None) for wrapper in _wrappers(dataset))
    return [function for function in found if function is not None]


def _wrappers(dataset: Any) -> list[Any]:
    """Return TensorFlow's wrappers of all functions of a transformation; group_by_window has several."""
    found = [getattr(dataset, name, None) for name in _FUNCTION_ATTRIBUTES]
    return [wrapper for wrapper in found if getattr(getattr(wrapper, "function", None), "graph", None) is not None]


def _tensor_bytes(tensor: Any) -> int:
    size = getattr(tensor.dtype, "size", 0) or 0
    count = tensor.shape.num_elements() if getattr(tensor, "shape", None) is not None else None
    if getattr(tensor.dtype, "name", "") in {"resource", "variant"} or count is None:
        return 0
    return int(size * count)


def _all_nodes(graph_def: Any) -> Iterator[Any]:
    yield from graph_def.node
    for function in graph_def.library.function:
        yield from function.node_def


def _stateful(types: Iterable[str]) -> tuple[str, ...]:
    from tensorflow.python.framework import op_def_registry

    found = set()
    for name in set(types) - _HARMLESS_STATEFUL:
        definition = op_def_registry.get(name)
        if definition is not None and definition.is_stateful and "Dataset" not in name:
            found.add(name)
    return tuple(sorted(found))


def _random(types: Sequence[str]) -> Iterator[str]:
    """Yield the ops that give other values at the next call; stateless ones do when a variable feeds their seed."""
    advances_seed = any(name.startswith(_ASSIGN_OPS) for name in types)
    for name in types:
        if name in _RANDOM_OPS or (advances_seed and name.startswith("StatelessRandom")):
            yield name


def _has_seed(node: Any) -> bool:
    return node.op in _RANDOM_OPS and any(node.attr[key].i for key in ("seed", "seed2") if key in node.attr)


def _readable_name(wrapper: Any) -> str:
    function = getattr(wrapper, "_func", None)
    return str(getattr(function, "__qualname__", "") or getattr(wrapper, "_function_name", "") or "function")


def _text(value: bytes | str) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
