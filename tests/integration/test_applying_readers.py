"""Readers of inner pipelines, changed while the program builds them: the same elements, several files at a time."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("tensorflow")

import tensorflow as tf

from pipeprof.model.profile import Change
from tests.support.applied import Program, ops_of, values

pytestmark = pytest.mark.tf

SIDE_BY_SIDE = Change(kind="interleave", params={"cycle_length": 3})
INSIDE = Change(kind="parallel_inside", params={"num_parallel_calls": 4})
READERS = {
    "TFRecordDatasetV2": tf.data.TFRecordDataset,
    "TextLineDatasetV2": lambda paths: tf.data.TextLineDataset(tf.data.Dataset.from_tensor_slices(paths)),
    "FixedLengthRecordDatasetV2": lambda paths: tf.data.FixedLengthRecordDataset(paths, 4),
}


@pytest.fixture(autouse=True)
def _no_seed():
    tf.random.set_seed(None)
    yield
    tf.random.set_seed(None)


def write(folder, class_name):
    """Write three files of three records of four bytes for a reader, and return their paths."""
    paths = []
    for number in range(3):
        path = str(folder / str(number))
        records = [f"{number}-{index}\n".encode() for index in range(3)]
        if class_name == "TFRecordDatasetV2":
            with tf.io.TFRecordWriter(path) as writer:
                for record in records:
                    writer.write(record)
        else:
            tf.io.write_file(path, b"".join(records))
        paths.append(path)
    return paths


def nodes_inside(dataset):
    """Return the nodes of all functions that the graph holds."""
    graph = tf.compat.v1.GraphDef.FromString(dataset._as_serialized_graph().numpy())
    return [node for function in graph.library.function for node in function.node_def]


def maps_inside(dataset):
    return [node.op for node in nodes_inside(dataset) if node.op.startswith(("MapDataset", "ParallelMapDataset"))]


@pytest.mark.parametrize("class_name", READERS)
def test_several_files_are_read_side_by_side(class_name, tmp_path):
    paths = write(tmp_path, class_name)
    program = Program(lambda: READERS[class_name](paths).map(lambda x: x).batch(2), SIDE_BY_SIDE, class_name)
    plain = [bytes(record).strip() for record in program.build().unbatch().as_numpy_iterator()]

    dataset = program.with_change()
    records = [bytes(record).strip() for record in dataset.unbatch().as_numpy_iterator()]

    assert program.applier.applied == ("Do it (x.py:1)",)
    assert program.applier.problems == ()
    assert plain == [f"{number}-{index}".encode() for number in range(3) for index in range(3)]
    assert records == [f"{number}-{index}".encode() for index in range(3) for number in range(3)]
    assert "ParallelInterleaveDatasetV4" in ops_of(dataset)
    assert "FlatMapDataset" not in ops_of(dataset)


def numbers(x):
    return tf.data.Dataset.range(x * 10, x * 10 + 3)


def test_a_flat_map_becomes_an_interleave_of_the_same_function_and_what_it_captured():
    offset = tf.constant(7, tf.int64)
    traced = []

    def inner(x):
        traced.append(1)
        return numbers(x).map(lambda y: y + offset)

    program = Program(lambda: tf.data.Dataset.range(3).flat_map(inner), SIDE_BY_SIDE, "_FlatMapDataset")
    traced.clear()

    dataset = program.with_change()

    assert values(dataset) == [7, 17, 27, 8, 18, 28, 9, 19, 29]
    assert dataset.cardinality() == program.build().cardinality()
    assert len(traced) == 2  # once by the changed program, once by the line above


def test_without_a_number_of_files_tensorflow_chooses():
    program = Program(lambda: tf.data.Dataset.range(3).flat_map(numbers), Change(kind="interleave"), "_FlatMapDataset")

    dataset = program.with_change()

    assert sorted(values(dataset)) == [0, 1, 2, 10, 11, 12, 20, 21, 22]
    assert "ParallelInterleaveDatasetV4" in ops_of(dataset)


def test_a_loop_inside_a_function_reads_side_by_side():
    program = Program(lambda: tf.data.Dataset.range(3).flat_map(numbers), SIDE_BY_SIDE, "_FlatMapDataset")

    @tf.function
    def read(dataset):
        total = tf.constant(0, tf.int64)
        for number in dataset:
            total = total * 3 + number
        return total

    in_turn = tf.constant([0, 10, 20, 1, 11, 21, 2, 12, 22], tf.int64)

    assert program.with_change(read) == read(tf.data.Dataset.from_tensor_slices(in_turn))
    assert program.applier.applied


def slow(x):
    return numbers(x).map(lambda y: y * 2 + tf.cast(tf.random.uniform([], 0, 1, tf.int32), tf.int64))


MAKERS_OF_INNER = {
    "_FlatMapDataset": lambda: tf.data.Dataset.range(3).flat_map(slow),
    "_InterleaveDataset": lambda: tf.data.Dataset.range(3).interleave(slow, cycle_length=2),
    "_ParallelInterleaveDataset": lambda: tf.data.Dataset.range(3).interleave(slow, cycle_length=2, num_parallel_calls=2),
}


@pytest.mark.parametrize("class_name", MAKERS_OF_INNER)
def test_the_map_inside_is_made_parallel_and_the_order_stays(class_name):
    build = MAKERS_OF_INNER[class_name]
    program = Program(lambda: build().prefetch(1), INSIDE, class_name)

    dataset = program.with_change()

    assert program.applier.problems == ()
    assert values(dataset) == values(build())
    assert maps_inside(build()) == ["MapDataset"]
    assert maps_inside(dataset) == ["ParallelMapDatasetV2"]
    assert [op for op in ops_of(dataset) if "Interleave" in op or "Flat" in op] == [
        op for op in ops_of(build()) if "Interleave" in op or "Flat" in op
    ]


def test_the_order_inside_is_kept_whatever_options_follow():
    options = tf.data.Options()
    options.deterministic = False

    def build():
        inner = lambda x: tf.data.Dataset.range(x, 300).map(lambda y: y + tf.random.uniform([], 0, 1, tf.int64))  # noqa: E731
        return tf.data.Dataset.range(1).flat_map(inner).with_options(options)

    program = Program(build, INSIDE, "_FlatMapDataset")

    assert values(program.with_change()) == list(range(300))
    assert program.applier.applied


@pytest.mark.filterwarnings("ignore:Your input ran out of data")  # said of every pipeline of unknown length
def test_keras_trains_on_what_the_parallel_map_inside_gives():
    def build():
        return tf.data.Dataset.range(3).flat_map(slow).map(lambda x: (tf.cast([x], tf.float32), 1.0)).batch(3)

    program = Program(build, INSIDE, "_FlatMapDataset")
    model = tf.keras.Sequential([tf.keras.layers.Dense(1, kernel_initializer="zeros")])
    model.compile("sgd", "mse")

    history = program.with_change(lambda dataset: model.fit(dataset, epochs=2, verbose=0, shuffle=False))

    assert history.epoch == [0, 1]
    assert program.applier.applied


def test_the_map_inside_and_calls_side_by_side_stand_together():
    program = Program(MAKERS_OF_INNER["_FlatMapDataset"], SIDE_BY_SIDE, "_FlatMapDataset")
    first = replace(program._plan.changes[0], id="other", change=INSIDE)
    program._plan = replace(program._plan, changes=(*program._plan.changes, first))

    dataset = program.with_change()

    assert program.applier.problems == ()
    assert values(dataset) == [0, 20, 40, 2, 22, 42, 4, 24, 44]
    assert "ParallelInterleaveDatasetV4" in ops_of(dataset)
    assert maps_inside(dataset) == ["ParallelMapDatasetV2"]


def test_the_function_of_the_map_inside_is_traced_once_only():
    traced = []

    def inner(x):
        traced.append(1)
        return slow(x)

    program = Program(lambda: tf.data.Dataset.range(3).flat_map(inner), INSIDE, "_FlatMapDataset")
    traced.clear()

    program.with_change()

    assert program.applier.applied
    assert len(traced) == 1


VARIABLE = tf.Variable(1, dtype=tf.int64)


def from_generator():
    return tf.data.Dataset.from_generator(lambda: iter(range(6)), output_signature=tf.TensorSpec([], tf.int64))


def read_live():
    return tf.data.Dataset.range(3).flat_map(lambda x: numbers(x).map(lambda y: y + VARIABLE))


def two_maps(x):
    return slow(x).map(lambda y: y + 1)


@pytest.mark.filterwarnings("ignore:Seed 4 from outer graph")
@pytest.mark.parametrize("change", [SIDE_BY_SIDE, INSIDE])
@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (read_live, "a stage reads a variable"),
        (from_generator, "a stage calls Python"),
        (MAKERS_OF_INNER["_FlatMapDataset"], "its random draws are seeded"),
    ],
)
def test_state_of_the_program_or_seeded_draws_leave_a_reader_as_it_is(change, build, reason):
    program = Program(build, change, "_FlatMapDataset")
    tf.random.set_seed(4)

    dataset = program.with_change()

    assert program.applier.applied == ()
    assert reason in program.reason
    assert "FlatMapDataset" in ops_of(dataset)
    assert "ParallelMapDatasetV2" not in maps_inside(dataset)


@pytest.mark.parametrize(
    ("inner", "reason"), [(numbers, "its function has no map"), (two_maps, "its function has several maps")]
)
def test_a_function_without_one_map_is_left_as_it_is(inner, reason):
    program = Program(lambda: tf.data.Dataset.range(3).flat_map(inner), INSIDE, "_FlatMapDataset")

    dataset = program.with_change()

    assert reason in program.reason
    assert "ParallelMapDatasetV2" not in maps_inside(dataset)


def test_names_that_python_makes_are_read_as_before():
    def build():
        names = tf.data.Dataset.from_generator(lambda: iter([]), output_signature=tf.TensorSpec([], tf.string))
        return tf.data.TextLineDataset(names)

    program = Program(build, SIDE_BY_SIDE, "TextLineDatasetV2")

    dataset = program.with_change()

    assert "a stage calls Python" in program.reason
    assert "ParallelInterleaveDatasetV4" not in ops_of(dataset)


def test_a_reader_that_reads_several_files_already_is_left_as_it_is(tmp_path):
    paths = write(tmp_path, "TFRecordDatasetV2")
    program = Program(lambda: tf.data.TFRecordDataset(paths, num_parallel_reads=2), SIDE_BY_SIDE, "TFRecordDatasetV2")

    dataset = program.with_change()

    assert "does not read one file after the other" in program.reason
    assert "LegacyParallelInterleaveDatasetV2" in ops_of(dataset)


def test_draws_behind_a_reader_forbid_another_order_where_a_seed_is_set():
    program = Program(lambda: tf.data.Dataset.range(3).flat_map(numbers), SIDE_BY_SIDE, "_FlatMapDataset")
    (change,) = program._plan.changes
    program._plan = replace(program._plan, changes=(replace(change, draws_behind=True),))

    free = program.with_change()
    applied = program.applier.applied
    tf.random.set_seed(4)
    seeded = program.with_change()

    assert applied
    assert "ParallelInterleaveDatasetV4" in ops_of(free)
    assert "random draws behind it would fall on other elements" in program.reason
    assert "ParallelInterleaveDatasetV4" not in ops_of(seeded)
