"""Hand-made executed trees: visit ratios, segments, slots and the bottleneck are those that were planted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeprof.analysis.operational import view_pipeline
from pipeprof.model.analysis import PipelineView
from pipeprof.model.profile import OpCost, WrittenStage
from tests.support.builders import function
from tests.support.trees import Node, chain, executed, node, record, steady_loop, work_map, written

STEPS = 100


def view(stages: tuple[WrittenStage, ...], *below_root: Node, root_busy_s: float = 0.0) -> PipelineView:
    return view_pipeline(record(stages, executed(*below_root, steps=STEPS, root_busy_s=root_busy_s)))


def visits(found: PipelineView) -> dict[str, float | None]:
    return {item.id: item.visit_ratio for item in found.stages}


# --- visit ratios ------------------------------------------------------------------------------------------------


def test_a_batch_takes_its_size_from_everything_above_it() -> None:
    tree = node(
        "BatchV2", node("Map", node("Range", elements=3200), elements=3200, known_ratio=1.0), elements=100, known_ratio=32.0
    )
    found = view(chain("range", work_map(), "batch"), tree)

    assert visits(found) == {"s0": 32.0, "s1": 32.0, "s2": 1.0}
    assert [item.stage.elements for item in found.stages] == [3200, 3200, 100]


def test_the_map_of_a_fused_batch_makes_all_its_elements() -> None:
    tree = node("MapAndBatch", node("Range", elements=3200), elements=100, busy_s=6.4, known_ratio=32.0, parallelism=2.0)
    found = view(chain("range", work_map(), "batch"), tree)
    mapped, batched = found.stage("s1"), found.stage("s2")

    assert (mapped.visit_ratio, batched.visit_ratio) == (32.0, 1.0)
    assert (mapped.stage.elements, batched.stage.elements) == (3200, 100)
    assert mapped.busy_s_per_step == pytest.approx(0.064)
    assert mapped.busy_s_per_element == pytest.approx(0.002)
    assert (batched.busy_s_per_step, batched.stage.fused_into) == (None, "s1")
    assert (mapped.slots, batched.slots) == (2.0, 2.0)


def test_what_a_filter_drops_was_made_all_the_same() -> None:
    source = node("Range", elements=500, elements_per_parent=5.0)
    found = view(chain("range", "filter"), node("Filter", source, elements=100))

    assert visits(found) == {"s0": 5.0, "s1": 1.0}


def test_a_ratio_of_too_few_elements_gives_way_to_the_length_of_the_passes() -> None:
    stages = chain(written("from_tensor_slices", cardinality=5), "interleave")
    source = node("TensorSlice", elements=2, elements_per_parent=0.5)

    found = view(stages, node("Interleave", source, elements=100, incarnations=4))

    assert visits(found)["s0"] == pytest.approx(4 * 5 / STEPS)


def test_counters_that_lost_most_of_a_repeat_are_scaled_by_the_consumers_count() -> None:
    stages = chain("range", work_map(), "repeat", "batch")
    source = node("Range", elements=30)
    mapped = node("Map", source, elements=30, busy_s=0.15, known_ratio=1.0, incarnations=3)
    tree = node("BatchV2", node("ForeverRepeat", mapped, elements=800, known_ratio=1.0), elements=100, known_ratio=8.0)

    found = view(stages, tree).stage("s1")

    assert found.stage.elements == 800
    assert found.stage.busy_s == pytest.approx(800 * 0.005)
    assert found.stage.seen_share == pytest.approx(30 / 800)


@pytest.mark.parametrize("cardinality", [40, -2])
def test_above_a_cache_only_the_filling_counts(cardinality: int) -> None:
    stages = chain("range", work_map(), written("cache", cardinality=cardinality))
    mapped = node("Map", node("Range", elements=40), elements=40, busy_s=4.0, known_ratio=1.0)
    cache = node("MemoryCache", node("MemoryCacheImpl", mapped, elements=100, known_ratio=1.0), elements=100, known_ratio=1.0)

    found = view(stages, cache)

    assert visits(found) == {"s0": pytest.approx(0.4), "s1": pytest.approx(0.4), "s2": 1.0}
    assert found.stage("s1").busy_s_per_step == pytest.approx(0.04)


def test_a_filling_that_no_sample_caught_is_known_from_the_length_of_a_pass() -> None:
    stages = chain("range", work_map(), written("cache", cardinality=20))
    mapped = node("Map", node("Range"), known_ratio=1.0)
    impl = node("MemoryCacheImpl", mapped, elements=50, known_ratio=1.0, incarnations=5)

    found = view(stages, node("MemoryCache", impl, elements=50, known_ratio=1.0, incarnations=5))

    assert visits(found)["s1"] == pytest.approx(0.2)


def test_a_filling_of_unknown_length_that_no_sample_caught_is_one_pass_of_those_that_were_seen() -> None:
    stages = chain("range", work_map(), "cache")
    mapped = node("Map", node("Range"), known_ratio=1.0)
    impl = node("MemoryCacheImpl", mapped, elements=50, known_ratio=1.0, incarnations=4)

    found = view(stages, node("MemoryCache", impl, elements=50, known_ratio=1.0, incarnations=4))

    assert visits(found)["s1"] == pytest.approx(0.25)


def test_a_cache_that_is_never_full_saves_nothing() -> None:
    stages = chain("range", work_map(), written("cache", cardinality=1000), "take")
    mapped = node("Map", node("Range", elements=100), elements=100, known_ratio=1.0, incarnations=5)
    cache = node("MemoryCache", node("MemoryCacheImpl", mapped, elements=100, known_ratio=1.0), elements=100, known_ratio=1.0)

    assert visits(view(stages, node("FiniteTake", cache, elements=100, known_ratio=1.0)))["s1"] == 1.0


def test_what_is_skipped_was_made_all_the_same() -> None:
    source = node("Map", node("Range", elements=1000), elements=1000, known_ratio=1.0)
    found = view(chain("range", work_map(), "skip"), node("FiniteSkip", source, elements=100, known_ratio=1.0))

    assert visits(found) == {"s0": 10.0, "s1": 10.0, "s2": 1.0}


@pytest.mark.parametrize("lengths", [(25, 75, 100), (-2, -2, -2)])
def test_inputs_that_are_read_one_after_the_other_share_the_elements(lengths: tuple[int, int, int]) -> None:
    first, second, both = lengths
    stages = chain(
        written("range", cardinality=first),
        written("range", "-", cardinality=second),
        written("concatenate", "s0", "s1", cardinality=both),
    )
    found = view(
        stages, node("Concatenate", node("Range", elements=25), node("Range", elements=75), elements=100, known_ratio=1.0)
    )

    assert visits(found) == {"s0": 0.25, "s1": 0.75, "s2": 1.0}


def test_inner_pipelines_make_one_element_for_one_of_their_interleave() -> None:
    inner = node("Map", node("Range", elements=60), elements=60, busy_s=0.6, known_ratio=1.0)
    source = node("Range", elements=20, elements_per_parent=0.2)
    found = view(chain("range", "interleave"), node("Interleave", source, inner, elements=100, busy_s=0.1))
    stage = found.stage("s1")

    assert (stage.visit_ratio, visits(found)["s0"]) == (1.0, 0.2)
    assert stage.busy_s_per_step == pytest.approx(0.001 + 0.01)


def test_nodes_that_different_iterators_had_in_one_place_share_its_elements() -> None:
    first = node("ParallelMapV2", elements=75, busy_s=0.75, slot=0, parallelism=2.0)
    second = node("Map", elements=25, busy_s=0.5, slot=0)
    found = view(chain(work_map(), "shuffle"), node("Shuffle", first, second, elements=100, known_ratio=1.0))

    assert found.stage("s0").busy_s_per_step == pytest.approx(0.75 * 0.01 + 0.25 * 0.02)


# --- segments ----------------------------------------------------------------------------------------------------


def demanding(*, map_s: float, batch_s: float, slots: float = 2.0) -> PipelineView:
    """range -> parallel map -> batch -> prefetch, with planted busy seconds per step."""
    mapped = node(
        "ParallelMapV2", node("Range", elements=400), elements=400, busy_s=map_s * STEPS, known_ratio=1.0, parallelism=slots
    )
    tree = node(
        "Prefetch",
        node("BatchV2", mapped, elements=100, busy_s=batch_s * STEPS, known_ratio=4.0),
        elements=100,
        known_ratio=1.0,
    )
    return view(chain("range", work_map(), "batch", "prefetch"), tree)


def test_stages_between_two_asynchronous_ones_share_a_segment_and_a_pool_has_its_own() -> None:
    found = demanding(map_s=0.01, batch_s=0.002)

    segments = {item.id: item.segment for item in found.stages}
    assert len({segments["s0"], segments["s1"], segments["s2"], segments["s3"]}) == 4
    assert found.segments[segments["s1"]].slots == 2.0
    assert found.segments[segments["s2"]].stage_ids == ("s2",)
    assert found.stage("s1").is_sequential is False
    assert found.stage("s2").is_sequential is True


@pytest.mark.parametrize(
    ("map_s", "batch_s", "slowest", "production_s"),
    [(0.010, 0.004, "s1", 0.005), (0.010, 0.006, "s2", 0.006), (0.0, 0.006, "s2", 0.006)],
)
def test_the_slowest_segment_bounds_the_pipeline(map_s: float, batch_s: float, slowest: str, production_s: float) -> None:
    found = demanding(map_s=map_s, batch_s=batch_s)

    assert found.bottleneck_id == slowest
    assert found.stage(slowest).stage.is_bottleneck
    assert found.production_s_per_step == pytest.approx(production_s)
    assert found.stage(slowest).stage.max_steps_per_s == pytest.approx(1 / production_s)


def test_a_pool_of_one_call_takes_turns_with_what_it_reads() -> None:
    first = node("Map", node("Range", elements=100), elements=100, busy_s=0.9)
    found = view(
        chain("range", work_map(), work_map(), "batch"),
        node("MapAndBatch", first, elements=100, busy_s=0.6, known_ratio=1.0, parallelism=1.0),
    )

    assert found.production_s_per_step == pytest.approx(0.015)
    assert found.bottleneck_id == "s1"


def test_of_a_segment_the_stage_with_the_largest_demand_is_the_bottleneck() -> None:
    mapped = node("Map", node("Range", elements=100, busy_s=0.1), elements=100, busy_s=0.7, known_ratio=1.0)
    found = view(chain("range", work_map(), "filter"), node("Filter", mapped, elements=100, busy_s=0.5, known_ratio=1.0))

    assert found.bottleneck_id == "s1"
    assert found.production_s_per_step == pytest.approx(0.013)
    assert len({item.segment for item in found.stages}) == 1


def test_the_work_of_a_parallel_interleaves_inner_pipelines_is_done_in_its_pool() -> None:
    inner = node("Map", node("Range", elements=100), elements=100, busy_s=1.0, known_ratio=1.0)
    source = node("Range", elements=20, elements_per_parent=0.2)
    found = view(chain("range", "interleave"), node("ParallelInterleaveV4", source, inner, elements=100, parallelism=4.0))

    assert found.production_s_per_step == pytest.approx(0.01 / 4)
    assert found.stage("s0").segment != found.stage("s1").segment


def test_waiting_in_a_prefetch_is_no_work() -> None:
    tree = node("Prefetch", node("Map", node("Range"), elements=100, busy_s=0.5, known_ratio=1.0), elements=100, busy_s=3.0)
    found = view(chain("range", work_map(), "prefetch"), tree)

    assert found.bottleneck_id == "s1"
    assert (found.stage("s2").busy_s_per_step, found.stage("s2").stage.wait_s) == (0.0, 3.0)


def test_a_pipeline_whose_stages_did_nothing_has_no_bottleneck() -> None:
    found = view(chain("range"), node("Range", elements=100), root_busy_s=1.0)

    assert (found.bottleneck_id, found.production_s_per_step) == (None, None)


# --- what is left over -------------------------------------------------------------------------------------------


def test_what_the_stages_do_not_explain_is_shown_as_unattributed() -> None:
    tree = node("Mystery", node("Riddle", elements=100, busy_s=0.4, elements_per_parent=1.0), elements=100, busy_s=0.2)
    found = view(chain("range"), tree, root_busy_s=0.1)

    assert found.unattributed_s_per_step == pytest.approx(0.007)
    assert found.busy_s_per_step == pytest.approx(0.007)
    assert [(item.stage.op, item.stage.executed_as, item.written) for item in found.stages[1:]] == [
        ("mystery", "Mystery", None),
        ("riddle", "Riddle", None),
    ]


def test_the_busy_times_of_all_stages_and_the_rest_add_up() -> None:
    found = demanding(map_s=0.01, batch_s=0.002)
    attributed = sum(item.busy_s_per_step or 0.0 for item in found.stages if item.written is not None)

    assert found.busy_s_per_step == pytest.approx(attributed + (found.unattributed_s_per_step or 0.0))


def test_a_stage_that_was_not_seen_is_told_from_one_that_was_removed() -> None:
    stages = chain("range", "shuffle", written("take", arguments={"count": -1}), "batch")
    found = view(stages, node("BatchV2", node("Shuffle"), elements=100, known_ratio=4.0))

    assert {item.id: (item.stage.executed_as, item.stage.seen_share) for item in found.stages} == {
        "s0": (None, 0.0),
        "s1": ("Shuffle", 0.0),
        "s2": (None, None),
        "s3": ("BatchV2", 1.0),
    }


def test_without_counters_every_stage_is_there_and_nothing_is_known_of_it() -> None:
    found = view_pipeline(record(chain("range", "batch"), ()))

    assert [(item.id, item.stage.elements, item.busy_s_per_step) for item in found.stages] == [
        ("s0", None, None),
        ("s1", None, None),
    ]
    assert (found.segments[0].busy_s_per_step, found.busy_s_per_step, found.unattributed_s_per_step) == (0.0, None, None)


def test_the_loop_is_brought_to_one_step() -> None:
    loop = steady_loop(steps=50, wait_s=0.03, gap_s=0.01, cpu_s=1.5, run_delay_s=0.5)
    found = view_pipeline(record(chain("range"), (), loop=loop))

    assert (found.step_s, found.wait_s, found.gap_s) == (pytest.approx(0.04), pytest.approx(0.03), pytest.approx(0.01))
    assert (found.cpu_s_per_step, found.run_delay_s_per_step) == (pytest.approx(0.03), pytest.approx(0.01))


def test_parallelism_says_who_chose_it() -> None:
    def note(**details: object) -> str | None:
        tree = node("ParallelMapV2", node("Range", elements=100), elements=100, known_ratio=1.0, **details)
        return view(chain("range", work_map()), tree).stage("s1").stage.parallelism_note

    assert note(parallelism=4.0, parallelism_tuned=True) == "AUTOTUNE"
    assert note(parallelism=4.0) == "fixed"
    assert note(parallelism=1.0) == "one call at a time"


# --- limits ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("pool", "cores", "slots"), [(None, 2, 2.0), (None, 16, 8.0), (4, 2, 4.0), (None, None, 8.0)])
def test_calls_beyond_the_threads_of_the_pool_are_no_slots(pool: int | None, cores: int | None, slots: float) -> None:
    tree = node("ParallelMapV2", node("Range", elements=100), elements=100, busy_s=1.0, known_ratio=1.0, parallelism=8.0)
    made = replace(record(chain("range", work_map()), executed(tree, steps=STEPS)), threadpool_size=pool)

    mapped = view_pipeline(made, cores).stage("s1")

    assert mapped.slots == slots
    assert mapped.stage.max_steps_per_s == pytest.approx(slots / 0.01)
    assert mapped.stage.parallelism == 8.0  # what was asked for stays to be seen


def test_a_limit_below_what_the_loop_did_is_refuted_by_it() -> None:
    tree = node("Map", node("Range", elements=100), elements=100, busy_s=6.0, known_ratio=1.0)
    loop = steady_loop(steps=STEPS, wait_s=0.02, gap_s=0.01)

    found = view_pipeline(replace(record(chain("range", work_map()), executed(tree, steps=STEPS)), loop=loop))

    assert found.stage("s1").stage.max_steps_per_s == pytest.approx(1 / 0.03)  # and not 1 / 0.06


# --- inside a function -------------------------------------------------------------------------------------------


def test_the_ops_inside_a_function_are_brought_to_one_step_with_the_users_lines() -> None:
    ops = (OpCost(op="DecodeJpeg", calls=32.0, busy_s=0.03), OpCost(op="Cast", calls=64.0, busy_s=0.01))
    mapped = written("map", function=function("DecodeJpeg", "Cast", op_lines={"DecodeJpeg": "train.py:5"}))
    tree = executed(node("MapAndBatch", node("Range", elements=3200), elements=100, busy_s=6.4, known_ratio=32.0), steps=STEPS)
    tree = tuple(replace(item, ops=ops) if item.node == "MapAndBatch" else item for item in tree)

    found = view_pipeline(record(chain("range", mapped, "batch"), tree)).stage("s1").stage.ops

    assert [(item.op, item.share, item.where) for item in found] == [("DecodeJpeg", 0.75, "train.py:5"), ("Cast", 0.25, None)]
    assert [(item.busy_s_per_step, item.calls_per_step) for item in found] == [(0.03, 32.0), (0.01, 64.0)]


@pytest.mark.parametrize(("busy_s", "known_s"), [(0.0, None), (0.2, 0.002)])
def test_the_work_of_a_shuffle_that_was_seen_only_while_it_filled_is_not_known(busy_s: float, known_s: float | None) -> None:
    tree = node("BatchV2", node("Shuffle", node("Range", elements=100), elements=100, busy_s=busy_s), elements=100)
    found = view(chain("range", "shuffle", "batch"), tree).stage("s1")

    assert found.busy_s_per_step == (None if known_s is None else pytest.approx(known_s))
    assert found.stage.elements == 100
