"""A map that reads a file which training rewrites after each epoch; it prints what each epoch's last batch was."""

from pathlib import Path

import tensorflow as tf

FOLDER = tf.constant("state")
tf.io.gfile.makedirs("state")


def write(level):
    Path("state/level.txt").write_text(str(level))


def slow(x):
    y = tf.cos(tf.random.stateless_uniform([180, 180], seed=[x, 1]))
    for _ in range(4):
        y = tf.tanh(tf.linalg.matmul(y, y) / 180.0)
    level = tf.strings.to_number(tf.io.read_file(tf.strings.join([FOLDER, "/level.txt"])))
    return tf.reduce_mean(y) * level


write(1)
dataset = tf.data.Dataset.range(400)
dataset = dataset.map(slow)
dataset = dataset.batch(2)

for epoch in range(4):
    for batch in dataset:
        last = batch
    print(epoch, last.numpy().tobytes().hex(), flush=True)
    write(epoch + 2)
