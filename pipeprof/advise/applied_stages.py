"""The changed forms of a program's own datasets: same functions, same captured tensors, same input, another variant.

One function a kind. Each puts the changed stage in the place of the dataset's own, so that all that is derived from it later
has it; nothing is traced again. Whether that may be done is ``applying``'s to say, but for what a cache would keep: only who
puts it there knows what it reads.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any  # TensorFlow's datasets carry no types

from pipeprof.advise.applied_batches import batch_before_map, batch_before_parser
from pipeprof.advise.applied_casts import cast_behind
from pipeprof.advise.applied_exchanges import exchange_with_cache, exchange_with_map, on_input
from pipeprof.advise.applied_filters import filter_before_map
from pipeprof.advise.applied_functions import cut
from pipeprof.advise.applied_maps import MAPS, first_part, map_variant, refuse_fresh, reshuffles, synchronous, threadpool
from pipeprof.advise.applied_order import ORDER, refuse_kept_order
from pipeprof.advise.applied_readers import function_of, interleave, parallel_inside
from pipeprof.advise.changes.bucket import Padded, boundaries_of, bucketed
from pipeprof.advise.changes.pipeline_options import serialized_option
from pipeprof.capture.functions import describe_function
from pipeprof.errors import TrialError

READY = "ready_input"
"""No change that is proposed: it measures what the fastest input would give."""


def _parallel(dataset: Any, params: Mapping[str, Any]) -> None:
    """Make the parallel form; its order is kept whatever options follow, unless the program or the plan asks for another."""
    from tensorflow.python.framework import dtypes, ops
    from tensorflow.python.ops import gen_dataset_ops

    calls = ops.convert_to_tensor(int(params["num_parallel_calls"]), dtypes.int64)
    automatic = ops.convert_to_tensor(-1, dtypes.int64)
    function = dataset._map_func.function
    deterministic = getattr(dataset, "_deterministic", params.get(ORDER, "true"))
    shared = {"f": function_of(dataset), "num_parallel_calls": calls, "deterministic": deterministic, **dataset._common_args}
    name = type(dataset).__name__
    source, captured = dataset._input_dataset._variant_tensor, function.captured_inputs
    if name in MAPS:
        variant = gen_dataset_ops.parallel_map_dataset_v2(
            source,
            captured,
            use_inter_op_parallelism=dataset._use_inter_op_parallelism,
            preserve_cardinality=dataset._preserve_cardinality,
            **threadpool(dataset),
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
    dataset._pipeprof_order = deterministic


def _cache(dataset: Any, _params: Mapping[str, Any]) -> None:
    """Put a cache behind the stage; it lives as long as the stage, as it would where the source had it."""
    from tensorflow.python.data.ops import cache_op

    refuse_fresh(dataset)
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


def _nondeterministic(dataset: Any, params: Mapping[str, Any]) -> None:
    """Let the parallel stages hand on elements as they are ready; options that the program sets later still win."""
    refuse_kept_order(dataset)
    _put_option("nondeterministic", dataset, params)


def _split_map(dataset: Any, _params: Mapping[str, Any]) -> None:
    """Put the function's fixed part and a cache before the rest of it; a shuffle that was before moves behind the cache."""
    from tensorflow.python.data.ops import cache_op

    parts = cut(dataset._map_func.function, at_draws=True)
    between, shuffled = _shuffle_before(dataset)
    if shuffled is not None and (int(shuffled._seed) or int(shuffled._seed2)):
        raise TrialError("the shuffle before it is seeded, and what else reads it would see another order")
    kept = (dataset if shuffled is None else shuffled)._input_dataset
    refuse_fresh(kept)
    source = kept._variant_tensor
    for item in between:
        source = map_variant(item, source, item._map_func.function, item._flat_structure)
    cached = cache_op.CacheDataset(first_part(dataset, source, parts), "")
    behind = cached._variant_tensor if shuffled is None else on_input(shuffled, cached)
    dataset._variant_tensor_attr = map_variant(dataset, behind, parts.second, dataset._flat_structure)
    dataset._pipeprof_cache = cached


def _shuffle_before(dataset: Any) -> tuple[list[Any], Any | None]:
    """Return the fixed maps that stand between a map and the shuffle before it, source first, and the shuffle."""
    between: list[Any] = []
    below = dataset._input_dataset
    while type(below).__name__ in MAPS and below._preserve_cardinality:
        function = describe_function(below)
        if function is None or function.random_ops:
            return [], None
        between.insert(0, below)
        below = below._input_dataset
    return (between, below) if reshuffles(below) else ([], None)


MAKERS: Mapping[str, Callable[[Any, Mapping[str, Any]], None]] = {
    "parallel_inside": parallel_inside,
    "parallel_calls": _parallel,
    "synchronous": synchronous,
    "interleave": interleave,
    "split_map": _split_map,
    "skip_earlier": exchange_with_map,
    "shuffle_earlier": exchange_with_map,
    "filter_earlier": filter_before_map,
    "move_cache": exchange_with_cache,
    "vectorize": batch_before_map,
    "parse_batch": batch_before_parser,
    "cast_later": cast_behind,
    "bucket": _bucket,
    "cache": _cache,
    "prefetch": _prefetch,
    READY: _ready_input,
    "thread_pool": partial(_put_option, "thread_pool"),
    "limit_memory": partial(_put_option, "limit_memory"),
    "enable_autotune": partial(_put_option, "enable_autotune"),
    "nondeterministic": _nondeterministic,
}
"""In the order in which several are made of one stage: first those that make it anew, then those that stand behind it."""
