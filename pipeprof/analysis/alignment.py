"""Alignment: which node that TensorFlow ran is which stage that the user wrote.

TensorFlow fuses (map + batch, shuffle + repeat), injects (a prefetch at the end), parallelises, and removes stages that do
nothing. Both trees are walked from the consumer's side; each rewrite is one row of a table. What does not line up is
reported as unexplained, never guessed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pipeprof.model.profile import ExecutedStage, PipelineRecord, WrittenStage

# Stage as written -> nodes (without version) that it can become. A node may be of several written stages (fusion).
_NODES: Mapping[str, tuple[str, ...]] = {
    "map": ("Map", "ParallelMap", "MapAndBatch"),
    "batch": ("Batch", "ParallelBatch", "MapAndBatch"),
    "ragged_batch": ("Batch", "ParallelBatch", "MapAndBatch", "ParallelMap", "Map"),
    "padded_batch": ("PaddedBatch",),
    "shuffle": ("Shuffle", "ShuffleAndRepeat"),
    "repeat": ("FiniteRepeat", "ForeverRepeat", "EmptyRepeat", "ShuffleAndRepeat"),
    "cache": ("MemoryCache", "FileCache"),
    "prefetch": ("Prefetch",),
    "interleave": ("Interleave", "ParallelInterleave", "LegacyParallelInterleave"),
    "flat_map": ("FlatMap",),
    "from_generator": ("FlatMap",),
    "TFRecordDataset": ("FlatMap", "LegacyParallelInterleave", "ParallelInterleave", "TFRecord"),
    "TextLineDataset": ("FlatMap", "LegacyParallelInterleave", "ParallelInterleave", "TextLine"),
    "FixedLengthRecordDataset": ("FlatMap", "LegacyParallelInterleave", "ParallelInterleave", "FixedLengthRecord"),
    "take": ("FiniteTake", "ForeverTake", "EmptyTake"),
    "skip": ("FiniteSkip", "ForeverSkip", "EmptySkip"),
    "from_tensor_slices": ("TensorSlice",),
    "from_tensors": ("FromTensor", "Tensor"),
    "sample_from_datasets": ("DirectedInterleave",),
    "CsvDataset": ("CSV",),
    "filter": ("Filter", "ParallelFilter"),
    "rebatch": ("Rebatch",),
}
_NO_NODE = frozenset({"with_options", "restructure", "variant", "assert_cardinality"})
_FUSED = {"MapAndBatch": "map", "ShuffleAndRepeat": "shuffle"}  # node -> the stage fused below the one that is written above
_INNER_OF_ONE_STAGE = frozenset({"MemoryCache", "FileCache"})  # one stage, two nodes on top of each other


@dataclass(slots=True)
class Alignment:
    """Written stages and the nodes that explain them."""

    nodes: dict[str, list[ExecutedStage]] = field(default_factory=dict)  # written id -> nodes, outermost first
    fused: dict[str, tuple[str, ...]] = field(default_factory=dict)  # written id -> the other stages of its node
    injected: list[ExecutedStage] = field(default_factory=list)  # nodes that no written stage explains, known rewrites
    unexplained: list[ExecutedStage] = field(default_factory=list)


def align(record: PipelineRecord) -> Alignment:
    """Align one pipeline."""
    walker = _Walker(record)
    root = record.executed[0] if record.executed else None
    if root is not None:
        top = walker.children(root)
        if top:
            walker.match(record.output, top[0])
    return walker.alignment


def stem(node: str) -> str:
    """Return a node's name without its version: ``ParallelMapV2`` -> ``ParallelMap``."""
    head, separator, tail = node.rpartition("V")
    return head if separator and tail.isdigit() else node


