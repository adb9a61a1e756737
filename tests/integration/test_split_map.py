"""A random map is cut where it first draws: the same elements, drawn anew in every epoch, and the first part done once."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pipeprof.advise.changes import find_change
from pipeprof.advise.changes.split_map import SPLIT, fixed_source
from pipeprof.advise.equivalence import compare
from pipeprof.advise.graph import all_nodes, nodes_by_name
from pipeprof.advise.match import match_stages
from pipeprof.advise.replayable import Replayable
from pipeprof.advise.sides import Leeway
from pipeprof.capture.datasets import DatasetRegistry
from pipeprof.errors import TrialError
from pipeprof.model.profile import ElementsState

tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.tf

COUNT = 24
SIDE = 12


def pictures() -> Any:
    pixels = np.arange(COUNT * SIDE * SIDE * 3, dtype=np.int64).reshape(COUNT, SIDE, SIDE, 3) % 251
    coded = [tf.io.encode_png(tf.constant(one, tf.uint8)).numpy() for one in pixels]
    return tf.data.Dataset.from_tensor_slices((coded, np.arange(COUNT)))


def flip(coded: Any, label: Any) -> Any:
    return tf.image.random_flip_left_right(tf.io.decode_png(coded, channels=3)), label


def scaled(coded: Any, label: Any) -> Any:
    image = tf.cast(tf.io.decode_png(coded, channels=3), tf.float32) / 255.0
    wide = tf.shape(image)[0]
    return tf.image.random_brightness(image, 0.2), label, wide


def cropped(coded: Any, label: Any) -> dict[str, Any]:
    image = tf.cast(tf.image.resize(tf.io.decode_png(coded, channels=3), [8, 8]), tf.uint8)
    image.set_shape([8, 8, 3])
    return {"image": tf.image.random_crop(image, [4, 4, 3]), "label": label, "name": tf.strings.as_string(label)}


def in_a_loop(coded: Any, label: Any) -> Any:
    image = tf.image.resize(tf.io.decode_png(coded, channels=3), [8, 8])
    for _ in tf.range(3):
        image += tf.random.normal([8, 8, 3])
    return image, label


def seeded(coded: Any, label: Any) -> Any:
    image = tf.image.resize(tf.io.decode_png(coded, channels=3), [8, 8])
    return tf.image.random_hue(image / 255.0, 0.1, seed=7), label


def looked_up(table: Any) -> Callable[..., Any]:
    factor = tf.constant(3, tf.int64)

    def both(coded: Any, label: Any) -> Any:
        image = tf.io.decode_png(coded, channels=3)
        return (
            tf.image.random_flip_up_down(image),
            table.lookup(label * factor),
            tf.random.uniform([]) * tf.cast(factor, tf.float32),
        )

    return both


def until_content(coded: Any, label: Any) -> Any:
    image = tf.io.decode_png(coded, channels=3)
    drawn = tf.constant(1.0)
    while drawn > 0.3:
        drawn = tf.random.uniform([])
    return tf.cast(image, tf.float32) * drawn, label


def checked(coded: Any, label: Any) -> Any:
    tf.debugging.assert_less(tf.cast(label, tf.float32), 20.0)
    return tf.cast(tf.io.decode_png(coded, channels=3), tf.float32) + tf.random.uniform([])


def plus_one(coded: Any, label: Any) -> Any:
    return coded, label + 1


def table() -> Any:
    keys = tf.range(100, dtype=tf.int64)
    return tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, keys * 3), -1)


PIPELINES: dict[str, Callable[[], Any]] = {
    "plain": lambda: pictures().map(flip).batch(4),
    "cast and scaled": lambda: pictures().map(scaled).batch(4),
    "a dictionary": lambda: pictures().map(cropped).batch(4, drop_remainder=True),
    "a loop that draws": lambda: pictures().map(in_a_loop).batch(4),
    "draws until it is content": lambda: pictures().map(until_content).batch(4),
    "a seed": lambda: pictures().map(seeded).batch(4),
    "a table and a captured value": lambda: pictures().map(looked_up(table())).batch(4),
    "in parallel": lambda: pictures().map(flip, num_parallel_calls=2).batch(4).prefetch(1),
    "shuffled": lambda: pictures().shuffle(COUNT).map(flip).batch(4),
    "shuffled before a fixed map": lambda: pictures().shuffle(COUNT).map(plus_one).map(flip).batch(4),
    "shuffled behind": lambda: pictures().map(flip).shuffle(8).batch(4),
    "a branch of zip": lambda: tf.data.Dataset.zip((tf.data.Dataset.range(COUNT), pictures().map(flip))).batch(4),
    "repeated": lambda: pictures().map(flip).repeat(2).batch(4),
}


def split(dataset: Any) -> tuple[Replayable, Replayable, str]:
    """Return the pipeline, the pipeline with its last map split, and the node that this map was."""
    original = Replayable.of(dataset)
    tree = DatasetRegistry().read_tree(dataset)
    names = match_stages(original.graph, tree.stages, tree.output)
    stage = [item.id for item in tree.stages if item.op == "map"][-1]
    return original, find_change(SPLIT).rewrite(original, names, stage, {}), names[stage]


def maps_of(replayable: Replayable) -> list[set[str]]:
    """Return the ops of each map's function, source first as the graph lists what each reads."""
    library = {function.signature.name: function for function in replayable.graph.library.function}
    nodes = [node for node in replayable.graph.node if "MapDataset" in node.op]
    return [{item.op for item in library[node.attr["f"].func.name].node_def} for node in nodes]


