"""Real pipelines with what TensorFlow 2.21 makes of each written stage, and how many elements pass it in two epochs.

The counts are plain arithmetic on the sizes planted here; what TensorFlow does to a stage was found by running it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

tf = pytest.importorskip("tensorflow")

N = 200  # elements of a source
STEPS = N // 4
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
