"""Maps like a program's own, on another input or on one thread, and what no changed form of a stage may keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any  # TensorFlow's datasets carry no types

from pipeprof.advise.changes.synchronous import TOO_OLD, can_be_forced
from pipeprof.advise.function_split import Parts
from pipeprof.capture.datasets import sources_first
from pipeprof.capture.functions import describe_function
from pipeprof.errors import TrialError

MAPS = frozenset({"_MapDataset", "_ParallelMapDataset"})


def map_variant(dataset: Any, source: Any, function: Any, structure: Mapping[str, Sequence[Any]]) -> Any:
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
        **threadpool(dataset),
        **shared,
    )


def first_part(dataset: Any, source: Any, parts: Parts) -> Any:
    """Return a dataset of what the first part of a map's function makes; the shapes are not known."""
    from tensorflow.python.data.ops import dataset_ops
    from tensorflow.python.framework import dtypes, tensor_spec

    types = [dtypes.as_dtype(item) for item in parts.types]
    made = map_variant(dataset, source, parts.first, {"output_types": types, "output_shapes": [None] * len(types)})
    return dataset_ops._VariantDataset(made, tuple(tensor_spec.TensorSpec(None, dtype) for dtype in types))


def synchronous(dataset: Any, _params: Mapping[str, Any]) -> None:
    """Make the map anew as one that TensorFlow does not make parallel."""
    from tensorflow.python.ops import gen_dataset_ops

    if type(dataset).__name__ not in MAPS:
        raise TrialError("it is no map")
    if not can_be_forced():
        raise TrialError(TOO_OLD)
    function = dataset._map_func.function
    dataset._variant_tensor_attr = gen_dataset_ops.map_dataset(
        dataset._input_dataset._variant_tensor,
        function.captured_inputs,
        f=function,
        use_inter_op_parallelism=dataset._use_inter_op_parallelism,
        preserve_cardinality=dataset._preserve_cardinality,
        force_synchronous=True,
        **dataset._common_args,
    )


def threadpool(dataset: Any) -> dict[str, bool]:
    """Return what a map says of its pool, nothing where this TensorFlow has no such choice (before 2.18)."""
    said = getattr(dataset, "_use_unbounded_threadpool", None)
    return {} if said is None else {"use_unbounded_threadpool": said}


def reshuffles(dataset: Any) -> bool:
    """Tell whether a dataset is a shuffle with another order in each epoch: None, said or not, is True to TensorFlow."""
    return type(dataset).__name__ == "_ShuffleDataset" and dataset._reshuffle_each_iteration is not False


def refuse_fresh(kept: Any) -> None:
    """Refuse to keep what a dataset gives anew in each epoch: the run that proved the change may have had other arguments."""
    for dataset in sources_first(kept):
        function = describe_function(dataset)
        draws = type(dataset).__name__ == "_RandomDataset" or (function is not None and function.random_ops)
        if draws or reshuffles(dataset):
            raise TrialError("what stands before it is drawn anew in every epoch here, and a cache would keep the first")
