"""Everything that could betray an observer: seeds, reshuffling, random maps, Python functions, a cache, three epochs."""

import random
import sys

import numpy as np
import tensorflow as tf

tf.keras.utils.set_random_seed(3)
calls = []


def python_noise(x):
    calls.append(1)
    return (x + np.random.normal(size=x.shape) + random.random()).astype(np.float32)


def build():
    dataset = tf.data.Dataset.range(48).map(lambda x: tf.cast(tf.fill([4], x), tf.float32) / 48).cache()
    dataset = dataset.shuffle(16).map(lambda x: x + tf.random.normal([4]))
    dataset = dataset.map(lambda x: tf.ensure_shape(tf.numpy_function(python_noise, [x], tf.float32), [4]))
    return dataset.batch(8)


weights = tf.Variable(tf.random.normal([4, 1]))


@tf.function
def step(batch):
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(tf.nn.dropout(batch, 0.3) @ weights - 1.0))
    weights.assign_sub(0.1 * tape.gradient(loss, weights))
    return loss


dataset = build()
for epoch in range(3):
    for batch in dataset:
        print(epoch, step(batch).numpy().tobytes().hex(), flush=True)
print("after", np.random.random(), random.random(), tf.random.uniform([]).numpy(), len(calls))
print("weights", weights.numpy().tobytes().hex())
sys.exit(7)
