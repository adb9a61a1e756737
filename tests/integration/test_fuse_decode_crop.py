"""A crop is decoded with a margin: the very same pixels, of colours that are subsampled too, in whatever corner."""

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

COUNT = 40


def jpegs() -> Any:
    """Return pictures of many sizes, with sharp colours, and the four corners of each as places to crop."""
    rng = np.random.default_rng(5)
    coded = []
    for number in range(COUNT):
        rows, columns = rng.integers(40, 90, 2)
        pixels = rng.integers(0, 256, (rows // 4 + 1, columns // 4 + 1, 3)).repeat(4, 0).repeat(4, 1)[:rows, :columns]
        picture = tf.constant(pixels, tf.uint8)
        coded.append(tf.io.encode_jpeg(picture, chroma_downsampling=number % 2 == 0).numpy())
    return tf.data.Dataset.from_tensor_slices((coded, np.arange(COUNT)))


def random_crop(coded: Any, label: Any) -> Any:
    return tf.image.random_crop(tf.io.decode_jpeg(coded, channels=3), [24, 16, 3]), label


def scaled_first(coded: Any, label: Any) -> Any:
    image = tf.cast(tf.io.decode_jpeg(coded, channels=3), tf.float32) / 255.0
    return tf.image.random_crop(image, [24, 16, 3]), label


def central(coded: Any, label: Any) -> Any:
    return tf.image.resize(tf.image.central_crop(tf.io.decode_jpeg(coded, channels=3), 0.5), [8, 8]), label


def corners(coded: Any, label: Any) -> Any:
    image = tf.io.decode_jpeg(coded, channels=3)
    shape = tf.shape(image)
    top = tf.where(label % 2 == 0, 0, shape[0] - 20)
    left = tf.where(label % 4 < 2, 0, shape[1] - 30)
    return tf.slice(image, tf.stack([top, left, 0]), [20, 30, 3]), label, shape


def in_a_box(coded: Any, label: Any) -> Any:
    return tf.image.crop_to_bounding_box(tf.io.decode_jpeg(coded, channels=3), 3, 5, 21, 17), label


def with_long_numbers(coded: Any, label: Any) -> Any:
    image = tf.io.decode_jpeg(coded, channels=3)
    shape = tf.shape(image, out_type=tf.int64)
    begin = tf.stack([shape[0] // 3, shape[1] // 3, tf.constant(0, tf.int64)])
    return tf.slice(image, begin, tf.constant([11, 12, 3], tf.int64)), label


def one_channel(coded: Any, label: Any) -> Any:
    return tf.image.random_crop(tf.io.decode_jpeg(coded, channels=1), [24, 16, 1]), label


def as_the_file_has_it(coded: Any, label: Any) -> Any:
    image = tf.io.decode_jpeg(coded)
    return tf.image.random_crop(image, [24, 16, 3]), label, tf.shape(image)


FUNCTIONS: tuple[Callable[..., Any], ...] = (
    random_crop, scaled_first, central, corners, in_a_box, with_long_numbers, one_channel,
)  # fmt: skip


def fused(dataset: Any) -> tuple[Replayable, Replayable]:
    original = Replayable.of(dataset)
    tree = DatasetRegistry().read_tree(dataset)
    names = match_stages(original.graph, tree.stages, tree.output)
    stage = [item.id for item in tree.stages if item.op == "map"][-1]
    return original, find_change("fuse_decode_crop").rewrite(original, names, stage, {})


def ops_of(replayable: Replayable) -> set[str]:
    return {node.op for function in replayable.graph.library.function for node in function.node_def}


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_the_pixels_are_the_very_same(function: Callable[..., Any]) -> None:
    original, changed = fused(jpegs().map(function))

    found = compare(original, changed, limit_elements=64, epochs=2, time_budget_s=40.0)

    wanted = ElementsState.SAME_BUT_RANDOM if any("Random" in op for op in ops_of(original)) else ElementsState.IDENTICAL
    assert found.state is wanted, found.note
    assert found.elements_compared == 2 * COUNT
    assert "DecodeAndCropJpeg" in ops_of(changed)
    assert "DecodeJpeg" not in ops_of(changed)


def test_without_the_margin_the_edges_would_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeprof.advise.function_crop._MARGIN", 0)

    original, changed = fused(jpegs().map(corners))

    assert compare(original, changed, limit_elements=64, time_budget_s=30.0).state is ElementsState.DIFFERENT


def whole(coded: Any, label: Any) -> Any:
    return tf.image.resize(tf.io.decode_jpeg(coded, channels=3), [8, 8]), label


def also_whole(coded: Any, label: Any) -> Any:
    image = tf.io.decode_jpeg(coded, channels=3)
    return tf.image.random_crop(image, [8, 8, 3]), tf.reduce_sum(tf.cast(image, tf.int32)), label


def returned(coded: Any, label: Any) -> Any:
    image = tf.io.decode_jpeg(coded, channels=3)
    return tf.image.random_crop(image, [8, 8, 3]), image, label


def by_pixel(coded: Any, label: Any) -> Any:
    image = tf.cast(tf.io.decode_jpeg(coded, channels=3), tf.int32)
    return tf.image.random_crop(image + tf.reshape(tf.range(3), [1, 1, 3]), [8, 8, 3]), label


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (whole, "no decoded picture is directly cropped"),
        (also_whole, "no decoded picture is directly cropped"),
        (returned, "no decoded picture is directly cropped"),
        (by_pixel, "no decoded picture is directly cropped"),
        (as_the_file_has_it, "no decoded picture is directly cropped"),
        (lambda coded, label: (coded, label), "decodes no JPEG"),
    ],
)
def test_what_is_not_only_cropped_is_refused(function: Callable[..., Any], reason: str) -> None:
    with pytest.raises(TrialError, match=reason):
        fused(jpegs().map(function))
