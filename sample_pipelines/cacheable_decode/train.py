"""Trains on pictures that are decoded and shrunk again in every epoch, always to the same result.

Symptom: TensorFlow already decodes on all cores, so no setting of parallelism helps, and every epoch is as slow as the first.
Cause: decoding and resizing depend on nothing random and their result is small (12 MB for the whole data set), but it is
thrown away. They also take the cores that the model needs.
Cure: keep the decoded pictures with ``cache()`` right after ``map``, before ``shuffle``; see ``fixed.py``.

    python sample_pipelines/make_data.py
    python sample_pipelines/cacheable_decode/train.py [--epochs N] [--steps N] [--data DIR]
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


def decode(record):
    """Return the picture at the model's size, and its label."""
    example = tf.io.parse_single_example(
        record, {"image": tf.io.FixedLenFeature([], tf.string), "label": tf.io.FixedLenFeature([], tf.int64)}
    )
    picture = tf.io.decode_jpeg(example["image"], channels=3)
    small = tf.image.resize(picture, [SIDE, SIDE])
    return tf.cast(small, tf.uint8), example["label"]


def make_dataset(data: Path) -> tf.data.Dataset:
    files = sorted(str(path) for path in data.glob("pictures-*.tfrecord"))
    dataset = tf.data.TFRecordDataset(files)
    dataset = dataset.map(decode)
    dataset = dataset.shuffle(512)
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
    optimizer = tf.keras.optimizers.Adam(1e-3)
    loss_function = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    @tf.function
    def train_step(pictures, labels):
        with tf.GradientTape() as tape:
            loss = loss_function(labels, model(pictures, training=True))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    for epoch in range(epochs):
        started, losses = time.perf_counter(), []
        for pictures, labels in dataset:
            losses.append(float(train_step(pictures, labels)))
        mean, wall_s = sum(losses) / len(losses), time.perf_counter() - started
        print(f"epoch {epoch + 1}: loss {mean:.3f}, {len(losses)} steps, {wall_s:.1f} s")


def main(make: Callable[[Path], tf.data.Dataset] = make_dataset) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[1] / "data")
    parser.add_argument("--epochs", type=int, default=8)
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
