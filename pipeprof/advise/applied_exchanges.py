"""Two stages of a program's own that change places, made where the second of them is made.

The first stays as it is for whoever else reads it; only what is derived from the second has the new order. Functions and
captured tensors are the program's, and nothing is traced again. Whether it may be done is ``applying``'s to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any  # TensorFlow's datasets carry no types

from pipeprof.advise.applied_maps import MAPS, map_variant, refuse_fresh
from pipeprof.errors import TrialError

_COUNTED = frozenset({"_SkipDataset", "_TakeDataset"})
_CHANGED = ("_pipeprof_cache", "_pipeprof_buckets")


def exchange_with_map(dataset: Any, _params: Mapping[str, Any]) -> None:
    """Put a skip, take, shard or shuffle before the map that it reads."""
    first = map_before(dataset)
    moved = on_input(dataset, first._input_dataset)
    dataset._variant_tensor_attr = map_variant(first, moved, first._map_func.function, dataset._flat_structure)


def exchange_with_cache(dataset: Any, _params: Mapping[str, Any]) -> None:
    """Put a take before the cache that it keeps from filling; the cache lives as long as the stage."""
    from tensorflow.python.data.ops import cache_op
    from tensorflow.python.framework import tensor_util

    first = dataset._input_dataset
    if type(first).__name__ != "CacheDataset" or type(dataset).__name__ != "_TakeDataset":
        raise TrialError("it is no take directly behind a cache")
    if tensor_util.constant_value(first._filename):
        raise TrialError("the cache is in a file, which others may read")
    refuse_fresh(first._input_dataset)
    cached = cache_op.CacheDataset(first._input_dataset.take(dataset._count), "")
    dataset._variant_tensor_attr = cached._variant_tensor
    dataset._pipeprof_cache = cached


def map_before(dataset: Any) -> Any:
    """Return the map that a stage reads directly, where it gives one element for each and no change stands between them.

    Raises:
        TrialError: there is none.
    """
    first = dataset._input_dataset
    if type(first).__name__ not in MAPS or not first._preserve_cardinality:
        raise TrialError("it does not stand directly behind a map that gives one element for each")
    refuse_changed(first)
    return first


def refuse_changed(first: Any) -> None:
    """Refuse the first of two stages where more than the stage was made in its place."""
    if any(hasattr(first, name) for name in _CHANGED):
        raise TrialError("another change stands between the two stages")


def on_input(dataset: Any, source: Any) -> Any:
    """Return the variant of a stage that leaves elements as they are, on another input."""
    from tensorflow.python.ops import gen_dataset_ops

    name = type(dataset).__name__
    if name in _COUNTED:
        return type(dataset)(source, dataset._count)._variant_tensor
    if name == "_ShardDataset":
        return source.shard(dataset._num_shards, dataset._index)._variant_tensor
    if name == "_ShuffleDataset":  # of the program's own seeds: to ask for new ones would move all that it draws later
        return gen_dataset_ops.shuffle_dataset_v3(
            source._variant_tensor, dataset._buffer_size, dataset._seed, dataset._seed2,
            gen_dataset_ops.dummy_seed_generator(),
            reshuffle_each_iteration=dataset._reshuffle_each_iteration is not False,
            metadata=dataset._metadata.SerializeToString(),
            **source._flat_structure,
        )  # fmt: skip
    raise TrialError(f"{name} cannot change places with a map")
