"""The pipeline as its author must have written it, from what TensorFlow made of it.

A trace names nodes ("fused(MapDataset:1,BatchDatasetV2:2)", "inject/prefetch_...") but no lines of source: operations get
the names that a user writes, lines stay unknown. It must not guess arguments that the trace does not show.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pipeprof.interop import node_kinds
from pipeprof.interop.node_kinds import FAN_OUT, stem
from pipeprof.interop.traced import Consumption, TracedPipeline, TracedStage
from pipeprof.model.profile import StageFunction, WrittenStage

AUTOTUNE = -1

_OPS = {
    "ParallelMap": "map",
    "ParallelBatch": "batch",
    "ParallelFilter": "filter",
    "FiniteRepeat": "repeat",
    "ForeverRepeat": "repeat",
    "EmptyRepeat": "repeat",
    "FiniteTake": "take",
    "ForeverTake": "take",
    "EmptyTake": "take",
    "FiniteSkip": "skip",
    "ForeverSkip": "skip",
    "EmptySkip": "skip",
    "ParallelInterleave": "interleave",
    "LegacyParallelInterleave": "interleave",
    "MemoryCache": "cache",
    "FileCache": "cache",
    "TensorSlice": "from_tensor_slices",
    "FromTensor": "from_tensors",
    "Tensor": "from_tensors",
    "DirectedInterleave": "sample_from_datasets",
    "CSV": "CsvDataset",
    "TFRecord": "TFRecordDataset",
    "TextLine": "TextLineDataset",
    "FixedLengthRecord": "FixedLengthRecordDataset",
    "WindowOp": "window",
}
_TWO_IN_ONE = {"MapAndBatch": ("map", "batch"), "ShuffleAndRepeat": ("shuffle", "repeat")}  # the inner one first
_LOWER_HALVES = frozenset({"MemoryCacheImpl", "FileCacheImpl", "SnapshotWriter"})
_REBATCH = "Rebatch"
_READERS = frozenset({"TFRecord", "TextLine", "FixedLengthRecord"})
_WITH_FUNCTION = frozenset({"map", "filter", "interleave", "flat_map", "scan", "take_while"})
_STATEFUL = ("ReadVariableOp", "VarHandleOp", "ResourceGather", "LookupTable", "HashTable", "MutableHashTable", "Print")
_CLASS = re.compile(r"(?P<kernel>[A-Za-z]\w*Dataset)(?:V\d+)?:\d+")
_FUSED = re.compile(r"fused\((?P<names>.*)\)")


@dataclass(slots=True)
class _Tree:
    """Stages written so far, sources first."""

    by_id: Mapping[str, TracedStage]
    is_handed_over: bool
    stages: list[WrittenStage] = field(default_factory=list)

    def add(self, op: str, inputs: Sequence[str], **details: object) -> str:
        """Write one more stage and return its id."""
        name = f"s{len(self.stages)}"
        self.stages.append(WrittenStage(id=name, op=op, inputs=tuple(inputs), **details))  # type: ignore[arg-type]
        return name


def written_stages(pipeline: TracedPipeline) -> tuple[WrittenStage, ...]:
    """Return the written tree, sources first and the output last; empty where the window shows no stage."""
    tree = _Tree({stage.id: stage for stage in pipeline.stages}, pipeline.consumption is Consumption.HAND_OVER)
    for top in pipeline.stages[0].inputs:
        _write(tree, top)
    return tuple(tree.stages)


def _write(tree: _Tree, top: str) -> None:
    """Write a stage after its inputs, with a stack of its own: hundreds of data sets may be concatenated."""
    done: dict[str, tuple[str, ...]] = {}  # traced stage -> the written ones that stand for it
    stack = [top]
    while stack:
        stage = tree.by_id[stack[-1]]
        inputs = _own_inputs(stage)
        missing = [name for name in inputs if name not in done]
        if missing:
            stack.extend(reversed(missing))
            continue
        stack.pop()
        below = tuple(name for child in inputs for name in done[child])
        done[stage.id] = below if _is_added(tree, stage) else (_write_one(tree, stage, below),)


def _own_inputs(stage: TracedStage) -> tuple[str, ...]:
    """Return the inputs that are stages of their own; inner pipelines are part of the stage that makes them."""
    if stem(stage.node) not in FAN_OUT:
        return stage.inputs
    return tuple(name for name in stage.inputs if name.rpartition(".")[2].partition("~")[0] == "0")


def _is_added(tree: _Tree, stage: TracedStage) -> bool:
    """Whether TensorFlow put the stage in, or it is the lower half of one that is written above."""
    if stage.name.startswith("inject/") or stage.node in _LOWER_HALVES:
        return True
    if not tree.is_handed_over:
        return False
    feeds = [tree.by_id[name].node for name in stage.inputs]
    return stem(stage.node) == "Rebatch" or (
        stage.node == node_kinds.PREFETCH and any(stem(node) == "Rebatch" for node in feeds)
    )


def _write_one(tree: _Tree, stage: TracedStage, below: tuple[str, ...]) -> str:
    name = stem(stage.node)
    kernels = _kernels(stage.name)
    if name in _TWO_IN_ONE:
        lower, upper = _TWO_IN_ONE[name]
        inner = tree.add(lower, below, **_details(tree, stage, lower, kernels[:1]))
        return tree.add(upper, (inner,), **_details(tree, stage, upper, kernels[-1:]))
    reader = _reader_op(tree, stage)
    if reader is not None:
        below = _without_names(tree, below)
    op = reader or _OPS.get(name) or _snake(name)
    return tree.add(op, below, **_details(tree, stage, op, kernels[:1]))


def _reader_op(tree: _Tree, stage: TracedStage) -> str | None:
    """Return what a stage is that reads inner pipelines which the user did not write: a source of files, a generator."""
    name = stem(stage.node)
    inner = {stem(tree.by_id[child].node) for child in stage.inputs if child not in _own_inputs(stage)}
    if name == "FlatMap" and node_kinds.GENERATOR in inner:
        return "from_generator"
    readers = inner & _READERS
    return _OPS[min(readers)] if readers and name in FAN_OUT and name != "Interleave" else None


def _without_names(tree: _Tree, below: tuple[str, ...]) -> tuple[str, ...]:
    """Take the slices of a list of file names back: the call that reads the files made them too."""
    last = tree.stages[-1] if tree.stages else None
    if last is None or below != (last.id,) or last.inputs or last.op not in {"from_tensor_slices", "from_tensors"}:
        return below
    tree.stages.pop()
    return ()


def _kernels(name: str) -> list[str]:
    """Return the kernels that a node's name tells: ``fused(MapDataset:1,BatchDatasetV2:2)`` -> MapDataset, BatchDataset."""
    fused = _FUSED.fullmatch(name)
    found = [_CLASS.fullmatch(part) for part in (fused["names"].split(",") if fused else [name])]
    return [match["kernel"] if match else "" for match in found]


