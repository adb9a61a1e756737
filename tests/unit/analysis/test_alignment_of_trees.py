"""Written and executed trees by hand: every rewrite of TensorFlow's is explained, and what is not is said to be unexplained."""

from __future__ import annotations

import pytest

from pipeprof.analysis.alignment import Alignment, align, stem
from pipeprof.model.profile import WrittenStage
from tests.support.trees import IDENTITY, Node, chain, executed, node, record, work_map, written


def aligned(stages: tuple[WrittenStage, ...], *below_root: Node) -> Alignment:
    return align(record(stages, executed(*below_root)))


def names(alignment: Alignment) -> dict[str, list[str]]:
    return {key: [item.node for item in nodes] for key, nodes in sorted(alignment.nodes.items())}


def test_versions_are_no_part_of_a_nodes_name() -> None:
    found = [stem(name) for name in ("ParallelMapV2", "Map", "ParallelInterleaveV4", "CSV")]

    assert found == ["ParallelMap", "Map", "ParallelInterleave", "CSV"]


def test_a_fused_node_is_of_both_its_stages() -> None:
    found = aligned(chain("range", work_map(), "batch"), node("MapAndBatch", node("Range")))

    assert names(found) == {"s0": ["Range"], "s1": ["MapAndBatch"], "s2": ["MapAndBatch"]}
    assert found.fused == {"s1": ("s2",), "s2": ("s1",)}
    assert (found.injected, found.unexplained, found.removed, found.not_seen) == ([], [], set(), set())


def test_a_prefetch_that_nobody_wrote_was_put_in() -> None:
    found = aligned(chain("range", "batch"), node("Prefetch", node("BatchV2", node("Range"))))

    assert [item.node for item in found.injected] == ["Prefetch"]
    assert names(found) == {"s0": ["Range"], "s1": ["BatchV2"]}


def test_a_prefetch_that_was_written_is_the_users() -> None:
    found = aligned(chain("range", "batch", "prefetch"), node("Prefetch", node("BatchV2", node("Range"))))

    assert (found.injected, names(found)["s2"]) == ([], ["Prefetch"])


def test_of_two_prefetches_the_one_in_the_middle_is_the_users() -> None:
    tree = node("Prefetch", node("BatchV2", node("Prefetch", node("Range"))))
    found = aligned(chain("range", "prefetch", "batch"), tree)

    assert [item.id for item in found.injected] == ["0.0"]
    assert [item.id for item in found.nodes["s1"]] == ["0.0.0.0"]


@pytest.mark.parametrize(
    ("op", "arguments"),
    [("repeat", {"count": 1}), ("skip", {"count": 0}), ("take", {"count": -1}), ("shard", {"num_shards": 1})],
)
def test_a_stage_that_does_nothing_is_removed(op: str, arguments: dict[str, int]) -> None:
    stages = chain("range", work_map(), written(op, arguments=arguments), "batch")
    found = aligned(stages, node("MapAndBatch", node("Range")))

    assert found.removed == {"s2"}
    assert found.fused["s1"] == ("s3",)


def test_of_two_maps_the_identity_is_the_one_that_was_removed() -> None:
    identity = written("map", function=IDENTITY)

    below = aligned(chain("range", work_map(), identity, "batch"), node("MapAndBatch", node("Range")))
    above = aligned(chain("range", identity, work_map(), "batch"), node("MapAndBatch", node("Range")))

    assert (below.removed, above.removed) == ({"s2"}, {"s1"})


def test_maps_that_were_fused_because_the_options_ask_for_it_share_a_node() -> None:
    found = aligned(chain("range", work_map(), work_map(), "cache"), node("MemoryCache", node("Map", node("Range"))))

    assert found.fused == {"s2": ("s1",), "s1": ("s2",)}
    assert found.removed == set()


