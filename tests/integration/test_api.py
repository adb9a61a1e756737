"""The API around a loop: exceptions pass unchanged, the capture is kept, and nothing is tried unless it is asked for."""

import time

import numpy as np
import pytest

import pipeprof
from pipeprof.errors import UserError
from pipeprof.model.profile import ElementsState, TrialState

pytestmark = pytest.mark.tf

tf = pytest.importorskip("tensorflow")


def slow_random(x):
    noise = tf.random.normal([96, 96])
    for _ in range(12):
        noise = tf.linalg.matmul(noise, noise) * 1e-3
    return tf.reduce_sum(noise) * 0.0 + tf.cast(x, tf.float32)


def build(count=400):
    return tf.data.Dataset.range(count).map(slow_random).batch(8)


def test_a_block_is_observed_and_nothing_is_tried(tmp_path):
    with pipeprof.profile(output=tmp_path) as prof:
        for _batch in build():
            pass

    diagnosis = prof.diagnosis
    assert diagnosis.steps.count == 50
    assert diagnosis.run.ended == "returned"
    assert prof.profile.trials == ()
    assert not (prof.path / "trials.jsonl").exists()
    stages = {stage.op: stage for stage in diagnosis.pipelines[0].stages}
    assert stages["map"].call_site.file == __file__
    assert stages["map"].is_bottleneck


def test_an_exception_passes_unchanged_and_the_capture_is_kept(tmp_path):
    planted = ValueError("planted")

    def train():
        for number, _batch in enumerate(build()):
            if number == 20:
                raise planted

    prof = pipeprof.profile(output=tmp_path)
    with pytest.raises(ValueError, match="planted") as caught, prof:
        train()

    assert caught.value is planted
    loaded = pipeprof.load(prof.path)
    assert loaded.profile.run.ended == "raised"
    assert loaded.diagnosis.steps.count == 21


def test_changes_are_tried_when_asked_for_and_the_users_dataset_stays_as_it_is(tmp_path):
    tf.keras.utils.set_random_seed(1)
    dataset = tf.data.Dataset.range(64).shuffle(64).map(slow_random).batch(4)
    control = tf.data.Dataset.range(64).shuffle(64).map(slow_random).batch(4)
    with pipeprof.profile(output=tmp_path) as prof:
        first = [np.asarray(batch).tolist() for batch in dataset]
        for _ in range(4):
            list(dataset)

    diagnosis = prof.try_changes(budget_s=15)

    assert prof.profile.controls or diagnosis.trials_note
    assert "parallel_calls" in [item.change.kind for item in diagnosis.recommendations]
    assert len(first) == 16
    assert type(dataset) is type(control)


def test_trying_before_the_block_has_ended_is_a_mistake_with_a_hint(tmp_path):
    with pipeprof.profile(output=tmp_path) as prof, pytest.raises(UserError, match="after the with block"):
        prof.try_changes()


def test_two_captures_at_once_are_refused_and_the_first_goes_on(tmp_path):
    with pipeprof.profile(output=tmp_path) as prof:
        with pytest.raises(UserError, match="already"), pipeprof.profile(output=tmp_path):
            pass
        list(build(80))

    assert prof.diagnosis.steps.count == 10


def test_the_replay_leaves_shuffle_order_and_cache_of_the_user_alone(tmp_path):
    calls = []

    def count(x):
        calls.append(int(x))
        return x

    def make():
        tf.random.set_seed(11)
        source = tf.data.Dataset.range(40).map(lambda x: tf.ensure_shape(tf.numpy_function(count, [x], tf.int64), []))
        return source.cache().shuffle(40, seed=5)

    undisturbed = make()
    expected = [[int(x) for x in undisturbed] for _ in range(5)]
    dataset = make()
    with pipeprof.profile(output=tmp_path) as prof:
        seen = [[int(x) for x in dataset] for _ in range(3)]
    prof.try_changes(budget_s=8)
    made = len(calls)

    seen += [[int(x) for x in dataset] for _ in range(2)]

    assert seen == expected
    assert len(calls) == made, "the user's own cache is still full"


def test_a_keras_callback_observes_one_fit(tmp_path, capsys):
    keras = pytest.importorskip("keras")
    dataset = tf.data.Dataset.range(64).map(lambda x: (tf.cast([x], tf.float32) / 64, [1.0])).batch(4)
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    callback = pipeprof.KerasCallback(output=tmp_path)

    model.fit(dataset, epochs=2, verbose=0, shuffle=False, callbacks=[callback])

    assert callback.diagnosis.steps.count == 32
    assert callback.diagnosis.pipelines[0].consumer == "Keras fit"
    output = capsys.readouterr()
    assert output.out == ""
    assert "pipeprof report" in output.err


def test_loading_what_is_no_run_is_a_mistake_with_a_hint(tmp_path):
    with pytest.raises(UserError, match="not a run directory"):
        pipeprof.load(tmp_path)


def test_a_change_that_helps_is_confirmed_with_what_became_of_the_elements(tmp_path):
    def wait(x):
        time.sleep(0.005)  # a latency: the same on a busy machine
        return x

    with pipeprof.profile(output=tmp_path) as prof:
        dataset = tf.data.Dataset.range(160).map(lambda x: tf.ensure_shape(tf.numpy_function(wait, [x], tf.int64), [])).batch(4)
        for _ in range(3):
            list(dataset)

    diagnosis = prof.try_changes(budget_s=45)

    tried = {item.change.kind: item for item in diagnosis.recommendations}
    assert set(tried) == {"cache", "parallel_calls"}
    first = next(item for item in tried.values() if not item.trial.on_top_of)
    assert first.trial.state is TrialState.CONFIRMED, first.trial.reason
    assert first.trial.low > 1.2
    assert first.trial.elements is ElementsState.IDENTICAL
    assert first.trial.elements_compared > 0
    assert "num_parallel_calls=" in tried["parallel_calls"].diff
    assert "+" in tried["cache"].diff


def test_a_pipeline_built_before_the_block_is_observed_and_its_unknown_lines_are_said(tmp_path):
    dataset = build(80)

    with pipeprof.profile(output=tmp_path) as prof:
        list(dataset)

    assert prof.diagnosis.steps.count == 10
    assert any("built before the capture began" in problem for problem in prof.diagnosis.run.problems)