def _details(tree: _Tree, stage: TracedStage, op: str, kernels: Sequence[str]) -> dict[str, object]:
    kernel = kernels[0] if kernels else ""
    arguments: dict[str, int] = {}
    if op in {"batch", "padded_batch"} and stage.batch_size:
        arguments["batch_size"] = stage.batch_size
    if op in {"map", "interleave"} and kernel.startswith("Parallel"):
        arguments["num_parallel_calls"] = AUTOTUNE if stage.is_tuned else round(stage.parallelism or AUTOTUNE)
    if op in {"shuffle", "prefetch"} and stage.buffer_size:
        arguments["buffer_size"] = round(stage.buffer_size)
    return {
        "class_name": f"_{kernel}" if kernel else "",
        "arguments": arguments,
        "function": _function(tree, stage) if op in _WITH_FUNCTION else None,
        "graph_node": stage.name or None,
    }


def _function(tree: _Tree, stage: TracedStage) -> StageFunction | None:
    """Describe a stage's function by the ops that ran, those of its inner pipelines with it; None where none was seen."""
    ops = {op.op for part in _with_inner(tree, stage) for op in part.ops}
    if not ops:
        return None
    random = ops & node_kinds.RANDOM_OPS
    assigns = {op for op in ops if op.startswith(node_kinds.ASSIGN_OPS)}
    stateful = {op for op in ops if op.startswith(_STATEFUL)} | random | assigns | (ops & node_kinds.PYTHON_OPS)
    return StageFunction(
        name="\N{HORIZONTAL ELLIPSIS}",
        op_types=tuple(sorted(ops)),
        op_count=len(ops),
        stateful_ops=tuple(sorted(stateful)),
        random_ops=tuple(sorted(random)),
        python_ops=tuple(sorted(ops & node_kinds.PYTHON_OPS)),
        assigns_variables=bool(assigns),
        inner_datasets=tuple(sorted(op for op in ops if "Dataset" in op)),
    )


def _with_inner(tree: _Tree, stage: TracedStage) -> list[TracedStage]:
    own = set(_own_inputs(stage))
    return [stage, *(part for name in stage.inputs if name not in own for part in _subtree(tree.by_id.__getitem__, name))]


def _subtree(find: Callable[[str], TracedStage], top: str) -> list[TracedStage]:
    found, stack = [], [top]
    while stack:
        stage = find(stack.pop())
        found.append(stage)
        stack.extend(stage.inputs)
    return found


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
