"""The changed forms of a program's own datasets: same functions, same captured tensors, same input, another variant.

One function a kind. Each puts the changed stage in the place of the dataset's own, so that all that is derived from it later
has it; nothing is traced again. Whether that may be done is ``applying``'s to say, but for what a cache would keep: only who
puts it there knows what it reads.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any  # TensorFlow's datasets carry no types

from pipeprof.advise import graph as graphs
from pipeprof.advise.changes.bucket import Padded, boundaries_of, bucketed
from pipeprof.advise.changes.pipeline_options import serialized_option
from pipeprof.advise.function_split import Parts, split_function
from pipeprof.capture.datasets import sources_first
from pipeprof.capture.functions import describe_function
from pipeprof.errors import TrialError

READY = "ready_input"
"""No change that is proposed: it measures what the fastest input would give."""
_MAPS = frozenset({"_MapDataset", "_ParallelMapDataset"})


def _parallel(dataset: Any, params: Mapping[str, Any]) -> None:
    """Make the parallel form; its order is kept whatever options follow, unless the program has asked for another."""
    from tensorflow.python.framework import dtypes, ops
    from tensorflow.python.ops import gen_dataset_ops

    calls = ops.convert_to_tensor(int(params["num_parallel_calls"]), dtypes.int64)
    automatic = ops.convert_to_tensor(-1, dtypes.int64)
    function = dataset._map_func.function
    deterministic = getattr(dataset, "_deterministic", "true")
    shared = {"f": function, "num_parallel_calls": calls, "deterministic": deterministic, **dataset._common_args}
    name = type(dataset).__name__
    source, captured = dataset._input_dataset._variant_tensor, function.captured_inputs
    if name in {"_MapDataset", "_ParallelMapDataset"}:
        variant = gen_dataset_ops.parallel_map_dataset_v2(
            source,
            captured,
            use_inter_op_parallelism=dataset._use_inter_op_parallelism,
            preserve_cardinality=dataset._preserve_cardinality,
            **_threadpool(dataset),
            **shared,
        )
    elif name in {"_InterleaveDataset", "_ParallelInterleaveDataset"}:
        variant = gen_dataset_ops.parallel_interleave_dataset_v4(
            source,
            captured,
            cycle_length=dataset._cycle_length,
            block_length=dataset._block_length,
            buffer_output_elements=getattr(dataset, "_buffer_output_elements", automatic),
            prefetch_input_elements=getattr(dataset, "_prefetch_input_elements", automatic),
            **shared,
        )
    else:
        raise TrialError(f"{name} has no parallel form")
    dataset._variant_tensor_attr = variant
    dataset._pipeprof_calls = calls


def _cache(dataset: Any, _params: Mapping[str, Any]) -> None:
    """Put a cache behind the stage; it lives as long as the stage, as it would where the source had it."""
    from tensorflow.python.data.ops import cache_op

    _refuse_fresh(dataset)
    cached = cache_op.CacheDataset(copy.copy(dataset), "")
    dataset._variant_tensor_attr = cached._variant_tensor
    dataset._pipeprof_cache = cached


def _prefetch(dataset: Any, _params: Mapping[str, Any]) -> None:
    """Put a buffer behind the stage, of the size that AUTOTUNE chooses."""
    from tensorflow.python.data.ops import prefetch_op

    ahead = prefetch_op._PrefetchDataset(copy.copy(dataset), buffer_size=-1)
    dataset._variant_tensor_attr = ahead._variant_tensor


def _bucket(dataset: Any, params: Mapping[str, Any]) -> None:
    """Make buckets in the place of a padded batch."""
    from tensorflow.python.framework import tensor_util

    size = tensor_util.constant_value(dataset._batch_size)
    padded = Padded.of(dataset, int(size), drop_remainder=bool(tensor_util.constant_value(dataset._drop_remainder)))
    made = bucketed(dataset._input_dataset, padded, boundaries_of(params))
    dataset._variant_tensor_attr = made._variant_tensor
    dataset._pipeprof_buckets = made  # and with it what its functions hold


def _ready_input(dataset: Any, params: Mapping[str, Any]) -> None:
    """Put the first batch, over and over, in the place of all others; the loop goes round as often as before."""
    ready = copy.copy(dataset).take(1).cache().repeat(int(params["elements"]))
    dataset._variant_tensor_attr = ready._variant_tensor
    dataset._pipeprof_cache = ready


def _put_option(kind: str, dataset: Any, params: Mapping[str, Any]) -> None:
    """Put an option behind the stage, where it leaves the others as they are."""
    from tensorflow.python.ops import gen_dataset_ops

    dataset._variant_tensor_attr = gen_dataset_ops.options_dataset(
        dataset._variant_tensor, serialized_options=serialized_option(kind, params), **dataset._flat_structure
    )


def _split_map(dataset: Any, _params: Mapping[str, Any]) -> None:
    """Put the function's fixed part and a cache before the rest of it; a shuffle that was before moves behind the cache."""
    from tensorflow.python.data.ops import cache_op, dataset_ops
    from tensorflow.python.framework import dtypes, tensor_spec
    from tensorflow.python.ops import gen_dataset_ops

    parts = _cut(dataset._map_func.function)
    types = [dtypes.as_dtype(item) for item in parts.types]
    structure = {"output_types": types, "output_shapes": [None] * len(types)}
    between, shuffled = _shuffle_before(dataset)
    if shuffled is not None and (int(shuffled._seed) or int(shuffled._seed2)):
        raise TrialError("the shuffle before it is seeded, and what else reads it would see another order")
    kept = (dataset if shuffled is None else shuffled)._input_dataset
    _refuse_fresh(kept)
    source = kept._variant_tensor
    for item in between:
        source = _map_variant(item, source, item._map_func.function, item._flat_structure)
    fixed = _map_variant(dataset, source, parts.first, structure)
    spec = tuple(tensor_spec.TensorSpec(None, dtype) for dtype in types)
    cached = cache_op.CacheDataset(dataset_ops._VariantDataset(fixed, spec), "")
    behind = cached._variant_tensor
    if shuffled is not None:
        behind = gen_dataset_ops.shuffle_dataset_v3(
            behind, shuffled._buffer_size, shuffled._seed, shuffled._seed2, gen_dataset_ops.dummy_seed_generator(),
            reshuffle_each_iteration=True, **structure,
        )  # fmt: skip
    dataset._variant_tensor_attr = _map_variant(dataset, behind, parts.second, dataset._flat_structure)
    dataset._pipeprof_cache = cached


