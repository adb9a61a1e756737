"""Trains on pictures that are decoded and augmented in one function, which TensorFlow runs one call at a time.

Symptom: one core is busy, the others idle, and ``prefetch(AUTOTUNE)`` changes nothing.
Cause: TensorFlow makes a ``map`` parallel by itself only where its function has no state. ``tf.random`` and
``tf.image.random_*`` have state, so this whole function, the costly decoding included, stays sequential.
Cure: ask for it, ``num_parallel_calls=tf.data.AUTOTUNE``; see ``fixed.py``. No seed is set, so no draw had a fixed place
before, and none loses it.

    python sample_pipelines/make_data.py
    python sample_pipelines/random_augmentation/train.py [--epochs N] [--steps N] [--data DIR]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

BATCH = 32
SIDE = 64
CLASSES = 4


def load_and_augment(record):
    """Return a random crop of the picture, at the model's size, and its label."""
    example = tf.io.parse_single_example(
        record, {"image": tf.io.FixedLenFeature([], tf.string), "label": tf.io.FixedLenFeature([], tf.int64)}
    )
    picture = tf.io.decode_jpeg(example["image"], channels=3)
    shortest = tf.reduce_min(tf.shape(picture)[:2])
    side = tf.cast(tf.cast(shortest, tf.float32) * tf.random.uniform([], 0.85, 1.0), tf.int32)
    crop = tf.image.random_crop(picture, [side, side, 3])
    small = tf.image.resize(crop, [SIDE, SIDE])
    small = tf.image.random_flip_left_right(small)
    small = tf.image.random_brightness(small, 20.0)
    return tf.cast(tf.clip_by_value(small, 0.0, 255.0), tf.uint8), example["label"]


def make_dataset(data: Path) -> tf.data.Dataset:
    files = sorted(str(path) for path in data.glob("pictures-*.tfrecord"))
    dataset = tf.data.TFRecordDataset(files).shuffle(256)
    dataset = dataset.map(load_and_augment)
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
    parser.add_argument("--epochs", type=int, default=5)
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
