"""Buffers and AUTOTUNE's parallelism over time, from planted snapshots."""

from __future__ import annotations

from pipeprof.capture.levels import MAX_LEVELS, Levels, merge_levels
from pipeprof.capture.model_tree import Sample, Snapshot
from pipeprof.model.profile import LevelBin


def sample(position: str, *, buffered: int = 0, size: float | None = None, parallelism: float | None = None) -> Sample:
    return Sample(
        number=1, parent=None, position=position, slot=0, node=position, elements=1, busy_s=0.0, bytes_produced=0,
        bytes_consumed=0, buffered_elements=buffered, buffered_bytes=0, known_ratio=None, parallelism=parallelism,
        parallelism_max=None, tuned=parallelism is not None, buffer_size=size,
    )  # fmt: skip


def snapshot(*samples: Sample, delivered: int = 5) -> Snapshot:
    root = Sample(
        number=0, parent=None, position="Root", slot=0, node="Root", elements=delivered, busy_s=0.0, bytes_produced=0,
        bytes_consumed=0, buffered_elements=0, buffered_bytes=0, known_ratio=None, parallelism=None,
        parallelism_max=None, tuned=False, buffer_size=None,
    )  # fmt: skip
    return Snapshot((root, *samples), (), None, None)


IDS = {"Prefetch": "0.0", "Map": "0.0.0"}


def test_buffers_and_tuned_parallelism_are_kept_by_stage_and_nothing_else() -> None:
    levels = Levels()

    levels.add(2.0, snapshot(sample("Prefetch", buffered=3, size=8.0), sample("Map", parallelism=2.0), sample("Range")))

    (item,) = levels.freeze(IDS)
    assert (item.start_s, item.buffered, item.parallelism) == (2.0, {"0.0": 3.0}, {"0.0.0": 2.0})


def test_an_empty_buffer_of_a_known_size_is_a_level_too() -> None:
    levels = Levels()

    levels.add(2.0, snapshot(sample("Prefetch", buffered=0, size=8.0)))

    assert levels.freeze(IDS)[0].buffered == {"0.0": 0.0}


def test_before_the_first_element_nothing_is_kept() -> None:
    levels = Levels()

    levels.add(1.0, snapshot(sample("Prefetch", size=8.0), delivered=0))

    assert levels.freeze(IDS) == ()


def test_merging_means_what_is_buffered_and_keeps_the_last_parallelism() -> None:
    first = LevelBin(start_s=0, end_s=1, buffered={"a": 4.0, "b": 1.0}, parallelism={"m": 1.0}, samples=3)
    second = LevelBin(start_s=1, end_s=2, buffered={"a": 0.0}, parallelism={"m": 2.0})

    assert merge_levels(first, second) == LevelBin(
        start_s=0, end_s=2, buffered={"a": 3.0, "b": 1.0}, parallelism={"m": 2.0}, samples=4
    )


def test_a_long_run_keeps_as_many_bins_as_a_short_one() -> None:
    levels = Levels()

    for second in range(10 * MAX_LEVELS):
        levels.add(float(second), snapshot(sample("Prefetch", buffered=2, size=8.0)))

    bins = levels.freeze(IDS)
    assert len(bins) <= MAX_LEVELS
    assert sum(item.samples for item in bins) == 10 * MAX_LEVELS
    assert {item.buffered["0.0"] for item in bins} == {2.0}
