"""Trains until it is killed; says when the capture has something to lose."""

import tensorflow as tf

dataset = tf.data.Dataset.range(100).map(lambda x: tf.random.normal([64]) * tf.cast(x, tf.float32)).batch(4).repeat()
total = 0.0
for number, batch in enumerate(dataset):
    total += float(tf.reduce_sum(batch))
    if number == 400:
        print("running", flush=True)
