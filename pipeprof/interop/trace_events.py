"""First pass over a trace: what each event is, and what happened inside each of TensorFlow's iterators.

An iterator is known across all threads by the number that its events carry, its parent's and its path: TensorFlow gives
a number again once an iterator is gone. Nesting on one thread tells self time from inputs, and whose function a call
runs. Collects only: what it means for a kind of stage is decided by the readers.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from pipeprof.interop.trace_generations import MAKING_NAME, find_generations
from pipeprof.interop.xplane import Detail, Event, Line, Space, Stat


class Kind(IntEnum):
    """What an event is."""

    ITERATOR = 1  # one call of a stage
    GET_NEXT = 2  # the op through which a program asks for an element
    PRODUCE = 3  # a background thread of a stage makes an element
    CONSUME = 4  # a stage hands over an element that was made in the background
    CALL = 5  # a stage calls its function and waits for it
    CALL_ASYNC = 6  # a stage starts its function
    PROCESS = 7  # a thread of the pool executes a function
    SUSPEND = 8  # a function gave its thread back while an op of it goes on elsewhere
    MAKE = 9  # an iterator is made
    OP = 10  # one op
    DONE = 11  # a thread of the pool hands a function's results over: MapAndBatch copies them into the batch there


_FIXED = {
    "IteratorGetNextOp::DoCompute": Kind.GET_NEXT,
    "IteratorGetNextAsOptionalOp::DoCompute": Kind.GET_NEXT,
    "IteratorGetNextSyncOp::DoCompute": Kind.GET_NEXT,
    "InstantiatedCapturedFunction::Run": Kind.CALL,
    "InstantiatedCapturedFunction::RunWithBorrowedArgs": Kind.CALL,
    "InstantiatedCapturedFunction::RunInstantiated": Kind.CALL,
    "InstantiatedCapturedFunction::RunAsync": Kind.CALL_ASYNC,
    "ExecutorState::Process": Kind.PROCESS,
    "ExecutorDoneCallback": Kind.DONE,
    "ExecutorState::ProcessAsync::Start": Kind.SUSPEND,
    MAKING_NAME: Kind.MAKE,
}
_ITERATOR = re.compile(r"(?:Reduce)?Iterator::Root(?:::|$)")
_OP = re.compile(r"[^: ]+:[A-Z_]\w*")
_PART = re.compile(r"(?P<node>.*?)(?:\[(?P<index>\d+)\])?$")
_ROOT_PARTS = 2  # "Iterator::Root"

Span = tuple[int, int]  # start and end, picoseconds


@dataclass(frozen=True, slots=True)
class Part:
    """One stage of a path; the index says which of its inputs, or which inner pipeline, the path goes on in."""

    node: str
    index: int | None = None


@dataclass(slots=True, eq=False)
class Track:
    """Everything seen of one iterator."""

    id: int
    parent_id: int | None
    path: tuple[Part, ...]
    line: str
    is_reduction: bool = False
    parent: Track | None = None
    children: list[Track] = field(default_factory=list)
    stats: Mapping[str, Stat] = field(default_factory=dict)  # of its last event
    spans: list[Span] = field(default_factory=list)  # its calls, by start once all threads were read
    waits: list[Span] = field(default_factory=list)  # of a root: the op around each call, or the call itself
    nested_ps: int = 0  # spent in inputs, on its own thread
    produce_ps: int = 0  # on its background threads, without inputs
    produced: dict[int, Production] = field(default_factory=dict)  # by element
    consumed: list[tuple[int, int]] = field(default_factory=list)  # (element, moment)
    buffered: list[int] = field(default_factory=list)
    buffered_bytes_max: float = 0.0
    passed: list[int] = field(default_factory=list)
    filtered: list[int] = field(default_factory=list)
    element_bytes: list[int] = field(default_factory=list)

    @property
    def node(self) -> str:
        """Its kind of stage."""
        return self.path[-1].node

    @property
    def is_root(self) -> bool:
        """Whether a program, or a replica, asks it for elements."""
        return len(self.path) == 1

    @property
    def life(self) -> Span:
        """From its first call to its last."""
        return self.spans[0][0], self.spans[-1][1]


@dataclass(slots=True)
class Production:
    """One element that a background thread made, or began to make."""

    end_ps: int = 0
    functions: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Call:
    """One call of a stage's function."""

    start_ps: int
    end_ps: int
    is_awaited: bool
    owner: Track | None = None


