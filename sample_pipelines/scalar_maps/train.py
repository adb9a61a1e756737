"""Trains on a table whose rows are prepared one by one, by a function that takes less time than calling it.

Symptom: the data fit in memory, the work on a row is trivial, and yet preparing a batch takes longer than training on it.
Cause: TensorFlow needs 10 to 25 microseconds to call a mapped function, whatever it does; here that is paid for each row.
Cure: ``batch`` first, so that one call prepares 256 rows; the function works on batches as it is. See ``fixed.py``.

    python sample_pipelines/make_data.py
    python sample_pipelines/scalar_maps/train.py [--epochs N] [--steps N] [--data DIR]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

BATCH = 256
MEAN = (4.6, 12.0, 11.5, 3.0, 3.0, 0.1, 24.0, 0.33)
SPREAD = (4.4, 12.0, 6.9, 2.0, 1.4, 0.3, 6.0, 0.47)


def prepare(trip, fare):
    """Return the trip with standardised columns, without outliers, and its fare in tens."""
    scaled = (trip - tf.constant(MEAN)) / tf.constant(SPREAD)
    return tf.clip_by_value(scaled, -4.0, 4.0), fare / 10.0


def make_dataset(data: Path) -> tf.data.Dataset:
    table = np.load(data / "trips.npz")
    dataset = tf.data.Dataset.from_tensor_slices((table["trips"], table["fares"]))
    dataset = dataset.map(prepare)
    dataset = dataset.batch(BATCH, drop_remainder=True)
    return dataset.prefetch(tf.data.AUTOTUNE)


def make_model() -> tf.keras.Model:
    layers = tf.keras.layers
    return tf.keras.Sequential(
        [layers.Input((len(MEAN),)), layers.Dense(32, activation="relu"), layers.Dense(32, activation="relu"), layers.Dense(1)]
    )


def train(dataset: tf.data.Dataset, epochs: int) -> None:
    model = make_model()
    optimizer = tf.keras.optimizers.Adam(1e-3)
    loss_function = tf.keras.losses.MeanSquaredError()

    @tf.function
    def train_step(trips, fares):
        with tf.GradientTape() as tape:
            loss = loss_function(fares, model(trips, training=True))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    for epoch in range(epochs):
        started, losses = time.perf_counter(), []
        for trips, fares in dataset:
            losses.append(float(train_step(trips, fares)))
        mean, wall_s = sum(losses) / len(losses), time.perf_counter() - started
        print(f"epoch {epoch + 1}: loss {mean:.3f}, {len(losses)} steps, {wall_s:.1f} s")


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