class _Walker:
    def __init__(self, record: PipelineRecord) -> None:
        self.alignment = Alignment()
        self._written = {stage.id: stage for stage in record.written}
        self._executed = {stage.id: stage for stage in record.executed}

    def children(self, node: ExecutedStage) -> list[ExecutedStage]:
        return [self._executed[child] for child in node.inputs]

    def match(self, written_id: str, node: ExecutedStage | None) -> None:
        """Match a written stage and everything above it with a node and everything above that."""
        stage = self._written[written_id]
        if node is None:
            return
        if stage.op in _NO_NODE and stage.inputs:
            self.match(stage.inputs[0], node)
        elif _fits(stage, node):
            self._take(stage, node)
        elif node.node == "Prefetch":
            self.alignment.injected.append(node)
            self._follow(written_id, node)
        elif self._some_input_fits(stage, node):
            self.match(stage.inputs[0], node)
        elif len(self.children(node)) == 1 and self._lines_up_below(stage, node):
            self.alignment.injected.append(node)
            self._follow(written_id, node)
        else:
            self.alignment.unexplained.extend(self._subtree(node))

    def _follow(self, written_id: str, node: ExecutedStage) -> None:
        below = self.children(node)
        if below:
            self.match(written_id, below[0])

    def _take(self, stage: WrittenStage, node: ExecutedStage) -> None:
        self._assign(stage.id, node)
        partner = self._fusion_partner(stage, node)
        if partner is not None:
            self._assign(partner.id, node)
            self.alignment.fused[stage.id] = (partner.id,)
            self.alignment.fused[partner.id] = (stage.id,)
            stage = partner
        below = self.children(node)
        if node.node in _INNER_OF_ONE_STAGE and len(below) == 1 and below[0].node == f"{node.node}Impl":
            self._assign(stage.id, below[0])
            below = self.children(below[0])
        self._descend(stage, below)

    def _descend(self, stage: WrittenStage, below: Sequence[ExecutedStage]) -> None:
        """Match inputs with children by position; further children are the stage's own inner pipelines."""
        count = len(stage.inputs)
        for written_id, child in zip(stage.inputs, below, strict=False):
            self.match(written_id, child)
        for child in below[count:]:
            for inner in self._subtree(child):
                self._assign(stage.id, inner)

    def _fusion_partner(self, stage: WrittenStage, node: ExecutedStage) -> WrittenStage | None:
        """Return the stage above that TensorFlow fused into the same node."""
        wanted = _FUSED.get(stem(node.node))
        if wanted is None or stage.op == wanted:
            return None
        above = self._skip_nodeless(stage)
        return above if above is not None and above.op == wanted else None

    def _skip_nodeless(self, stage: WrittenStage) -> WrittenStage | None:
        above = self._written[stage.inputs[0]] if stage.inputs else None
        while above is not None and above.op in _NO_NODE and above.inputs:
            above = self._written[above.inputs[0]]
        return above

    def _some_input_fits(self, stage: WrittenStage, node: ExecutedStage) -> bool:
        """Whether the stage was removed: something further up fits this node."""
        seen = stage
        while len(seen.inputs) == 1:
            seen = self._written[seen.inputs[0]]
            if seen.op not in _NO_NODE:
                return _fits(seen, node) or (_can_vanish(seen) and self._some_input_fits(seen, node))
        return False

    def _lines_up_below(self, stage: WrittenStage, node: ExecutedStage) -> bool:
        return any(_fits(stage, child) for child in self.children(node))

    def _assign(self, written_id: str, node: ExecutedStage) -> None:
        self.alignment.nodes.setdefault(written_id, []).append(node)

    def _subtree(self, node: ExecutedStage) -> Iterator[ExecutedStage]:
        yield node
        for child in self.children(node):
            yield from self._subtree(child)


def _fits(stage: WrittenStage, node: ExecutedStage) -> bool:
    name = stem(node.node)
    known = _NODES.get(stage.op)
    if known is not None:
        return name in known
    return name.lower() == stage.op.replace("_", "").lower()


def _can_vanish(stage: WrittenStage) -> bool:
    """Whether TensorFlow removes such a stage when it does nothing."""
    return stage.op in {"map", "take", "skip", "repeat", "shard", "prefetch"}
