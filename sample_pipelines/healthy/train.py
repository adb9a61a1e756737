"""Trains on small pictures with a pipeline that has nothing to mend: "nothing to fix" is the right answer here.

Files are read side by side, decoded on all cores, kept decoded in memory, shuffled anew in every epoch, batched and
prefetched; one iterator serves all epochs, and the model's step takes far longer than preparing its batch.

    python sample_pipelines/make_data.py
    python sample_pipelines/healthy/train.py [--epochs N] [--steps N] [--data DIR]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

BATCH = 32
SIDE = 64
CLASSES = 4


def decode(record):
    """Return the picture and its label."""
    example = tf.io.parse_single_example(
        record, {"image": tf.io.FixedLenFeature([], tf.string), "label": tf.io.FixedLenFeature([], tf.int64)}
    )
    picture = tf.io.decode_jpeg(example["image"], channels=3)
    return tf.ensure_shape(picture, [SIDE, SIDE, 3]), example["label"]


def make_dataset(data: Path) -> tf.data.Dataset:
    files = sorted(str(path) for path in data.glob("thumbnails-*.tfrecord"))
    dataset = tf.data.TFRecordDataset(files, num_parallel_reads=len(files))
    dataset = dataset.map(decode, num_parallel_calls=tf.data.AUTOTUNE)
    dataset = dataset.cache()
    dataset = dataset.shuffle(1024)
    dataset = dataset.batch(BATCH, drop_remainder=True)
    dataset = dataset.repeat()
    return dataset.prefetch(tf.data.AUTOTUNE)


def make_model() -> tf.keras.Model:
    layers = tf.keras.layers
    return tf.keras.Sequential(
        [
            layers.Input((SIDE, SIDE, 3), dtype="uint8"),
            layers.Rescaling(1 / 127.5, offset=-1),
            layers.Conv2D(32, 3, strides=2, activation="relu"),
            layers.Conv2D(64, 3, activation="relu"),
            layers.Conv2D(64, 3, strides=2, activation="relu"),
            layers.GlobalMaxPooling2D(),
            layers.Dense(CLASSES),
        ]
    )


def count_steps(data: Path) -> int:
    """Return the steps of an epoch."""
    return int(json.loads((data / "manifest.json").read_text())["pictures"]) // BATCH


def main(make: Callable[[Path], tf.data.Dataset] = make_dataset) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[1] / "data")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--steps", type=int, help="steps of an epoch (default: the whole data set)")
    given = parser.parse_args()
    if not (given.data / "manifest.json").is_file():
        raise SystemExit(f"no data in {given.data}: make it with python sample_pipelines/make_data.py")
    model = make_model()
    model.compile("adam", tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    started = time.perf_counter()
    model.fit(make(given.data), epochs=given.epochs, steps_per_epoch=given.steps or count_steps(given.data), verbose=2)
    print(f"{time.perf_counter() - started:.1f} s")


if __name__ == "__main__":
    main()
