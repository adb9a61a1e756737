"""A patched source, run by TensorFlow, gives the elements of the change that was replayed, and those of the source before."""

from __future__ import annotations

import runpy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipeprof.advise.changes import find_change
from pipeprof.advise.equivalence import compare
from pipeprof.advise.match import match_stages
from pipeprof.advise.replayable import Replayable
from pipeprof.capture.datasets import DatasetRegistry
from pipeprof.model.profile import ElementsState
from tests.unit.advise.edits.conftest import Workplace

tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.tf


@dataclass
class Script:
    """A script with marked calls, which leaves its dataset in ``ds``."""

    text: str
    workplace: Workplace

    def run(self, text: str) -> Any:
        """Run a text of it, and return its dataset."""
        path = self.workplace.root / f"run_{len(list(self.workplace.root.iterdir()))}.py"
        path.write_text(text)
        return runpy.run_path(str(path))["ds"]

    def replayed(self, kind: str, op: str, params: dict[str, Any], which: int = -1) -> tuple[Replayable, Replayable]:
        """Return the pipeline as it is, and as a replay of the change has it."""
        dataset = self.run(self.workplace.marked(self.text)[0])
        original = Replayable.of(dataset)
        tree = DatasetRegistry().read_tree(dataset)
        names = match_stages(original.graph, tree.stages, tree.output)
        stage = [item.id for item in tree.stages if item.op == op][which]
        return original, find_change(kind).rewrite(original, names, stage, params)

    def patched(self, kind: str, params: dict[str, Any]) -> Replayable:
        """Return the pipeline of the patched script."""
        patch = self.workplace.plan(self.text, kind, **params)
        assert patch.diff is not None, patch.reason
        return Replayable.of(self.run(patch.files[self.workplace.name].decode()))


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path)


def require_same(one: Replayable, other: Replayable, wanted: ElementsState = ElementsState.IDENTICAL) -> None:
    found = compare(one, other, limit_elements=64, epochs=2, time_budget_s=30.0)

    assert found.state is wanted, found.note
    assert found.elements_compared >= 8


def sizes_of(replayable: Replayable) -> list[int]:
    """Return the sizes of the prefetches."""
    nodes = {node.name: node for node in replayable.graph.node}
    sizes = [nodes[node.input[1]] for node in replayable.graph.node if node.op == "PrefetchDataset"]
    return [int(tf.make_ndarray(node.attr["value"].tensor)) for node in sizes]


@pytest.mark.parametrize(
    "last",
    ["ds = ds.prefetch(50)§\n", "ds = (\n    ds.shuffle(9, seed=4)\n    .prefetch(buffer_size=MANY)§\n    .repeat(2)\n)\n"],
)
def test_a_smaller_prefetch(workplace: Workplace, last: str) -> None:
    script = Script(f"import tensorflow as tf\nMANY = 500\nds = tf.data.Dataset.range(40).batch(4)\n{last}", workplace)

    original, changed = script.replayed("shrink_prefetch", "prefetch", {"buffer_size": 2})
    patched = script.patched("shrink_prefetch", {"buffer_size": 2})

    assert sizes_of(changed) == sizes_of(patched) == [2]
    require_same(original, patched)
    require_same(changed, patched)


PICTURES = """
import numpy as np
import tensorflow as tf

MEAN = [120.0, 110.0, 100.0]
pixels = np.arange(22 * 6 * 5 * 3).reshape(22, 6, 5, 3) % 251
coded = [tf.io.encode_png(tf.constant(one, tf.uint8)).numpy() for one in pixels]
source = tf.data.Dataset.from_tensor_slices((coded, np.arange(22)))


def decode(coded, label):
    return tf.io.decode_png(coded, channels=3), label


def scale(image, label):
    return tf.cast(image, tf.float32) / 255.0 - 0.5, label


def load(coded, label):
    return tf.cast(tf.io.decode_png(coded, channels=3), tf.float32) / 255.0 - 0.5, label


def normalise(coded, label):
    image = tf.io.decode_png(coded, channels=3)
    image = tf.cast(image, tf.float32)
    image = (image - MEAN) / [60.0, 50.0, 40.0]
    return {"image": image, "label": label}


def flip(coded, label):
    image = tf.image.random_flip_left_right(tf.io.decode_png(coded, channels=3))
    return tf.image.convert_image_dtype(image, tf.float32), label


def divide(coded, label):
    image = tf.io.decode_png(coded, channels=3)
    return image / 255, label


"""
CASTS = {
    "one line": "ds = source.map(load)§.batch(4)¤\n",
    "steps": "ds = source.map(load, num_parallel_calls=2)§\nds = ds.shuffle(9, seed=3)\nds = ds.batch(4, True)¤\n",
    "a cache": "ds = source.map(load)§.cache().shuffle(7, seed=2).repeat(2).batch(4)¤.prefetch(1)\n",
    "a shuffle alone": "ds = (\n    source.map(divide)§\n    .shuffle(7, seed=2)¤\n)\n",
    "constants": "ds = source.map(normalise)§.take(15).batch(4)¤\n",
    "draws": "ds = source.map(flip)§.batch(4)¤\n",
    "division": "ds = source.map(divide)§.batch(4)¤.map(lambda image, label: (image * 2, label))\n",
    "a function that only casts": "ds = source.map(decode)\nds = ds.map(scale)§\nds = ds.shuffle(9, seed=1).batch(4)¤\n",
    "a lambda": "ds = source.map(decode).map(lambda i, n: (tf.cast(i, tf.float32) * 2, n))§.batch(4)¤\n",
}


@pytest.mark.parametrize("name", CASTS)
def test_a_cast_behind_the_batch(workplace: Workplace, name: str) -> None:
    script = Script(f"{PICTURES}{CASTS[name]}", workplace)

    original, changed = script.replayed("cast_later", "map", {}, which=0 if name == "division" else -1)
    patched = script.patched("cast_later", {"compared": True})

    wanted = ElementsState.SAME_BUT_RANDOM if name == "draws" else ElementsState.IDENTICAL
    assert held_types(patched) == held_types(changed)
    assert tf.uint8 in held_types(patched)
    require_same(original, patched, wanted)
    require_same(changed, patched, wanted)


def held_types(replayable: Replayable) -> set[Any]:
    """Return the types of what is batched or shuffled."""
    nodes = [node for node in replayable.graph.node if node.op.startswith(("Batch", "Shuffle", "Cache"))]
    return {tf.as_dtype(item) for node in nodes for item in node.attr["output_types"].list.type}
