"""TensorFlow's model read into positions that survive new incarnations of the same stage."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from pipeprof.capture.model_tree import Sample, Snapshot, TreeReader


@dataclass
class Parameter:
    """One parameter of a node of the model."""

    name: str
    value: float = 0.0
    state_value: float = 0.0
    tunable: bool = False
    max: float = 0.0


@dataclass
class Node:
    """One node as TensorFlow's model proto has it, with its inputs below it."""

    name: str
    number: int
    below: tuple[Node, ...] = ()
    num_elements: int = 0
    processing_time: int = 0
    bytes_produced: int = 0
    bytes_consumed: int = 0
    buffered_elements: int = 0
    buffered_bytes: int = 0
    ratio: float = 0.0
    parameters: list[Parameter] = field(default_factory=list)

    @property
    def inputs(self) -> list[int]:
        return [node.number for node in self.below]


def proto(root: Node, gaps: tuple[int, ...] = ()) -> SimpleNamespace:
    nodes: dict[int, Node] = {}
    stack = [root]
    while stack:
        node = stack.pop()
        nodes[node.number] = node
        stack.extend(node.below)
    budgets = SimpleNamespace(cpu_budget=4.0, ram_budget=0.0)
    return SimpleNamespace(nodes=nodes, output=root.number, gap_times=gaps, optimization_params=budgets)


def positions(snapshot: Snapshot) -> list[str]:
    return [sample.position for sample in snapshot.samples]


def read_one(node: Node) -> Sample:
    return TreeReader().read(proto(node)).samples[0]


def test_parents_come_before_their_inputs_and_inputs_in_their_order() -> None:
    tree = Node("Root", 1, (Node("Zip", 2, (Node("Map", 3, (Node("Range", 4),)), Node("Range", 5))),))

    snapshot = TreeReader().read(proto(tree))

    assert positions(snapshot) == [
        "Root",
        "Root/0:Zip",
        "Root/0:Zip/0:Map",
        "Root/0:Zip/0:Map/0:Range",
        "Root/0:Zip/1:Range",
    ]
    assert [(sample.number, sample.parent, sample.slot) for sample in snapshot.samples] == [
        (1, None, 0),
        (2, 1, 0),
        (3, 2, 0),
        (4, 3, 0),
        (5, 2, 1),
    ]


def test_a_new_incarnation_has_the_position_of_the_old_one() -> None:
    reader = TreeReader()

    first = reader.read(proto(Node("Root", 1, (Node("FiniteRepeat", 2, (Node("Map", 3, (Node("Range", 4),)),)),))))
    second = reader.read(proto(Node("Root", 1, (Node("FiniteRepeat", 2, (Node("Map", 7, (Node("Range", 8),)),)),))))

    assert positions(first) == positions(second)
    assert [sample.number for sample in second.samples] == [1, 2, 7, 8]


@pytest.mark.parametrize(
    "name", ["Interleave", "FlatMap", "ParallelInterleaveV4", "LegacyParallelInterleaveV2", "GroupByWindow"]
)
def test_all_inner_pipelines_of_a_fan_out_share_one_slot_beside_its_source(name: str) -> None:
    reader = TreeReader()
    source = Node("Range", 3)
    reader.read(proto(Node("Root", 1, (Node(name, 2, (source,)),))))

    one = reader.read(proto(Node("Root", 1, (Node(name, 2, (source, Node("Map", 4), Node("Map", 5))),))))
    later = reader.read(proto(Node("Root", 1, (Node(name, 2, (Node("Map", 5), Node("Map", 6))),))))  # the source is exhausted

    assert [(sample.number, sample.slot) for sample in one.samples[2:]] == [(3, 0), (4, 1), (5, 1)]
    assert [(sample.number, sample.slot) for sample in later.samples[2:]] == [(5, 1), (6, 1)]


def test_inputs_that_are_read_one_after_the_other_have_slots_of_their_own() -> None:
    reader = TreeReader()

    first = reader.read(proto(Node("Root", 1, (Node("Concatenate", 2, (Node("Range", 3),)),))))
    second = reader.read(proto(Node("Root", 1, (Node("Concatenate", 2, (Node("Range", 4),)),))))

    assert (positions(first)[-1], positions(second)[-1]) == ("Root/0:Concatenate/0:Range", "Root/0:Concatenate/1:Range")


