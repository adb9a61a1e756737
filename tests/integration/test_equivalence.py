"""Elements are compared bit for bit, randomness is held still for that, and frozen randomness is noticed."""

from __future__ import annotations

import random

import numpy as np
import pytest

from pipeprof.advise import equivalence, freshness
from pipeprof.advise import graph as graphs
from pipeprof.advise.changes import find_change
from pipeprof.advise.equivalence import compare
from pipeprof.advise.match import match_stages
from pipeprof.advise.neutralise import neutralise
from pipeprof.advise.reading import Bounds, read_epochs
from pipeprof.advise.replayable import Replayable
from pipeprof.capture.datasets import DatasetRegistry
from pipeprof.model.profile import ElementsState

tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.tf


def _compare(original, changed, **settings):
    settings = {"limit_elements": 20, "time_budget_s": 30.0} | settings
    return compare(original, changed, **settings)


def _compare_made(left, right, **settings):
    return _compare(Replayable.of(left), Replayable.of(right), **settings)


def _parallel(dataset, op: str = "map", calls: int = 4):
    original = Replayable.of(dataset)
    tree = DatasetRegistry().read_tree(dataset)
    names = match_stages(original.graph, tree.stages, tree.output)
    stage = [stage for stage in tree.stages if stage.op == op][-1]
    return original, find_change("parallel_calls").rewrite(original, names, stage.id, {"num_parallel_calls": calls})


def _with_cache_at_the_end(original: Replayable) -> Replayable:
    """Return a pipeline changed wrongly: its last node's elements are kept, whatever they are."""
    graph = original.copy_graph()
    last = graphs.output_name(graph)
    resource = graphs.add_node(graph, "AnonymousMemoryCache")
    cache = graphs.add_node(graph, "CacheDatasetV2", [last, graphs.add_constant(graph, b"", tf.string), resource.name])
    graphs.copy_element_types(graph, last, cache)
    graphs.redirect(graph, last, cache.name, keep=[cache.name])
    return original.with_graph(graph)


def _images(count: int = 25):
    pixels = np.arange(count * 6 * 6 * 3, dtype=np.float32).reshape([count, 6, 6, 3])
    return tf.data.Dataset.from_tensor_slices(pixels / pixels.max())


def _augment(image):
    image = tf.image.random_flip_left_right(image)
    image = tf.image.random_brightness(image, 0.3)
    image = tf.image.random_contrast(image, 0.5, 1.5)
    return tf.image.random_crop(image, [4, 4, 3])


def _box(image):
    shape = tf.constant([60, 60, 3])
    begin, size, _ = tf.image.sample_distorted_bounding_box(shape, tf.zeros([1, 0, 4]), use_image_if_no_bounding_boxes=True)
    return tf.cast(begin, tf.float32), tf.cast(size, tf.float32) + image[0, 0, 0]


def _many_draws(image):
    return {
        "uniform": tf.random.uniform([2]),
        "integer": tf.random.uniform([], 0, 1000, tf.int32),
        "normal": tf.random.normal([3], dtype=tf.float64),
        "truncated": tf.random.truncated_normal([2]),
        "gamma": tf.random.gamma([2], 1.5),
        "poisson": tf.random.poisson([2], 40.0),
        "category": tf.random.categorical(tf.zeros([1, 50]), 4),
        "image": image,
    }


@tf.function
def _nested(image):
    return image + tf.random.uniform([])


@pytest.mark.parametrize("function", [_augment, _box, _many_draws, _nested])
@pytest.mark.parametrize("seed", [None, 3])
def test_a_random_map_in_parallel_is_the_same_but_random(function, seed):
    tf.random.set_seed(seed) if seed else None
    pair = _parallel(_images().map(function).batch(4))

    result = _compare(*pair)

    lost = result.state is ElementsState.DIFFERENT and "two loads from the same seeds" in result.note
    assert (seed and lost) or result.state is ElementsState.SAME_BUT_RANDOM, result.note  # whether it is lost, threads decide
    assert lost or "held still" in result.note


def test_draws_of_generator_objects_are_held_still():
    generator = tf.random.Generator.from_seed(5)
    pair = _parallel(tf.data.Dataset.range(30).map(lambda item: generator.normal([2]) + tf.cast(item, tf.float32)))

    assert _compare(*pair).state is ElementsState.SAME_BUT_RANDOM


