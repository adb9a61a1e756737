"""Pipelines that TensorFlow's and Keras' own helpers build, with the written stage that must carry the time and its node."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

tf = pytest.importorskip("tensorflow")

RANGE = tf.data.Dataset.range
N = 200


@dataclass(frozen=True)
class LibraryCase:
    """A pipeline, and some of what is to be seen of it."""

    name: str
    build: Callable[[Path], object]
    executed: tuple[tuple[str, str | None], ...]  # op as written and its first node, in written order; others may lie between
    rewrites: frozenset[str] = frozenset()


def csv_file(folder: Path) -> str:
    path = folder / "rows.csv"
    path.write_text("a,b\n" + "".join(f"{index},{2 * index}\n" for index in range(N)))
    return str(path)


def image_folder(folder: Path) -> str:
    for label in "ab":
        (folder / label).mkdir()
        for index in range(20):
            picture = tf.io.encode_png(tf.zeros([8, 8, 3], tf.uint8))
            tf.io.write_file(str(folder / label / f"{index}.png"), picture)
    return str(folder)


def from_image_folder(folder: Path) -> object:
    import keras

    return keras.utils.image_dataset_from_directory(image_folder(folder), image_size=(8, 8), batch_size=4, verbose=False)


def saved_and_loaded(folder: Path) -> object:
    RANGE(N).save(str(folder / "saved"))
    return tf.data.Dataset.load(str(folder / "saved")).batch(4)


def sampled(_folder: Path) -> object:
    parts = [RANGE(100).map(lambda x: x + 1), RANGE(100).repeat()]
    return tf.data.Dataset.sample_from_datasets(parts, [0.5, 0.5]).batch(4).take(50)


def by_length(_folder: Path) -> object:
    rows = RANGE(N).map(lambda x: tf.fill([x % 5 + 1], x))
    return rows.bucket_by_sequence_length(lambda row: tf.shape(row)[0], [3], [4, 4])


def resampled(_folder: Path) -> object:
    labels = RANGE(2 * N).map(lambda x: x % 2)
    return labels.rejection_resample(lambda x: tf.cast(x, tf.int32), [0.5, 0.5]).batch(4)


def nested(_folder: Path) -> object:
    inner = lambda x: RANGE(5).map(lambda z: z + x)  # noqa: E731
    outer = lambda _: RANGE(5).interleave(inner, cycle_length=2)  # noqa: E731
    return RANGE(8).interleave(outer, cycle_length=2, num_parallel_calls=2).batch(4)


LIBRARY_CASES = (
    LibraryCase(
        "image_dataset_from_directory",
        from_image_folder,
        (("map", "MapAndBatch"), ("batch", "MapAndBatch"), ("prefetch", "Prefetch")),
        frozenset({"map_and_batch_fusion"}),
    ),
    LibraryCase(
        "make_csv_dataset",
        lambda folder: tf.data.experimental.make_csv_dataset(csv_file(folder), batch_size=4, num_epochs=1),
        (("shuffle", "Shuffle"), ("batch", "BatchV2"), ("prefetch", "Prefetch")),
    ),
    LibraryCase(
        "sample_from_datasets",
        sampled,
        (("map", "ParallelMapV2"), ("repeat", "ForeverRepeat"), ("sample_from_datasets", "DirectedInterleave")),
        frozenset({"map_parallelization", "inject_prefetch"}),
    ),
    LibraryCase(
        "group_by_window",
        lambda _: RANGE(N).group_by_window(lambda x: x % 2, lambda _key, window: window.batch(4), 4),
        (("range", "Range"), ("group_by_window", "GroupByWindow")),
    ),
    LibraryCase("bucket_by_sequence_length", by_length, (("map", "ParallelMapV2"), ("group_by_window", "GroupByWindow"))),
    LibraryCase("rejection_resample", resampled, (("scan", "Scan"), ("sample_from_datasets", "DirectedInterleave"))),
    LibraryCase(
        "snapshot",
        lambda folder: RANGE(N).map(lambda x: x + 1).snapshot(str(folder / "snapshot")).batch(4),
        (("map", "ParallelMapV2"), ("snapshot", "Snapshot"), ("batch", "MapAndBatch")),
    ),
    LibraryCase("save and load", saved_and_loaded, (("load", "Load"), ("batch", "BatchV2"))),
    LibraryCase(
        "rebatch",
        lambda _: RANGE(N).batch(4).rebatch(8),
        (("batch", "BatchV2"), ("rebatch", "RebatchV2")),
        frozenset({"noop_elimination", "inject_prefetch"}),
    ),
    LibraryCase(
        "window and flat_map",
        lambda _: RANGE(N).window(4).flat_map(lambda window: window.batch(4)),
        (("window", "Window"), ("flat_map", "FlatMap")),
        frozenset({"inner pipelines"}),
    ),
    LibraryCase("nested interleave", nested, (("range", "Range"), ("interleave", "ParallelInterleaveV4"))),
    LibraryCase(
        "unique and ignore_errors",
        lambda _: RANGE(N).unique().ignore_errors().batch(4),
        (("unique", "Unique"), ("ignore_errors", "IgnoreErrors"), ("batch", "BatchV2")),
    ),
    LibraryCase(
        "prefetch_to_device",
        lambda _: RANGE(N).map(lambda x: x + 1).batch(4).apply(tf.data.experimental.prefetch_to_device("/cpu:0")),
        (("copy_to_device", "Generator"), ("prefetch", "Prefetch")),
        frozenset({"hidden behind a device"}),
    ),
)
