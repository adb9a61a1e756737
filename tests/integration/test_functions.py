"""What a stage's function is made of, read from real graphs: random, stateful and Python ops, seeds, variables, constants."""

from __future__ import annotations

import inspect

import pytest

from pipeprof.capture.functions import captured_bytes, describe_function
from pipeprof.model.profile import StageFunction

pytestmark = pytest.mark.tf

tf = pytest.importorskip("tensorflow")


def source(count=4):
    return tf.data.Dataset.range(count)


def described(function, **arguments) -> StageFunction:
    found = describe_function(source().map(function, **arguments))
    assert found is not None
    return found


def double(x):
    return x * 2


def test_a_plain_function_has_its_name_and_its_ops_and_nothing_else():
    found = described(double)

    assert found.name == "double"
    assert {"Mul", "Placeholder", "Identity"} <= set(found.op_types)
    assert found.op_types == tuple(sorted(set(found.op_types)))
    assert (found.stateful_ops, found.random_ops, found.python_ops, found.inner_datasets) == ((), (), (), ())
    assert (found.assigns_variables, found.has_op_seed) == (False, False)


def test_stages_without_a_function_have_none():
    assert describe_function(source()) is None
    assert describe_function(source().batch(2)) is None


@pytest.mark.parametrize(
    "build",
    [
        lambda: source().filter(lambda x: x * 2 > 1),
        lambda: source().flat_map(lambda x: tf.data.Dataset.from_tensors(x * 2)),
        lambda: source().interleave(lambda x: tf.data.Dataset.from_tensors(x * 2), num_parallel_calls=2),
        lambda: source().scan(tf.constant(0, tf.int64), lambda state, x: (state, x * 2)),
        lambda: source().take_while(lambda x: x * 2 < 9),
        lambda: source().group_by_window(lambda x: x * 2, lambda _key, window: window.batch(2), window_size=2),
    ],
)
def test_functions_of_other_stages_are_described_too(build):
    found = describe_function(build())

    assert found is not None
    assert "Mul" in found.op_types


@pytest.mark.parametrize(
    "draw",
    [
        lambda x: tf.random.uniform([]) + tf.cast(x, tf.float32),
        lambda x: tf.random.normal([2]) + tf.cast(x, tf.float32),
        lambda x: tf.random.shuffle(tf.stack([x, x])),
        lambda x: tf.image.random_flip_left_right(tf.zeros([4, 4, 3]) + tf.cast(x, tf.float32)),
        lambda x: tf.image.random_crop(tf.zeros([4, 4, 3]) + tf.cast(x, tf.float32), [2, 2, 3]),
    ],
)
def test_random_ops_are_found_also_where_a_helper_draws_them(draw):
    found = described(draw)

    assert found.random_ops != ()
    assert set(found.random_ops) <= set(found.op_types)
    assert found.has_op_seed is False


def test_a_generator_of_random_numbers_is_random_and_stateful():
    generator = tf.random.Generator.from_seed(1)

    found = described(lambda x: generator.uniform([]) + tf.cast(x, tf.float32))

    assert found.random_ops != ()
    assert found.stateful_ops != ()


def test_stateless_randomness_is_not_random_from_call_to_call():
    found = described(lambda x: tf.random.stateless_uniform([], [x, x]))

    assert found.random_ops == ()


def test_a_seed_of_the_op_is_seen():
    assert described(lambda x: tf.random.uniform([], seed=3) + tf.cast(x, tf.float32)).has_op_seed


def test_functions_within_functions_are_read():
    @tf.function
    def inner(x):
        return tf.cond(x > 1, lambda: tf.random.uniform([]), lambda: 0.0)

    assert described(inner).random_ops == ("RandomUniform",)


@pytest.mark.parametrize(
    ("call", "op"),
    [
        (lambda x: tf.py_function(lambda value: value, [x], tf.int64), "EagerPyFunc"),
        (lambda x: tf.numpy_function(lambda value: value, [x], tf.int64), "PyFunc"),
        (lambda x: tf.numpy_function(lambda value: value, [x], tf.int64, stateful=False), "PyFuncStateless"),
    ],
)
def test_calls_of_python_are_found_with_the_token_that_tensorflow_counts_them_by(call, op):
    found = described(call)

    assert found.python_ops == (op,)
    assert len(found.python_tokens) == 1
    assert found.python_tokens[0].startswith("pyfunc_")
    assert (op in found.stateful_ops) == (op != "PyFuncStateless")


def test_reading_a_file_and_asserting_keep_nothing_from_running_in_parallel():
    def read(path):
        tf.debugging.assert_greater(tf.strings.length(path), 0)
        return tf.io.read_file(path)

    found = describe_function(tf.data.Dataset.from_tensors("a").map(read))

    assert found is not None
    assert {"ReadFile", "Assert"} & set(found.op_types) != set()
    assert found.stateful_ops == ()


def test_lookup_tables_and_variables_are_stateful_and_assignments_are_seen():
    table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer([1, 2], [3, 4], tf.int64, tf.int64), -1)
    counter = tf.Variable(0, dtype=tf.int64)

    assert "LookupTableFindV2" in described(table.lookup).stateful_ops
    assert described(lambda x: x + counter).assigns_variables is False
    assert described(counter.assign_add).assigns_variables is True


def test_pipelines_that_a_function_builds_are_listed():
    found = describe_function(source().interleave(lambda x: source(3).map(lambda y: x + y)))

    assert found is not None
    assert {"MapDataset", "RangeDataset"} <= set(found.inner_datasets)