def values(dataset: Any) -> list[bytes]:
    return [b"".join(np.asarray(part).tobytes() for part in tf.nest.flatten(element)) for element in dataset]


@pytest.mark.parametrize("name", PIPELINES)
def test_the_elements_are_the_same_but_for_their_draws(name: str) -> None:
    original, changed, node = split(PIPELINES[name]())

    kept = fixed_source(original.graph, node)
    found = compare(
        original, changed, limit_elements=64, epochs=2, time_budget_s=30.0, kept_at=kept, leeway=Leeway(cuts_functions=True)
    )

    assert found.state is ElementsState.SAME_BUT_RANDOM, found.note
    assert found.elements_compared >= 2 * (COUNT // 4)
    assert "the same for all elements" in found.note
    before, after = original.load(), changed.load()
    assert (values(after) != values(after)) is (values(before) != values(before)), "drawn anew in every epoch, unless seeded"


def test_a_check_of_the_users_still_stops_the_pipeline() -> None:
    _, changed, _ = split(pictures().map(checked))

    first = changed.load().take(20)
    assert len(list(first)) == 20
    with pytest.raises(tf.errors.InvalidArgumentError):
        list(changed.load())


def test_seeded_draws_are_the_very_same() -> None:
    original, changed, _ = split(PIPELINES["a seed"]())

    assert values(changed.load()) == values(original.load())


def test_decoding_is_before_the_cache_and_drawing_behind_it() -> None:
    _, changed, _ = split(PIPELINES["a dictionary"]())

    drawn, fixed = maps_of(changed)
    assert "DecodePng" in fixed
    assert "DecodePng" not in drawn
    assert "RandomUniformInt" in drawn
    assert "RandomUniformInt" not in fixed
    (cache,) = [node for node in changed.graph.node if node.op.startswith("CacheDataset")]
    assert nodes_by_name(changed.graph)[cache.input[0]].op == "MapDataset"


def test_the_first_part_runs_in_the_first_epoch_only(tmp_path: Any) -> None:
    paths = [str(tmp_path / f"{number}.png") for number in range(6)]
    for path in paths:
        tf.io.write_file(path, tf.io.encode_png(tf.zeros([8, 8, 3], tf.uint8)))

    def read(path: Any) -> Any:
        return tf.image.random_brightness(tf.cast(tf.io.decode_png(tf.io.read_file(path)), tf.float32), 0.2)

    _, changed, _ = split(tf.data.Dataset.from_tensor_slices(paths).map(read))
    loaded = changed.load()
    first = len(list(loaded))
    for path in paths:
        (tmp_path / path).unlink()

    assert (first, len(list(loaded))) == (6, 6), "the files are not read again"


def test_narrow_values_are_kept_and_cast_behind_the_cache() -> None:
    _, changed, _ = split(PIPELINES["cast and scaled"]())

    (cache,) = [node for node in changed.graph.node if node.op.startswith("CacheDataset")]
    types = {tf.as_dtype(item) for item in cache.attr["output_types"].list.type}
    assert tf.uint8 in types
    assert tf.float32 not in types


def test_a_shuffle_moves_behind_the_cache_and_still_shuffles() -> None:
    _, changed, _ = split(PIPELINES["shuffled"]())

    labels = [[int(label) for _, batch in epoch for label in batch] for epoch in [list(changed.load())]]
    loaded = changed.load()
    orders = [[int(label) for _, batch in loaded for label in batch] for _ in range(3)]
    assert [sorted(order) for order in (*labels, *orders)] == [list(range(COUNT))] * 4
    assert orders[0] != orders[1]
    assert orders[1] != orders[2]


def test_a_wrong_cut_is_found_out() -> None:
    original, changed, _ = split(PIPELINES["cast and scaled"]())
    graph = changed.copy_graph()
    for function in graph.library.function:
        if "_second_" in function.signature.name:
            (division,) = [node for node in function.node_def if node.op == "RealDiv"]
            division.op = "Mul"

    found = compare(
        original, changed.with_graph(graph), limit_elements=32, time_budget_s=20.0, leeway=Leeway(cuts_functions=True)
    )

    assert found.state is ElementsState.DIFFERENT


def test_a_cache_of_what_is_drawn_is_found_out() -> None:
    original = Replayable.of(PIPELINES["plain"]())
    frozen = Replayable.of(pictures().map(flip).cache().batch(4))

    found = compare(original, frozen, limit_elements=32, time_budget_s=20.0, leeway=Leeway(cuts_functions=True))

    assert found.state is ElementsState.DIFFERENT


def drawn_first(coded: Any, label: Any) -> Any:
    return coded, label + tf.random.uniform([], maxval=9, dtype=tf.int64)


def in_python(coded: Any, label: Any) -> Any:
    image = tf.numpy_function(lambda value: np.frombuffer(value, np.uint8)[:4], [coded], tf.uint8)
    return tf.cast(image, tf.float32) + tf.random.uniform([]), label


def counted(variable: Any) -> Callable[..., Any]:
    return lambda coded, label: (tf.image.random_flip_left_right(tf.io.decode_png(coded)), label * variable)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: pictures().map(plus_one).batch(4), "draws nothing at random"),
        (lambda: pictures().map(drawn_first).batch(4), "nothing of the function comes before its first draw"),
        (lambda: pictures().map(in_python).batch(4), "nothing of the function comes before its first draw"),
        (lambda: pictures().repeat().map(flip).batch(4), "never ends"),
        (
            lambda: pictures().map(drawn_first).map(lambda c, n: (tf.image.random_flip_up_down(tf.io.decode_png(c)), n)),
            "freeze",
        ),
        (lambda: pictures().shuffle(8).repeat(2).map(flip).batch(4), "freeze the order"),
        (lambda: pictures().shuffle(8).batch(2).unbatch().map(flip), "freeze the order"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_its_reason(make: Callable[[], Any], reason: str) -> None:
    with pytest.raises(TrialError, match=reason):
        split(make())


def test_what_reads_a_variable_is_not_kept() -> None:
    _, changed, _ = split(pictures().map(counted(tf.Variable(2, dtype=tf.int64))).batch(4))

    drawn, fixed = maps_of(changed)
    assert "ReadVariableOp" in drawn
    assert "ReadVariableOp" not in fixed
    assert not any(node.op == "ReadVariableOp" for node in all_nodes(changed.graph) if node.op in fixed)


@pytest.mark.skipif(tuple(map(int, tf.__version__.split(".")[:2])) < (2, 21), reason="some are new in TensorFlow 2.21")
def test_the_functions_that_are_taken_to_give_tensors_are_tensorflows() -> None:
    from pipeprof.advise.edits import value_kinds

    names = value_kinds._FUNCTIONS | value_kinds._SEVERAL | value_kinds._TUPLES | value_kinds._RECORDS

    assert [name for name in sorted(names) if not callable(operator.attrgetter(name)(tf))] == []
