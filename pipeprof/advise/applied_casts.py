"""A program's own map whose last ops only cast, cut in two; the casts come where the last stage that holds elements is made.

What stands between is made anew on the narrow elements, with the program's own arguments and seeds; the map and these stages
stay as they are for whoever else reads them, and nothing is traced again. Whether it may be done is ``applying``'s to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any  # TensorFlow's datasets carry no types

from pipeprof.advise.applied_batches import BATCHES, batched
from pipeprof.advise.applied_exchanges import on_input, refuse_changed
from pipeprof.advise.applied_functions import cut
from pipeprof.advise.applied_maps import MAPS, first_part, map_variant
from pipeprof.errors import TrialError

_PASSING = frozenset({"_PrefetchDataset", "_RepeatDataset", "_ShardDataset", "_SkipDataset", "_TakeDataset"})
_BETWEEN = _PASSING | {"CacheDataset", "_ShuffleDataset"}


def cast_behind(dataset: Any, _params: Mapping[str, Any]) -> None:
    """Put the casts of the map above behind the stage, and narrow elements through all between."""
    held = [dataset]
    while type(held[-1]._input_dataset).__name__ in _BETWEEN:
        held.append(held[-1]._input_dataset)
    mapped = held[-1]._input_dataset
    if type(mapped).__name__ not in MAPS or not mapped._preserve_cardinality:
        raise TrialError("no map stands above it with only stages between that hand elements on as they are")
    for stage in (mapped, *held[1:]):
        refuse_changed(stage)
    parts = cut(mapped._map_func.function, at_draws=False)
    narrow = first_part(mapped, mapped._input_dataset._variant_tensor, parts)
    kept: list[Any] = []
    for stage in reversed(held):
        narrow = _made_anew(stage, narrow)
        kept.append(narrow)
    dataset._variant_tensor_attr = map_variant(mapped, narrow._variant_tensor, parts.second, dataset._flat_structure)
    dataset._pipeprof_cache = kept  # caches live as long as the stage


def _made_anew(stage: Any, source: Any) -> Any:
    """Return a stage like one of the program's, on narrow elements."""
    from tensorflow.python.data.ops import cache_op, dataset_ops
    from tensorflow.python.framework import tensor_util

    name = type(stage).__name__
    if name in BATCHES:
        return batched(stage, source)
    if name == "CacheDataset":
        if tensor_util.constant_value(stage._filename):
            raise TrialError("a cache between is in a file, which may hold elements that were cast before")
        return cache_op.CacheDataset(source, "")
    if name == "_PrefetchDataset":
        return type(stage)(source, int(stage._buffer_size))
    if name == "_RepeatDataset":
        return type(stage)(source, stage._count)
    return dataset_ops._VariantDataset(on_input(stage, source), source.element_spec)
