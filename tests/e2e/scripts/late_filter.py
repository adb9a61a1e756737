"""A dear map whose results a filter mostly drops; it prints a number for each step."""

import tensorflow as tf


def decode(index):
    whole = tf.random.stateless_uniform([220, 220], [1, tf.cast(index, tf.int32)])
    if index > 5:  # for AutoGraph
        whole = tf.linalg.matmul(whole, whole)
    return tf.reduce_sum(tf.linalg.matmul(whole, whole)), index % 8


def is_wanted(_value, label):
    return label == 3


dataset = tf.data.Dataset.range(2400)
dataset = dataset.map(decode, num_parallel_calls=2)  # dear
# one in eight is kept
dataset = dataset.filter(is_wanted)
dataset = dataset.batch(10).prefetch(2)

for _epoch in range(2):
    for values, labels in dataset:
        print(float(tf.reduce_sum(values)), labels.numpy().tolist())