def test_wrappers_of_python_have_no_node_and_are_neither_removed_nor_missing() -> None:
    found = aligned(chain("range", work_map(), "with_options", "batch"), node("BatchV2", node("ParallelMapV2", node("Range"))))

    assert names(found) == {"s0": ["Range"], "s1": ["ParallelMapV2"], "s3": ["BatchV2"]}
    assert (found.removed, found.not_seen) == ({"s2"}, set())


def test_stages_above_a_node_without_inputs_were_not_seen_and_not_removed() -> None:
    found = aligned(chain("range", work_map(), "shuffle", "batch"), node("Prefetch", node("BatchV2")))

    assert (found.removed, found.not_seen) == (set(), {"s0", "s1", "s2"})
    assert found.unexplained == []


def test_no_counters_at_all_means_that_nothing_was_seen() -> None:
    found = align(record(chain("range", "batch"), ()))

    assert (found.nodes, found.not_seen) == ({}, {"s0", "s1"})


@pytest.mark.parametrize("name", ["MemoryCache", "FileCache"])
def test_a_cache_is_two_nodes_and_in_a_replay_nothing_is_above_it(name: str) -> None:
    stages = chain("range", work_map(), "cache", "batch")

    fills = aligned(stages, node("BatchV2", node(name, node(f"{name}Impl", node("Map", node("Range"))))))
    replays = aligned(stages, node("BatchV2", node(name, node(f"{name}Impl"))))

    assert names(fills)["s2"] == names(replays)["s2"] == [name, f"{name}Impl"]
    assert (fills.not_seen, replays.not_seen) == (set(), {"s0", "s1"})


def test_a_snapshot_is_written_once_and_read_afterwards() -> None:
    writer = node("SnapshotWriter", node("ParallelMapV2", node("Range")), slot=0)
    reader = node("SnapshotReader", node("ParallelInterleaveV4", node("SnapshotNestedDatasetReader")), slot=0)
    found = aligned(chain("range", work_map(), "snapshot", "batch"), node("BatchV2", node("Snapshot", writer, reader)))

    assert set(names(found)["s2"]) == {
        "Snapshot",
        "SnapshotWriter",
        "SnapshotReader",
        "ParallelInterleaveV4",
        "SnapshotNestedDatasetReader",
    }
    assert names(found)["s1"] == ["ParallelMapV2"]


def test_inner_pipelines_belong_to_the_stage_that_makes_them() -> None:
    inner = node("Map", node("Range"), slot=1)
    found = aligned(chain("range", "interleave", "batch"), node("BatchV2", node("Interleave", node("Range"), inner)))

    assert [item.id for item in found.nodes["s1"]] == ["0.0.0", "0.0.0.1", "0.0.0.1.0"]
    assert [item.id for item in found.nodes["s0"]] == ["0.0.0.0"]


def test_inner_pipelines_are_told_from_the_source_also_where_the_source_was_not_seen() -> None:
    found = aligned(chain("range", "interleave"), node("Interleave", node("Range", slot=1)))

    assert names(found) == {"s1": ["Interleave", "Range"]}
    assert found.not_seen == {"s0"}


def test_inputs_are_matched_by_their_place() -> None:
    stages = chain("range", work_map(), written("range", "-"), written("zip", "s1", "s2"), "batch")
    found = aligned(stages, node("BatchV2", node("Zip", node("ParallelMapV2", node("Range")), node("Range"))))

    assert [item.id for item in found.nodes["s0"]] == ["0.0.0.0.0"]
    assert [item.id for item in found.nodes["s2"]] == ["0.0.0.1"]


def test_a_data_set_that_is_used_twice_has_two_nodes() -> None:
    stages = chain("range", work_map(), written("zip", "s1", "s1"))
    found = aligned(stages, node("Zip", node("ParallelMapV2", node("Range")), node("ParallelMapV2", node("Range"))))

    assert names(found) == {"s0": ["Range", "Range"], "s1": ["ParallelMapV2", "ParallelMapV2"], "s2": ["Zip"]}


