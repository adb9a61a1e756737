"""Stages that read inner pipelines (``flat_map``, ``interleave``, readers of files), made anew in their places.

Same function, same captured tensors, same input; or the same function with the one map inside it made parallel, by an edit of
its graph. Nothing is traced again. Whether it may be done is ``applying``'s to say, but for what only the stage itself shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any  # TensorFlow's datasets carry no types

from pipeprof.advise import graph as graphs
from pipeprof.advise.applied_functions import library_of, make_known
from pipeprof.advise.applied_refusals import refuse_live_state
from pipeprof.advise.changes.base import AUTOTUNE, integer
from pipeprof.advise.changes.interleave import CYCLE
from pipeprof.advise.changes.parallel_calls import make_map_parallel, wanted_calls
from pipeprof.advise.changes.parallel_inside import only_map
from pipeprof.capture.datasets import sources_first
from pipeprof.errors import TrialError

_FLAT, _IN_TURN, _PARALLEL = "_FlatMapDataset", "_InterleaveDataset", "_ParallelInterleaveDataset"


def interleave(dataset: Any, params: Mapping[str, Any]) -> None:
    """Read several inner pipelines side by side, with the arguments that the trial had."""
    from tensorflow.python.framework import dtypes, ops
    from tensorflow.python.ops import gen_dataset_ops

    cycle = AUTOTUNE if params.get(CYCLE) is None else integer(params, CYCLE)
    if cycle < 1 and cycle != AUTOTUNE:
        raise TrialError(f"{CYCLE} must be positive")
    reader = getattr(dataset, "_impl", dataset)  # a reader of files is a flat_map of its own, over the files' names
    if type(reader).__name__ != _FLAT:
        raise TrialError(f"{type(reader).__name__} does not read one file after the other")
    refuse_live_state(list(sources_first(reader)))  # not all readers tell what they read their names from
    number = {value: ops.convert_to_tensor(value, dtypes.int64) for value in (cycle, 1, AUTOTUNE)}
    dataset._variant_tensor_attr = gen_dataset_ops.parallel_interleave_dataset_v4(
        reader._input_dataset._variant_tensor,
        reader._map_func.function.captured_inputs,
        cycle_length=number[cycle],
        block_length=number[1],
        buffer_output_elements=number[AUTOTUNE],
        prefetch_input_elements=number[AUTOTUNE],
        num_parallel_calls=number[AUTOTUNE],
        f=function_of(reader),
        deterministic="default",
        **reader._common_args,
    )
    dataset._pipeprof_order = "default"


def parallel_inside(dataset: Any, params: Mapping[str, Any]) -> None:
    """Make the one map inside the function parallel; its order is kept whatever options follow."""
    import tensorflow as tf

    calls = wanted_calls(params)
    if type(dataset).__name__ not in {_FLAT, _IN_TURN, _PARALLEL}:
        raise TrialError(f"{type(dataset).__name__} makes no inner pipelines")
    whole = dataset._map_func.function
    graph = library_of(whole)
    name = str(whole.function_def.signature.name)
    function = next(item for item in graph.library.function if item.signature.name == name)
    inner = only_map(function)
    make_map_parallel(inner, graphs.add_function_constant(function, calls, tf.int64))
    inner.attr["deterministic"].s = b"true"
    edited = graphs.rename_edited(graph, [name])[name]
    make_known(graph, [edited])
    dataset._variant_tensor_attr = _reader_variant(dataset, edited)
    dataset._pipeprof_function = edited
    dataset._pipeprof_order = "true"


def function_of(dataset: Any) -> Any:
    """Return the function of a stage: what a change made of it, else its own."""
    return getattr(dataset, "_pipeprof_function", None) or dataset._map_func.function


def _reader_variant(dataset: Any, function: str) -> Any:
    """Return the variant of a stage that makes inner pipelines, with another function."""
    from tensorflow.python.ops import gen_dataset_ops

    source, captured = dataset._input_dataset._variant_tensor, dataset._map_func.function.captured_inputs
    shared = {"f": function, **dataset._common_args}
    if type(dataset).__name__ == _FLAT:
        return gen_dataset_ops.flat_map_dataset(source, captured, **shared)
    turns = {"cycle_length": dataset._cycle_length, "block_length": dataset._block_length}
    if type(dataset).__name__ == _IN_TURN:
        return gen_dataset_ops.interleave_dataset(source, captured, **turns, **shared)
    return gen_dataset_ops.parallel_interleave_dataset_v4(
        source,
        captured,
        **turns,
        buffer_output_elements=dataset._buffer_output_elements,
        prefetch_input_elements=dataset._prefetch_input_elements,
        num_parallel_calls=dataset._num_parallel_calls,
        deterministic="true",  # TensorFlow does not keep in Python what was asked for: in order is always allowed
        **shared,
    )
