"""Stages that change places while the program builds its datasets: same elements, fewer calls, or left as it is."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import tensorflow as tf

from pipeprof.model.profile import Change
from tests.support.applied import Program, ops_of, values

pytestmark = pytest.mark.tf

EARLIER = Change(kind="skip_earlier")


@pytest.fixture(autouse=True)
def _seeds():
    tf.random.set_seed(11)
    yield
    tf.random.set_seed(None)


def numbers():
    return tf.data.Dataset.range(20).map(lambda x: x * 2)


def order_of(dataset, *ops):
    """Return those of the ops that the graph has, source first."""
    return [op for op in ops_of(dataset) if op.startswith(ops)]


@pytest.mark.parametrize(
    ("stage", "class_name", "op"),
    [
        (lambda dataset: dataset.skip(5), "_SkipDataset", "SkipDataset"),
        (lambda dataset: dataset.take(5), "_TakeDataset", "TakeDataset"),
        (lambda dataset: dataset.shard(3, 1), "_ShardDataset", "ShardDataset"),
    ],
)
def test_what_throws_away_comes_before_the_map(stage, class_name, op):
    program = Program(lambda: stage(numbers()).batch(2), EARLIER, class_name)
    plain = stage(numbers()).batch(2)

    changed = program.with_change()

    assert program.applier.applied == ("Do it (x.py:1)",)
    assert values(changed) == values(plain)
    assert changed.cardinality() == plain.cardinality()
    assert order_of(plain, "MapDataset", op) == ["MapDataset", op]
    assert order_of(changed, "MapDataset", op) == [op, "MapDataset"]


def test_a_parallel_map_stays_parallel_behind_what_comes_before_it():
    def build():
        return tf.data.Dataset.range(20).map(lambda x: x * 2, num_parallel_calls=3).skip(5)

    changed = Program(build, EARLIER, "_SkipDataset").with_change()

    assert values(changed) == values(build())
    assert order_of(changed, "ParallelMap", "Skip") == ["SkipDataset", "ParallelMapDatasetV2"]


def test_a_shuffle_comes_before_the_map_in_the_order_that_its_seed_gives():
    def build():
        return numbers().shuffle(8, seed=4).batch(3)

    change = Change(kind="shuffle_earlier")
    program = Program(build, change, "_ShuffleDataset")
    changed, plain = program.with_change(), build()

    assert [values(changed) for _ in range(3)] == [values(plain) for _ in range(3)]
    assert order_of(changed, "MapDataset", "ShuffleDataset") == ["ShuffleDatasetV3", "MapDataset"]


def test_no_seed_of_the_program_is_used_up():
    def build():
        dataset = numbers().shuffle(8)
        return dataset, tf.random.uniform([], maxval=10**6, dtype=tf.int64).numpy()

    program = Program(lambda: build()[0], Change(kind="shuffle_earlier"), "_ShuffleDataset")
    tf.random.set_seed(5)
    program.build = build
    changed, drawn = program.with_change()
    tf.random.set_seed(5)
    plain, drawn_plain = build()

    assert program.applier.applied
    assert drawn == drawn_plain
    assert values(changed) == values(plain)


def test_who_else_reads_the_map_has_it_as_it_was():
    def build():
        mapped = numbers()
        return mapped.skip(15), mapped

    program = Program(lambda: build()[0], EARLIER, "_SkipDataset")
    program.build = build
    skipped, mapped = program.with_change()

    assert program.applier.applied
    assert values(skipped) == [30, 32, 34, 36, 38]
    assert values(mapped) == list(range(0, 40, 2))


def test_a_take_comes_before_the_cache_which_then_fills():
    calls = []

    def count(x):
        calls.append(int(x))
        return np.int64(x)

    def build():
        return tf.data.Dataset.range(20).map(lambda x: x + 1).cache().take(6)

    program = Program(build, Change(kind="move_cache"), "_TakeDataset")
    changed = program.with_change(lambda dataset: dataset)

    assert program.applier.applied
    assert [values(changed) for _ in range(2)] == [values(build()) for _ in range(2)]
    assert order_of(changed, "Take", "Cache") == ["TakeDataset", "CacheDatasetV2"]


@pytest.mark.parametrize(
    ("build", "change", "class_name", "reason"),
    [
        (lambda: tf.data.Dataset.range(9).batch(2).skip(1), EARLIER, "_SkipDataset", "does not stand directly behind a map"),
        (
            lambda: tf.data.Dataset.range(9).map(lambda x: tf.cast(x, tf.float32) + tf.random.uniform([])).skip(1),
            EARLIER, "_SkipDataset", "draws are seeded",
        ),
        (
            lambda: tf.data.Dataset.range(9).map(lambda x: tf.numpy_function(np.int64, [x], tf.int64)).skip(1),
            EARLIER, "_SkipDataset", "calls Python",
        ),
        (
            lambda: tf.data.Dataset.range(9).shuffle(4).cache().take(3),
            Change(kind="move_cache"), "_TakeDataset", "drawn anew in every epoch",
        ),
    ],
)  # fmt: skip
def test_what_cannot_change_places_is_left_as_it_is(build, change, class_name, reason):
    program = Program(build, change, class_name)
    tf.random.set_seed(3)
    changed = program.with_change()
    tf.random.set_seed(3)

    assert reason in program.reason
    assert ops_of(changed) == ops_of(build())


def test_a_cache_in_a_file_is_left_as_it_is(tmp_path):
    program = Program(
        lambda: tf.data.Dataset.range(9).cache(str(tmp_path / "kept")).take(3), Change(kind="move_cache"), "_TakeDataset"
    )

    program.with_change()

    assert "the cache is in a file" in program.reason
