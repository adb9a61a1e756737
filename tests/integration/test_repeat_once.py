"""One iterator for all epochs, on real TensorFlow: each epoch's elements are what a new iterator would have given."""

from __future__ import annotations

import time

import numpy as np
import pytest

from pipeprof.advise.changes import find_change
from pipeprof.advise.equivalence import compare
from pipeprof.advise.replayable import Replayable
from pipeprof.advise.sides import Leeway
from pipeprof.errors import TrialError
from pipeprof.model.profile import ElementsState

tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.tf

COUNT = 22


def rows():
    return tf.data.Dataset.range(COUNT)


def noisy(x):
    return tf.cast(x, tf.float32) + tf.random.uniform([])


PIPELINES = {
    "plain": (lambda: rows().map(lambda x: x * 2).batch(4).prefetch(2), ElementsState.IDENTICAL),
    "shuffled": (lambda: rows().shuffle(COUNT).batch(4), ElementsState.IDENTICAL),
    "seeded shuffle": (lambda: rows().shuffle(8, seed=3).batch(4, drop_remainder=True), ElementsState.IDENTICAL),
    "one order": (lambda: rows().shuffle(8, seed=3, reshuffle_each_iteration=False).batch(4), ElementsState.IDENTICAL),
    "a length that is not known": (lambda: rows().filter(lambda x: x % 3 > 0).batch(4), ElementsState.IDENTICAL),
    "cached": (lambda: rows().map(lambda x: x + 1).cache().shuffle(9).batch(4), ElementsState.IDENTICAL),
    "options": (lambda: rows().batch(4).with_options(tf.data.Options()), ElementsState.IDENTICAL),
    "python": (lambda: rows().map(lambda x: tf.numpy_function(np.square, [x], tf.int64)).batch(4), ElementsState.IDENTICAL),
    "draws": (lambda: rows().map(noisy).batch(4), ElementsState.SAME_BUT_RANDOM),
    "drawn once and kept": (lambda: rows().map(noisy).cache().batch(4), ElementsState.SAME_BUT_RANDOM),
    "two branches": (lambda: tf.data.Dataset.zip((rows(), rows().shuffle(9))).batch(5), ElementsState.IDENTICAL),
    "a short epoch": (lambda: rows().take(3), ElementsState.IDENTICAL),
}


def repeated(dataset):
    replayable = Replayable.of(dataset)
    return replayable, find_change("repeat_once").rewrite(replayable, {}, "", {})


@pytest.mark.parametrize("limit", [64, 3])
@pytest.mark.parametrize("name", PIPELINES)
def test_every_epoch_has_the_elements_that_a_new_iterator_would_give(name, limit):
    make, state = PIPELINES[name]
    pair = repeated(make())

    found = compare(*pair, limit_elements=limit, time_budget_s=30.0, leeway=Leeway(in_one=True))

    assert found.state is state, found.note
    assert found.epochs_compared == 2
    assert found.elements_compared >= min(limit, 3)


def test_an_epoch_whose_end_was_not_reached_proves_nothing():
    slow = rows().map(lambda x: tf.numpy_function(lambda n: (time.sleep(0.2), n)[1], [x], tf.int64)).batch(2)

    found = compare(*repeated(slow), limit_elements=64, time_budget_s=3.0, leeway=Leeway(in_one=True))

    assert (found.state, found.lacks_time) == (ElementsState.UNCHECKED, True)


def test_it_never_ends():
    _, changed = repeated(rows().batch(4))

    assert int(changed.load().cardinality()) == tf.data.INFINITE_CARDINALITY


def test_what_never_ends_stays():
    with pytest.raises(TrialError, match="already never ends"):
        repeated(rows().repeat())


def test_seeded_draws_that_would_no_longer_be_the_same_in_each_epoch_are_not_called_the_same():
    pair = repeated(rows().map(lambda x: tf.cast(x, tf.float32) + tf.random.uniform([], seed=4)).batch(4))

    found = compare(*pair, limit_elements=64, time_budget_s=20.0, leeway=Leeway(in_one=True))

    assert found.state is ElementsState.DIFFERENT
    assert "seeded draws no longer repeat in each epoch" in found.note


@pytest.mark.parametrize(
    "changed",
    [
        lambda: rows().batch(4),
        lambda: rows().batch(4).take(5).repeat(),
        lambda: rows().batch(4).repeat(2).map(lambda x: x + tf.cast(x == 7, tf.int64)).repeat(),
        lambda: rows().batch(4, drop_remainder=True).repeat(),
        lambda: rows().repeat().batch(4),
    ],
)
def test_other_elements_are_found_out(changed):
    original, wrong = Replayable.of(rows().batch(4)), Replayable.of(changed())

    found = compare(original, wrong, limit_elements=64, time_budget_s=20.0, leeway=Leeway(in_one=True))

    assert found.state is ElementsState.DIFFERENT
