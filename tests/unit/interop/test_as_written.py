"""What TensorFlow ran is told back as its author must have written it, and both align without a remainder."""

from __future__ import annotations

import pytest

from pipeprof.analysis.alignment import align
from pipeprof.interop.as_executed import executed_stages
from pipeprof.interop.as_written import written_stages
from pipeprof.interop.traced import Consumption, TracedEpoch, TracedOp, TracedPipeline, TracedStage
from pipeprof.model.profile import Loop, PipelineRecord, Role

Tree = tuple[str, str, tuple[object, ...]]  # node, name, inputs


def grow(tree: Tree, stage_id: str = "0", **details: object) -> list[TracedStage]:
    node, name, inputs = tree
    below = [(f"{stage_id}.{index}", child) for index, child in enumerate(inputs)]
    own = TracedStage(id=stage_id, node=node, name=name, inputs=tuple(key for key, _ in below), elements=10, **details)
    return [own, *(stage for key, child in below for stage in grow(child, key))]


def pipeline(tree: Tree, consumption: Consumption = Consumption.ITERATOR) -> TracedPipeline:
    epoch = TracedEpoch(id=1, steps=(), first_s=0.0, last_s=1.0)
    return TracedPipeline(consumption=consumption, stages=tuple(grow(("Root", "", (tree,)))), epochs=(epoch,))


def chain(*stages: tuple[str, str]) -> Tree:
    tree: Tree | None = None
    for node, name in reversed(stages):
        tree = (node, name, () if tree is None else (tree,))
    assert tree is not None
    return tree


RANGE = ("Range", "RangeDataset:0")
CASES = [
    (chain(("Prefetch", "PrefetchDataset:2"), ("MapAndBatch", "fused(MapDataset:1,BatchDatasetV2:2)"), RANGE),
     "range map batch prefetch"),
    (chain(("Prefetch", "inject/prefetch_BatchDatasetV2/_9"), ("BatchV2", "mine"), ("ShuffleAndRepeat", "fused(a,b)"), RANGE),
     "range shuffle repeat batch"),
    (chain(("PaddedBatchV2", "x"), ("Filter", "x"), ("ParallelMapV2", "MapDataset:1"), RANGE), "range map filter padded_batch"),
    (chain(("BatchV2", "x"), ("ForeverRepeat", "x"), ("MemoryCache", "x"), ("MemoryCacheImpl", "x"), ("Map", "x"), RANGE),
     "range map cache repeat batch"),
    (("FlatMap", "x", (("TensorSlice", "x", ()), ("TFRecord", "x", ()))), "TFRecordDataset"),
    (("FlatMap", "x", (("FromTensor", "x", ()), ("Generator", "x", ()))), "from_generator"),
    (("LegacyParallelInterleaveV2", "x", (("TensorSlice", "x", ()), ("TFRecord", "x", ()))), "TFRecordDataset"),
    (("ParallelInterleaveV4", "x", (("Shuffle", "x", (("TensorSlice", "x", ()),)), ("FlatMap", "x", ()))),
     "from_tensor_slices shuffle interleave"),
    (("Zip", "x", ((*RANGE, ()), ("TensorSlice", "x", ()))), "range from_tensor_slices zip"),
    (chain(("SomethingNewV3", "x"), RANGE), "range something_new"),
]  # fmt: skip


@pytest.mark.parametrize(("tree", "ops"), CASES, ids=[ops for _, ops in CASES])
def test_operations_have_the_names_that_a_user_writes(tree: Tree, ops: str) -> None:
    written = written_stages(pipeline(tree))

    assert " ".join(stage.op for stage in written) == ops
    assert all(stage.call_site is None for stage in written)


@pytest.mark.parametrize(("tree", "ops"), CASES, ids=[ops for _, ops in CASES])
def test_what_is_told_back_explains_every_node(tree: Tree, ops: str) -> None:
    traced = pipeline(tree)
    written = written_stages(traced)
    record = PipelineRecord(
        id="p0",
        role=Role.TRAIN,
        output=written[-1].id,
        written=written,
        executed=executed_stages(traced),
        loop=Loop(method="trace"),
    )

    alignment = align(record)

    assert (alignment.unexplained, alignment.removed, alignment.not_seen) == ([], set(), set())
    assert set(alignment.nodes) == {stage.id for stage in written}


def test_what_a_strategy_adds_is_not_written() -> None:
    tree = chain(("Prefetch", "PrefetchDataset:9"), ("Rebatch", "RebatchDataset:8"), ("BatchV2", "BatchDatasetV2:1"), RANGE)

    assert [stage.op for stage in written_stages(pipeline(tree, Consumption.HAND_OVER))] == ["range", "batch"]


def test_names_tell_whether_parallel_calls_were_asked_for() -> None:
    asked = grow(("ParallelMapV2", "ParallelMapDatasetV2:1", ()), "0.0", parallelism=4.0)
    unasked = grow(("ParallelMapV2", "MapDataset:1", ()), "0.0", parallelism=4.0, is_tuned=True)
    root = TracedStage(id="0", node="Root", name="", inputs=("0.0",))
    base = pipeline((*RANGE, ()))

    found = [
        written_stages(TracedPipeline(consumption=base.consumption, epochs=base.epochs, stages=(root, *stages)))[0]
        for stages in (asked, unasked)
    ]

    assert [(stage.class_name, stage.arguments) for stage in found] == [
        ("_ParallelMapDataset", {"num_parallel_calls": 4}),
        ("_MapDataset", {}),
    ]


def test_a_function_is_described_by_the_ops_that_ran() -> None:
    ops = tuple(TracedOp(op=op, calls=1, busy_s=0.1) for op in ("EagerPyFunc", "RandomUniform", "ReadVariableOp", "Mul"))
    root = TracedStage(id="0", node="Root", name="", inputs=("0.0",))
    base = pipeline((*RANGE, ()))
    stages = (root, TracedStage(id="0.0", node="Map", name="MapDataset:1", ops=ops))

    function = written_stages(TracedPipeline(consumption=base.consumption, epochs=base.epochs, stages=stages))[0].function

    assert function is not None
    assert function.python_ops == ("EagerPyFunc",)
    assert function.random_ops == ("RandomUniform",)
    assert function.stateful_ops == ("EagerPyFunc", "RandomUniform", "ReadVariableOp")