@dataclass(slots=True)
class Scan:
    """What the first pass found."""

    tracks: list[Track] = field(default_factory=list)
    calls: dict[int, Call] = field(default_factory=dict)  # by the function call's number
    makings: list[Span] = field(default_factory=list)  # of whole pipelines

    @property
    def roots(self) -> list[Track]:
        """The outermost iterators."""
        return [track for track in self.tracks if track.is_root]


def detail_of(name: str) -> Detail:
    """Say how much of an event is needed here; what no reader of stages uses is skipped."""
    kind = kind_of(name)
    if kind is None:
        return Detail.SKIP
    return Detail.TIMES if kind in {Kind.OP, Kind.MAKE} else Detail.STATS


def kind_of(name: str) -> Kind | None:
    """Return what an event is by its name, None for what is of no use here."""
    fixed = _FIXED.get(name)
    if fixed is not None:
        return fixed
    if _ITERATOR.match(name):
        return Kind.ITERATOR
    if "::" not in name and name.endswith("Produce"):
        return Kind.PRODUCE
    if "::" not in name and name.endswith("Consume"):
        return Kind.CONSUME
    return Kind.OP if _OP.fullmatch(name) else None


def read_path(name: str) -> tuple[Part, ...]:
    """Split ``Iterator::Root::Zip[1]::Map`` into its parts, the root first."""
    return tuple(_read_part(text) for text in name.split("::")[_ROOT_PARTS - 1 :])


def _read_part(text: str) -> Part:
    found = _PART.fullmatch(text)
    if found is None or found["index"] is None:
        return Part(text)
    return Part(found["node"], int(found["index"]))


def scan(space: Space) -> Scan:
    """Go over all threads once, and tie the iterators together."""
    found = Scan()
    reader = _Reader(found, find_generations(space))
    for line in space.lines:
        reader.read(line)
    for track in found.tracks:
        track.spans.sort()
    _find_parents(found.tracks)
    reader.give_to_parents()
    return found


def overlap(first: Span, second: Span) -> int:
    """Return for how long two spans overlap, below zero how far they lie apart."""
    return min(first[1], second[1]) - max(first[0], second[0])


def _find_parents(tracks: Sequence[Track]) -> None:
    """Tie each iterator to the one that its events name; where a number was given twice, to the one of its time and path."""
    by_id: dict[int, list[Track]] = {}
    for track in tracks:
        by_id.setdefault(track.id, []).append(track)
    for track in tracks:
        candidates = by_id.get(track.parent_id, []) if track.parent_id is not None else []
        if candidates:
            parent = max(candidates, key=lambda other: (other.node == track.path[-2].node, overlap(other.life, track.life)))
            track.parent = parent
            parent.children.append(track)


@dataclass(slots=True)
class _Frame:
    """An event that encloses those that follow."""

    event: Event
    kind: Kind
    track: Track | None  # an iterator: itself; a background making: an input of the stage that it is done for
    nested_ps: int = 0
    functions: list[int] = field(default_factory=list)


