"""A parallel map of which every sixteenth call is slow, and holds back those that are ready; it prints a sum for each epoch."""

import time

import tensorflow as tf


def straggle(value):
    time.sleep(0.06 if value % 16 == 0 else 0.002)
    return value


options = tf.data.Options()
options.threading.private_threadpool_size = 8
dataset = tf.data.Dataset.range(480)
dataset = dataset.map(lambda x: tf.numpy_function(straggle, [x], tf.int64), num_parallel_calls=8)
dataset = dataset.prefetch(2).batch(8)
dataset = dataset.with_options(options)

for epoch in range(4):
    total = 0
    for batch in dataset:
        total += int(tf.reduce_sum(batch))
    print(epoch, total, flush=True)
