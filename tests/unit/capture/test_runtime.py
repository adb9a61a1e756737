"""Counters of a pipeline: summed over iterators and incarnations, with what vanishes in between kept as rates."""

from __future__ import annotations

from typing import Any

import pytest

from pipeprof.capture.model_tree import Sample, Snapshot
from pipeprof.capture.runtime import IteratorCounters, PipelineCounters
from pipeprof.model.profile import ExecutedStage


def sample(number: int, parent: int | None, position: str, elements: int = 0, **details: Any) -> Sample:
    planted: dict[str, Any] = {
        "number": number,
        "parent": parent,
        "position": position,
        "slot": int(position.rpartition("/")[2].partition(":")[0]) if "/" in position else 0,
        "node": position.rpartition(":")[2],
        "elements": elements,
        "busy_s": 0.0,
        "bytes_produced": 0,
        "bytes_consumed": 0,
        "buffered_elements": 0,
        "buffered_bytes": 0,
        "known_ratio": None,
        "parallelism": None,
        "parallelism_max": None,
        "tuned": False,
        "buffer_size": None,
    }
    return Sample(**(planted | details))


def snapshot(*samples: Sample) -> Snapshot:
    return Snapshot(samples, (), None, None)


def root(elements: int, **details: Any) -> Sample:
    return sample(1, None, "Root", elements, **details)


def by_node(counters: PipelineCounters) -> dict[str, ExecutedStage]:
    return {stage.node: stage for stage in counters.freeze()}


def test_counters_of_one_iterator_are_what_its_last_snapshot_says() -> None:
    counters, iterator = PipelineCounters(), IteratorCounters()

    for elements in (0, 10, 25):
        busy = {"busy_s": elements * 0.01, "bytes_produced": elements * 100, "bytes_consumed": elements * 50}
        counters.add(iterator, snapshot(root(elements), sample(2, 1, "Root/0:Map", elements, **busy)))
    stage = by_node(counters)["Map"]

    assert (stage.elements, stage.bytes_produced, stage.bytes_consumed) == (25, 2500, 1250)
    assert stage.busy_s == pytest.approx(0.25)
    assert (stage.incarnations, stage.id) == (1, "0.0")


def test_counters_are_summed_over_iterators_and_over_repetitions() -> None:
    counters = PipelineCounters()

    for offset in (0, 100):  # two iterators
        iterator = IteratorCounters()
        for repetition in range(3):
            number = offset + 10 + repetition
            counters.add(iterator, snapshot(root(repetition * 8 + 5), sample(number, 1, "Root/0:Map", 5, busy_s=0.5)))
            counters.add(iterator, snapshot(root(repetition * 8 + 8), sample(number, 1, "Root/0:Map", 8, busy_s=0.8)))
    stages = by_node(counters)

    assert (stages["Root"].elements, stages["Root"].incarnations) == (48, 2)
    assert (stages["Map"].elements, stages["Map"].incarnations) == (48, 6)
    assert stages["Map"].busy_s == pytest.approx(4.8)


def test_children_per_parent_are_counted_only_while_both_live() -> None:
    counters, iterator = PipelineCounters(), IteratorCounters()

    counters.add(iterator, snapshot(root(0), sample(2, 1, "Root/0:Filter", 0)))
    counters.add(iterator, snapshot(root(10), sample(2, 1, "Root/0:Filter", 40)))
    counters.add(iterator, snapshot(root(90), sample(3, 1, "Root/0:Filter", 4)))  # a new one, born in between
    counters.add(iterator, snapshot(root(91), sample(3, 1, "Root/0:Filter", 8)))

    assert by_node(counters)["Filter"].elements_per_parent == pytest.approx(44 / 11)


def test_children_of_a_fan_out_are_counted_together() -> None:
    counters, iterator = PipelineCounters(), IteratorCounters()
    inner = "Root/1:Map"

    counters.add(iterator, snapshot(root(0), sample(2, 1, inner, 0), sample(3, 1, inner, 0)))
    counters.add(iterator, snapshot(root(10), sample(2, 1, inner, 6), sample(3, 1, inner, 4)))
    stage = by_node(counters)["Map"]

    assert (stage.elements, stage.incarnations, stage.elements_per_parent) == (10, 2, 1.0)


def test_nodes_that_vanish_keep_what_they_had_and_are_reported() -> None:
    counters, iterator = PipelineCounters(), IteratorCounters()

    counters.add(iterator, snapshot(root(1), sample(2, 1, "Root/0:Batch", 4), sample(3, 2, "Root/0:Batch/0:Range", 99)))
    assert iterator.vanished == 0
    counters.add(iterator, snapshot(root(4), sample(2, 1, "Root/0:Batch", 4)))

    assert iterator.vanished == 1
    assert by_node(counters)["Range"].elements == 99
    assert by_node(counters)["Batch"].inputs == ("0.0.0",)


