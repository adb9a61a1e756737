"""Alignment: which node that TensorFlow ran is which stage that the user wrote.

TensorFlow fuses (map + batch, shuffle + repeat), injects (a prefetch at the end), parallelises, and removes stages that do
nothing. Both trees are walked from the consumer's side, and of all ways to explain one by the other the cheapest is taken:
a match is free, each rewrite has its price, and what no rewrite explains is dear and reported as unexplained, never guessed.
A stage that was removed and a stage whose node was never caught by a sample are told apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pipeprof.model.profile import ExecutedStage, PipelineRecord, WrittenStage

# Stage as written -> nodes (without version) that it can become. A node may be of several written stages (fusion).
_READERS = ("FlatMap", "LegacyParallelInterleave", "ParallelInterleave")
_NODES: Mapping[str, tuple[str, ...]] = {
    "map": ("Map", "ParallelMap", "MapAndBatch"),
    "batch": ("Batch", "ParallelBatch", "MapAndBatch"),
    "ragged_batch": ("MapAndBatch", "ParallelMap", "Map"),  # TensorFlow writes it as a map to ragged tensors and a batch
    "padded_batch": ("PaddedBatch",),
    "shuffle": ("Shuffle", "ShuffleAndRepeat"),
    "repeat": ("FiniteRepeat", "ForeverRepeat", "EmptyRepeat", "ShuffleAndRepeat"),
    "cache": ("MemoryCache", "FileCache"),
    "interleave": ("Interleave", "ParallelInterleave", "LegacyParallelInterleave"),
    "parallel_interleave": ("ParallelInterleave", "LegacyParallelInterleave"),
    "from_generator": ("FlatMap",),
    "TFRecordDataset": (*_READERS, "TFRecord"),
    "TextLineDataset": (*_READERS, "TextLine"),
    "FixedLengthRecordDataset": (*_READERS, "FixedLengthRecord"),
    "take": ("FiniteTake", "ForeverTake", "EmptyTake"),
    "skip": ("FiniteSkip", "ForeverSkip", "EmptySkip"),
    "from_tensor_slices": ("TensorSlice",),
    "from_tensors": ("FromTensor", "Tensor"),
    "sample_from_datasets": ("DirectedInterleave",),
    "CsvDataset": ("CSV",),
    "filter": ("Filter", "ParallelFilter"),
    "copy_to_device": ("Generator",),
    "window": ("Window", "WindowOp"),
}
WRAPPERS = frozenset({"with_options", "restructure", "variant", "auto_shard"})  # wrappers, and what is rewritten away
_FUSED: Mapping[str, tuple[str, ...]] = {  # node -> what is fused into it below the stage that is written above
    "MapAndBatch": ("map", "ragged_batch"),
    "ShuffleAndRepeat": ("shuffle",),
}
_FUSED_WITH_ITS_LIKE = frozenset({"map", "filter"})  # only where the user's options ask for it
# One stage, several nodes on top of each other: what is above the lower one is above the stage.
_LOWER_HALVES = frozenset({"MemoryCacheImpl", "FileCacheImpl", "SnapshotWriter"})
_REPLAYS = frozenset({"SnapshotReader"})  # stands in for everything above the stage
_DOES_NOTHING: Mapping[str, tuple[str, int]] = {"repeat": ("count", 1), "skip": ("count", 0), "take": ("count", -1)}
_IDENTITY_OPS = frozenset({"Placeholder", "Identity", "NoOp", "_Arg", "_Retval"})

_NOT_SEEN = 1.0  # prices
_INJECTED_PREFETCH = 1.0
_REMOVED = 1.0
_REMOVED_SOMEHOW = 6.0
_UNUSUAL_FUSION = 3.0
_INJECTED = 6.0
_UNEXPLAINED = 100.0


@dataclass(slots=True)
class Alignment:
    """Written stages and the nodes that explain them."""

    nodes: dict[str, list[ExecutedStage]] = field(default_factory=dict)  # written id -> nodes, outermost first
    fused: dict[str, tuple[str, ...]] = field(default_factory=dict)  # written id -> the other stages of its node
    injected: list[ExecutedStage] = field(default_factory=list)  # nodes that no written stage explains, known rewrites
    unexplained: list[ExecutedStage] = field(default_factory=list)
    removed: set[str] = field(default_factory=set)  # stages that TensorFlow left out
    not_seen: set[str] = field(default_factory=set)  # stages whose nodes no sample caught


def align(record: PipelineRecord) -> Alignment:
    """Align one pipeline."""
    search = _Search(record)
    executed = {stage.id: stage for stage in record.executed}
    alignment = Alignment()
    for written_id, node_id in search.best.pairs:
        nodes = alignment.nodes.setdefault(written_id, [])
        if executed[node_id] not in nodes:
            nodes.append(executed[node_id])
    for group in search.best.fused:
        for written_id in group:
            alignment.fused[written_id] = tuple(other for other in group if other != written_id)
    alignment.injected = [executed[node_id] for node_id in dict.fromkeys(search.best.injected)]
    explained = {node.id for nodes in alignment.nodes.values() for node in nodes}
    explained |= {record.executed[0].id, *search.best.injected} if record.executed else set()
    alignment.unexplained = [stage for stage in record.executed if stage.id not in explained]
    missing = {stage.id for stage in record.written} - alignment.nodes.keys()
    alignment.removed = missing & set(search.best.removed)
    alignment.not_seen = missing - alignment.removed - {stage.id for stage in record.written if stage.op in WRAPPERS}
    return alignment


def stem(node: str) -> str:
    """Return a node's name without its version: ``ParallelMapV2`` -> ``ParallelMap``."""
    head, separator, tail = node.rpartition("V")
    return head if separator and tail.isdigit() else node


