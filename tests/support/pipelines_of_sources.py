"""Cases of sources and fan-outs, of what changes the number of elements, of several inputs, and of what has no node."""

from __future__ import annotations

import pytest

from tests.support.pipelines import (
    AUTO,
    BATCHED,
    EPOCHS,
    FILES,
    FUSED_BATCH,
    FUSED_MAP,
    PARALLEL_MAP,
    PREFETCH,
    RANGE,
    RECORDS,
    REMOVED,
    TOTAL,
    Case,
    N,
    about,
    add_one,
    files,
    identity,
    numbers,
    source,
    text,
    unordered,
)

tf = pytest.importorskip("tensorflow")

SOURCES = [
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