def test_draws_of_keras_layers_are_held_still():
    keras = pytest.importorskip("keras")
    layers = keras.Sequential([keras.layers.RandomFlip(), keras.layers.RandomBrightness(0.3, value_range=(0, 1))])
    pair = _parallel(_images().map(lambda image: layers(image[None], training=True)[0]))

    result = _compare(*pair)

    assert result.state is ElementsState.SAME_BUT_RANDOM, result.note


def test_neutralised_draws_differ_from_element_to_element_and_not_from_epoch_to_epoch():
    replayable = Replayable.of(
        tf.data.Dataset.range(30).map(lambda item: tf.random.uniform([]) + 0.0 * tf.cast(item, tf.float32))
    )
    still = neutralise(replayable.graph)

    epochs = read_epochs(replayable.with_graph(still.graph), Bounds(elements=50, deadline_s=float("inf"), epochs=2))

    assert still.replaced == 1
    assert still.left == ()
    assert len(set(epochs[0].digests)) == 30
    assert epochs[0].digests == epochs[1].digests


def test_a_draw_that_cannot_be_held_still_is_said_to_be_unchecked():
    pair = _parallel(tf.data.Dataset.range(30).map(lambda item: tf.random.shuffle(tf.range(20) + tf.cast(item, tf.int32))))

    result = _compare(*pair)

    assert result.state is ElementsState.UNCHECKED
    assert "RandomShuffle" in result.note
    assert "number and shapes were equal" in result.note


def test_randomness_of_python_functions_is_said_to_be_unchecked():
    def draw(item):
        return np.float64(item + random.random())

    pair = _parallel(tf.data.Dataset.range(20).map(lambda item: tf.numpy_function(draw, [item], tf.float64)))
    state = random.getstate()

    result = _compare(*pair)

    assert result.state is ElementsState.UNCHECKED
    assert random.getstate() == state


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("shuffled", [False, True])
def test_a_cache_that_freezes_a_random_map_is_different(batched, shuffled):
    dataset = tf.data.Dataset.range(30).map(lambda item: tf.cast(item, tf.float32) + tf.random.uniform([]))
    original = Replayable.of(dataset)
    frozen = _with_cache_at_the_end(original)

    def finish(replayable):
        ends = replayable.load()
        ends = ends.shuffle(30, seed=1) if shuffled else ends
        return Replayable.of(ends.batch(4) if batched else ends)

    result = _compare(finish(original), finish(frozen))

    assert result.state is ElementsState.DIFFERENT
    assert "freezes randomness" in result.note


def test_a_cache_that_freezes_a_shuffle_is_different():
    original = Replayable.of(tf.data.Dataset.range(30).shuffle(30))

    result = _compare(original, _with_cache_at_the_end(original))

    assert result.state is ElementsState.DIFFERENT
    assert "freezes the order" in result.note


def test_a_cache_that_freezes_python_randomness_is_different():
    def draw(item):
        return np.float64(item + np.random.rand())

    original = Replayable.of(tf.data.Dataset.range(20).map(lambda item: tf.numpy_function(draw, [item], tf.float64)))

    result = _compare(original, _with_cache_at_the_end(original))

    assert result.state is ElementsState.DIFFERENT
    assert "freezes randomness" in result.note


@pytest.mark.parametrize(
    ("left", "right", "note"),
    [
        (lambda: tf.data.Dataset.range(9), lambda: tf.data.Dataset.range(8), "cardinality"),
        (lambda: tf.data.Dataset.range(9), lambda: tf.data.Dataset.range(9, output_type=tf.int32), "element_spec"),
        (lambda: tf.data.Dataset.range(9), lambda: tf.data.Dataset.range(9).map(lambda x: (x, x)), "structure"),
        (
            lambda: tf.data.Dataset.range(9),
            lambda: tf.data.Dataset.range(9).map(lambda x: x + tf.cast(x == 7, x.dtype)),
            "element 7",
        ),
        (
            lambda: tf.data.Dataset.range(9).filter(lambda x: x > 1),
            lambda: tf.data.Dataset.range(9).filter(lambda x: x > 2),
            "element 0",
        ),
    ],
)
def test_other_elements_are_different_with_the_place_named(left, right, note):
    result = _compare_made(left(), right())

    assert result.state is ElementsState.DIFFERENT
    assert note in result.note


