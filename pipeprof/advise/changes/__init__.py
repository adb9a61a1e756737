"""The kinds of change that can be tried, by name; one file each."""

from __future__ import annotations

from collections.abc import Mapping

from pipeprof.advise.changes.base import ChangeKind
from pipeprof.advise.changes.bucket import Bucket
from pipeprof.advise.changes.cache import Cache
from pipeprof.advise.changes.cast_later import CastLater
from pipeprof.advise.changes.enable_autotune import EnableAutotune
from pipeprof.advise.changes.filter_earlier import FilterEarlier
from pipeprof.advise.changes.fuse_decode_crop import FuseDecodeCrop
from pipeprof.advise.changes.interleave import Interleave
from pipeprof.advise.changes.limit_memory import LimitMemory
from pipeprof.advise.changes.move_cache import MoveCache
from pipeprof.advise.changes.nondeterministic import Nondeterministic
from pipeprof.advise.changes.parallel_calls import ParallelCalls
from pipeprof.advise.changes.parallel_inside import ParallelInside
from pipeprof.advise.changes.parse_batch import ParseBatch
from pipeprof.advise.changes.prefetch import Prefetch
from pipeprof.advise.changes.repeat_once import RepeatOnce
from pipeprof.advise.changes.shrink_prefetch import ShrinkPrefetch
from pipeprof.advise.changes.shuffle_earlier import ShuffleEarlier
from pipeprof.advise.changes.skip_earlier import SkipEarlier
from pipeprof.advise.changes.split_map import SplitMap
from pipeprof.advise.changes.synchronous import Synchronous
from pipeprof.advise.changes.thread_pool import ThreadPool
from pipeprof.advise.changes.vectorize import Vectorize
from pipeprof.errors import TrialError

__all__ = ["KINDS", "ChangeKind", "find_change"]

_ALL: tuple[ChangeKind, ...] = (
    ParallelCalls(),
    ParallelInside(),
    ThreadPool(),
    Prefetch(),
    Cache(),
    MoveCache(),
    SplitMap(),
    FuseDecodeCrop(),
    CastLater(),
    Vectorize(),
    ParseBatch(),
    FilterEarlier(),
    SkipEarlier(),
    ShuffleEarlier(),
    Interleave(),
    Nondeterministic(),
    Bucket(),
    RepeatOnce(),
    EnableAutotune(),
    LimitMemory(),
    ShrinkPrefetch(),
    Synchronous(),
)
KINDS: Mapping[str, ChangeKind] = {change.kind: change for change in _ALL}


def find_change(name: str) -> ChangeKind:
    """Return the kind of this name.

    Raises:
        TrialError: such a change cannot be tried.
    """
    try:
        return KINDS[name]
    except KeyError:
        raise TrialError(f"changes of kind {name} cannot be tried by replay") from None
