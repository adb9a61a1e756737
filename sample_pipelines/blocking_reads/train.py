"""Trains on pictures fetched one by one from a store that answers after 20 milliseconds, as remote object stores do.

Symptom: the processor idles and training waits; a larger ``num_parallel_calls`` changes nothing.
Cause: a call that waits holds one of the threads of tf.data's pool, and the pool has one for each core. With two cores, two
requests are under way, whatever ``num_parallel_calls`` says.
Cure: a larger pool, ``options.threading.private_threadpool_size``; see ``fixed.py``.

The store is a stand-in: a function that sleeps and then reads a small file.

    python sample_pipelines/make_data.py
    python sample_pipelines/blocking_reads/train.py [--epochs N] [--steps N] [--data DIR]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

BATCH = 32
SIDE = 64
SHAPES = ("disc", "square", "triangle", "ring")
CLASSES = len(SHAPES)
LATENCY_S = 0.02


def fetch(key: bytes) -> bytes:
    """Return the object's content, after the store's latency."""
    time.sleep(LATENCY_S)
    return Path(key.decode()).read_bytes()


def load(key, label):
    """Return the picture and its label."""
    content = tf.numpy_function(fetch, [key], tf.string)
    picture = tf.io.decode_jpeg(content, channels=3)
    return tf.ensure_shape(picture, [SIDE, SIDE, 3]), label


def make_dataset(data: Path) -> tf.data.Dataset:
    keys = sorted(str(path) for path in (data / "objects").glob("*.jpg"))
    labels = [SHAPES.index(Path(key).stem.split("-")[1]) for key in keys]
    dataset = tf.data.Dataset.from_tensor_slices((keys, labels)).shuffle(len(keys))
    dataset = dataset.map(load, num_parallel_calls=tf.data.AUTOTUNE)
    dataset = dataset.batch(BATCH, drop_remainder=True)
    return dataset.prefetch(tf.data.AUTOTUNE)


def make_model() -> tf.keras.Model:
    layers = tf.keras.layers
    return tf.keras.Sequential(
        [
            layers.Input((SIDE, SIDE, 3), dtype="uint8"),
            layers.Rescaling(1 / 127.5, offset=-1),
            layers.Conv2D(8, 5, strides=4, activation="relu"),
            layers.Conv2D(16, 3, strides=2, activation="relu"),
            layers.Flatten(),
            layers.Dense(32, activation="relu"),
            layers.Dense(CLASSES),
        ]
    )


def train(dataset: tf.data.Dataset, epochs: int) -> None:
    model = make_model()
    model.compile("adam", tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(dataset, epochs=epochs, verbose=2)


def main(make: Callable[[Path], tf.data.Dataset] = make_dataset) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[1] / "data")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--steps", type=int, help="steps of an epoch (default: the whole data set)")
    given = parser.parse_args()
    if not (given.data / "manifest.json").is_file():
        raise SystemExit(f"no data in {given.data}: make it with python sample_pipelines/make_data.py")
    dataset = make(given.data)
    if given.steps:
        dataset = dataset.take(given.steps)
    started = time.perf_counter()
    train(dataset, given.epochs)
    print(f"{time.perf_counter() - started:.1f} s")


if __name__ == "__main__":
    main()
