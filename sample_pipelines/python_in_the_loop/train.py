"""Trains on texts whose words are counted by Python code inside the pipeline.

Symptom: about one core is busy whatever ``num_parallel_calls`` says.
Cause: ``numpy_function`` calls the interpreter, and only one thread at a time can run Python. The training loop needs the
interpreter as well and waits for it.
Cure: the same counting in TensorFlow's own string ops, on whole batches; see ``fixed.py``. It has to be written by hand.

    python sample_pipelines/make_data.py
    python sample_pipelines/python_in_the_loop/train.py [--epochs N] [--steps N] [--data DIR]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

BATCH = 64
WORDS = 2000  # of the vocabulary; one more column counts the unknown ones


def make_counter(vocabulary: list[str]) -> Callable[[bytes], np.ndarray]:
    """Return a function that counts the words of a text, by their place in the vocabulary."""
    place = {word: index for index, word in enumerate(vocabulary)}

    def count_words(text: bytes) -> np.ndarray:
        counts = np.zeros(WORDS + 1, np.float32)
        for word in text.decode().lower().split():
            letters = "".join(letter for letter in word if letter.isalpha())
            counts[place.get(letters, WORDS)] += 1
        return counts

    return count_words


def make_dataset(data: Path) -> tf.data.Dataset:
    count_words = make_counter((data / "vocabulary.txt").read_text().split())

    def prepare(line):
        parts = tf.strings.split(line, "\t")
        counts = tf.numpy_function(count_words, [parts[1]], tf.float32)
        return tf.ensure_shape(counts, [WORDS + 1]), tf.strings.to_number(parts[0])

    dataset = tf.data.TextLineDataset(str(data / "reviews.txt"))
    dataset = dataset.map(prepare, num_parallel_calls=tf.data.AUTOTUNE)
    dataset = dataset.batch(BATCH, drop_remainder=True)
    return dataset.prefetch(tf.data.AUTOTUNE)


def make_model() -> tf.keras.Model:
    layers = tf.keras.layers
    return tf.keras.Sequential([layers.Input((WORDS + 1,)), layers.Dense(16, activation="relu"), layers.Dense(1)])


def train(dataset: tf.data.Dataset, epochs: int) -> None:
    model = make_model()
    optimizer = tf.keras.optimizers.Adam(1e-3)
    loss_function = tf.keras.losses.BinaryCrossentropy(from_logits=True)

    @tf.function
    def train_step(counts, labels):
        with tf.GradientTape() as tape:
            loss = loss_function(labels[:, tf.newaxis], model(counts, training=True))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    for epoch in range(epochs):
        started, losses = time.perf_counter(), []
        for counts, labels in dataset:
            losses.append(float(train_step(counts, labels)))
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