def _cut(function: Any) -> Parts:
    """Cut a traced function in two, and let TensorFlow know the parts."""
    from tensorflow.core.framework import graph_pb2
    from tensorflow.python.eager import context

    known = context.context()
    graph = graph_pb2.GraphDef()
    whole = function.function_def
    waiting, seen = [whole], {str(whole.signature.name)}
    while waiting:
        definition = waiting.pop()
        graph.library.function.add().CopyFrom(definition)
        called = {name for node in definition.node_def for name in graphs.function_references(node)} - seen
        found = [name for name in sorted(called) if known.has_function(name)]
        seen |= called
        waiting += [known.get_function_def(name) for name in found]
    arguments = len(whole.signature.input_arg) - len(function.captured_inputs)
    parts = split_function(graph, whole.signature.name, arguments, at_draws=True)
    for item in graph.library.function:
        if item.signature.name in {parts.first, parts.second}:
            known.add_function_def(item)
    return parts


def _shuffle_before(dataset: Any) -> tuple[list[Any], Any | None]:
    """Return the fixed maps that stand between a map and the shuffle before it, source first, and the shuffle."""
    between: list[Any] = []
    below = dataset._input_dataset
    while type(below).__name__ in _MAPS and below._preserve_cardinality:
        function = describe_function(below)
        if function is None or function.random_ops:
            return [], None
        between.insert(0, below)
        below = below._input_dataset
    return (between, below) if _reshuffles(below) else ([], None)


def _reshuffles(dataset: Any) -> bool:
    """Tell whether a dataset is a shuffle with another order in each epoch: None, said or not, is True to TensorFlow."""
    return type(dataset).__name__ == "_ShuffleDataset" and dataset._reshuffle_each_iteration is not False


def _refuse_fresh(kept: Any) -> None:
    """Refuse to keep what a dataset gives anew in each epoch: the run that proved the change may have had other arguments."""
    for dataset in sources_first(kept):
        function = describe_function(dataset)
        draws = type(dataset).__name__ == "_RandomDataset" or (function is not None and function.random_ops)
        if draws or _reshuffles(dataset):
            raise TrialError("what stands before it is drawn anew in every epoch here, and a cache would keep the first")


def _map_variant(dataset: Any, source: Any, function: Any, structure: Mapping[str, Sequence[Any]]) -> Any:
    """Return the variant of a map like ``dataset``, with another input, function and result."""
    from tensorflow.python.ops import gen_dataset_ops

    captured = dataset._map_func.function.captured_inputs
    shared = {
        "f": function,
        "use_inter_op_parallelism": dataset._use_inter_op_parallelism,
        "preserve_cardinality": dataset._preserve_cardinality,
        "metadata": dataset._metadata.SerializeToString(),
        **structure,
    }
    made_parallel = getattr(dataset, "_pipeprof_calls", None)
    if type(dataset).__name__ == "_MapDataset" and made_parallel is None:
        if hasattr(dataset, "_force_synchronous"):  # not before TensorFlow 2.18
            shared["force_synchronous"] = dataset._force_synchronous
        return gen_dataset_ops.map_dataset(source, captured, **shared)
    return gen_dataset_ops.parallel_map_dataset_v2(
        source,
        captured,
        num_parallel_calls=dataset._num_parallel_calls if made_parallel is None else made_parallel,
        deterministic=getattr(dataset, "_deterministic", "true"),
        **_threadpool(dataset),
        **shared,
    )


def _threadpool(dataset: Any) -> dict[str, bool]:
    """Return what a map says of its pool, nothing where this TensorFlow has no such choice (before 2.18)."""
    said = getattr(dataset, "_use_unbounded_threadpool", None)
    return {} if said is None else {"use_unbounded_threadpool": said}


MAKERS: Mapping[str, Callable[[Any, Mapping[str, Any]], None]] = {
    "parallel_calls": _parallel,
    "split_map": _split_map,
    "bucket": _bucket,
    "cache": _cache,
    "prefetch": _prefetch,
    READY: _ready_input,
    "thread_pool": partial(_put_option, "thread_pool"),
    "limit_memory": partial(_put_option, "limit_memory"),
    "enable_autotune": partial(_put_option, "enable_autotune"),
}
"""In the order in which several are made of one stage: first those that make it anew, then those that stand behind it."""
