"""A patched source, run by TensorFlow, gives the elements of the change that was replayed, and those of the source before."""

from __future__ import annotations

import inspect
import runpy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
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


JPEGS = """
import numpy as np
import tensorflow as tf

rng = np.random.default_rng(5)
coded = []
for number in range(24):
    rows, columns = rng.integers(40, 90, 2)
    pixels = rng.integers(0, 256, (rows // 4 + 1, columns // 4 + 1, 3)).repeat(4, 0).repeat(4, 1)[:rows, :columns]
    coded.append(tf.io.encode_jpeg(tf.constant(pixels, tf.uint8), chroma_downsampling=number % 2 == 0).numpy())
source = tf.data.Dataset.from_tensor_slices((coded, np.arange(24)))
SIDE = 24


def corners(data, label):
    shape = tf.io.extract_jpeg_shape(data)
    top = tf.where(label % 2 == 0, 0, shape[0] - 20)
    left = tf.where(label % 4 < 2, 0, shape[1] - 30)
    image = tf.io.decode_jpeg(data, channels=3)
    image = tf.image.crop_to_bounding_box(image, top, left, 20, 30)
    return image, label


def with_long_numbers(data, label):
    image = tf.io.decode_jpeg(data, channels=1)
    return tf.slice(image, [label // 2, label // 3, 0], [SIDE, 12, 1]), label


def sliced(data, label):
    return tf.slice(tf.io.decode_jpeg(data, 3), [3, 5, 0], [21, 17, 3]), label


def drawn(data, label):
    image = tf.io.decode_jpeg(data, channels=3)
    image = tf.image.random_crop(image, [SIDE, 16, 3])
    return image, label


def outside(data, label):
    image = tf.io.decode_jpeg(data, channels=3)
    image = tf.image.crop_to_bounding_box(image, tf.cast(label, tf.int32), 0, 2000, 16)
    return image, label


def too_large(data, label):
    image = tf.io.decode_jpeg(data, channels=3)
    image = tf.image.random_crop(image, [2000, 16, 3])
    return image, label


"""


@pytest.mark.parametrize("name", ["corners", "with_long_numbers", "sliced"])
def test_a_crop_that_is_decoded_alone(workplace: Workplace, name: str) -> None:
    script = Script(f"{JPEGS}ds = source.map({name})§.batch(4)\n", workplace)

    original, changed = script.replayed("fuse_decode_crop", "map", {})
    patched = script.patched("fuse_decode_crop", {})

    assert {"DecodeAndCropJpeg"} == {op for op in ops_of(patched) if op.startswith("Decode")}
    assert patched.load().element_spec == original.load().element_spec
    require_same(original, patched)
    require_same(changed, patched)


def test_a_crop_at_a_drawn_place(workplace: Workplace) -> None:
    script = Script(f"{JPEGS}ds = source.map(drawn)§.repeat(4)\n", workplace)
    whole = [tf.io.decode_jpeg(data, channels=3).numpy() for data, _ in script.run(f"{JPEGS}ds = source\n")]

    original, changed = script.replayed("fuse_decode_crop", "map", {})
    patched = script.patched("fuse_decode_crop", {})

    assert {"DecodeAndCropJpeg"} == {op for op in ops_of(patched) if op.startswith("Decode")}
    assert patched.load().element_spec == original.load().element_spec == changed.load().element_spec
    places = [place_of(image, whole[label]) for image, label in patched.load().as_numpy_iterator()]
    assert len(places) == 4 * len(whole)
    assert None not in places
    assert len(set(places)) > len(whole)


def place_of(crop: Any, whole: Any) -> tuple[int, ...] | None:
    """Return where in a picture a crop was taken, None where its pixels are not to be found."""
    windows = np.lib.stride_tricks.sliding_window_view(whole, crop.shape)[:, :, 0]
    found = np.argwhere((windows == crop).all(axis=(2, 3, 4)))
    return tuple(found[0]) if len(found) else None


@pytest.mark.parametrize("name", ["outside", "too_large"])
def test_a_crop_outside_the_picture_still_fails(workplace: Workplace, name: str) -> None:
    script = Script(f"{JPEGS}ds = source.map({name})§\n", workplace)
    patch = workplace.plan(script.text, "fuse_decode_crop")
    assert patch.diff is not None, patch.reason

    for text in (workplace.marked(script.text)[0], patch.files[workplace.name].decode()):
        with pytest.raises(tf.errors.InvalidArgumentError):
            list(script.run(text))


def ops_of(replayable: Replayable) -> set[str]:
    return {node.op for function in replayable.graph.library.function for node in function.node_def}


def executed(replayable: Replayable) -> list[str]:
    """Return the stages that TensorFlow makes of a pipeline, its own changes included."""
    from tensorflow.python.data.experimental.ops import iterator_model_ops

    iterator = iter(replayable.load())
    next(iterator)
    return [node.name for node in iterator_model_ops.get_model_proto(iterator).nodes.values()]


@pytest.mark.skipif(
    "synchronous" not in inspect.signature(tf.data.Dataset.map).parameters, reason="TensorFlow has it from 2.18 on"
)
@pytest.mark.parametrize("calls", ["", ", num_parallel_calls=2", ", 2, name='m'"])
def test_a_synchronous_map(workplace: Workplace, calls: str) -> None:
    text = "import tensorflow as tf\nfactor = tf.constant(3, tf.int64)\nsource = tf.data.Dataset.range(80)\n"
    script = Script(
        f"{text}ds = source.map(lambda x: x * factor{calls})§\nds = ds.filter(lambda x: x > 5).batch(4)\n", workplace
    )

    original, changed = script.replayed("synchronous", "map", {})
    patched = script.patched("synchronous", {})

    assert "ParallelMapV2" in executed(original)
    assert "Map" in executed(changed)
    assert executed(changed) == executed(patched)
    require_same(original, patched)
    require_same(changed, patched)
