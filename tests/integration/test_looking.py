"""Looks at the elements of real pipelines: what the rules on randomness and order then say, and what they no longer say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeprof.advise.judging import judge_as_chosen
from pipeprof.advise.looking import take_looks
from pipeprof.analysis import analyse
from pipeprof.capture.session import CaptureSession, RunFacts
from pipeprof.choice import Choice
from pipeprof.model.diagnosis import Confidence
from pipeprof.model.looks import LookKind
from pipeprof.settings import Settings

tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.tf

HAZARDS = ("PP402", "PP610", "PP611", "PP612")


def observe(make, *, epochs=2, python=True):
    """Iterate what ``make`` returns, look at its elements, and return the findings of the hazard rules and the looks."""
    capture = CaptureSession(Settings(), RunFacts(id="test", command=("test",), started_at="", working_directory=""))
    capture.start()
    try:
        made = make()
        datasets = made if isinstance(made, tuple) else (made,)
        for _ in range(epochs):
            for dataset in datasets:
                for _ in dataset:
                    pass
    finally:
        profile = capture.stop()
    kept = {entry.id: entry.dataset for entry in capture.pipelines.all() if entry.dataset is not None}
    analysis = analyse(profile)
    streamed = []
    settings = Settings(budget_s=60, replay_python=python, choice=Choice(select=HAZARDS))
    looks = take_looks(analysis, kept, settings, streamed.append)
    assert [event.look for event in streamed] == list(looks)
    judged = judge_as_chosen(analyse(replace(profile, looks=looks)), Choice(select=HAZARDS))
    return judged.findings, looks


def images(count=64):
    return tf.data.Dataset.range(count).map(lambda index: tf.fill([4, 4], tf.cast(index, tf.float32)))


def brighter(image):
    return image + tf.random.uniform([])


def rows_of(number):
    return np.full(4, number, np.float32) + np.random.default_rng().random(4, np.float32)


def test_random_python_code_before_a_cache_is_found_by_its_elements():
    def make():
        noisy = tf.data.Dataset.range(40).map(lambda number: tf.numpy_function(rows_of, [number], tf.float32))
        return noisy.cache().batch(8)

    (finding,), (look,) = observe(make)

    assert (finding.code, finding.confidence) == ("PP402", Confidence.HIGH)
    assert "gave other elements (100 % of 40)" in finding.message
    assert (look.whole, look.same, look.same_order) == (True, 0.0, False)


def test_python_code_that_gives_the_same_twice_is_left_alone():
    def make():
        steady = tf.data.Dataset.range(40).map(lambda number: tf.numpy_function(np.float32, [number], tf.float32))
        return steady.cache().batch(8)

    findings, (look,) = observe(make)

    assert findings == ()
    assert (look.whole, look.same, look.same_order) == (True, 1.0, True)


def test_python_code_that_rounds_otherwise_is_taken_for_steady():
    turns = []

    def nearly(number):
        turns.append(number)
        return np.float32(1000.0 + number) + np.float32(1e-4 * (len(turns) % 2))

    def make():
        rounded = tf.data.Dataset.range(41).map(lambda number: tf.numpy_function(nearly, [number], tf.float32))
        return rounded.cache().batch(8)

    findings, (look,) = observe(make)

    assert findings == ()
    assert (look.same, look.same_order) == (1.0, True)


def test_python_code_is_not_run_again_where_that_is_forbidden():
    def make():
        return tf.data.Dataset.range(40).map(lambda number: tf.numpy_function(rows_of, [number], tf.float32)).cache()

    findings, (look,) = observe(make, python=False)

    assert findings == ()
    assert (look.same, look.note) == (
        None, "the pipeline calls Python functions, and --no-replay-python forbids to run them again"
    )  # fmt: skip


def test_frozen_draws_are_seen():
    (finding,), (look,) = observe(lambda: images().map(brighter).cache().batch(8))

    assert (finding.code, finding.confidence) == ("PP402", Confidence.HIGH)
    assert (look.same, look.same_order) == (0.0, False)
    assert {item.name: item.value for item in finding.evidence}["same_before_cache"] == 0.0


def test_a_random_function_that_changes_nothing_freezes_nothing():
    findings, (look,) = observe(lambda: images().map(lambda image: image + 0 * tf.random.uniform([])).cache().batch(8))

    assert findings == ()
    assert look.same_order is True


def test_seeded_draws_are_looked_at_as_the_run_makes_its_epochs():
    def seeded(image):
        return image + tf.random.uniform([], seed=3)

    by_repeat, (anew,) = observe(lambda: images().map(seeded).cache().repeat(2).batch(8), epochs=1)
    by_iterator, (again,) = observe(lambda: images().map(seeded).cache().batch(8))

    assert (anew.order.one_iterator, anew.same_order) == (True, False)
    assert (again.order.one_iterator, again.same_order) == (False, True)
    assert "even without the cache" not in by_repeat[0].message
    assert "even without the cache" in by_iterator[0].message


def test_a_split_that_reshuffles_shows_the_elements_of_both_parts():
    def make(*, reshuffle):
        mixed = tf.data.Dataset.range(100).shuffle(100, reshuffle_each_iteration=reshuffle)
        return mixed.skip(20).batch(8), mixed.take(20).batch(8)

    (finding,), (look,) = observe(lambda: make(reshuffle=True))
    fixed, none = observe(lambda: make(reshuffle=False))

    assert finding.code == "PP610"
    assert look.order.kind is LookKind.PARTS
    assert look.whole
    assert look.same > 0.5
    assert look.control == 0
    assert "of the smaller part" in finding.message
    assert (fixed, none) == ((), ())


def test_a_buffer_that_holds_everything_is_taken_out_of_the_control():
    def make():
        mixed = tf.data.Dataset.range(100).shuffle(tf.data.UNKNOWN_CARDINALITY)
        return mixed.skip(20).batch(8), mixed.take(20).batch(8)

    (finding,), (look,) = observe(make)

    assert finding.code == "PP610"
    assert look.control == 0 < look.same


def test_equal_elements_in_both_parts_of_a_split_are_no_leak_by_themselves():
    def make():
        mixed = tf.data.Dataset.range(100).map(lambda number: number % 5).shuffle(100)
        return mixed.skip(20).batch(8), mixed.take(20).batch(8)

    _, (look,) = observe(make)

    assert look.same == look.control == 1


def test_a_repeat_before_a_shuffle_is_seen_to_give_elements_twice():
    (finding,), (look,) = observe(lambda: tf.data.Dataset.range(200).repeat(2).shuffle(150).batch(8), epochs=1)

    assert finding.code == "PP610"
    assert finding.confidence is Confidence.HIGH
    assert (look.whole, look.control) == (True, 0)
    assert 0.1 < look.same < 0.6


def test_a_small_buffer_is_seen_to_keep_the_order():
    (finding,), (look,) = observe(lambda: tf.data.Dataset.range(5000).shuffle(20).batch(50))

    assert finding.confidence is Confidence.MEDIUM
    assert look.order_kept > 0.99
    assert "nearly the same order (rank correlation 1.00)" in finding.message


def test_a_small_buffer_behind_python_code_that_mixes_is_left_alone():
    def numbers():
        yield from np.random.default_rng().permutation(5000)

    def make():
        return tf.data.Dataset.from_generator(numbers, output_signature=tf.TensorSpec([], tf.int64)).shuffle(20).batch(50)

    findings, (look,) = observe(make)

    assert findings == ()
    assert abs(look.order_kept) < 0.2


@pytest.mark.parametrize(("shape", "alike"), [(lambda _batch: [], True), (lambda batch: [tf.shape(batch)[0], 1, 1], False)])
def test_one_draw_for_a_batch_is_seen_in_batches_of_one_element(shape, alike):
    def jitter(batch):
        return batch + tf.random.uniform(shape(batch))

    findings, looks = observe(lambda: images().batch(8).map(jitter))

    assert [item.code for item in findings] == (["PP611"] if alike else [])
    assert [(look.same, look.control) for look in looks] == ([(1.0, 0.0)] if alike else [])
    assert all(item.confidence is Confidence.MEDIUM for item in findings)


def test_seeds_that_parallel_calls_lose_are_seen_in_two_loads():
    def make():
        tf.random.set_seed(7)
        return images(400).map(lambda image: image + tf.random.uniform([4, 4]), num_parallel_calls=4).batch(8)

    try:
        (finding,), (look,) = observe(make)
    finally:
        tf.random.set_seed(None)

    assert finding.code == "PP612"
    assert look.control == 1.0
    assert (look.same < 1) is (finding.confidence is Confidence.HIGH)
    assert ("in a second load" in finding.message) is (look.same < 1)


def test_a_pipeline_that_breaks_when_it_is_read_again_costs_its_look_only():
    broken = []

    def once(number):
        if broken:
            raise ValueError("only once")
        return np.float32(number)

    def make():
        return tf.data.Dataset.range(8).map(lambda number: tf.numpy_function(once, [number], tf.float32)).cache()

    capture = CaptureSession(Settings(), RunFacts(id="test", command=("test",), started_at="", working_directory=""))
    capture.start()
    try:
        dataset = make()
        for _ in range(2):
            list(dataset)
    finally:
        profile = capture.stop()
    broken.append(1)
    analysis = analyse(profile)
    kept = {entry.id: entry.dataset for entry in capture.pipelines.all()}
    (look,) = take_looks(analysis, kept, Settings(), lambda _event: None)

    assert look.same is None
    assert look.note.startswith("InvalidArgumentError")
