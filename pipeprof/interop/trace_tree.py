"""From iterators to stages: the tree of one pipeline, with every iterator at its position.

A repeat or an interleave makes new iterators all the time; what they have in common is their position below the root, and
so their numbers are added up there. It must not look at more than one root.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pipeprof.interop import node_kinds
from pipeprof.interop.node_kinds import is_asynchronous, stem
from pipeprof.interop.trace_events import Scan, Track
from pipeprof.interop.trace_work import Executions, Work
from pipeprof.interop.traced import TracedBuffer, TracedOp, TracedStage
from pipeprof.interop.xplane import Stat

PS = 1e-12  # seconds


@dataclass(frozen=True, slots=True)
class Trace:
    """Everything that both passes found."""

    found: Scan
    executions: Executions


def build_stages(roots: Sequence[Track], trace: Trace, *, is_autotuned: bool) -> tuple[TracedStage, ...]:
    """Return the stages below iterators that share one position, theirs first.

    Args:
        roots: the iterators of the outermost stage.
        trace: everything that was found.
        is_autotuned: whether TensorFlow counts what buffers hold; it does so only then.
    """
    stages: list[TracedStage] = []
    stack: list[tuple[str, Sequence[Track]]] = [("0", roots)]
    while stack:
        stage_id, tracks = stack.pop()
        groups = _inputs(tracks)
        below = _numbered(stage_id, groups)
        stage = _stage(stage_id, tracks, trace, is_autotuned=is_autotuned)
        stages.append(replace(stage, inputs=tuple(child_id for child_id, _ in below)))
        stack.extend(reversed(below))
    return tuple(stages)


def tracks_below(roots: Sequence[Track]) -> list[Track]:
    """Return all iterators below some, those first."""
    found: list[Track] = []
    stack = list(reversed(roots))
    while stack:
        track = stack.pop()
        found.append(track)
        stack.extend(reversed(track.children))
    return found


def _inputs(tracks: Sequence[Track]) -> dict[tuple[int, str], list[Track]]:
    """Group the inputs of one position by their own position: the slot and the kind of node."""
    groups: dict[tuple[int, str], list[Track]] = {}
    for track in tracks:
        for child in track.children:
            groups.setdefault((_slot(track, child), child.node), []).append(child)
    return dict(sorted(groups.items()))


def _slot(parent: Track, child: Track) -> int:
    before = child.path[-2]
    if before.node != parent.node:  # a cache leaves one of its two nodes out of the path
        return 0
    index, node = before.index, stem(parent.node)
    if node in node_kinds.FAN_OUT:
        return 0 if index is None else 1
    if node in node_kinds.ONE_SLOT or index is None:
        return 0
    return index + 1 if node in node_kinds.SELECTORS else index


def _numbered(stage_id: str, groups: Mapping[tuple[int, str], list[Track]]) -> list[tuple[str, Sequence[Track]]]:
    """Give each input its id; a second kind of node in one slot gets a letter."""
    seen: dict[int, int] = {}
    found: list[tuple[str, Sequence[Track]]] = []
    for (slot, _node), tracks in groups.items():
        nth = seen[slot] = seen.get(slot, -1) + 1
        found.append((f"{stage_id}.{slot}" + (f"~{nth}" if nth else ""), tracks))
    return found


# --- one stage ---------------------------------------------------------------------------------------------------


def _stage(stage_id: str, tracks: Sequence[Track], trace: Trace, *, is_autotuned: bool) -> TracedStage:
    node, stats = tracks[0].node, tracks[-1].stats
    works = [trace.executions.by_owner[track] for track in tracks if track in trace.executions.by_owner]
    is_async = is_asynchronous(node)
    inclusive = sum(end - start for track in tracks for start, end in track.spans)
    batch = stats.get("batch_size")
    return TracedStage(
        id=stage_id,
        node=node,
        name=str(stats.get("name", "")),
        elements=sum(len(track.spans) for track in tracks),
        busy_s=_busy_ps(node, tracks, works, inclusive) * PS,
        blocked_s=inclusive * PS if is_async else 0.0,
        slot_wait_s=sum(work.slot_wait_ps for work in works) * PS,
        function_calls=sum(work.calls for work in works),
        is_asynchronous=is_async,
        ops=_ops(works),
        passed=_grown([track.passed for track in tracks]),
        filtered=_grown([track.filtered for track in tracks]),
        parallelism=_parallelism(node, stats),
        is_tuned=is_autotuned and stats.get("autotune") == "true" and isinstance(stats.get("parallelism"), int),
        buffer_size=_buffer_size(node, stats),
        buffer=_buffer(node, tracks, trace, is_autotuned=is_autotuned),
        batch_size=batch if isinstance(batch, int) else None,
        incarnations=len(tracks),
    )


def _busy_ps(node: str, tracks: Sequence[Track], works: Sequence[Work], inclusive: int) -> int:
    """Return the work of a stage: what its consumer waits in an asynchronous one is none."""
    name = stem(node)
    if name == node_kinds.PREFETCH:
        return 0
    if name in node_kinds.FUNCTION_POOLS:
        return sum(work.busy_ps for work in works)
    if name in node_kinds.READERS_AHEAD:
        return sum(track.produce_ps for track in tracks)
    own = inclusive - sum(track.nested_ps for track in tracks)
    return max(0, own - sum(work.slot_wait_ps for work in works))


def _ops(works: Sequence[Work]) -> tuple[TracedOp, ...]:
    totals: dict[str, list[int]] = {}
    for work in works:
        for op, (calls, busy) in work.ops.items():
            known = totals.setdefault(op, [0, 0])
            known[0] += calls
            known[1] += busy
    made = [TracedOp(op=op, calls=calls, busy_s=busy * PS) for op, (calls, busy) in totals.items()]
    return tuple(sorted(made, key=lambda item: -item.busy_s))


def _grown(counters: Sequence[Sequence[int]]) -> int | None:
    """Return by how much counters grew that run since their iterator was made; the first event of each is not in it."""
    seen = [values for values in counters if values]
    return sum(max(values) - min(values) for values in seen) if seen else None


def _parallelism(node: str, stats: Mapping[str, Stat]) -> float | None:
    """Return the calls at once; TensorFlow may say "unavailable". The oldest interleave reads its whole cycle at once."""
    name = "cycle_length" if stem(node) == "LegacyParallelInterleave" else "parallelism"
    value = stats.get(name)
    return float(value) if isinstance(value, int) and value > 0 else None


def _buffer_size(node: str, stats: Mapping[str, Stat]) -> float | None:
    for name in ("buffer_limit", "buffer_size", "max_batch_results"):
        value = stats.get(name)
        if isinstance(value, int) and value > 0 and stem(node) in node_kinds.BUFFERED:
            return float(value)
    return None


# --- buffers -----------------------------------------------------------------------------------------------------


def _buffer(node: str, tracks: Sequence[Track], trace: Trace, *, is_autotuned: bool) -> TracedBuffer | None:
    """Say what a buffer held: as TensorFlow counted it, or from the times at which elements went in and out.

    An empty buffer is not named in an event. With AUTOTUNE off no buffer is, and every one would look empty: then the lag
    between the making of an element and its taking tells (Little's law: elements = rate times time in the buffer).
    """
    if stem(node) not in node_kinds.BUFFERED:
        return None
    if not is_autotuned:
        return _buffer_by_lag(tracks, trace)
    counts = [count for track in tracks for count in track.buffered]
    size = max((track.buffered_bytes_max for track in tracks), default=0.0)
    return TracedBuffer(
        mean=sum(counts) / len(counts),
        most=float(max(counts)),
        empty_share=sum(count == 0 for count in counts) / len(counts),
        bytes_max=size or None,
    )


def _buffer_by_lag(tracks: Sequence[Track], trace: Trace) -> TracedBuffer | None:
    moves: list[tuple[int, int]] = []  # made, taken
    empty = looked = 0
    for track in tracks:
        asked = {end: start for start, end in track.spans}
        ends = sorted(asked)
        for element, taken in track.consumed:
            made = _made(track, element, trace)
            if made is None:
                continue
            looked += 1
            moves.append((min(made, taken), taken))
            end = next((moment for moment in _after(ends, taken)), None)
            empty += end is not None and made > asked[end]
    if not moves:
        return None
    length = max(taken for _, taken in moves) - min(taken for _, taken in moves)
    lag = sum(taken - made for made, taken in moves) / len(moves)
    return TracedBuffer(
        mean=lag * (len(moves) - 1) / length if length else 0.0,
        most=float(_most_at_once(moves)),
        empty_share=empty / looked,
        by_lag=True,
    )


def _made(track: Track, element: int, trace: Trace) -> int | None:
    """Return when an element was ready: its background thread was through, and every function that it started too."""
    production = track.produced.get(element)
    if production is None:
        return None
    ends = [trace.executions.end_of(call) for call in production.functions]
    return max([production.end_ps, *(end for end in ends if end is not None)])


def _after(ends: Sequence[int], moment: int) -> Sequence[int]:
    from bisect import bisect_left

    return ends[bisect_left(ends, moment) :][:1]


def _most_at_once(moves: Sequence[tuple[int, int]]) -> int:
    changes = sorted([(taken, -1) for _, taken in moves] + [(made, 1) for made, _ in moves])
    held = most = 0
    for _moment, change in changes:
        held += change
        most = max(most, held)
    return most
