"""A seeded loop that waits for one slow map: what a confirmed change makes faster without changing a loss."""

import sys

import tensorflow as tf

tf.keras.utils.set_random_seed(5)


def slow(x):
    y = tf.cos(tf.random.stateless_uniform([180, 180], seed=[x, 1]))
    for _ in range(4):
        y = tf.tanh(tf.linalg.matmul(y, y) / 180.0)
    return tf.cast(x, tf.float32) / 1000.0 + tf.reduce_mean(y)


dataset = tf.data.Dataset.range(int(sys.argv[1]) if len(sys.argv) > 1 else 400)
dataset = dataset.map(slow)
dataset = dataset.shuffle(64)
dataset = dataset.batch(2)
weight = tf.Variable(0.5)

for epoch in range(4):
    for batch in dataset:
        error = tf.tanh(batch) * weight - 1.0
        loss = tf.reduce_mean(tf.square(error))
        weight.assign_sub(0.1 * tf.reduce_mean(error * tf.tanh(batch)))
    print(epoch, loss.numpy().tobytes().hex(), weight.numpy().tobytes().hex(), flush=True)
