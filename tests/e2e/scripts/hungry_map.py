"""A loop whose map needs much room for a call: two calls at once do not fit, or end the process, as the argument says."""

import os
import resource
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import tensorflow as tf

ROOM, NEED = 4_500_000_000, 3_000_000_000  # bytes of address space; no page of it is touched
IS_DEADLY = sys.argv[1:] == ["deadly"]
calls = []


def draft(x):
    calls.append(threading.get_ident())
    if IS_DEADLY and len(calls) > 1:
        os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does where memory is out
    room = None if IS_DEADLY else np.empty(NEED, np.uint8)
    time.sleep(0.02)
    del room
    calls.pop()
    return x


def turn(x):
    y = tf.cos(tf.random.stateless_uniform([180, 180], seed=[x, 1]))
    for _ in range(6):
        y = tf.tanh(tf.linalg.matmul(y, y) / 180.0)
    return tf.cast(x, tf.float32) + tf.reduce_mean(y)


dataset = tf.data.Dataset.range(60)
dataset = dataset.map(lambda x: tf.ensure_shape(tf.numpy_function(draft, [x], tf.int64), []))
dataset = dataset.prefetch(1)
dataset = dataset.map(turn)
dataset = dataset.batch(4)

for _ in tf.data.Dataset.range(4).map(lambda x: tf.numpy_function(abs, [x], tf.int64)):
    pass  # what TensorFlow itself takes is taken now
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
if not IS_DEADLY:
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, resource.RLIM_INFINITY))
for epoch in range(3):
    total = 0.0
    for batch in dataset:
        total += float(tf.reduce_sum(batch))
        time.sleep(0.02)
    print(epoch, total, flush=True)