def slot_of(node: ExecutedStage, child: ExecutedStage, index: int) -> int:
    """Return which input of a node a child is: the capture writes it into the child's id; ``index`` where it did not."""
    own = child.id.removeprefix(f"{node.id}.").partition("~")[0]
    return int(own) if child.id.startswith(f"{node.id}.") and own.isdigit() else index


@dataclass(frozen=True, slots=True)
class _Match:
    """One way to explain a part of the executed tree, and its price."""

    price: float = 0.0
    pairs: tuple[tuple[str, str], ...] = ()  # (written id, node id)
    fused: tuple[tuple[str, ...], ...] = ()
    injected: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    def __add__(self, other: _Match) -> _Match:
        return _Match(
            self.price + other.price,
            self.pairs + other.pairs,
            self.fused + other.fused,
            self.injected + other.injected,
            self.removed + other.removed,
        )


class _OpenQuestionError(Exception):
    """Another pair of a stage and a node has to be looked at first."""

    def __init__(self, key: tuple[str, str]) -> None:
        super().__init__(key)
        self.key = key


class _Search:
    """Finds the cheapest explanation; each pair of a stage and a node is looked at once."""

    def __init__(self, record: PipelineRecord) -> None:
        self._written = {stage.id: stage for stage in record.written}
        self._executed = {stage.id: stage for stage in record.executed}
        self._known: dict[tuple[str, str], _Match] = {}
        self.best = _Match()
        for node in self._children(record.executed[0]) if record.executed else ():
            self.best += self._solve(record.output, node)

    def _children(self, node: ExecutedStage) -> list[ExecutedStage]:
        return [self._executed[child] for child in node.inputs]

    def _solve(self, written_id: str, node: ExecutedStage) -> _Match:
        """Explain two whole trees; with a stack of its own, since hundreds of data sets may be concatenated."""
        stack = [(written_id, node.id)]
        while stack:
            key = stack[-1]
            if key in self._known:
                stack.pop()
                continue
            stage, current = self._written[key[0]], self._executed[key[1]]
            try:
                ways = [*self._taken(stage, current), *self._left_out(stage, current), *self._added(stage, current)]
            except _OpenQuestionError as question:
                stack.append(question.key)
                continue
            ways.append(_Match(_UNEXPLAINED * self._size(current)))
            self._known[key] = min(ways, key=lambda way: way.price)
        return self._known[written_id, node.id]

    def _explain(self, written_id: str, node: ExecutedStage | None) -> _Match:
        """Return how a node and everything above it is explained by a stage and everything above that."""
        if node is None:
            return _Match(_NOT_SEEN * self._count(written_id))
        key = (written_id, node.id)
        if key not in self._known:
            raise _OpenQuestionError(key)
        return self._known[key]

    # --- the ways ---------------------------------------------------------------------------------------------------

    def _taken(self, stage: WrittenStage, node: ExecutedStage) -> Iterator[_Match]:
        """The node is the stage, alone or fused with others above it."""
        if stage.op == "variant" and not stage.inputs:  # an opaque data set that Python knows nothing of
            yield _Match(_REMOVED, tuple((stage.id, inner.id) for inner in self._subtree(node)))
            return
        if not _fits(stage, node):
            return
        wanted = _FUSED.get(stem(node.node), ())
        if not wanted or stage.op in wanted:
            yield self._paired(node, (stage,))
        for partner, way in self._above(stage):
            if partner.op in wanted and stage.op not in wanted:
                yield way + self._paired(node, (stage, partner))
            elif partner.op == stage.op and stage.op in _FUSED_WITH_ITS_LIKE:
                yield way + _Match(_UNUSUAL_FUSION) + self._paired(node, (stage, partner))
        if wanted:
            yield _Match(_UNUSUAL_FUSION) + self._paired(node, (stage,))

    def _left_out(self, stage: WrittenStage, node: ExecutedStage) -> Iterator[_Match]:
        """The stage has no node."""
        price = _removal_price(stage)
        if price is not None:
            yield _Match(price, removed=(stage.id,)) + self._explain(stage.inputs[0], node)

    def _added(self, stage: WrittenStage, node: ExecutedStage) -> Iterator[_Match]:
        """TensorFlow put the node in."""
        is_prefetch = node.node == "Prefetch"
        children = self._children(node)
        if is_prefetch and not children:
            yield _Match(_INJECTED_PREFETCH + _NOT_SEEN * self._count(stage.id), injected=(node.id,))
        if len(children) == 1:
            above = self._explain(stage.id, children[0])
            if is_prefetch or above.price < _UNEXPLAINED:
                yield _Match(_INJECTED_PREFETCH if is_prefetch else _INJECTED, injected=(node.id,)) + above

    # --- parts ------------------------------------------------------------------------------------------------------

    def _paired(self, node: ExecutedStage, stages: Sequence[WrittenStage]) -> _Match:
        """Pair the stages of one node, and match the uppermost one's inputs with the node's."""
        match = _Match(pairs=tuple((stage.id, node.id) for stage in stages))
        if len(stages) > 1:
            match += _Match(fused=(tuple(stage.id for stage in stages),))
        top = stages[-1]
        slots: dict[int, list[ExecutedStage]] = {}
        for slot, child in self._inputs(node):
            if child.node in _REPLAYS:
                match += _Match(pairs=tuple((top.id, inner.id) for inner in self._subtree(child)))
            elif child.node in _LOWER_HALVES:
                match += _Match(pairs=((top.id, child.id),))
                for inner_slot, inner in self._inputs(child):
                    slots.setdefault(inner_slot, []).append(inner)
            else:
                slots.setdefault(slot, []).append(child)
        for slot, written_id in enumerate(top.inputs):
            for above in slots.pop(slot, ()) or (None,):
                way = self._explain(written_id, above)
                if above is not None and way.price >= _UNEXPLAINED and _has_inner(top):
                    slots.setdefault(len(top.inputs), []).append(above)  # an inner pipeline in the place of an input that went
                else:
                    match += way
        inner_nodes = [inner for group in slots.values() for child in group for inner in self._subtree(child)]
        return match + _Match(pairs=tuple((top.id, inner.id) for inner in inner_nodes))

    def _inputs(self, node: ExecutedStage) -> list[tuple[int, ExecutedStage]]:
        return [(slot_of(node, child, index), child) for index, child in enumerate(self._children(node))]

    def _above(self, stage: WrittenStage) -> Iterator[tuple[WrittenStage, _Match]]:
        """Yield the stage above, and those above it for as long as what lies between can be left out."""
        way = _Match()
        while len(stage.inputs) == 1:
            stage = self._written[stage.inputs[0]]
            yield stage, way
            price = _removal_price(stage)
            if price is None or price > _REMOVED:
                return
            way += _Match(price, removed=(stage.id,))

    def _subtree(self, node: ExecutedStage) -> Iterator[ExecutedStage]:
        stack = [node]
        while stack:
            current = stack.pop()
            yield current
            stack.extend(reversed(self._children(current)))

    def _size(self, node: ExecutedStage) -> int:
        return sum(1 for _ in self._subtree(node))

    def _count(self, written_id: str) -> int:
        """Count the stages of a part of the written tree that must have nodes."""
        seen: dict[str, None] = {}
        stack = [written_id]
        while stack:
            current = stack.pop()
            if current not in seen:
                seen[current] = None
                stack.extend(self._written[current].inputs)
        return sum(self._written[key].op not in WRAPPERS for key in seen)


def _has_inner(stage: WrittenStage) -> bool:
    return stage.function is not None and bool(stage.function.inner_datasets)


def _fits(stage: WrittenStage, node: ExecutedStage) -> bool:
    name = stem(node.node)
    known = _NODES.get(stage.op)
    if known is not None:
        return name in known
    return name.lower() == stage.op.replace("_", "").lower()


def _removal_price(stage: WrittenStage) -> float | None:
    """Return what it costs to say that TensorFlow left a stage out; None where that cannot be."""
    if len(stage.inputs) != 1:
        return None
    if stage.op in WRAPPERS:
        return 0.0
    if stage.op in _DOES_NOTHING:
        name, value = _DOES_NOTHING[stage.op]
        return _REMOVED if stage.arguments.get(name, value) == value else _REMOVED_SOMEHOW
    if stage.op == "shard":
        return _REMOVED if stage.arguments.get("num_shards", 1) == 1 else _REMOVED_SOMEHOW
    if stage.op == "map":
        is_identity = stage.function is not None and _IDENTITY_OPS.issuperset(stage.function.op_types)
        return _REMOVED if is_identity else _REMOVED_SOMEHOW
    return _REMOVED_SOMEHOW if stage.op in {"prefetch", "assert_cardinality"} else None
