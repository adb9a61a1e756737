"""Keras' ways of consuming a pipeline, each with a model whose step does a known work on the clock.

The one idea: a step is its own begin and end inside the compiled function, where the batch is there already; what Keras does
for itself between two steps (progress, metrics, callbacks) is no waiting, so that waiting begins where Keras says that a batch
or an epoch begins. Nothing here builds a pipeline.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from tests.ground_truth.clock import Clock, now
from tests.ground_truth.registry import Loop

Step = Callable[[], object]


class _Model(keras.Model):
    """One weight, and a step that does the work of the case."""

    def __init__(self, clock: Clock, step: Step) -> None:
        super().__init__()
        self.weight = self.add_weight(shape=(), initializer="zeros")
        self._clock, self._step = clock, step
        self.built = True

    def call(self, batch: Any) -> Any:
        return batch * self.weight

    def _work(self, data: Any) -> Any:
        def run(_batch: Any) -> float:
            self._clock.step(self._step)
            return 0.0

        return tf.numpy_function(run, [tf.nest.flatten(data)[0]], tf.float64)

    def train_step(self, data: Any) -> dict[str, Any]:
        return {"loss": self._work(data)}

    def test_step(self, data: Any) -> dict[str, Any]:
        return {"loss": self._work(data)}

    def predict_step(self, data: Any) -> Any:
        with tf.control_dependencies([self._work(data)]):
            return tf.zeros([1, 1])


class _Stamps(keras.callbacks.Callback):
    """When Keras turns to its input, and when validation runs inside ``fit``."""

    def __init__(self, clock: Clock, steps: str) -> None:
        super().__init__()
        self._clock, self._validation = clock, 0.0
        self._has_validation = steps == "train"
        ask = lambda *_args, **_more: clock.asks.append(now())  # noqa: E731
        setattr(self, f"on_{steps}_batch_begin", ask)
        self.on_epoch_begin = ask

    def on_test_begin(self, logs: Any = None) -> None:
        self._validation = now()

    def on_test_end(self, logs: Any = None) -> None:
        if self._has_validation:
            self._clock.elsewhere.append((self._validation, now()))


def _compiled(clock: Clock, step: Step, steps_per_execution: int = 1) -> _Model:
    model = _Model(clock, step)
    model.compile(loss="mse", jit_compile=False, steps_per_execution=steps_per_execution)
    return model


def fit(dataset: Any, step: Step, epochs: int = 1, steps_per_execution: int = 1, **arguments: Any) -> Loop:
    def run(clock: Clock) -> None:
        model = _compiled(clock, step, steps_per_execution)
        model.fit(dataset, epochs=epochs, verbose=0, callbacks=[_Stamps(clock, "train")], **arguments)

    return run


def fit_with_validation(dataset: Any, validation: Any, step: Step, validation_step: Step, epochs: int) -> Loop:
    """Fit with a validation set; the clock is training's alone."""

    class Validated(_Model):
        def test_step(self, data: Any) -> dict[str, Any]:
            def run(_batch: Any) -> float:
                validation_step()
                return 0.0

            return {"loss": tf.numpy_function(run, [tf.nest.flatten(data)[0]], tf.float64)}

    def run(clock: Clock) -> None:
        model = Validated(clock, step)
        model.compile(loss="mse", jit_compile=False)
        model.fit(dataset, epochs=epochs, verbose=0, validation_data=validation, callbacks=[_Stamps(clock, "train")])

    return run


def evaluate(dataset: Any, step: Step) -> Loop:
    def run(clock: Clock) -> None:
        _compiled(clock, step).evaluate(dataset, verbose=0, callbacks=[_Stamps(clock, "test")])

    return run


def predict(dataset: Any, step: Step) -> Loop:
    def run(clock: Clock) -> None:
        _compiled(clock, step).predict(dataset, verbose=0, callbacks=[_Stamps(clock, "predict")])

    return run


def train_on_batch(dataset: Any, step: Step, epochs: int) -> Loop:
    """Call ``train_on_batch`` in a loop: all of the call is the consumer's own."""

    def run(clock: Clock) -> None:
        model = _compiled(Clock(), step)
        for _ in range(epochs):
            for batch, label in dataset:
                clock.step(lambda batch=batch, label=label: model.train_on_batch(batch, label))

    return run
