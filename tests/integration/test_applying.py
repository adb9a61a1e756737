"""Confirmed changes applied while the program builds its datasets: same elements, same state, or left as it is."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("tensorflow")

import tensorflow as tf
from tensorflow.python.framework import op_def_registry

from pipeprof.model.profile import Change
from tests.support.applied import Program, nodes_of, ops_of, options_of, values

pytestmark = pytest.mark.tf


def parallel(calls=4):
    return Change(kind="parallel_calls", params={"num_parallel_calls": calls})


CACHE = Change(kind="cache")


@pytest.fixture(autouse=True)
def _seeds():
    tf.random.set_seed(11)
    yield
    tf.random.set_seed(None)


def doubled():
    return tf.data.Dataset.range(20).shuffle(8).map(lambda x: x * 2).batch(3)


def test_a_map_is_made_parallel_and_the_seeded_order_of_a_shuffle_stays():
    tf.random.set_seed(11)
    expected = [values(doubled()) for _ in range(1)] + [tf.random.uniform([]).numpy().tolist()]
    program = Program(doubled, parallel())
    tf.random.set_seed(11)

    dataset = program.with_change()
    got = [values(dataset), tf.random.uniform([]).numpy().tolist()]

    assert got == expected
    assert "ParallelMapDatasetV2" in ops_of(dataset)
    assert "MapDataset" not in ops_of(dataset)
    assert program.applier.applied == ("Do it (x.py:1)",)
    assert program.applier.problems == ()


def test_a_parallel_map_is_made_one_that_tensorflow_does_not_make_parallel():
    def build():
        return tf.data.Dataset.range(20).map(lambda x: x * 2, num_parallel_calls=4).batch(3)

    expected = values(build())
    program = Program(build, Change(kind="synchronous"), class_name="_ParallelMapDataset")

    dataset = program.with_change()

    if "force_synchronous" not in [attr.name for attr in op_def_registry.get("MapDataset").attr]:
        assert program.reason.endswith("TensorFlow has synchronous maps from 2.18 on")
        return
    assert values(dataset) == expected
    (made,) = [node for node in nodes_of(dataset) if "MapDataset" in node.op]
    assert (made.op, made.attr["force_synchronous"].b) == ("MapDataset", True)
    assert program.applier.problems == ()


def test_draws_by_a_seed_keep_their_parallel_map():
    def build():
        return tf.data.Dataset.range(20).map(lambda _: tf.random.uniform([], seed=3), num_parallel_calls=4)

    program = Program(build, Change(kind="synchronous"), class_name="_ParallelMapDataset")

    dataset = program.with_change()

    assert "ParallelMapDatasetV2" in ops_of(dataset)
    assert "its random draws are seeded" in program.reason


def test_a_loop_inside_a_function_gets_the_changed_stage():
    program = Program(doubled, parallel())

    @tf.function
    def total(dataset):
        return dataset.reduce(tf.constant(0, tf.int64), lambda old, new: old + tf.reduce_sum(new))

    assert program.with_change(total).numpy() == 380
    assert program.applier.applied


def test_an_interleave_is_made_parallel_in_the_same_order():
    def build():
        return tf.data.Dataset.range(4).interleave(lambda x: tf.data.Dataset.range(x * 10, x * 10 + 5), cycle_length=2)

    expected = values(build())
    program = Program(build, parallel(-1), class_name="_InterleaveDataset")

    dataset = program.with_change()

    assert values(dataset) == expected
    assert "ParallelInterleaveDatasetV4" in ops_of(dataset)


def test_order_is_kept_where_later_options_allow_another():
    def build():
        options = tf.data.Options()
        options.deterministic = False
        return tf.data.Dataset.range(500).map(lambda x: x + 1).with_options(options)

    program = Program(build, parallel())

    assert values(program.with_change()) == list(range(1, 501))
    assert program.applier.applied


def test_a_cache_is_filled_once_and_lives_as_long_as_the_stage():
    def build():
        return tf.data.Dataset.range(6).map(lambda x: x + 1).shuffle(6)

    program = Program(build, CACHE)
    dataset = program.with_change()
    made = [sorted(values(dataset)) for _ in range(2)]

    assert made == [[1, 2, 3, 4, 5, 6]] * 2
    assert any(op.startswith("CacheDataset") for op in ops_of(dataset))


def test_a_thread_pool_is_set_and_other_options_stay():
    def build():
        options = tf.data.Options()
        options.deterministic = True
        return tf.data.Dataset.range(6).with_options(options).map(lambda x: x + 1)

    change = Change(kind="thread_pool", params={"private_threadpool_size": 7})
    program = Program(build, change)

    dataset = program.with_change()

    assert values(dataset) == list(range(1, 7))
    assert dataset.options().deterministic is True
    assert ops_of(dataset).count("OptionsDataset") >= 2


def test_a_buffer_is_put_behind_the_last_stage_and_order_stays():
    expected = values(doubled())
    program = Program(doubled, Change(kind="prefetch"), class_name="_BatchDataset")
    tf.random.set_seed(11)

    dataset = program.with_change()

    assert values(dataset) == expected
    assert ops_of(dataset).count("PrefetchDataset") == 1
    assert program.applier.problems == ()


def test_buckets_take_the_place_of_a_padded_batch():
    def build():
        rows = tf.data.Dataset.range(40).map(lambda x: (tf.ones([x % 2 * 8 + 1]), x))
        return rows.padded_batch(4, padding_values=(-1.0, tf.constant(0, tf.int64))).prefetch(1)

    program = Program(build, Change(kind="bucket", params={"boundaries": "9"}), "_PaddedBatchDataset")

    dataset = program.with_change()

    assert program.applier.problems == ()
    assert "GroupByWindowDataset" in ops_of(dataset)
    batches = [(words.shape, ids.tolist()) for words, ids in dataset.as_numpy_iterator()]
    assert {shape for shape, _ in batches} == {(4, 1), (4, 9)}
    assert sorted(number for _, ids in batches for number in ids) == list(range(40))


def test_a_prefetch_behind_buckets_stays():
    def build():
        return tf.data.Dataset.range(40).map(lambda x: tf.ones([x % 2 * 8 + 1])).padded_batch(4)

    program = Program(build, Change(kind="prefetch"), "_PaddedBatchDataset")
    buckets = Change(kind="bucket", params={"boundaries": "9"})
    first = replace(program._plan.changes[0], id="other", change=buckets)
    program._plan = replace(program._plan, changes=(*program._plan.changes, first))

    ops = ops_of(program.with_change())

    assert {"GroupByWindowDataset", "PrefetchDataset"} <= set(ops)
    assert "PaddedBatchDatasetV2" not in ops


def test_buckets_that_were_not_measured_leave_the_padded_batch():
    program = Program(
        lambda: tf.data.Dataset.range(9).map(lambda x: tf.ones([x])).padded_batch(2),
        Change(kind="bucket"),
        "_PaddedBatchDataset",
    )

    assert "GroupByWindowDataset" not in ops_of(program.with_change())
    assert "were not measured" in program.reason


def test_one_batch_stands_for_all_others_and_the_loop_is_as_long():
    change = Change(kind="ready_input", params={"elements": 7})
    program = Program(Live.python, change)

    dataset = program.with_change()

    assert values(dataset) == [0] * 7
    assert program.applier.problems == ()


@pytest.mark.parametrize(
    ("change", "is_set"),
    [
        (Change(kind="limit_memory", params={"ram_budget": 123_456}), lambda options: options.autotune.ram_budget == 123_456),
        (Change(kind="enable_autotune"), lambda options: options.autotune.enabled is True),
    ],
)
def test_an_option_of_autotune_is_put_behind_the_last_stage(change, is_set):
    def build():
        options = tf.data.Options()
        options.autotune.enabled = False
        return tf.data.Dataset.range(6).with_options(options).map(lambda x: x + 1)

    program = Program(build, change)

    dataset = program.with_change()

    assert values(dataset) == list(range(1, 7))
    assert "OptionsDataset" in ops_of(dataset)
    options = options_of(dataset)
    assert is_set(options)


class Live:
    """State of the program that a stage reads."""

    variable = tf.Variable(1, dtype=tf.int64)

    @staticmethod
    def reads():
        return tf.data.Dataset.range(6).map(lambda x: x + Live.variable)

    @staticmethod
    def python():
        return tf.data.Dataset.range(6).map(lambda x: tf.py_function(lambda y: y, [x], tf.int64))

    @staticmethod
    def generator():
        source = tf.data.Dataset.from_generator(lambda: iter(range(6)), output_signature=tf.TensorSpec([], tf.int64))
        return source.map(lambda x: x + 1)

    @staticmethod
    def table():
        keys = tf.lookup.KeyValueTensorInitializer([0, 1], [5, 6], tf.int64, tf.int64)
        lookup = tf.lookup.StaticHashTable(keys, -1)
        words = tf.lookup.KeyValueTensorInitializer(["0", "5"], [0, 1], tf.string, tf.int64)
        buckets = tf.lookup.StaticVocabularyTable(words, 2)
        return tf.data.Dataset.range(6).map(lambda x: buckets.lookup(tf.strings.as_string(lookup.lookup(x))))

    @staticmethod
    def changing_table():
        lookup = tf.lookup.experimental.MutableHashTable(tf.int64, tf.int64, -1)
        lookup.insert(tf.constant([0, 1], tf.int64), tf.constant([5, 6], tf.int64))
        return tf.data.Dataset.range(6).map(lookup.lookup)

    @staticmethod
    def two_tables():
        keys = tf.lookup.KeyValueTensorInitializer([0, 1], [5, 6], tf.int64, tf.int64)
        lookup, other = tf.lookup.StaticHashTable(keys, -1), tf.lookup.experimental.MutableHashTable(tf.int64, tf.int64, -1)
        return tf.data.Dataset.range(6).map(lambda x: lookup.lookup(x) + other.lookup(x))

    @staticmethod
    def seeded():
        return tf.data.Dataset.range(6).map(lambda _: tf.random.uniform([]))


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (Live.reads, "a stage reads a variable"),
        (Live.python, "a stage calls Python"),
        (Live.generator, "a stage calls Python"),
        (Live.changing_table, "a stage reads a lookup table"),
        (Live.two_tables, "a stage reads a lookup table"),
        (Live.seeded, "its random draws are seeded"),
    ],
)
def test_a_stage_whose_state_could_be_seen_at_another_time_is_left_as_it_is(build, reason):
    program = Program(build, parallel())

    dataset = program.with_change()

    assert "ParallelMapDatasetV2" not in ops_of(dataset)
    assert "MapDataset" in ops_of(dataset)
    assert program.applier.applied == ()
    assert program.reason.startswith("not applied: Do it (x.py:1): ")
    assert reason in program.reason


def test_a_table_that_cannot_change_keeps_no_stage_as_it_is(capfd):
    program = Program(Live.table, parallel())
    before = values(program.build())
    capfd.readouterr()

    dataset = program.with_change()

    assert "ParallelMapDatasetV2" in ops_of(dataset)
    assert program.applier.problems == ()
    assert values(dataset) == before == [1, 3, 2, 2, 2, 2]
    assert capfd.readouterr() == ("", "")


def test_another_tree_above_the_call_is_left_as_it_is():
    program = Program(doubled, parallel(), source="_TensorSliceDataset")

    dataset = program.with_change()

    assert "MapDataset" in ops_of(dataset)
    assert program.reason == "not applied: Do it (x.py:1): what stands above it is not what earlier had"


def test_a_cache_of_another_size_is_left_out():
    program = Program(doubled, CACHE, cardinality=7)

    assert not any(op.startswith("CacheDataset") for op in ops_of(program.with_change()))
    assert "it gives 20 elements and not 7" in program.reason


def test_a_kind_that_cannot_be_applied_safely_is_named():
    program = Program(doubled, Change(kind="fuse_decode_crop"))

    program.with_change()

    assert "a file that is no JPEG would end the program; pipeprof fix changes the source instead" in program.reason


def test_a_call_that_is_never_reached_is_named():
    program = Program(doubled, parallel())
    program.build = lambda: tf.data.Dataset.range(3)

    program.with_change()

    assert program.reason == "not applied: Do it (x.py:1): its call was not reached"


def test_a_function_is_traced_once_only():
    traced = []

    def build():
        def function(x):
            traced.append(1)
            return x + 1

        return tf.data.Dataset.range(6).map(function)

    program = Program(build, parallel())
    traced.clear()

    program.with_change()

    assert len(traced) == 1


SPLIT = Change(kind="split_map")
CAPTURED = tf.constant(3)


def draw(x):
    return tf.strings.length(tf.strings.as_string(x * 1000)) + tf.random.uniform([], maxval=50, dtype=tf.int32), x


BUILDS = {
    "plain": lambda: tf.data.Dataset.range(20).map(draw).batch(4),
    "parallel": lambda: tf.data.Dataset.range(20).map(draw, num_parallel_calls=1).batch(4),
    "captured": lambda: tf.data.Dataset.range(20).map(lambda x: draw(x + tf.cast(CAPTURED, tf.int64))).batch(4),
}


def epochs_of(dataset):
    return [[[part.tolist() for part in batch] for batch in dataset.as_numpy_iterator()] for _ in range(2)]


@pytest.mark.parametrize("name", BUILDS)
def test_a_random_map_is_split_and_gives_the_very_same_seeded_elements(name):
    tf.random.set_seed(11)
    expected = epochs_of(BUILDS[name]())
    program = Program(BUILDS[name], SPLIT, "_ParallelMapDataset" if name == "parallel" else "_MapDataset")
    tf.random.set_seed(11)

    dataset = program.with_change()

    assert program.applier.problems == ()
    assert epochs_of(dataset) == expected
    ops = [op for op in ops_of(dataset) if "Map" in op or op.startswith(("Cache", "Shuffle"))]
    kind = "ParallelMapDatasetV2" if name == "parallel" else "MapDataset"
    assert ops == [kind, "CacheDatasetV2", kind]


def numbers_of(dataset):
    return [[int(number) for _, batch in dataset for number in batch] for _ in range(3)]


@pytest.mark.parametrize("reshuffle", [True, None])
@pytest.mark.parametrize("between", [False, True])
def test_an_unseeded_shuffle_moves_behind_the_cache_and_still_shuffles(reshuffle, between):
    tf.random.set_seed(None)

    def build():
        rows = tf.data.Dataset.range(20).shuffle(9, reshuffle_each_iteration=reshuffle)
        rows = rows.map(lambda x: x + 0) if between else rows
        return rows.map(draw).batch(4)

    program = Program(build, SPLIT, last=True)

    dataset = program.with_change()

    assert program.applier.problems == ()
    assert [op for op in ops_of(dataset) if op.startswith(("Cache", "Shuffle"))] == ["CacheDatasetV2", "ShuffleDatasetV3"]
    orders = numbers_of(dataset)
    assert [sorted(order) for order in orders] == [list(range(20))] * 3
    assert orders[0] != orders[1]
    assert orders[1] != orders[2]


def test_a_seeded_shuffle_is_not_moved():
    program = Program(lambda: tf.data.Dataset.range(20).shuffle(9, seed=3).map(draw).batch(4), SPLIT)

    dataset = program.with_change()

    assert "CacheDatasetV2" not in ops_of(dataset)
    assert "the shuffle before it is seeded" in program.reason


@pytest.mark.parametrize("change", [SPLIT, CACHE])
def test_what_is_drawn_anew_this_time_is_not_kept_though_it_was_fixed_in_the_run_before(change):
    tf.random.set_seed(None)
    augments = []

    def build():
        before = tf.data.Dataset.range(20).map(lambda x: x + tf.random.uniform([], 0, 9, tf.int64) if augments else x)
        return before.map(draw if change is SPLIT else lambda x: x + 1)

    program = Program(build, change, last=True)
    augments.append(True)

    dataset = program.with_change()

    assert "CacheDatasetV2" not in ops_of(dataset)
    assert "drawn anew in every epoch here" in program.reason


@pytest.mark.parametrize("others", [(parallel(),), (parallel(), SPLIT)])
def test_changes_of_one_stage_stand_together_whatever_the_order_of_the_plan(others):
    last = CACHE if SPLIT not in others else others[1]
    program = Program(BUILDS["plain"] if last is SPLIT else lambda: tf.data.Dataset.range(20).map(lambda x: x + 1), last)
    first = replace(program._plan.changes[0], id="other", change=others[0])
    program._plan = replace(program._plan, changes=(*program._plan.changes, first))
    tf.random.set_seed(None)

    dataset = program.with_change()

    assert program.applier.problems == ()
    maps = ["ParallelMapDatasetV2"] * (2 if last is SPLIT else 1)
    assert [op for op in ops_of(dataset) if "Map" in op] == maps
    assert "CacheDatasetV2" in ops_of(dataset)


def test_what_comes_before_the_first_draw_is_done_in_the_first_epoch_only(tmp_path):
    paths = [str(tmp_path / f"{number}.txt") for number in range(5)]
    for path in paths:
        tf.io.write_file(path, "text")

    def build():
        read = lambda path: (tf.io.read_file(path), tf.random.uniform([]))  # noqa: E731
        return tf.data.Dataset.from_tensor_slices(paths).map(read)

    dataset = Program(build, SPLIT).with_change()
    first = list(dataset.as_numpy_iterator())
    for path in paths:
        tf.io.gfile.remove(path)
    second = list(dataset.as_numpy_iterator())

    assert [text for text, _ in second] == [text for text, _ in first] == [b"text"] * 5


def test_a_map_that_has_nothing_before_its_draw_is_left_as_it_is():
    program = Program(lambda: tf.data.Dataset.range(9).map(lambda x: x + tf.random.uniform([], 0, 9, tf.int64)), SPLIT)

    dataset = program.with_change()

    assert "CacheDatasetV2" not in ops_of(dataset)
    assert program.reason.endswith("nothing of the function comes before its first draw")
