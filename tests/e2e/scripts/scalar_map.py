"""A loop over batches of small numbers whose map also does something in Python, which is seen once."""

import hashlib

import tensorflow as tf

total = hashlib.sha256()
traced = []


def scale(x):
    traced.append(x)
    print("traced", len(traced), flush=True)
    y = tf.cast(x, tf.float32) / 1000.0
    return y * y + 1.0, tf.sqrt(y)


dataset = tf.data.Dataset.range(3000)
dataset = dataset.map(scale)
dataset = dataset.batch(64)

for epoch in range(2):
    for squares, roots in dataset:
        total.update(squares.numpy().tobytes() + roots.numpy().tobytes())
    print(epoch, total.hexdigest(), squares.shape, flush=True)
