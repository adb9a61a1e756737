"""Who consumed a pipeline, and its steps: where the consumer waited and where it worked.

The outermost iterator is not always where the consumer waits: a loop inside a tf.function is itself a stage of its
pipeline (its body runs in a Scan), and under tf.distribute the replicas wait, not the shared pipeline. Taking the root's
time for waiting would call every such loop 100 % input-bound. Nothing here knows what stages cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from pipeprof.interop import node_kinds
from pipeprof.interop.node_kinds import stem
from pipeprof.interop.trace_events import Scan, Span, Track, overlap
from pipeprof.interop.trace_tree import PS
from pipeprof.interop.traced import Consumption, TracedStep

_LOOP_CHAIN = frozenset({node_kinds.PREFETCH, node_kinds.TAKE_WHILE})
_HAND_OVER_CHAIN = frozenset({node_kinds.PREFETCH, node_kinds.GENERATOR})
_SHARED_LINE = "tf_data_multi_device_iterator"


@dataclass(frozen=True, slots=True)
class Consumed:
    """A pipeline as its consumer sees it."""

    root: Track  # gives the pipeline its number and its budgets
    consumption: Consumption
    tops: tuple[Track, ...]  # the outermost stages that are the user's
    waits: tuple[Span, ...]  # by start
    replicas: int = 1


def find_consumers(found: Scan) -> list[Consumed]:
    """Return every pipeline of the window, each with its consumer's waits."""
    roots = found.roots
    receivers = [root for root in roots if _only_hands_over(root)]
    others = [root for root in roots if root not in receivers]
    fed: dict[Track, list[Track]] = {}
    alone = []
    for receiver in receivers:
        source = _source_of(receiver, others)
        if source is None:
            alone.append(receiver)
        else:
            fed.setdefault(source, []).append(receiver)
    consumed = [_hand_over(root, fed[root]) for root in others if root in fed]
    consumed += [_consumed(root) for root in (*others, *alone) if root not in fed]
    return sorted(consumed, key=lambda item: item.waits[:1])


def read_steps(waits: Sequence[Span]) -> tuple[TracedStep, ...]:
    """Return the whole steps: each from one wait's start to the next's. The last wait begins a step that is not seen whole."""
    steps = []
    for (start, end), (following, _) in pairwise(waits):
        wait = min(end, following) - start  # two threads may ask at a time
        steps.append(TracedStep(start_s=start * PS, wait_s=wait * PS, gap_s=(following - start - wait) * PS))
    return tuple(steps)


def _consumed(root: Track) -> Consumed:
    if root.is_reduction:
        body = _loop_body(root)
        if body is not None:
            inputs = tuple(body.children)
            return Consumed(root, Consumption.GRAPH_LOOP, inputs, _sorted(inputs))
    kind = Consumption.REDUCE if root.is_reduction else Consumption.ITERATOR
    return Consumed(root, kind, tuple(root.children), tuple(sorted(root.waits)))


def _sorted(tracks: Sequence[Track]) -> tuple[Span, ...]:
    return tuple(sorted(span for track in tracks for span in track.spans))


def _loop_body(root: Track) -> Track | None:
    """Return the Scan that runs a compiled loop's body, None where the reduction is the user's own.

    AutoGraph turns ``for x in dataset`` into scan, take_while where it can break, and reduce; its scan gives the loop's
    variables and, last, whether to go on. A user's own scan under a reduce that ends on a bool looks the same.
    """
    track = root
    while True:
        below = track.children
        if len(below) != 1:
            return None
        track = below[0]
        node = stem(track.node)
        if node == node_kinds.SCAN:
            return track if str(track.stats.get("types", "")).split()[-1:] == ["bool"] else None
        if node not in _LOOP_CHAIN:
            return None


# --- hand-over ---------------------------------------------------------------------------------------------------


def _only_hands_over(root: Track) -> bool:
    """Whether an iterator only passes on what another makes: tf.distribute's replicas, copy_to_device."""
    nodes: list[str] = []
    track = root
    while True:
        below = track.children
        if len(below) != 1:
            return bool(nodes) and not below and nodes[-1] == node_kinds.GENERATOR
        track = below[0]
        nodes.append(track.node)
        if track.node not in _HAND_OVER_CHAIN:
            return False


def _source_of(receiver: Track, others: Sequence[Track]) -> Track | None:
    """Return the pipeline that feeds a receiver: the one that lived at the same time, a shared one before any other."""
    at_that_time = [root for root in others if overlap(receiver.life, root.life) > 0]
    return max(
        at_that_time,
        default=None,
        key=lambda root: (root.line.startswith(_SHARED_LINE), overlap(receiver.life, root.life)),
    )


def _hand_over(root: Track, receivers: Sequence[Track]) -> Consumed:
    """Join the waits of all replicas: the k-th step of each is the k-th step of all."""
    by_step = zip(*(sorted(receiver.waits) for receiver in receivers), strict=False)
    waits = [_union(sorted(spans)) for spans in by_step]
    tops = tuple(root.children)
    return Consumed(root, Consumption.HAND_OVER, tops, tuple(sorted(waits)), replicas=len(receivers))


def _union(spans: Sequence[Span]) -> Span:
    """Return one span as long as several together, without what they have in common, from the first's start."""
    covered = 0
    upto = spans[0][0]
    for start, end in spans:
        covered += max(0, end - max(start, upto))
        upto = max(upto, end)
    return spans[0][0], spans[0][0] + covered
