"""A program's own map that is called for whole batches, made where the batch behind it is made.

Its traced function is taken over without the shapes of its arguments, and the user's Python is not called again: where every op
is proven to treat the elements of a batch one by one, the same ops give the batch of its results. The map itself stays as it is
for whoever else reads it. Whether the stages are those of the run that proved the change is ``applying``'s to say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any  # TensorFlow's datasets and graphs carry no types

from pipeprof.advise import graph as graphs
from pipeprof.advise.applied_exchanges import map_before
from pipeprof.advise.applied_functions import library_of, make_known
from pipeprof.advise.applied_maps import map_variant
from pipeprof.advise.changes.vectorize import refuse_function
from pipeprof.advise.replayable import first_line
from pipeprof.capture.elementwise import called_graph
from pipeprof.capture.functions import describe_function
from pipeprof.errors import TrialError

BATCHES = frozenset({"_BatchDataset", "_ParallelBatchDataset"})
_KEPT_ORDERS: Mapping[str, bool | None] = {"default": None, "true": True, "false": False}
_HANDLES = frozenset({"resource", "variant"})
_SHAPES = ("_output_shapes", "_input_shapes")


def batch_before_map(dataset: Any, _params: Mapping[str, Any]) -> None:
    """Put a batch before the map that it reads, which takes batches as it is."""
    _swap(dataset, parses=False)


def batch_before_parser(dataset: Any, _params: Mapping[str, Any]) -> None:
    """Put a batch before the map that it reads, which parses records: the op that parses one takes many as well."""
    _swap(dataset, parses=True)


def _swap(dataset: Any, *, parses: bool) -> None:
    if type(dataset).__name__ not in BATCHES:
        raise TrialError("it is no batch")
    mapped = map_before(dataset)
    _refuse_handles(mapped)
    _refuse_unproven(mapped, parses=parses)
    batches = batched(dataset, mapped._input_dataset)
    function = _without_shapes(mapped._map_func.function, batches, dataset)
    dataset._variant_tensor_attr = map_variant(mapped, batches._variant_tensor, function, dataset._flat_structure)


def _refuse_handles(mapped: Any) -> None:
    """Refuse elements that are not plain tensors: what TensorFlow hands over in their place has no shape of theirs."""
    import tensorflow as tf

    for spec in tf.nest.flatten((mapped._input_dataset.element_spec, mapped.element_spec)):
        is_plain = isinstance(spec, tf.TensorSpec) and spec.dtype.name not in _HANDLES
        if not is_plain and type(spec).__name__ != "NoneTensorSpec":
            raise TrialError("the map reads or gives what is no plain tensor")


def _refuse_unproven(mapped: Any, *, parses: bool) -> None:
    graph = mapped._map_func.function.graph
    described = describe_function(mapped)
    if described is None:
        raise TrialError("the map's function cannot be read")
    refuse_function(set(described.op_types), graph, parses=parses)
    if described.stateful_ops:
        raise TrialError(f"{described.stateful_ops[0]} would be called for each batch, and no longer for each element")
    for operation in _operations(graph):
        for tensor in operation.outputs:
            if tensor.dtype.name not in _HANDLES and not tensor.shape.is_fully_defined():
                raise TrialError(f"the shape at {operation.type} is not known: it may differ between the elements of a batch")


def _operations(graph: Any) -> Iterator[Any]:
    """Yield the ops of a function and of those that it calls."""
    for operation in graph.get_operations():
        yield operation
        inner = called_graph(operation) if "Call" in operation.type else None
        if inner is not None:
            yield from _operations(inner)


def batched(dataset: Any, source: Any) -> Any:
    """Return a batch like ``dataset`` of other elements."""
    shared = (source, dataset._batch_size, dataset._drop_remainder)
    if type(dataset).__name__ == "_BatchDataset":
        return type(dataset)(*shared)
    return type(dataset)(*shared, dataset._num_parallel_calls, _KEPT_ORDERS[dataset._deterministic])


def _without_shapes(function: Any, batches: Any, wanted: Any) -> str:
    """Let TensorFlow know a function of the same ops that takes batches, and return its name."""
    library = library_of(function)
    for item in library.library.function:
        _forget_shapes(item)
    names = graphs.rename_edited(library, [item.signature.name for item in library.library.function])
    name = names[function.function_def.signature.name]
    make_known(library, names.values())
    whole = next(item for item in library.library.function if item.signature.name == name)
    _refuse_other_shapes(whole, function, batches, wanted)
    return name


def _forget_shapes(function: Any) -> None:
    """Drop what a traced function knows of the shapes of single elements."""
    holders = [function.attr, *(item.attr for item in function.arg_attr.values()), *(item.attr for item in function.node_def)]
    for attributes in holders:
        for key in _SHAPES:
            if key in attributes:
                del attributes[key]


def _refuse_other_shapes(whole: Any, function: Any, batches: Any, wanted: Any) -> None:
    """Refuse a function that does not give, of batches, what the program's batch gives."""
    from tensorflow.python.framework import function_def_to_graph, tensor_shape

    captured = [tensor.shape if tensor.dtype.name not in _HANDLES else None for tensor in function.captured_inputs]
    try:
        graph = function_def_to_graph.function_def_to_graph(whole, input_shapes=[*batches._flat_shapes, *captured])
    except (ValueError, TypeError) as error:
        raise TrialError(f"the function does not take a batch: {first_line(error)}") from error
    for tensor, shape in zip(graph.outputs, wanted._flat_shapes, strict=True):
        if not tensor.shape.is_compatible_with(tensor_shape.as_shape(shape)):
            raise TrialError(f"the function gives {tensor.shape} for a batch instead of {shape}")
