"""Parses rows one at a time, or does dear random work inside a reader of one file after the other.

    python one_by_one.py parser|reader

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


def parser():
    rows = tf.data.Dataset.from_tensor_slices([row(number) for number in range(500)]).repeat(500)
    rows = rows.map(parse)
    rows = rows.batch(128)
    return rows.prefetch(2)


def reader():
    rows = tf.data.Dataset.range(6).flat_map(read)
    return rows.batch(2).prefetch(2)


total = 0.0
for batch in {"parser": parser, "reader": reader}[sys.argv[1]]():
    time.sleep(0.0005)
    total += float(tf.reduce_sum(batch["f0"]))
print(total)
