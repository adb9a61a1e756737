"""Draws at random behind costly work that is the same in every epoch, with a seed: every loss is known beforehand."""

import tensorflow as tf

tf.keras.utils.set_random_seed(7)


def draw(number):
    rows = tf.cast(tf.random.stateless_uniform([320, 320], seed=[number, 3]), tf.float32)
    for _ in range(4):
        rows = tf.linalg.matmul(rows, rows) / 100.0
    return rows[:4, :4] + tf.random.uniform([4, 4]), tf.reduce_sum(rows)


dataset = tf.data.Dataset.range(192, output_type=tf.int32).map(draw).batch(8)
total = 0.0
for epoch in range(6):
    for rows, sums in dataset:
        total += float(tf.reduce_sum(rows)) + float(tf.reduce_sum(sums))
    print(epoch, total.hex())
