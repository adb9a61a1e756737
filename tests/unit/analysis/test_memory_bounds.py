"""Upper bounds of what changes hold in memory, on planted pipelines where AUTOTUNE chooses."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from pipeprof.analysis import memory_bounds
from pipeprof.analysis.memory_bounds import most_bytes, saved_bytes
from pipeprof.analysis.place import Place
from pipeprof.model.profile import Autotune, Change
from tests.support.builders import Scene, StageSpec, stage

AUTO = {"num_parallel_calls": -1}
GB = 1_000_000_000
READER = 256 * 1024

SOURCE = stage("range", element_bytes=8)
MAP = stage("map", 0.03, visits=32.0, element_bytes=1000)
TUNED = Autotune(enabled=True, ram_budget_bytes=4 * GB)


def scene(*stages: StageSpec, **facts: object) -> Scene:
    return Scene(stages=stages, **({"autotune": TUNED, "cores": 4} | facts))  # type: ignore[arg-type]


def place(planted: Scene, kind: str, stage_id: str = "s1", **params: int) -> Place:
    analysis = planted.analysis()
    view = analysis.pipelines[0]
    return Place(analysis=analysis, view=view, stage=view.stage(stage_id), change=Change(kind=kind, params=params))


def most(planted: Scene, kind: str, stage_id: str = "s1", **params: int) -> int | None:
    return most_bytes(place(planted, kind, stage_id, **params))


def test_calls_at_once_hold_an_element_for_each_thread_and_the_one_in_hand() -> None:
    assert most(scene(SOURCE, MAP), "parallel_calls", **AUTO) == 5 * 1000
    assert most(scene(SOURCE, MAP, pool=16), "parallel_calls", **AUTO) == 17 * 1000
    assert most(scene(SOURCE, MAP), "parallel_calls", num_parallel_calls=2) == 3 * 1000


def test_a_map_that_runs_in_one_with_its_batch_holds_batches() -> None:
    batched = scene(SOURCE, MAP, stage("batch", arguments={"batch_size": 32}))

    assert most(batched, "parallel_calls", **AUTO) == 5 * 1000 + 17 * 32 * 1000
    assert most(scene(SOURCE, MAP, stage("batch")), "parallel_calls", **AUTO) is None  # of an unknown size


def test_what_is_not_measured_has_no_bound() -> None:
    unknown = scene(SOURCE, stage("map", 0.03))

    assert most(unknown, "parallel_calls", **AUTO) is None
    assert most(unknown, "cache") is None
    assert most(scene(SOURCE, MAP, autotune=None), "prefetch") is None


@pytest.mark.parametrize(
    ("cycle", "calls", "files"),
    [
        (-1, -1, 2),  # a third of four cores, rounded up
        (-1, 3, 3),
        (10, -1, 10),
        (10, 2, 10),  # calls bound the work, not what is open
    ],
)
def test_an_interleave_holds_readers_and_elements_of_its_files_and_of_those_opened_early(
    cycle: int, calls: int, files: int
) -> None:
    reading = stage("interleave", 0.03, element_bytes=1000, arguments={"cycle_length": cycle, "block_length": 2})

    found = most(scene(SOURCE, reading), "parallel_calls", num_parallel_calls=calls)

    assert found == 3 * files * (READER + 6 * 1000)


def test_files_that_are_read_at_once_are_as_many_as_asked_for_or_follow_the_cores() -> None:
    reading = scene(SOURCE, stage("flat_map", 0.03, element_bytes=1000))

    assert most(reading, "interleave", cycle_length=5) == 15 * (READER + 4 * 1000)
    assert most(reading, "interleave") == 6 * (READER + 4 * 1000)


def test_an_interleave_of_datasets_that_hold_elements_themselves_has_no_bound() -> None:
    shuffled = stage("interleave", 0.03, element_bytes=1000, inner_nodes=(("Shuffle", 0.5),))

    assert most(scene(SOURCE, shuffled), "parallel_calls", **AUTO) is None


def test_a_prefetch_may_take_the_budget_or_all_elements_that_there_are() -> None:
    endless = scene(SOURCE, stage("map", 0.03, element_bytes=1000, cardinality=-1))
    finite = scene(SOURCE, stage("map", 0.03, element_bytes=1000, cardinality=500))
    tiny = scene(SOURCE, MAP, autotune=Autotune(enabled=True, ram_budget_bytes=100.0))

    assert most(endless, "prefetch") == 4 * GB
    assert most(finite, "prefetch") == 500_000
    assert most(tiny, "prefetch") == 1000  # one element waits whatever the budget


def test_what_prefetches_were_granted_is_part_of_the_budget() -> None:
    held = stage("prefetch", buffered=(2.0, 4.0, 4e6))

    assert most(scene(SOURCE, MAP, held), "prefetch", "s2") == 4 * GB + 4_000_000


@pytest.mark.parametrize(("size", "granted"), [(None, 0.0), (16.0, 64_000.0)])
def test_a_prefetch_that_was_empty_whenever_it_was_seen_was_granted_its_size_all_the_same(
    size: float | None, granted: float
) -> None:
    analysis = scene(SOURCE, MAP, stage("prefetch")).analysis()
    (node,) = [item for item in analysis.pipelines[0].record.executed if item.node == "Prefetch"]
    empty = replace(
        node, elements=100, bytes_produced=400_000, buffer_size=size, buffered_elements_max=0.0, buffered_bytes_max=0.0
    )

    assert memory_bounds._granted_bytes(empty) == granted


def test_a_budget_that_is_not_stated_is_half_of_the_machines_memory_at_most() -> None:
    off = scene(SOURCE, MAP, autotune=Autotune(enabled=False), memory_bytes=16 * GB)

    assert most(off, "enable_autotune") == 8 * GB
    assert most(off.but(autotune=Autotune(enabled=False, ram_budget_bytes=1.0 * GB)), "enable_autotune") == GB
    assert most(off.but(memory_bytes=None), "enable_autotune") is None


def test_autotune_does_not_take_back_the_calls_that_it_begins_with() -> None:
    small = Autotune(enabled=False, ram_budget_bytes=100.0)

    assert most(scene(SOURCE, MAP, autotune=small), "enable_autotune") == 5 * 1000


def test_a_larger_pool_lets_autotune_run_more_calls() -> None:
    tuned = scene(SOURCE, stage("map", 0.03, element_bytes=1000, tuned=True))

    assert most(tuned, "thread_pool", private_threadpool_size=16) == 17 * 1000
    assert most(scene(SOURCE, MAP), "thread_pool", private_threadpool_size=16) is None  # its calls are as written


@pytest.mark.parametrize(("held", "saved"), [(3e9, 2 * GB), (5e8, 0)])
def test_a_smaller_budget_gives_back_what_buffers_held_beyond_it(held: float, saved: int) -> None:
    planted = scene(SOURCE, MAP, stage("prefetch", buffered=(2.0, 4.0, held)))

    found = place(planted, "limit_memory", "s2", ram_budget=GB)

    assert (most_bytes(found), saved_bytes(found)) == (GB, saved)


def test_only_a_budget_gives_back_memory() -> None:
    planted = scene(SOURCE, MAP, stage("prefetch", buffered=(2.0, 4.0, 3e9)))

    assert saved_bytes(place(planted, "prefetch", "s2")) is None


def test_a_bound_is_a_whole_number_of_bytes_and_never_below_the_calculation() -> None:
    odd = scene(SOURCE, MAP, autotune=Autotune(enabled=True, ram_budget_bytes=5000.5))

    assert most(odd, "prefetch") == math.ceil(5000.5)