def test_nodes_that_different_iterators_had_in_one_place_are_all_of_its_stage() -> None:
    first, second = node("ParallelMapV2", node("Range"), slot=0), node("Map", node("Range"), slot=0)
    found = aligned(chain("range", work_map(), "shuffle"), node("Shuffle", first, second))

    assert names(found)["s1"] == ["ParallelMapV2", "Map"]


def test_an_opaque_source_takes_whatever_is_there() -> None:
    stages = chain("variant", written("range", "-"), written("zip", "s0", "s1"))
    found = aligned(stages, node("Zip", node("FiniteRepeat", node("Range")), node("Range")))

    assert names(found) == {"s0": ["FiniteRepeat", "Range"], "s1": ["Range"], "s2": ["Zip"]}


@pytest.mark.parametrize(
    ("op", "tree"),
    [
        ("TFRecordDataset", node("FlatMap", node("TensorSlice"), node("TFRecord", slot=1))),
        ("TFRecordDataset", node("LegacyParallelInterleaveV2", node("TensorSlice"), node("TFRecord", slot=1))),
        ("TFRecordDataset", node("ParallelInterleaveV4", node("TensorSlice"), node("TFRecord", slot=1))),
        ("from_generator", node("FlatMap", node("TensorSlice"), node("Generator", slot=1))),
    ],
)
def test_readers_are_made_of_a_source_of_names_and_one_inner_pipeline_a_file(op: str, tree: Node) -> None:
    found = aligned(chain("from_tensor_slices", op), tree)

    assert names(found) == {"s0": ["TensorSlice"], "s1": [tree.name, tree.above[1].name]}


def test_a_source_that_python_lists_no_inputs_of_takes_everything_above_it() -> None:
    found = aligned(chain("TextLineDataset", "batch"), node("BatchV2", node("FlatMap", node("TensorSlice"), node("TextLine"))))

    assert names(found)["s0"] == ["FlatMap", "TensorSlice", "TextLine"]


def test_a_node_of_a_library_in_between_was_put_in() -> None:
    found = aligned(chain("data_service", "prefetch"), node("Prefetch", node("ParallelMapV2", node("DataService"))))

    assert [item.node for item in found.injected] == ["ParallelMapV2"]
    assert names(found) == {"s0": ["DataService"], "s1": ["Prefetch"]}


def test_what_no_rewrite_explains_is_said_to_be_unexplained() -> None:
    found = aligned(chain("range", "batch"), node("BatchV2", node("Mystery", node("Riddle"))))

    assert [item.node for item in found.unexplained] == ["Mystery", "Riddle"]
    assert (names(found), found.not_seen) == ({"s1": ["BatchV2"]}, {"s0"})


def test_a_stage_that_cannot_vanish_is_never_said_to_be_removed() -> None:
    found = aligned(chain("range", "shuffle", "batch"), node("BatchV2", node("Range")))

    assert found.removed == set()
    assert [item.node for item in found.unexplained] == ["Range"]


def test_ids_without_slots_are_matched_by_order() -> None:
    flat = tuple(
        stage for stage in record(chain("range"), executed(node("Zip", node("Map", node("Range")), node("Range")))).executed
    )
    numbers = {stage.id: str(index) for index, stage in enumerate(flat)}
    plain = tuple(
        type(stage)(id=numbers[stage.id], node=stage.node, inputs=tuple(numbers[item] for item in stage.inputs))
        for stage in flat
    )
    stages = chain("range", work_map(), written("range", "-"), written("zip", "s1", "s2"))

    assert names(align(record(stages, plain))) == {"s0": ["Range"], "s1": ["Map"], "s2": ["Range"], "s3": ["Zip"]}


def test_hundreds_of_concatenated_data_sets_are_no_problem() -> None:
    stages = [written("range")]
    tree = node("Range")
    for number in range(600):
        stages += [written("range", "-"), written("concatenate", f"s{max(0, 2 * number)}", f"s{2 * number + 1}")]
        tree = node("Concatenate", tree, node("Range", slot=1))

    found = aligned(chain(*stages), tree)

    assert (found.unexplained, found.not_seen, len(found.nodes)) == ([], set(), 1201)
