"""Waits inside Keras' graphs, against the truth that the model itself notes: when a step began and when it had its batch."""

from __future__ import annotations

import time

import pytest

from pipeprof.capture.profile_maker import RunFacts
from pipeprof.capture.session import CaptureSession
from pipeprof.model.profile import Role
from pipeprof.settings import Settings

pytestmark = pytest.mark.tf

tf = pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")

STEPS, EPOCHS = 20, 3


class Truth(keras.callbacks.Callback):
    """Notes for each training step how long it waited for its batch; dispatching the step is in it (about 1 ms)."""

    def __init__(self):
        super().__init__()
        self.waits: list[list[float]] = []
        self.lengths: list[list[float]] = []
        self.began = self.had = 0.0

    def note_batch(self):
        self.had = self.had or time.perf_counter()

    def on_epoch_begin(self, epoch, logs=None):
        self.waits.append([])
        self.lengths.append([])

    def on_train_batch_begin(self, batch, logs=None):
        self.began, self.had = time.perf_counter(), 0.0

    def on_train_batch_end(self, batch, logs=None):
        self.waits[-1].append(self.had - self.began)
        self.lengths[-1].append(time.perf_counter() - self.began)


def slow_dataset(seconds, count=STEPS):
    def wait(x):
        time.sleep(seconds)
        return x

    return (
        tf.data.Dataset.range(count)
        .map(lambda x: tf.ensure_shape(tf.numpy_function(wait, [x], tf.int64), []))
        .map(lambda x: (tf.fill([4, 2], tf.cast(x, tf.float32)), tf.zeros([4, 1])))
        .prefetch(1)
    )


def slow_model(seconds, truth, **compile_options):
    class Slow(keras.layers.Layer):
        def call(self, inputs, training=None):
            def work(values):
                if training:
                    truth.note_batch()
                time.sleep(seconds)
                return values

            outputs = tf.numpy_function(work, [inputs], tf.float32)
            outputs.set_shape(inputs.shape)
            return inputs + 0 * tf.stop_gradient(outputs)

    model = keras.Sequential([keras.layers.Input((2,)), Slow(), keras.layers.Dense(1)])
    model.compile("sgd", "mse", **compile_options)
    return model


def fit(model, dataset, truth, **options):
    capture = CaptureSession(Settings(), RunFacts(id="test", command=("test",), started_at="", working_directory=""))
    capture.start()
    try:
        model.fit(dataset, epochs=EPOCHS, verbose=0, shuffle=False, callbacks=[truth], **options)
    finally:
        profile = capture.stop()
    return next(record.loop for record in profile.pipelines if record.role is Role.TRAIN)


@pytest.mark.parametrize(("batch_s", "step_s"), [(0.012, 0.004), (0.004, 0.012), (0.010, 0.005)])
def test_the_waits_of_each_epoch_are_those_that_the_model_notes(batch_s, step_s):
    truth = Truth()

    loop = fit(slow_model(step_s, truth), slow_dataset(batch_s), truth)

    assert (loop.method, loop.elements, loop.epoch_count, loop.seen_share) == ("keras", STEPS * EPOCHS, EPOCHS, 1.0)
    for epoch, waits, lengths in list(zip(loop.epochs, truth.waits, truth.lengths, strict=True))[1:]:
        noted = sum(waits[1:]) / sum(lengths[1:])
        found = (epoch.wait_s - epoch.first_wait_s) / sum(lengths[1:])
        assert noted - 0.2 < found < noted + 0.05  # the dispatch of a step is no wait
        assert epoch.first_wait_s > waits[0] - 0.005


def test_an_iterator_that_goes_on_through_validation_stays_aligned():
    truth = Truth()
    validation = tf.data.Dataset.range(5).map(lambda x: (tf.fill([4, 2], tf.cast(x, tf.float32)), tf.zeros([4, 1])))

    loop = fit(
        slow_model(0.003, truth),
        slow_dataset(0.006).repeat(),
        truth,
        steps_per_epoch=STEPS,
        validation_data=validation.repeat(40),
    )

    assert (loop.elements, loop.epoch_count) == (STEPS * EPOCHS, 1)
    noted = sum(sum(waits) for waits in truth.waits) - truth.waits[0][0]
    lengths = sum(sum(lengths) for lengths in truth.lengths) - truth.lengths[0][0]
    binned = sum(item.wait_s for item in loop.bins)
    assert noted / lengths - 0.3 < binned / lengths < noted / lengths + 0.05
    assert min(item.wait_s for item in loop.bins) > -0.02  # one step out of line would take the validation for its own time
    assert sum(item.wait_s + item.gap_s for item in loop.bins) == pytest.approx(lengths, rel=0.2)


def test_steps_of_several_executions_are_counted_by_their_elements():
    truth = Truth()

    loop = fit(slow_model(0.001, truth, steps_per_execution=4), slow_dataset(0.002), truth)

    assert loop.elements == STEPS * EPOCHS
    assert loop.steps_in_bins == STEPS * EPOCHS - 4
    assert {epoch.elements for epoch in loop.epochs} == {STEPS}