def test_an_element_too_many_at_the_end_is_different():
    result = _compare_made(
        tf.data.Dataset.range(6).filter(lambda item: item < 5), tf.data.Dataset.range(6).filter(lambda item: item < 6)
    )

    assert result.state is ElementsState.DIFFERENT


def test_an_error_that_only_the_changed_pipeline_raises_is_different():
    broken = tf.data.Dataset.range(9).map(lambda item: tf.debugging.check_numerics(1.0 / tf.cast(item - 4, tf.float32), "bad"))
    fine = tf.data.Dataset.range(9).map(lambda item: 1.0 / (tf.cast(item, tf.float32) - 4.5))

    result = _compare_made(fine, broken)

    assert result.state is ElementsState.DIFFERENT
    assert "raises" in result.note


def test_rounding_is_told_from_equality():
    floats = _images().map(tf.reduce_sum)
    nudged = _images().map(lambda image: tf.reduce_sum(image) * (1.0 + 3e-7))
    other = _images().map(lambda image: tf.reduce_sum(image) * 1.001)

    assert _compare_made(floats, nudged).state is ElementsState.EQUAL_WITHIN_ROUNDING
    assert _compare_made(floats, other).state is ElementsState.DIFFERENT


def test_another_order_is_reordered_also_across_batches():
    plain = tf.data.Dataset.range(12)
    turned = tf.data.Dataset.range(11, -1, -1)

    assert _compare_made(plain, turned, limit_elements=50).state is ElementsState.REORDERED
    assert _compare_made(plain.batch(5), turned.batch(5), limit_elements=50).state is ElementsState.REORDERED


def test_a_pipeline_without_a_fixed_order_is_never_called_different_for_it():
    options = tf.data.Options()
    options.deterministic = False
    dataset = tf.data.Dataset.range(60).map(lambda item: item, num_parallel_calls=4).with_options(options)

    assert _compare(*_parallel(dataset)).state in {ElementsState.IDENTICAL, ElementsState.REORDERED}


def test_an_endless_pipeline_is_compared_in_part():
    dataset = tf.data.Dataset.range(9).shuffle(9).map(lambda item: item * 2).repeat().batch(4)

    result = _compare(*_parallel(dataset), limit_elements=7)

    assert result.state is ElementsState.IDENTICAL
    assert result.elements_compared == 10


def test_long_epochs_are_sampled_at_the_source_down_to_a_short_last_batch():
    dataset = tf.data.Dataset.range(1_000_000).shuffle(1000).map(lambda item: item * 2).batch(8)

    result = _compare(*_parallel(dataset), limit_elements=5)

    assert result.state is ElementsState.IDENTICAL
    assert result.elements_compared == 10


def test_arrays_in_memory_are_sampled_together():
    arrays = (np.random.default_rng(1).normal(size=[5000, 30]), np.arange(5000), np.zeros([5000], np.uint8))
    dataset = tf.data.Dataset.from_tensor_slices(arrays).map(lambda row, number, zero: (row + 1.0, number, zero)).batch(8)

    result = _compare(*_parallel(dataset), limit_elements=5)

    assert result.state is ElementsState.IDENTICAL, result.note
    assert result.elements_compared == 10


def test_coded_strings_in_memory_are_sampled_too():
    rng = np.random.default_rng(1)
    coded = [rng.integers(0, 256, int(rng.integers(2000, 9000)), np.uint8).tobytes() for _ in range(60)]
    dataset = tf.data.Dataset.from_tensor_slices((coded, np.arange(60))).map(lambda text, n: (tf.strings.length(text), n))

    result = _compare(*_parallel(dataset), limit_elements=16)

    assert result.state is ElementsState.IDENTICAL, result.note
    assert result.elements_compared >= 16


def test_elements_that_are_datasets_are_unchecked():
    dataset = tf.data.Dataset.range(9).map(lambda item: item).window(2)

    result = _compare_made(dataset, dataset)

    assert result.state is ElementsState.UNCHECKED
    assert "datasets" in result.note


def test_optional_and_absent_components_do_not_stop_a_comparison():
    absent = tf.data.Dataset.range(5).map(lambda item: (item, None))
    optional = tf.data.Dataset.range(5).map(tf.experimental.Optional.from_value)

    assert _compare_made(absent, absent).state is ElementsState.IDENTICAL
    assert _compare_made(optional, optional).state is ElementsState.UNCHECKED