def test_arrays_that_a_stage_or_its_function_holds_are_weighed():
    numbers = tf.zeros([100, 4], tf.float32)

    assert captured_bytes(tf.data.Dataset.from_tensor_slices(numbers)) == 1600
    assert captured_bytes(tf.data.Dataset.from_tensor_slices({"a": numbers, "b": numbers})) == 3200
    assert captured_bytes(source().map(lambda x: numbers[x])) == 1600
    assert captured_bytes(source().map(double)) == 0


def test_resources_that_a_function_holds_have_no_size():
    variable = tf.Variable(tf.zeros([1000]))

    assert captured_bytes(source().map(lambda x: variable[x])) == 0


def test_describing_a_function_neither_calls_it_nor_changes_its_graph():
    calls = []

    def noted(x):
        calls.append(1)
        return x

    dataset = source().map(lambda x: tf.numpy_function(noted, [x], tf.int64))
    graph = dataset._map_func.function.graph
    before = graph.as_graph_def().SerializeToString(deterministic=True)

    describe_function(dataset)

    assert calls == []
    assert graph.as_graph_def().SerializeToString(deterministic=True) == before


def test_each_type_of_op_has_the_users_line_that_made_its_first() -> None:
    first = inspect.currentframe().f_lineno

    def decode(x):
        halved = tf.exp(x) / 2.0
        return tf.reduce_sum(halved) if x > 0.0 else x

    made = describe_function(tf.data.Dataset.from_tensors(1.0).map(decode))

    assert made.op_lines["Exp"] == f"test_functions.py:{first + 3}"
    assert made.op_lines["RealDiv"] == f"test_functions.py:{first + 3}"
    assert made.op_lines["Greater"] == f"test_functions.py:{first + 4}"
    assert "Const" not in made.op_lines


_FEATURES = {"a": tf.io.FixedLenFeature([], tf.int64)}


@tf.function
def _parse_within(record):
    return tf.io.parse_single_example(record, _FEATURES)["a"]


def _parse_once(record):
    return tf.io.parse_single_example(record, _FEATURES)["a"]


def _parse_twice(record):
    return tf.io.parse_single_example(record, _FEATURES)["a"] + _parse_within(record)


def test_the_call_that_parses_is_known_where_it_is_the_only_one():
    records = tf.data.Dataset.from_tensors("")

    once, twice, within = (describe_function(records.map(parse)) for parse in (_parse_once, _parse_twice, _parse_within))

    assert once.parse_call.code == "tf.io.parse_single_example(record, _FEATURES)"
    assert once.parse_call.line == inspect.getsourcelines(_parse_once)[1] + 1
    assert (twice.parse_call, within.parse_call) == (None, None)


def test_the_map_inside_is_known_where_it_is_the_only_one_that_says_nothing_of_parallel_calls():
    def read(item):
        return tf.data.Dataset.range(item).map(_parse_zero).concatenate(
            tf.data.Dataset.range(item).map(_parse_zero, num_parallel_calls=2)
        )  # fmt: skip

    described = describe_function(tf.data.Dataset.range(3).flat_map(read))

    assert described.inner_map.code == "tf.data.Dataset.range(item).map(_parse_zero)"


def _parse_zero(item):
    return item * 2


# --- the line that first draws ----------------------------------------------------------------------------------------


def in_order(x):
    y = tf.sqrt(tf.cast(x, tf.float32))
    y += tf.random.normal([])  # the first
    return y + tf.random.normal([]), tf.cast(x, tf.int32) - 1


def in_a_loop(x):
    y = tf.sqrt(tf.cast(x, tf.float32))
    for _ in tf.range(3):  # the first
        y += tf.random.normal([])
    return y


def in_a_branch(x):
    y = tf.sqrt(tf.cast(x, tf.float32))
    if y > 2:  # the first
        y += 1
        y += tf.random.normal([])
    else:
        y -= 1
    return y


def _noisy(y):
    return y * tf.random.uniform([])


def by_a_helper(x):
    y = tf.sqrt(tf.cast(x, tf.float32))
    return tf.round(
        _noisy(y),  # the first
    )


TABLE = {"made": None}


def by_a_table(x):
    y = tf.strings.as_string(x)
    y = TABLE["made"].lookup(y)  # the first
    return y + tf.random.uniform([], 0, 9, tf.int64)


@pytest.mark.parametrize("function", [in_order, in_a_loop, in_a_branch, by_a_helper, by_a_table])
def test_the_line_of_a_function_that_first_draws_is_known(function):
    pairs = tf.lookup.KeyValueTensorInitializer(["1"], tf.constant([1], tf.int64))
    TABLE["made"] = tf.lookup.StaticHashTable(pairs, -1)
    lines, first = inspect.getsourcelines(function)

    draw = described(function).first_draw

    assert draw is not None
    assert (draw.file, draw.defined) == (__file__, first)
    marked = next(number for number, line in enumerate(lines, first) if "# the first" in line)
    statement = {by_a_helper: marked - 1}.get(function, marked)  # AutoGraph keeps the first line of a statement over several
    assert draw.line in {marked, statement}


def test_what_hangs_on_the_arguments_alone_behind_the_first_draw_is_told():
    draw = described(in_order).first_draw

    assert draw is not None
    assert draw.behind == ("Cast", "Sub")


def test_lambdas_methods_and_what_draws_nothing_have_no_such_line():
    class Model:
        def load(self, x):
            return tf.cast(x, tf.float32) + tf.random.normal([])

    assert described(lambda x: tf.cast(x, tf.float32) + tf.random.normal([])).first_draw is None
    assert described(Model().load).first_draw is None
    assert described(double).first_draw is None
