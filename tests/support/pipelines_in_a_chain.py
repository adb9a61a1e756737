"""Cases of chains: fusion, parallelisation, injected and own prefetches, shuffle, repeat and cache."""

from __future__ import annotations

import pytest

from tests.support.pipelines import (
    AUTO,
    BATCHED,
    FUSED_BATCH,
    FUSED_MAP,
    PARALLEL_MAP,
    PREFETCH,
    RANGE,
    STEPS,
    TOTAL,
    TOTAL_STEPS,
    Case,
    N,
    about,
    add_noise,
    add_one,
    source,
)

tf = pytest.importorskip("tensorflow")

CHAINS = [
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
]