class _Reader:
    """Reads threads one after the other, the events of each in order."""

    def __init__(self, found: Scan, generations: Sequence[int]) -> None:
        self._found = found
        self._generations = generations
        self._kinds: dict[str, Kind | None] = {}
        self._tracks: dict[tuple[object, ...], Track] = {}
        self._makings: list[tuple[_Frame, int]] = []  # with their length, whose stage is known when all threads are read
        self._stack: list[_Frame] = []
        self._line = ""

    def read(self, line: Line) -> None:
        """Read one thread."""
        self._line = line.name
        for event, kind in self._relevant(line):
            while self._stack and self._stack[-1].event.end_ps <= event.start_ps:
                self._close()
            self._open(event, kind)
        while self._stack:
            self._close()

    def give_to_parents(self) -> None:
        """Give what background threads made to the stages that they made it for."""
        for frame, length in self._makings:
            owner = frame.track.parent if frame.track is not None else None
            if owner is None:
                continue
            owner.produce_ps += length - frame.nested_ps
            for call in frame.functions:
                if call in self._found.calls and self._found.calls[call].owner is None:
                    self._found.calls[call].owner = owner
            element = frame.event.stats.get("element_id")
            if isinstance(element, int):
                production = owner.produced.setdefault(element, Production())
                production.end_ps = max(production.end_ps, frame.event.end_ps)
                production.functions.extend(frame.functions)

    def _relevant(self, line: Line) -> Iterator[tuple[Event, Kind]]:
        kinds = self._kinds
        for event in line.events:
            if event.name not in kinds:
                kinds[event.name] = kind_of(event.name)
            kind = kinds[event.name]
            if kind is not None and kind < Kind.PROCESS:
                yield event, kind
            elif kind is Kind.MAKE:
                self._found.makings.append((event.start_ps, event.end_ps))

    def _open(self, event: Event, kind: Kind) -> None:
        if kind is Kind.ITERATOR:
            self._open_iterator(event)
        elif kind is Kind.CONSUME:
            frame, element = self._nearest(), event.stats.get("element_id")
            if frame is not None and frame.kind is Kind.ITERATOR and frame.track is not None and isinstance(element, int):
                frame.track.consumed.append((element, event.start_ps))
        elif kind in {Kind.CALL, Kind.CALL_ASYNC}:
            self._call(event, is_awaited=kind is Kind.CALL)
        else:
            self._stack.append(_Frame(event, kind, None))

    def _open_iterator(self, event: Event) -> None:
        track = self._track_of(event)
        if track is None:
            return
        _note_stats(track, event)
        track.spans.append((event.start_ps, event.end_ps))
        above = self._stack[-1] if self._stack else None
        if above is not None and above.kind is Kind.PRODUCE and above.track is None:
            above.track = track
        if track.is_root:
            asked = above is not None and above.kind is Kind.GET_NEXT
            op = above.event if above is not None and asked else event
            track.waits.append((op.start_ps, op.end_ps))
            size = op.stats.get("element_size")
            if isinstance(size, int) and asked:
                track.element_bytes.append(size)
        self._stack.append(_Frame(event, Kind.ITERATOR, track))

    def _track_of(self, event: Event) -> Track | None:
        number, parent = event.stats.get("id"), event.stats.get("parent_id")
        if not isinstance(number, int):
            return None
        generation = bisect_right(self._generations, event.start_ps) if self._generations else 0
        key = (generation, number, parent, event.name)
        track = self._tracks.get(key)
        if track is None:
            track = Track(number, parent if isinstance(parent, int) else None, read_path(event.name), self._line)
            track.is_reduction = event.name.startswith("ReduceIterator")
            self._tracks[key] = track
            self._found.tracks.append(track)
        return track

    def _call(self, event: Event, *, is_awaited: bool) -> None:
        frame, number = self._nearest(), event.stats.get("id")
        if frame is None or not isinstance(number, int):
            return
        call = self._found.calls.setdefault(number, Call(event.start_ps, event.end_ps, is_awaited))
        if frame.kind is Kind.ITERATOR:
            call.owner = frame.track
        making = next((item for item in reversed(self._stack) if item.kind is Kind.PRODUCE), None)
        if making is not None:
            making.functions.append(number)

    def _nearest(self) -> _Frame | None:
        """Return what the thread works for: the innermost iterator, or the background making."""
        return next((frame for frame in reversed(self._stack) if frame.kind in {Kind.ITERATOR, Kind.PRODUCE}), None)

    def _close(self) -> None:
        frame = self._stack.pop()
        length = frame.event.end_ps - frame.event.start_ps
        is_iterator = frame.kind is Kind.ITERATOR
        if is_iterator and frame.track is not None:
            frame.track.nested_ps += frame.nested_ps
        elif frame.kind is Kind.PRODUCE:
            self._makings.append((frame, length))
        if self._stack:
            self._stack[-1].nested_ps += length if is_iterator else frame.nested_ps


def _note_stats(track: Track, event: Event) -> None:
    stats = event.stats
    track.stats = stats
    buffered = stats.get("buffered_elements", 0)
    track.buffered.append(buffered if isinstance(buffered, int) else 0)
    size = stats.get("buffered_bytes_MB")
    if isinstance(size, int | float):
        track.buffered_bytes_max = max(track.buffered_bytes_max, float(size) * 2**20)
    for name, values in (("passed", track.passed), ("filtered", track.filtered)):
        count = stats.get(name)
        if isinstance(count, int):
            values.append(count)
