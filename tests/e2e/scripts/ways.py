"""One way of consuming a pipeline, by name; prints the share of the time that its own clock says it waited.

Every element takes its source 5 ms in Python, every step 5 ms of the consumer's own; what is left of the time since the first
step began is waiting.
"""

import json
import os
import sys
import threading
import time
from queue import Queue

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import tensorflow as tf

NAP_S = 0.005
STEPS = 300
clock = time.perf_counter
steps = []  # begin and end of each


def nap(x):
    time.sleep(NAP_S)
    return x


def consume(*_):
    """The step's own work; counted, so that the rest is known to be waiting."""
    before = clock()
    time.sleep(NAP_S)
    steps.append((before, clock()))
    return 0.0


def make(count=STEPS):
    dataset = tf.data.Dataset.range(2 * count)
    dataset = dataset.map(lambda x: tf.ensure_shape(tf.numpy_function(nap, [x], tf.int64), []))
    return dataset.batch(2)


def consume_in_graph(batch):
    return tf.numpy_function(consume, [batch], tf.float64)


def for_loop():
    for _ in make():
        consume()


def next_calls():
    iterator = iter(make())
    while next(iterator, None) is not None:
        consume()


def as_numpy_iterator():
    for _ in make().as_numpy_iterator():
        consume()


def optionals():
    iterator = iter(make())
    while iterator.get_next_as_optional().has_value():
        consume()


def two_pipelines():
    for _ in zip(tf.data.Dataset.range(10**6).batch(4), make(), strict=False):
        consume()


def background_thread():
    queue = Queue(2)

    def feed():
        for batch in make():
            queue.put(batch)
        queue.put(None)

    thread = threading.Thread(target=feed)
    thread.start()
    while queue.get() is not None:
        consume()
    thread.join()


def iterator_in_a_function():
    iterator = iter(make())

    @tf.function
    def steps():
        for _ in tf.range(5):
            consume_in_graph(next(iterator))

    for _ in range(STEPS // 5):
        steps()


def loop_in_a_function():
    @tf.function
    def train(dataset):
        for batch in dataset:
            consume_in_graph(batch)

    train(make())


def loop_over_a_closure():
    dataset = make()

    @tf.function
    def train():
        total = tf.constant(0.0, tf.float64)
        for batch in dataset:
            total += consume_in_graph(batch)
        return total

    train()


def reduction():
    make().reduce(tf.constant(0.0, tf.float64), lambda total, batch: total + consume_in_graph(batch))


def two_devices():
    [cpu] = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    return tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"])


def distributed_dataset():
    for _ in two_devices().experimental_distribute_dataset(make()):
        consume()


def datasets_from_function():
    for _ in two_devices().distribute_datasets_from_function(lambda _context: make(2 * STEPS)):
        consume()


def keras_fit():
    import keras

    class Step(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            consume()

    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    pairs = make().map(lambda x: (tf.cast(x, tf.float32)[:, None] / 1e4, tf.cast(x, tf.float32) / 1e4))
    model.fit(pairs, verbose=0, callbacks=[Step()])


def autotune_off():
    options = tf.data.Options()
    options.autotune.enabled = False
    for _ in make().with_options(options):
        consume()


globals()[sys.argv[1]]()
own_s = sum(end - begin for begin, end in steps[1:])
print(json.dumps({"wait_share": 1 - own_s / (steps[-1][1] - steps[0][1])}))