def test_an_iterator_that_is_thrown_away_unused_is_no_incarnation() -> None:
    counters = PipelineCounters()

    counters.add(IteratorCounters(), snapshot(root(0), sample(2, 1, "Root/0:Map", 0)))
    used = IteratorCounters()
    counters.add(used, snapshot(root(0), sample(3, 1, "Root/0:Map", 0)))
    assert by_node(counters)["Map"].incarnations == 0
    counters.add(used, snapshot(root(2), sample(3, 1, "Root/0:Map", 3)))

    assert by_node(counters)["Map"].incarnations == 1
    assert by_node(counters)["Root"].incarnations == 1


def test_what_a_vanished_node_knew_of_its_ratio_is_kept() -> None:
    counters, iterator = PipelineCounters(), IteratorCounters()

    counters.add(iterator, snapshot(root(0), sample(2, 1, "Root/0:BatchV2", 0, known_ratio=4.0)))
    counters.add(iterator, snapshot(root(5), sample(2, 1, "Root/0:BatchV2", 9)))

    assert by_node(counters)["BatchV2"].known_ratio == 4.0


def test_buffers_are_averaged_over_the_samples_after_the_first_element() -> None:
    counters, iterator = PipelineCounters(), IteratorCounters()

    for elements, buffered in ((0, 0), (0, 0), (1, 2), (5, 0), (9, 4)):
        size = {"buffered_elements": buffered, "buffered_bytes": buffered * 10, "buffer_size": 4.0}
        counters.add(iterator, snapshot(root(elements), sample(2, 1, "Root/0:Prefetch", elements, **size)))
    stage = by_node(counters)["Prefetch"]

    assert stage.buffered_elements == pytest.approx(2.0)
    assert (stage.buffered_elements_max, stage.buffered_bytes_max) == (4.0, 40.0)
    assert stage.empty_share == pytest.approx(1 / 3)
    assert (stage.snapshots, stage.buffer_size) == (3, 4.0)


def test_a_stage_without_a_buffer_has_no_buffer_figures() -> None:
    counters = PipelineCounters()
    counters.add(IteratorCounters(), snapshot(root(3)))

    stage = by_node(counters)["Root"]
    assert (stage.buffered_elements, stage.empty_share, stage.buffered_bytes_max) == (None, None, None)


def test_counters_never_run_backwards() -> None:
    counters, iterator = PipelineCounters(), IteratorCounters()

    counters.add(iterator, snapshot(root(10, busy_s=1.0)))
    counters.add(iterator, snapshot(root(8, busy_s=0.9)))  # the last words, read a little before

    assert (by_node(counters)["Root"].elements, by_node(counters)["Root"].busy_s) == (10, 1.0)


def test_ids_are_paths_of_slots_and_inputs_stand_in_their_order() -> None:
    counters, iterator = PipelineCounters(), IteratorCounters()
    second = (sample(4, 2, "Root/0:Zip/1:Range"), sample(3, 2, "Root/0:Zip/0:Map"))

    counters.add(iterator, snapshot(root(1), sample(2, 1, "Root/0:Zip"), *second))
    counters.add(iterator, snapshot(root(2), sample(2, 1, "Root/0:Zip"), sample(5, 2, "Root/0:Zip/0:ParallelMapV2")))
    stages = counters.freeze()

    assert [(stage.id, stage.node) for stage in stages] == [
        ("0", "Root"),
        ("0.0", "Zip"),
        ("0.0.0", "Map"),
        ("0.0.0~1", "ParallelMapV2"),
        ("0.0.1", "Range"),
    ]
    assert stages[1].inputs == ("0.0.0", "0.0.0~1", "0.0.1")


def test_no_snapshot_gives_no_stage() -> None:
    assert PipelineCounters().freeze() == ()


def test_waiting_for_the_elements_of_a_buffer_is_no_work_of_the_shuffle_that_fills_it() -> None:
    counters, iterator = PipelineCounters(), IteratorCounters()
    counters.add(iterator, snapshot(root(0), sample(2, 1, "Root/0:Shuffle", 0, busy_s=2.0)))  # while it fills
    counters.add(iterator, snapshot(root(10), sample(2, 1, "Root/0:Shuffle", 10, busy_s=4.0)))
    counters.add(iterator, snapshot(root(60), sample(2, 1, "Root/0:Shuffle", 60, busy_s=4.1)))

    assert by_node(counters)["Shuffle"].busy_s == pytest.approx(60 * 0.1 / 50)


def test_a_shuffle_that_was_seen_only_while_it_filled_has_no_work_that_is_known() -> None:
    counters, iterator = PipelineCounters(), IteratorCounters()
    counters.add(iterator, snapshot(root(10), sample(2, 1, "Root/0:ShuffleAndRepeat", 10, busy_s=4.0)))

    assert by_node(counters)["ShuffleAndRepeat"].busy_s == 0