def test_an_empty_pipeline_is_unchecked():
    empty = tf.data.Dataset.range(5).filter(lambda item: item > 9)

    assert _compare_made(empty, empty).state is ElementsState.UNCHECKED


def test_strings_are_compared_with_their_lengths():
    left = tf.data.Dataset.from_tensor_slices([["ab", "c"]])
    right = tf.data.Dataset.from_tensor_slices([["a", "bc"]])

    assert _compare_made(left, right).state is ElementsState.DIFFERENT
    assert _compare_made(left, left).state is ElementsState.IDENTICAL


def test_no_time_means_fewer_elements_and_no_verdict_beyond_them():
    dataset = tf.data.Dataset.range(50).map(lambda item: item)

    result = _compare_made(dataset, dataset, time_budget_s=0.0)

    assert result.state is ElementsState.UNCHECKED
    assert result.elements_compared == 0


def _cached(dataset, op: str):
    original = Replayable.of(dataset)
    tree = DatasetRegistry().read_tree(dataset)
    names = match_stages(original.graph, tree.stages, tree.output)
    stage = [stage for stage in tree.stages if stage.op == op][-1]
    return original, find_change("cache").rewrite(original, names, stage.id, {}), {"kept_at": names[stage.id]}


class _Reader:
    def __init__(self, draw):
        self.draw = draw

    def __call__(self):
        for number in range(40):
            yield np.float32(self.draw(number))


_SPEC = tf.TensorSpec((), tf.float32)


@pytest.mark.parametrize("after", [lambda ds: ds, lambda ds: ds.shuffle(40), lambda ds: ds.batch(4).prefetch(2)])
def test_a_cache_behind_a_generator_that_draws_anew_is_refused(after):
    dataset = tf.data.Dataset.from_generator(_Reader(lambda number: number + np.random.rand()), output_signature=_SPEC)
    original, changed, where = _cached(after(dataset), "from_generator")

    result = _compare(original, changed, **where)

    assert result.state is ElementsState.DIFFERENT
    assert result.note.startswith("it freezes what is drawn anew at every epoch")


def test_a_cache_behind_a_generator_that_shuffles_anew_is_refused_where_no_shuffle_follows():
    class _Shuffled(_Reader):
        def __call__(self):
            yield from (np.float32(number) for number in np.random.permutation(40))

    dataset = tf.data.Dataset.from_generator(_Shuffled(None), output_signature=_SPEC)

    plain = _cached(dataset.batch(4), "from_generator")
    shuffled = _cached(dataset.shuffle(40).batch(4), "from_generator")

    assert _compare(*plain[:2], **plain[2]).state is ElementsState.DIFFERENT
    assert "drawn anew" not in _compare(*shuffled[:2], **shuffled[2]).note


def test_a_cache_behind_a_generator_that_repeats_itself_is_identical():
    dataset = tf.data.Dataset.from_generator(_Reader(lambda number: number * 2), output_signature=_SPEC).batch(4)
    original, changed, where = _cached(dataset, "batch")

    assert _compare(original, changed, **where).state is ElementsState.IDENTICAL


@pytest.mark.parametrize("batched", [False, True])
def test_a_cache_that_freezes_seeded_draws_is_different_though_new_iterators_repeat_them(batched):
    dataset = tf.data.Dataset.range(30).map(lambda item: tf.cast(item, tf.float32) + tf.random.uniform([], seed=7))
    original = Replayable.of(dataset)
    frozen = _with_cache_at_the_end(original)

    def finish(replayable):
        return Replayable.of(replayable.load().batch(4) if batched else replayable.load())

    result = _compare(finish(original), finish(frozen))

    assert result.state is ElementsState.DIFFERENT
    assert "freezes randomness" in result.note


def test_randomness_whose_freshness_was_not_compared_is_unchecked(monkeypatch):
    monkeypatch.setattr(equivalence, "_COMPARISON_SHARE", 1.0)
    monkeypatch.setattr(freshness, "_freshness", lambda *_args, **_settings: None)
    pair = _parallel(tf.data.Dataset.range(30).map(lambda item: tf.cast(item, tf.float32) + tf.random.uniform([])))

    result = _compare(*pair)

    assert result.state is ElementsState.UNCHECKED
    assert "freshness across epochs was not compared" in result.note
