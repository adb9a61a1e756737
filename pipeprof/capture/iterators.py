"""Live iterators: held weakly, read from another thread, read a last time when they go.

A handle that survives until the interpreter is torn down can hang the process when a pipeline calls Python, so every
handle is dropped in ``clear``. Reading happens in eager mode, so that no op gets into a graph that the user's thread is
building.
"""

from __future__ import annotations

import atexit
import itertools
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pipeprof.capture.interrupts import is_of_handler
from pipeprof.capture.model_tree import Snapshot, TreeReader
from pipeprof.capture.pipelines import PipelineEntry
from pipeprof.capture.runtime import IteratorCounters

_YOUNG_S = 10.0
_BEHIND_DEVICES = "none: the pipeline runs behind an iterator over several devices, which hides its stages"


@dataclass(slots=True)
class _Watched:
    """One iterator under observation."""

    number: int
    pipeline: PipelineEntry
    reference: weakref.ref[Any]
    handle: Any
    made_s: float
    at_birth: tuple[Any, float] | None = None  # the model as it was made, not yet worked off
    reader: TreeReader = field(default_factory=TreeReader)
    counters: IteratorCounters = field(default_factory=IteratorCounters)
    delivered: int = 0
    unreadable: bool = False
    identities: tuple[int, ...] = ()  # of the iterator and its parts
    is_blind: bool = False  # its counters are of the hand-over to the devices alone


@dataclass(frozen=True, slots=True)
class Reading:
    """One snapshot of one iterator."""

    number: int
    pipeline: PipelineEntry
    counters: IteratorCounters
    snapshot: Snapshot
    at_s: float
    is_last: bool
    is_blind: bool  # only the consumer's side of the snapshot is of the pipeline


class IteratorBook:
    """All iterators that are alive, by number."""

    def __init__(
        self, problem: Callable[[str], None], gone: Callable[[int, float], None], hold: Callable[[BaseException], None]
    ) -> None:
        """Start empty.

        Args:
            problem: is told why counters cannot be read.
            gone: is told when an iterator was dropped.
            hold: gets what a signal handler of the program raised meanwhile.
        """
        self._problem = problem
        self._gone = gone
        self._hold = hold
        self._numbers = itertools.count(1)
        self._watched: dict[int, _Watched] = {}
        self._by_identity: dict[int, int] = {}  # of live iterators only: an identity may be given again; parts: negative
        self._last_words: deque[tuple[_Watched, Any, float]] = deque()
        self._clock: Callable[[], float] = lambda: 0.0
        atexit.register(self.clear)

    @property
    def is_starting(self) -> bool:
        """Whether a pipeline is about to deliver its very first element."""
        now = self._clock()
        first = (item for item in list(self._watched.values()) if not item.pipeline.recorder.elements)
        return any(not item.delivered and not item.unreadable and now - item.made_s < _YOUNG_S for item in first)

    def add(self, iterator: Any, pipeline: PipelineEntry, clock: Callable[[], float], parts: tuple[Any, ...] = ()) -> int:
        """Watch an iterator and return its number.

        Its model is read at once: a short pipeline is drained into its last buffer before the next sample, and its nodes are
        gone by then. An iterator over several devices has ``parts``, one for each: the first one's gaps are the consumer's.
        """
        number = next(self._numbers)
        self._clock = clock
        reference = weakref.ref(iterator, lambda _gone: self._died(number))
        handle = (parts[0] if parts else iterator)._iterator_resource
        identities = (id(iterator), *map(id, parts))
        item = _Watched(number, pipeline, reference, handle, clock(), identities=identities, is_blind=bool(parts))
        if parts:
            pipeline.is_behind_devices = True
            pipeline.counters_note = _BEHIND_DEVICES
        proto = self._read(item)
        item.at_birth = None if proto is None else (proto, item.made_s)
        self._watched[number] = item
        self._by_identity.update(dict.fromkeys(identities[:2], number))
        self._by_identity.update(dict.fromkeys(identities[2:], -number))
        return number

    def number(self, iterator: Any) -> int | None:
        """Return an iterator's number, None where it is not watched; of the further devices of one iterator the negative."""
        return self._by_identity.get(id(iterator))

    def readings(self) -> Iterator[Reading]:
        """Read every live iterator, after the last words of those that went."""
        while self._last_words:
            item, proto, at_s = self._last_words.popleft()
            yield from self._birth(item)
            snapshot = item.reader.read(proto) if proto is not None else Snapshot((), (), None, None)
            yield _reading(item, snapshot, at_s, is_last=True)
        for item in list(self._watched.values()):
            yield from self._birth(item)
            proto = None if item.unreadable else self._read(item)
            if proto is None:
                continue
            at_s = self._clock()
            snapshot = item.reader.read(proto)
            item.delivered = snapshot.root_elements
            yield _reading(item, snapshot, at_s, is_last=False)

    def _birth(self, item: _Watched) -> Iterator[Reading]:
        """Yield the reading that was taken as the iterator was made, once, and before all others of it."""
        if item.at_birth is not None:
            (proto, at_s), item.at_birth = item.at_birth, None
            yield _reading(item, item.reader.read(proto), at_s, is_last=False)

    def clear(self) -> None:
        """Drop every handle."""
        self._watched.clear()
        self._by_identity.clear()
        self._last_words.clear()

    def _died(self, number: int) -> None:
        """Take the last snapshot, on whichever thread dropped the iterator; nobody would see what is raised here."""
        try:
            self._take_last_words(number)
        except BaseException as error:  # noqa: BLE001 - held, or told
            if is_of_handler(error):
                self._hold(error)
            else:
                self._problem(f"the end of an iterator could not be observed: {type(error).__name__}: {error}")

    def _take_last_words(self, number: int) -> None:
        item = self._watched.pop(number, None)
        if item is None:
            return
        for identity in item.identities:
            self._by_identity.pop(identity, None)
        at_s = self._clock()
        proto = None if item.unreadable else self._read(item)
        item.handle = None
        self._last_words.append((item, proto, self._clock()))
        self._gone(number, at_s)

    def _read(self, item: _Watched) -> Any:
        from tensorflow.core.framework import model_pb2
        from tensorflow.python.eager import context
        from tensorflow.python.framework import errors
        from tensorflow.python.ops import gen_experimental_dataset_ops

        handle = item.handle
        if handle is None:
            return None
        try:
            with context.eager_mode():
                text = gen_experimental_dataset_ops.iterator_get_model_proto(handle).numpy()
            return model_pb2.ModelProto.FromString(text)
        except errors.NotFoundError:
            item.unreadable = item.pipeline.has_no_counters = True
            item.pipeline.counters_note = "none: AUTOTUNE is switched off, and TensorFlow then keeps no model"
        except (errors.OpError, RuntimeError, ValueError) as error:
            item.unreadable = item.pipeline.has_no_counters = True
            item.pipeline.counters_note = f"none: {type(error).__name__}"
            self._problem(f"TensorFlow's counters could not be read: {type(error).__name__}: {str(error)[:120]}")
        return None


def _reading(item: _Watched, snapshot: Snapshot, at_s: float, *, is_last: bool) -> Reading:
    return Reading(item.number, item.pipeline, item.counters, snapshot, at_s, is_last, item.is_blind)


def first_worker(iterator: Any) -> Any:
    """Return what an iterator of ``tf.distribute`` wraps: its first worker's iterator over devices."""
    workers = getattr(iterator, "_iterators", None)
    return workers[0]._iterator if workers else iterator
