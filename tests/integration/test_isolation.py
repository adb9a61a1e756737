"""A replay leaves the user's program as it was."""

from __future__ import annotations

import functools
import logging
import random
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeprof.advise.python_state import preserve_random_state
from pipeprof.advise.replayable import Replayable
from pipeprof.errors import TrialError

tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.tf


def _values(dataset) -> list:
    return [item.tolist() if hasattr(item, "tolist") else item for item in dataset.as_numpy_iterator()]


def _replay(dataset, epochs: int = 2) -> list[list]:
    loaded = Replayable.of(dataset).load()
    return [_values(loaded) for _ in range(epochs)]


class _Calls:
    """Counts how often the user's Python function ran."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, value):
        self.count += 1
        return value

    def mapped(self, dataset):
        return dataset.map(lambda item: tf.numpy_function(self, [item], tf.int64))


@pytest.mark.parametrize("seed", [None, 7])
@pytest.mark.parametrize("reshuffle", [True, False])
def test_the_shuffle_order_of_later_epochs_stays_the_users(seed, reshuffle):
    def make():
        tf.random.set_seed(11)
        return tf.data.Dataset.range(40).shuffle(40, seed=seed, reshuffle_each_iteration=reshuffle)

    expected = make()
    undisturbed = [_values(expected) for _ in range(4)]

    dataset = make()
    observed = [_values(dataset)]
    _replay(dataset, 3)
    observed += [_values(dataset) for _ in range(3)]

    assert observed == undisturbed


def test_the_global_op_seeds_are_not_consumed():
    def later_values(*, replayed: bool):
        tf.random.set_seed(5)
        dataset = tf.data.Dataset.range(8).shuffle(8).map(lambda item: item + tf.random.uniform([], 0, 9, tf.int64))
        if replayed:
            _replay(dataset)
        return float(tf.random.uniform([])), _values(tf.data.Dataset.range(20).shuffle(20))

    assert later_values(replayed=True) == later_values(replayed=False)


def test_an_unseeded_shuffle_replays_alike_in_each_load():
    dataset = tf.data.Dataset.range(30).shuffle(30)

    first, second = _replay(dataset), _replay(dataset)

    assert first == second
    assert first[0] != first[1]


def test_a_split_by_take_and_skip_stays_disjoint():
    shuffled = tf.data.Dataset.range(30).shuffle(30, reshuffle_each_iteration=False)
    both = tf.data.Dataset.zip((shuffled.take(10), shuffled.skip(10).take(10)))

    pairs = _values(Replayable.of(both).load().map(lambda left, right: tf.stack([left, right])))

    left, right = zip(*pairs, strict=True)
    assert not set(left) & set(right)


def test_a_filled_cache_stays_the_users_and_the_replay_fills_its_own():
    calls = _Calls()
    dataset = calls.mapped(tf.data.Dataset.range(6)).cache()
    _values(dataset)
    assert calls.count == 6

    loaded = Replayable.of(dataset).load()
    _values(loaded)
    after_first_replay = calls.count
    _values(loaded)
    after_second_replay = calls.count
    _values(dataset)

    assert after_first_replay == 12
    assert after_second_replay == 12
    assert calls.count == 12


def test_an_unfilled_cache_is_not_filled_by_a_replay():
    calls = _Calls()
    dataset = calls.mapped(tf.data.Dataset.range(6)).cache()

    _replay(dataset, 1)
    before = calls.count
    _values(dataset)

    assert calls.count == before + 6


def test_one_cache_read_twice_stays_one_cache():
    calls = _Calls()
    cached = calls.mapped(tf.data.Dataset.range(6)).cache()

    _replay(cached.concatenate(cached), 1)

    assert calls.count == 6


def test_each_load_has_a_cache_of_its_own():
    calls = _Calls()
    replayable = Replayable.of(calls.mapped(tf.data.Dataset.range(5)).cache())

    _values(replayable.load())
    _values(replayable.load())

    assert calls.count == 10


@pytest.mark.parametrize("filled", [True, False])
def test_cache_files_stay_untouched(tmp_path, filled):
    calls = _Calls()
    dataset = calls.mapped(tf.data.Dataset.range(6)).cache(str(tmp_path / "cache"))
    if filled:
        _values(dataset)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    made = calls.count

    result = _replay(dataset, 2)

    assert result == [list(range(6))] * 2
    assert calls.count == made + 6
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_cache_files_named_inside_a_function_stay_untouched(tmp_path):
    names = tf.data.Dataset.from_tensor_slices([str(tmp_path / "a"), str(tmp_path / "b")])
    dataset = names.interleave(lambda name: tf.data.Dataset.range(3).cache(name), cycle_length=2)

    result = _replay(dataset, 2)

    assert [sorted(epoch) for epoch in result] == [[0, 0, 1, 1, 2, 2]] * 2
    assert not list(tmp_path.iterdir())


def test_snapshots_go_to_scratch_and_scratch_is_removed(tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    dataset = tf.data.Dataset.range(6).snapshot(str(tmp_path / "snapshot"))

    loaded = Replayable.of(dataset).load()
    values = _values(loaded)
    during = list(scratch.iterdir())
    del loaded

    assert values == list(range(6))
    assert during
    assert not list(scratch.iterdir())
    assert not (tmp_path / "snapshot").exists()


def test_an_iterator_keeps_its_scratch_files_alive():
    dataset = tf.data.Dataset.range(50).cache(str(Path("unused-name")))

    iterator = iter(Replayable.of(dataset).load())
    values = [int(item) for item in iterator]

    assert values == list(range(50))


def test_variables_generators_and_tables_stay_the_users():
    variable = tf.Variable(5, dtype=tf.int64)
    generator = tf.random.Generator.from_seed(3)
    table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer([0, 1], [10, 11], tf.int64, tf.int64), -1)
    state = generator.state.numpy().tolist()
    dataset = tf.data.Dataset.range(4).map(
        lambda item: table.lookup(item) + variable + generator.uniform([], 0, 1, tf.int64, name=None)
    )

    result = _replay(dataset, 1)

    assert result == [[15, 16, 4, 4]]
    assert generator.state.numpy().tolist() == state
    assert int(variable) == 5


def test_a_counting_variable_is_refused():
    variable = tf.Variable(0, dtype=tf.int64)
    dataset = tf.data.Dataset.range(4).map(lambda item: item + variable.assign_add(1))

    with pytest.raises(TrialError, match="assigns a variable"):
        Replayable.of(dataset)


def test_a_keras_random_layer_can_be_replayed_and_keeps_its_state():
    keras = pytest.importorskip("keras")
    layer = keras.layers.RandomBrightness(0.5, seed=3)
    state = layer.generator.state.numpy().tolist() if hasattr(layer, "generator") else None
    dataset = tf.data.Dataset.range(4).map(lambda item: layer(tf.ones([2, 2, 3]) * tf.cast(item, tf.float32), training=True))

    values = _replay(dataset, 1)

    assert len(values[0]) == 4
    if state is not None:
        assert layer.generator.state.numpy().tolist() == state


def test_a_table_shared_by_name_is_refused():
    table = tf.lookup.experimental.DenseHashTable(tf.int64, tf.int64, -1, -2, -3)
    dataset = tf.data.Dataset.range(4).map(table.lookup)

    with pytest.raises(TrialError, match="shares a resource with the program"):
        Replayable.of(dataset)


def test_an_iterator_inside_a_map_is_refused():
    other = iter(tf.data.Dataset.range(100))
    dataset = tf.data.Dataset.range(3).map(lambda item: item + next(other))

    with pytest.raises(TrialError, match="shares a resource"):
        Replayable.of(dataset)
    assert int(next(other)) == 0


def test_a_map_that_writes_files_is_refused(tmp_path):
    def write(item):
        tf.io.write_file(str(tmp_path / "out"), tf.strings.as_string(item))
        return item

    with pytest.raises(TrialError, match="writes files"):
        Replayable.of(tf.data.Dataset.range(3).map(write))
    assert not (tmp_path / "out").exists()


_SIGNATURE = tf.TensorSpec([], tf.int64)
_ITERATOR = iter(range(5))


class _Holder:
    def __init__(self) -> None:
        self.items = iter([1, 2, 3])

    def rows(self):
        yield from self.items


def _one_shot_callables():
    held = (number for number in range(5))
    yield lambda: held
    yield held.__iter__
    yield functools.partial(iter, held)
    yield lambda: (item for item in _ITERATOR)
    yield _Holder().rows

    once = iter([1])

    def default(source=once):
        return source

    del once
    yield default


@pytest.mark.parametrize("position", range(6))
def test_a_generator_object_that_a_replay_would_use_up_is_refused(position):
    source = list(_one_shot_callables())[position]
    dataset = tf.data.Dataset.from_generator(source, output_signature=_SIGNATURE)

    with pytest.raises(TrialError, match="would use up"):
        Replayable.of(dataset)


def test_a_real_generator_function_can_be_replayed_while_the_user_reads_it():
    rows = [3, 1, 2]
    dataset = tf.data.Dataset.from_generator(lambda: iter(rows), output_signature=_SIGNATURE)
    reading = iter(dataset)
    first = int(next(reading))

    replayable = Replayable.of(dataset)

    assert replayable.has_python
    assert _values(replayable.load()) == rows
    assert [first, *(int(item) for item in reading)] == rows


def test_an_open_file_that_a_generator_reads_is_refused(tmp_path):
    path = tmp_path / "rows.txt"
    path.write_text("1\n2\n")
    with path.open() as stream:
        dataset = tf.data.Dataset.from_generator(lambda: (int(line) for line in stream), output_signature=_SIGNATURE)

        with pytest.raises(TrialError, match="would use up"):
            Replayable.of(dataset)
        assert stream.readline() == "1\n"


_LOGGER = logging.getLogger("a users logger")
_LOGGER.addHandler(logging.StreamHandler(sys.stderr))


def test_a_logger_or_an_output_file_in_a_python_function_does_not_stop_a_replay(tmp_path):
    with (tmp_path / "log.txt").open("w") as log:

        def note(item):
            _LOGGER.debug("one")
            log.write("one")
            return item

        dataset = tf.data.Dataset.range(3).map(lambda item: tf.numpy_function(note, [item], tf.int64))

        assert _replay(dataset, 1) == [[0, 1, 2]]


def test_a_py_function_that_draws_from_an_iterator_is_refused():
    source = iter(range(100))
    dataset = tf.data.Dataset.range(3).map(lambda item: tf.py_function(lambda _: next(source), [item], tf.int64))

    with pytest.raises(TrialError, match="would use up"):
        Replayable.of(dataset)
    assert next(source) == 0


def test_python_and_numpy_random_state_is_put_back():
    own = np.random.default_rng(1)

    def draw(item):
        return np.int64(item + int(own.integers(9)) + int(np.random.randint(9)) + random.randrange(9))

    replayable = Replayable.of(tf.data.Dataset.range(5).map(lambda item: tf.numpy_function(draw, [item], tf.int64)))
    before = own.bit_generator.state, random.getstate(), np.random.get_state()[1].tolist()

    with replayable.preserve_random_state():
        _values(replayable.load())
        changed = own.bit_generator.state != before[0]

    assert changed
    assert own.bit_generator.state == before[0]
    assert random.getstate() == before[1]
    assert np.random.get_state()[1].tolist() == before[2]


def test_random_state_is_put_back_after_an_error():
    state = random.getstate()

    def fail():
        with preserve_random_state():
            random.random()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()

    assert random.getstate() == state


def test_a_large_array_is_refused_before_it_is_serialised(monkeypatch):
    dataset = tf.data.Dataset.from_tensor_slices(np.zeros([1000, 1000], np.float32)).map(lambda item: item + 1)

    def fail(*_args, **_kwargs):
        raise AssertionError("serialised")

    monkeypatch.setattr(type(dataset), "_as_serialized_graph", fail)
    with pytest.raises(TrialError, match=r"too large to serialise \(4.0 MB"):
        Replayable.of(dataset, memory_limit_bytes=20_000_000)


def test_a_large_array_captured_by_a_function_is_counted():
    big = tf.zeros([500, 1000])
    dataset = tf.data.Dataset.range(5).map(lambda item: big[item])

    with pytest.raises(TrialError, match=r"too large to serialise \(2.0 MB"):
        Replayable.of(dataset, memory_limit_bytes=20_000_000)
