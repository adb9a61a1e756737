"""The same with Keras: validation data, dropout, a random map, a Python function, a cache and reshuffling."""

import keras
import numpy as np
import tensorflow as tf

keras.utils.set_random_seed(5)


def build(count):
    dataset = tf.data.Dataset.range(count).map(lambda x: tf.cast(tf.fill([4], x), tf.float32) / 48).cache()
    dataset = dataset.shuffle(16).map(lambda x: x + tf.random.normal([4]))
    dataset = dataset.map(lambda x: tf.ensure_shape(tf.numpy_function(lambda v: v * np.float32(1.5), [x], tf.float32), [4]))
    return dataset.map(lambda x: (x, tf.reduce_sum(x, keepdims=True))).batch(8)


model = keras.Sequential([keras.layers.Dense(8, activation="relu"), keras.layers.Dropout(0.4), keras.layers.Dense(1)])
model.compile(keras.optimizers.Adam(0.01), "mse")
history = model.fit(build(48), validation_data=build(16), epochs=3, verbose=0, shuffle=False)
for name, values in sorted(history.history.items()):
    print(name, [np.float64(value).tobytes().hex() for value in values])
print("weights", [weight.numpy().tobytes().hex()[:64] for weight in model.weights])
print("after", np.random.random(), tf.random.uniform([]).numpy())
