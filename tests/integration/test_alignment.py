"""Alignment on real pipelines: what TensorFlow made of each written stage, and how many elements passed it.

Each case is iterated for two epochs of short steps; the truth of every stage is plain arithmetic on the sizes planted here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeprof.analysis.alignment import align
from pipeprof.analysis.operational import view_pipeline
from pipeprof.capture.profile_maker import RunFacts
from pipeprof.capture.session import CaptureSession
from pipeprof.model.profile import PipelineRecord, Role
from pipeprof.settings import Settings

pytestmark = pytest.mark.tf

tf = pytest.importorskip("tensorflow")

N = 200  # elements of a source
BATCH = 4
STEPS = N // BATCH
EPOCHS = 2
FILES, RECORDS = 4, 50  # FILES * RECORDS == N
REMOVED = None  # TensorFlow left the stage out
AUTO = tf.data.AUTOTUNE

Stage = tuple[str, str | None, object]  # op as written, node, elements over both epochs


@dataclass(frozen=True)
class Case:
    """A pipeline, and what is to be seen of it."""

    name: str
    build: Callable[[Path], object]
    stages: tuple[Stage, ...]
    injected: tuple[str, ...] = ()
    fused: tuple[tuple[str, str], ...] = ()  # ids: (the stage that holds the time, the stage fused into it)


def source(count: int = N):
    return tf.data.Dataset.range(count)


def add_one(x):
    return x + 1


def add_noise(x):
    return tf.cast(x, tf.float32) + tf.random.uniform([])


def identity(x):
    return x


def numbers():
    yield from range(N)


def files(folder: Path) -> list[str]:
    paths = [str(folder / f"{index}.tfrecord") for index in range(FILES)]
    for path in paths:
        with tf.io.TFRecordWriter(path) as writer:
            for record in range(RECORDS):
                writer.write(str(record).encode())
    return paths


def text(folder: Path) -> str:
    path = folder / "lines.txt"
    path.write_text("\n".join(f"{line:03d}" for line in range(N)) + "\n")
    return str(path)


def unordered():
    options = tf.data.Options()
    options.deterministic = False
    return options


def about(count: float):
    """A count that rests on a measured ratio."""
    return pytest.approx(count, rel=0.25)


TOTAL, TOTAL_STEPS = EPOCHS * N, EPOCHS * STEPS
RANGE = ("range", "Range", TOTAL)
BATCHED = ("batch", "BatchV2", TOTAL_STEPS)
PARALLEL_MAP = ("map", "ParallelMapV2", TOTAL)
FUSED_MAP = ("map", "MapAndBatch", TOTAL)
FUSED_BATCH = ("batch", "MapAndBatch", TOTAL_STEPS)
PREFETCH = ("prefetch", "Prefetch", TOTAL_STEPS)

CASES = [
    # --- fusion, parallelisation, injection
    Case("map, batch", lambda _: source().map(add_one).batch(4), (RANGE, FUSED_MAP, FUSED_BATCH), (), (("s1", "s2"),)),
    Case(
        "map, batch, own prefetch",
        lambda _: source().map(add_one).batch(4).prefetch(2),
        (RANGE, FUSED_MAP, FUSED_BATCH, PREFETCH),
        (),
        (("s1", "s2"),),
    ),
    Case(
        "map with calls in parallel, batch",
        lambda _: source().map(add_one, num_parallel_calls=2).batch(4),
        (RANGE, FUSED_MAP, FUSED_BATCH),
        (),
        (("s1", "s2"),),
    ),
    Case(
        "unordered map, batch without remainder",
        lambda _: source().map(add_one, num_parallel_calls=2, deterministic=False).batch(4, drop_remainder=True),
        (RANGE, FUSED_MAP, FUSED_BATCH),
        (),
        (("s1", "s2"),),
    ),
    Case("random map, batch", lambda _: source().map(add_noise).batch(4), (RANGE, FUSED_MAP, FUSED_BATCH), (), (("s1", "s2"),)),
    Case(
        "several maps, a filter, batch",
        lambda _: source().map(add_one).map(add_one).filter(lambda x: x % 2 == 0).map(add_one).batch(4),
        (
            ("range", "Range", about(TOTAL)),
            ("map", "ParallelMapV2", about(TOTAL)),
            ("map", "ParallelMapV2", about(TOTAL)),
            ("filter", "Filter", TOTAL // 2),
            ("map", "MapAndBatch", TOTAL // 2),
            ("batch", "MapAndBatch", TOTAL_STEPS // 2),
        ),
        (),
        (("s4", "s5"),),
    ),
    Case(
        "map, batch in parallel",
        lambda _: source().map(add_one).batch(4, num_parallel_calls=2),
        (RANGE, PARALLEL_MAP, ("batch", "ParallelBatch", TOTAL_STEPS)),
    ),
    Case("map at the end", lambda _: source().map(add_one), (RANGE, PARALLEL_MAP)),
    Case("random map at the end", lambda _: source().map(add_noise), (RANGE, ("map", "Map", TOTAL)), ("Prefetch",)),
    Case(
        "batch, random map, prefetch",
        lambda _: source().batch(4).map(add_noise).prefetch(1),
        (RANGE, BATCHED, ("map", "Map", TOTAL_STEPS), PREFETCH),
    ),
    Case(
        "batch of batches",
        lambda _: source().batch(2).batch(2),
        (RANGE, ("batch", "BatchV2", TOTAL // 2), BATCHED),
        ("Prefetch",),
    ),
    Case(
        "padded batch",
        lambda _: source().map(lambda x: tf.fill([x % 3 + 1], x)).padded_batch(4),
        (RANGE, PARALLEL_MAP, ("padded_batch", "PaddedBatchV2", TOTAL_STEPS)),
        ("Prefetch",),
    ),
    Case(
        "ragged batch",
        lambda _: source().map(lambda x: tf.fill([x % 3 + 1], x)).ragged_batch(4),
        (RANGE, PARALLEL_MAP, ("ragged_batch", "MapAndBatch", TOTAL), FUSED_BATCH),
        (),
        (("s2", "s3"),),
    ),
    # --- prefetch
    Case(
        "prefetch in the middle",
        lambda _: source().map(add_one).prefetch(4).batch(4),
        (RANGE, PARALLEL_MAP, ("prefetch", "Prefetch", TOTAL), BATCHED),
        ("Prefetch",),
    ),
    Case(
        "prefetch in the middle and at the end",
        lambda _: source().prefetch(4).map(add_one).batch(4).prefetch(1),
        (RANGE, ("prefetch", "Prefetch", TOTAL), FUSED_MAP, FUSED_BATCH, PREFETCH),
        (),
        (("s2", "s3"),),
    ),
    Case(
        "two prefetches in a row",
        lambda _: source().batch(4).prefetch(2).prefetch(1),
        (RANGE, BATCHED, PREFETCH, PREFETCH),
    ),
    # --- shuffle, repeat, cache
    Case(
        "shuffle, batch",
        lambda _: source().shuffle(8).batch(4),
        (RANGE, ("shuffle", "Shuffle", TOTAL), BATCHED),
        ("Prefetch",),
    ),
    Case(
        "shuffle and repeat",
        lambda _: source(N // 2).shuffle(8).repeat(2).batch(4),
        (RANGE, ("shuffle", "ShuffleAndRepeat", TOTAL), ("repeat", "ShuffleAndRepeat", TOTAL), BATCHED),
        ("Prefetch",),
        (("s1", "s2"),),
    ),
    Case(
        "repeat, then shuffle",
        lambda _: source(N // 2).repeat(2).shuffle(8).batch(4),
        (RANGE, ("repeat", "FiniteRepeat", TOTAL), ("shuffle", "Shuffle", TOTAL), BATCHED),
        ("Prefetch",),
    ),
    Case(
        "repeat after batch",
        lambda _: source(N // 2).batch(4).repeat(2),
        (RANGE, BATCHED, ("repeat", "FiniteRepeat", TOTAL_STEPS)),
        ("Prefetch",),
    ),
    Case(
        "endless repeat, take",
        lambda _: source().repeat().batch(4).take(STEPS),
        (RANGE, ("repeat", "ForeverRepeat", TOTAL), BATCHED, ("take", "FiniteTake", TOTAL_STEPS)),
        ("Prefetch",),
    ),
    Case(
        "memory cache filled in the first epoch",
        lambda _: source().map(add_one).cache().batch(4),
        (("range", "Range", N), ("map", "ParallelMapV2", N), ("cache", "MemoryCache + MemoryCacheImpl", TOTAL), BATCHED),
        ("Prefetch",),
    ),
    Case(
        "file cache filled in the first epoch",
        lambda folder: source().map(add_one).cache(str(folder / "cache")).batch(4),
        (("range", "Range", N), ("map", "ParallelMapV2", N), ("cache", "FileCache + FileCacheImpl", TOTAL), BATCHED),
        ("Prefetch",),
    ),
    Case(
        "cache of batches",
        lambda _: source().map(add_one).batch(4).cache(),
        (
            ("range", "Range", N),
            ("map", "MapAndBatch", N),
            ("batch", "MapAndBatch", STEPS),
            ("cache", "MemoryCache + MemoryCacheImpl", TOTAL_STEPS),
        ),
        ("Prefetch",),
        (("s1", "s2"),),
    ),
    Case(
        "cache below a repeat",
        lambda _: source(N // 4).map(add_noise).cache().repeat(4).batch(4).map(add_one).prefetch(AUTO),
        (
            ("range", "Range", N // 4),
            ("map", "Map", N // 4),
            ("cache", "MemoryCache + MemoryCacheImpl", TOTAL),
            ("repeat", "FiniteRepeat", TOTAL),
            BATCHED,
            ("map", "ParallelMapV2", TOTAL_STEPS),
            PREFETCH,
        ),
    ),
    Case(
        "one batch cached and repeated",
        lambda _: source().map(add_one).take(1).cache().repeat(STEPS),
        (
            ("range", "Range", 1),
            ("map", "ParallelMapV2", 1),
            ("take", "FiniteTake", 1),
            ("cache", "MemoryCache + MemoryCacheImpl", TOTAL_STEPS),
            ("repeat", "FiniteRepeat", TOTAL_STEPS),
        ),
        ("Prefetch",),
    ),
    # --- sources and fan-outs
    Case(
        "interleave",
        lambda _: source(20).interleave(lambda _x: source(10).map(add_one), cycle_length=2).batch(4),
        (("range", "Range", about(40)), ("interleave", "Interleave + Map + Range", TOTAL), BATCHED),
        ("Prefetch",),
    ),
    Case(
        "interleave in parallel",
        lambda _: source(20).interleave(lambda _x: source(10).map(add_one), cycle_length=2, num_parallel_calls=2).batch(4),
        (("range", "Range", pytest.approx(40, rel=0.6)), ("interleave", "ParallelInterleaveV4 + Map + Range", TOTAL), BATCHED),
        ("Prefetch",),
    ),
    Case(
        "flat_map",
        lambda _: source(20).flat_map(lambda _x: source(10)).batch(4),
        (("range", "Range", about(40)), ("flat_map", "FlatMap + Range", TOTAL), BATCHED),
        ("Prefetch",),
    ),
    Case(
        "TFRecordDataset of one file",
        lambda folder: tf.data.TFRecordDataset(files(folder)[0]).batch(2),
        (
            ("from_tensor_slices", "TensorSlice", EPOCHS),
            ("TFRecordDataset", "FlatMap + TFRecord", EPOCHS * RECORDS),
            ("batch", "BatchV2", EPOCHS * RECORDS // 2),
        ),
        ("Prefetch",),
    ),
    Case(
        "TFRecordDataset of several files",
        lambda folder: tf.data.TFRecordDataset(files(folder)).batch(4),
        (("from_tensor_slices", "TensorSlice", EPOCHS * FILES), ("TFRecordDataset", "FlatMap + TFRecord", TOTAL), BATCHED),
        ("Prefetch",),
    ),
    Case(
        "TFRecordDataset with parallel reads",
        lambda folder: tf.data.TFRecordDataset(files(folder), num_parallel_reads=2).batch(4),
        (
            ("from_tensor_slices", "TensorSlice", EPOCHS * FILES),
            ("TFRecordDataset", "LegacyParallelInterleaveV2 + TFRecord", TOTAL),
            BATCHED,
        ),
        ("Prefetch",),
    ),
    Case(
        "TFRecordDataset with reads by AUTOTUNE",
        lambda folder: tf.data.TFRecordDataset(files(folder), num_parallel_reads=AUTO).batch(4),
        (
            ("from_tensor_slices", "TensorSlice", EPOCHS * FILES),
            ("TFRecordDataset", "ParallelInterleaveV4 + TFRecord", TOTAL),
            BATCHED,
        ),
        ("Prefetch",),
    ),
    Case(
        "files interleaved, map, batch, prefetch",
        lambda folder: (
            tf.data.Dataset.from_tensor_slices(files(folder))
            .interleave(tf.data.TFRecordDataset, num_parallel_calls=AUTO)
            .map(tf.strings.length)
            .batch(4)
            .prefetch(AUTO)
        ),
        (
            ("from_tensor_slices", "TensorSlice", EPOCHS * FILES),
            ("interleave", "ParallelInterleaveV4 + FlatMap + TensorSlice + TFRecord", TOTAL),
            FUSED_MAP,
            FUSED_BATCH,
            PREFETCH,
        ),
        (),
        (("s2", "s3"),),
    ),
    Case(
        "TextLineDataset",
        lambda folder: tf.data.TextLineDataset(text(folder)).batch(4),
        (("TextLineDataset", "FlatMap + TensorSlice + TextLine", TOTAL), BATCHED),
        ("Prefetch",),
    ),
    Case(
        "FixedLengthRecordDataset",
        lambda folder: tf.data.FixedLengthRecordDataset(text(folder), 4).batch(4),
        (("FixedLengthRecordDataset", "FlatMap + TensorSlice + FixedLengthRecordV2", TOTAL), BATCHED),
        ("Prefetch",),
    ),
    Case(
        "CsvDataset",
        lambda folder: tf.data.experimental.CsvDataset(text(folder), [tf.int32]).batch(4),
        (("CsvDataset", "CSV", TOTAL), BATCHED),
        ("Prefetch",),
    ),
    Case(
        "from_generator",
        lambda _: tf.data.Dataset.from_generator(numbers, output_signature=tf.TensorSpec((), tf.int64)).batch(4),
        (("from_tensors", "FromTensor", EPOCHS), ("from_generator", "FlatMap + Generator", TOTAL), BATCHED),
        ("Prefetch",),
    ),
    Case(
        "from_tensor_slices of a dictionary",
        lambda _: tf.data.Dataset.from_tensor_slices({"a": list(range(N))}).batch(4),
        (("from_tensor_slices", "TensorSlice", TOTAL), BATCHED),
        ("Prefetch",),
    ),
    Case(
        "counter",
        lambda _: tf.data.Dataset.counter().take(N).batch(4),
        (
            ("from_tensors", "FromTensor", TOTAL),
            ("repeat", "ForeverRepeat", TOTAL),
            ("scan", "Scan", TOTAL),
            ("take", "FiniteTake", TOTAL),
            BATCHED,
        ),
        ("Prefetch",),
    ),
    # --- what changes the number of elements
    Case(
        "filter",
        lambda _: source().filter(lambda x: x % 4 == 0).batch(2),
        (("range", "Range", about(TOTAL)), ("filter", "Filter", TOTAL // 4), ("batch", "BatchV2", TOTAL // 8)),
        ("Prefetch",),
    ),
    Case("take", lambda _: source(1000).take(N).batch(4), (RANGE, ("take", "FiniteTake", TOTAL), BATCHED), ("Prefetch",)),
    Case(
        "shard",
        lambda _: source(4 * N).shard(4, 1).batch(4),
        (("range", "Range", 4 * TOTAL), ("shard", "Shard", TOTAL), BATCHED),
        ("Prefetch",),
    ),
    Case(
        "unbatch",
        lambda _: source().batch(8).unbatch().batch(4),
        (
            ("range", "Range", about(TOTAL)),
            ("batch", "BatchV2", about(TOTAL // 8)),
            ("map", REMOVED, None),
            ("restructure", REMOVED, None),
            ("unbatch", "Unbatch", TOTAL),
            BATCHED,
        ),
        ("Prefetch",),
    ),
    Case(
        "scan and take_while",
        lambda _: source(2 * N).scan(tf.constant(0, tf.int64), lambda s, x: (s + 1, s)).take_while(lambda x: x < N).batch(4),
        (RANGE, ("scan", "Scan", TOTAL), ("take_while", "TakeWhile", TOTAL), BATCHED),
        ("Prefetch",),
    ),
    # --- several inputs
    Case(
        "zip",
        lambda _: tf.data.Dataset.zip(source().map(add_one), source().cache()).batch(4),
        (
            RANGE,
            PARALLEL_MAP,
            ("range", "Range", N),
            ("cache", "MemoryCache + MemoryCacheImpl", TOTAL),
            ("zip", "Zip", TOTAL),
            BATCHED,
        ),
        ("Prefetch",),
    ),
    Case(
        "concatenate",
        lambda _: source(60).map(add_one).concatenate(source(140)).batch(4),
        (
            ("range", "Range", 120),
            ("map", "ParallelMapV2", 120),
            ("range", "Range", 280),
            ("concatenate", "Concatenate", TOTAL),
            BATCHED,
        ),
        ("Prefetch",),
    ),
    Case(
        "concatenate of two alike",
        lambda _: source(60).map(add_one).concatenate(source(140).map(add_one)).batch(4),
        (
            ("range", "Range", 120),
            ("map", "ParallelMapV2", 120),
            ("range", "Range", 280),
            ("map", "ParallelMapV2", 280),
            ("concatenate", "Concatenate", TOTAL),
            BATCHED,
        ),
        ("Prefetch",),
    ),
    Case(
        "enumerate",
        lambda _: source().map(add_one).enumerate().batch(4),
        (("variant", "Range", TOTAL), RANGE, PARALLEL_MAP, ("zip", "Zip", TOTAL), BATCHED),
        ("Prefetch",),
    ),
    Case(
        "choose_from_datasets",
        lambda _: tf.data.Dataset.choose_from_datasets(
            [source(N // 2).map(add_one), source(N // 2)], source(2).repeat(N // 2)
        ).batch(4),
        (
            ("variant", "FiniteRepeat + Range", about(TOTAL)),
            ("range", "Range", about(TOTAL // 2)),
            ("map", "ParallelMapV2", about(TOTAL // 2)),
            ("range", "Range", about(TOTAL // 2)),
            ("sample_from_datasets", "DirectedInterleave", TOTAL),
            BATCHED,
        ),
        ("Prefetch",),
    ),
    # --- what has no node
    Case(
        "stages that do nothing",
        lambda _: source().map(identity).repeat(1).skip(0).take(-1).batch(4),
        (RANGE, ("map", REMOVED, None), ("repeat", REMOVED, None), ("skip", REMOVED, None), ("take", REMOVED, None), BATCHED),
        ("Prefetch",),
    ),
    Case(
        "the identity among maps, whichever it is",
        lambda _: source().map(add_one).map(identity).batch(4),
        (RANGE, FUSED_MAP, ("map", REMOVED, None), FUSED_BATCH),
        (),
        (("s1", "s3"),),
    ),
    Case(
        "a no-op between map and batch",
        lambda _: source().map(add_one).repeat(1).batch(4),
        (RANGE, FUSED_MAP, ("repeat", REMOVED, None), FUSED_BATCH),
        (),
        (("s1", "s3"),),
    ),
    Case(
        "options",
        lambda _: source().map(add_one).batch(4).with_options(unordered()),
        (RANGE, FUSED_MAP, FUSED_BATCH, ("with_options", REMOVED, None)),
        (),
        (("s1", "s2"),),
    ),
    Case(
        "options between map and batch keep them apart",
        lambda _: source().map(add_one).with_options(unordered()).batch(4),
        (RANGE, PARALLEL_MAP, ("with_options", REMOVED, None), BATCHED),
        ("Prefetch",),
    ),
]


def observe(build: Callable[[], object]) -> PipelineRecord:
    """Iterate a dataset for two epochs of short steps under a capture."""
    capture = CaptureSession(Settings(), RunFacts(id="test", command=("test",), started_at="", working_directory=""))
    capture.start()
    try:
        dataset = build()
        for _ in range(EPOCHS):
            for _batch in dataset:
                time.sleep(0.001)
    finally:
        profile = capture.stop()
    return next(record for record in profile.pipelines if record.role is Role.TRAIN)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_written_stage_is_found_in_what_tensorflow_ran(case, tmp_path):
    record = observe(lambda: case.build(tmp_path))

    view = view_pipeline(record)

    written = [item for item in view.stages if item.written is not None]
    assert [(item.stage.op, item.stage.executed_as, item.stage.elements) for item in written] == list(case.stages)
    steps = record.loop.elements
    assert [item.visit_ratio for item in written] == [
        None if count is None else pytest.approx(item.stage.elements / steps, abs=0.5 / steps)
        for item, (_op, _node, count) in zip(written, case.stages, strict=True)
    ]
    assert [item.stage.executed_as for item in view.stages if item.stage.injected] == list(case.injected)
    assert [(item.stage.fused_into, item.id) for item in written if item.stage.fused_into] == list(case.fused)
    assert [item.shares_node_with for item in written if item.shares_node_with] == [
        (other,) for pair in case.fused for other in reversed(pair)
    ]
    assert align(record).unexplained == []