def test_the_other_inputs_keep_their_slots_when_one_is_exhausted() -> None:
    reader = TreeReader()
    both = (Node("Map", 3), Node("Range", 4))
    reader.read(proto(Node("Root", 1, (Node("Zip", 2, both),))))

    later = reader.read(proto(Node("Root", 1, (Node("Zip", 2, both[1:]),))))

    assert [(sample.number, sample.slot) for sample in later.samples[2:]] == [(4, 1)]


def test_nothing_is_kept_of_nodes_that_are_gone_however_long_the_run() -> None:
    reader = TreeReader()
    for number in range(10, 5000, 2):
        inner = (Node("Map", number), Node("Map", number + 1))
        reader.read(proto(Node("Root", 1, (Node("Interleave", 2, (Node("Range", 3), *inner)),))))

    assert len(reader._slots) <= 5
    assert len(reader._taken) <= 2


def test_of_a_tunable_parameter_the_state_is_in_force_and_of_a_fixed_one_the_value() -> None:
    tuned = read_one(Node("ParallelMapV2", 1, parameters=[Parameter("parallelism", 1.0, 2.0, tunable=True, max=16.0)]))
    fixed = read_one(Node("ParallelMapV2", 1, parameters=[Parameter("parallelism", 8.0, 0.0, max=8.0)]))
    prefetch = read_one(Node("Prefetch", 1, parameters=[Parameter("buffer_size", 3.0, 0.0)]))

    assert (tuned.parallelism, tuned.tuned, tuned.parallelism_max) == (2.0, True, 16.0)
    assert (fixed.parallelism, fixed.tuned, fixed.parallelism_max) == (8.0, False, None)
    assert (prefetch.parallelism, prefetch.buffer_size) == (None, 3.0)


def test_the_oldest_parallel_interleave_reads_its_whole_cycle_at_once() -> None:
    cycle = [Parameter("cycle_length", 4.0, 0.0)]

    assert read_one(Node("LegacyParallelInterleaveV2", 1, parameters=cycle)).parallelism == 4.0
    assert read_one(Node("Interleave", 1, parameters=cycle)).parallelism is None


@pytest.mark.parametrize(
    ("name", "stated", "known"),
    [("BatchV2", 32.0, 32.0), ("Map", 1.0, 1.0), ("Shard", 0.25, 4.0), ("Filter", 0.0, None), ("WindowOp", 8.0, None)],
)
def test_the_ratio_is_that_of_inputs_to_elements(name: str, stated: float, known: float | None) -> None:
    assert read_one(Node(name, 1, (Node("Range", 2),), ratio=stated)).known_ratio == known


def test_a_ratio_of_a_node_without_inputs_says_nothing() -> None:
    assert read_one(Node("Shuffle", 1, ratio=1.0)).known_ratio is None


def test_times_are_seconds_and_budgets_of_zero_are_none() -> None:
    snapshot = TreeReader().read(proto(Node("Root", 1, num_elements=7, processing_time=2_500_000), gaps=(5, 9)))

    assert snapshot.samples[0].busy_s == pytest.approx(0.0025)
    assert (snapshot.root_elements, snapshot.gaps_us) == (7, (5, 9))
    assert (snapshot.cpu_budget, snapshot.ram_budget_bytes) == (4.0, None)


def test_a_pipeline_is_busy_as_soon_as_any_stage_has_worked() -> None:
    assert not TreeReader().read(proto(Node("Root", 1, (Node("Range", 2),)))).is_busy
    assert TreeReader().read(proto(Node("Root", 1, (Node("Range", 2, processing_time=1),)))).is_busy


def test_inputs_that_the_model_no_longer_holds_are_left_out() -> None:
    model = proto(Node("Root", 1, (Node("BatchV2", 2, (Node("Range", 3),)),)))
    del model.nodes[3]

    assert positions(TreeReader().read(model)) == ["Root", "Root/0:BatchV2"]
