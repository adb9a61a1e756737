"""Parses rows one at a time, does dear random work inside a reader of one file after the other, or dear work before it draws.

    python one_by_one.py parser|reader|drawer

Prints a sum of the elements that no random draw is in.
"""

import sys
import time

import tensorflow as tf

FEATURES = {f"f{number}": tf.io.FixedLenFeature([], tf.float32) for number in range(12)}


def row(number):
    feature = {f"f{i}": tf.train.Feature(float_list=tf.train.FloatList(value=[number + i])) for i in range(12)}
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def parse(record):
    parsed = tf.io.parse_single_example(record, FEATURES)
    return {name: value * 2.0 for name, value in parsed.items()}


def noisy(value):
    noise = tf.random.uniform([40_000])
    for _ in range(4):
        noise = tf.sort(noise + 1e-3)
    return {"f0": tf.cast(value, tf.float32) + 0.0 * tf.reduce_max(noise)}


def read(shard):
    numbers = tf.data.Dataset.range(shard * 100, shard * 100 + 100)
    return numbers.map(noisy)


def draw(number):
    value = tf.cast(number, tf.float32)
    square = tf.reshape(tf.range(102_400.0), [320, 320]) / 1e5 + value
    for _ in range(6):
        square = tf.linalg.matmul(square, square) / tf.reduce_max(square)
    kept = {"f0": value + 0.0 * square[0, 0], "square": square[:4, :4]}
    noise = tf.random.uniform([4, 4])
    return {"f0": kept["f0"], "drawn": kept["square"] + noise}


def parser():
    rows = tf.data.Dataset.from_tensor_slices([row(number) for number in range(500)]).repeat(500)
    rows = rows.map(parse)
    rows = rows.batch(128)
    return rows.prefetch(2)


def reader():
    rows = tf.data.Dataset.range(6).flat_map(read)
    return rows.batch(2).prefetch(2)


def drawer():
    return tf.data.Dataset.range(192).shuffle(192).map(draw).batch(8)


total = 0.0
dataset, epochs = {"parser": (parser(), 1), "reader": (reader(), 1), "drawer": (drawer(), 6)}[sys.argv[1]]
for _ in range(epochs):
    drawn = 0.0
    for batch in dataset:
        time.sleep(0.0005)
        total += float(tf.reduce_sum(batch["f0"]))
        drawn += float(tf.reduce_sum(batch["drawn"])) if "drawn" in batch else 0.0
print(round(total, 3))
