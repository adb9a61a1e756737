"""Casts at the end of a map move behind the batch: the very same elements, narrow until then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pipeprof.advise.changes import find_change
from pipeprof.advise.equivalence import compare
from pipeprof.advise.match import match_stages
from pipeprof.advise.replayable import Replayable
from pipeprof.capture.datasets import DatasetRegistry
from pipeprof.errors import TrialError
from pipeprof.model.profile import ElementsState

tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.tf

COUNT = 22


def pictures() -> Any:
    pixels = np.arange(COUNT * 6 * 5 * 3, dtype=np.int64).reshape(COUNT, 6, 5, 3) % 251
    coded = [tf.io.encode_png(tf.constant(one, tf.uint8)).numpy() for one in pixels]
    return tf.data.Dataset.from_tensor_slices((coded, np.arange(COUNT)))


def scaled(coded: Any, label: Any) -> Any:
    return tf.cast(tf.io.decode_png(coded, channels=3), tf.float32) / 255.0 - 0.5, label


def normalised(coded: Any, label: Any) -> Any:
    image = tf.cast(tf.io.decode_png(coded, channels=3), tf.float32)
    return {"image": (image - [120.0, 110.0, 100.0]) / [60.0, 50.0, 40.0], "label": label}


def shown_too(coded: Any, label: Any) -> Any:
    image = tf.io.decode_png(coded, channels=3)
    wide = tf.cast(image, tf.float32)
    return wide, image, tf.reduce_mean(wide), label


def flipped(coded: Any, label: Any) -> Any:
    image = tf.image.random_flip_left_right(tf.io.decode_png(coded, channels=3))
    return tf.cast(image, tf.float32) * (1 / 127.5), label


def converted(coded: Any, label: Any) -> Any:
    return tf.image.convert_image_dtype(tf.io.decode_png(coded, channels=3), tf.float32), label


PIPELINES: dict[str, Callable[[], Any]] = {
    "batch": lambda: pictures().map(scaled).batch(4),
    "dictionary": lambda: pictures().map(normalised).batch(4),
    "several outputs": lambda: pictures().map(shown_too).batch(4),
    "random before": lambda: pictures().map(flipped).shuffle(8).batch(4),
    "converted": lambda: pictures().map(converted, num_parallel_calls=2).shuffle(9).batch(4, drop_remainder=True).prefetch(1),
    "cache": lambda: pictures().map(scaled).cache().shuffle(7).repeat(2).batch(4),
    "shuffle alone": lambda: pictures().map(scaled).shuffle(7),
    "maps behind": lambda: pictures().map(scaled).take(15).batch(4).map(lambda image, label: (image * 2.0, label)),
}


def later(dataset: Any) -> tuple[Replayable, Replayable]:
    original = Replayable.of(dataset)
    tree = DatasetRegistry().read_tree(dataset)
    names = match_stages(original.graph, tree.stages, tree.output)
    stage = next(item.id for item in tree.stages if item.op == "map")
    return original, find_change("cast_later").rewrite(original, names, stage, {})


def types_of(replayable: Replayable, op: str) -> set[Any]:
    (node,) = [node for node in replayable.graph.node if node.op.startswith(op)]
    return {tf.as_dtype(item) for item in node.attr["output_types"].list.type}


@pytest.mark.parametrize("name", PIPELINES)
def test_the_elements_are_the_very_same(name: str) -> None:
    original, changed = later(PIPELINES[name]())

    found = compare(original, changed, limit_elements=64, epochs=2, time_budget_s=30.0)

    wanted = ElementsState.SAME_BUT_RANDOM if name == "random before" else ElementsState.IDENTICAL
    assert found.state is wanted, found.note
    assert found.elements_compared >= 8


def test_what_stands_between_holds_narrow_values() -> None:
    _, changed = later(PIPELINES["cache"]())

    assert types_of(changed, "CacheDataset") == {tf.uint8, tf.int64}
    assert types_of(changed, "ShuffleDataset") == {tf.uint8, tf.int64}
    assert types_of(changed, "BatchDataset") == {tf.uint8, tf.int64}


def narrow(coded: Any, label: Any) -> Any:
    return tf.io.decode_png(coded, channels=3), label


def averaged(coded: Any, label: Any) -> Any:
    return tf.reduce_mean(tf.cast(tf.io.decode_png(coded, channels=3), tf.float32)), label


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: pictures().map(narrow).batch(4), "none of the function's results"),
        (lambda: pictures().map(averaged).batch(4), "none of the function's results"),
        (lambda: pictures().map(scaled).map(lambda image, label: (image, label)).batch(4), "nothing that holds"),
        (lambda: pictures().map(scaled).padded_batch(4, padding_values=(0.25, tf.constant(0, tf.int64))), "nothing that holds"),
    ],
)
def test_where_nothing_is_gained_it_is_refused(make: Callable[[], Any], reason: str) -> None:
    with pytest.raises(TrialError, match=reason):
        later(make())
