"""Rules of what is learned: randomness that is frozen, shared or lost, and orders that leak or hardly mix; and the same cured.

None of them costs time: the loops are fast. Where the elements are the evidence, the case is judged with them read again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tests.ground_truth.chains import AUTO, numbers
from tests.ground_truth.clock import Clock
from tests.ground_truth.consumers import for_loop
from tests.ground_truth.costs import sleeping
from tests.ground_truth.draws import Draw
from tests.ground_truth.registry import Kind, Loop, case


def wide(size: int) -> Any:
    """Return a function that makes a row of so many floats, as a decoder does."""
    return lambda value: tf.fill([size], tf.cast(value, tf.float32))


# --- frozen by a cache -------------------------------------------------------------------------------------------


@case(Kind.PLANTED, fires=("PP402",), silent=("PP401",))
def augmentation_before_the_cache(draw: Draw) -> Loop:
    pace = draw.fast_input(epochs=(3, 4))
    dataset = numbers(pace.epoch_elements)
    dataset = dataset.map(lambda value: tf.cast(value, tf.float32) + tf.random.uniform([]), num_parallel_calls=AUTO)
    dataset = dataset.cache()  # PLANTED cache
    return for_loop(dataset.shuffle(16).batch(pace.batch).prefetch(2), sleeping(pace.step_s), pace.epochs)


@case(Kind.HEALTHY, silent=("PP402",))
def augmentation_after_the_cache(draw: Draw) -> Loop:
    pace = draw.fast_input(epochs=(3, 4))
    dataset = numbers(pace.epoch_elements).map(lambda value: tf.cast(value, tf.float32), num_parallel_calls=AUTO).cache()
    dataset = dataset.shuffle(16).map(lambda value: value + tf.random.uniform([]), num_parallel_calls=AUTO)
    return for_loop(dataset.batch(pace.batch).prefetch(2), sleeping(pace.step_s), pace.epochs)


@case(Kind.PLANTED, fires=("PP402",))
def order_frozen_by_a_cache(draw: Draw) -> Loop:
    pace = draw.fast_input(epochs=(3, 4))
    dataset = numbers(pace.epoch_elements).shuffle(draw.count("buffer", 64, 512))
    dataset = dataset.cache()  # PLANTED cache
    return for_loop(dataset.batch(pace.batch).prefetch(2), sleeping(pace.step_s), pace.epochs)


@case(Kind.HEALTHY, silent=("PP402",))
def order_drawn_after_a_cache(draw: Draw) -> Loop:
    pace = draw.fast_input(epochs=(3, 4))
    dataset = numbers(pace.epoch_elements).cache().shuffle(draw.count("buffer", 64, 512))
    return for_loop(dataset.batch(pace.batch).prefetch(2), sleeping(pace.step_s), pace.epochs)


def jittered(size: int) -> Any:
    """Return a function that adds noise of NumPy's to a row, which TensorFlow cannot see."""
    noise = np.random.default_rng()
    return lambda value: np.full(size, value, np.float32) + noise.random(size, np.float32)


def in_python(function: Any) -> Any:
    return lambda value: tf.numpy_function(function, [value], tf.float32)


@case(Kind.PLANTED, trials=True, fires=("PP402",))
def noise_of_python_before_the_cache(draw: Draw) -> Loop:
    pace = draw.fast_input(epochs=(3, 4))
    dataset = numbers(pace.epoch_elements).map(in_python(jittered(draw.count("size", 4, 64))))
    dataset = dataset.cache()  # PLANTED cache
    return for_loop(dataset.batch(pace.batch).prefetch(2), sleeping(pace.step_s), pace.epochs)


@case(Kind.HEALTHY, trials=True, silent=("PP402",))
def steady_python_before_the_cache(draw: Draw) -> Loop:
    pace, size = draw.fast_input(epochs=(3, 4)), draw.count("size", 4, 64)
    dataset = numbers(pace.epoch_elements).map(in_python(lambda value: np.full(size, value, np.float32))).cache()
    return for_loop(dataset.batch(pace.batch).prefetch(2), sleeping(pace.step_s), pace.epochs)


@case(Kind.CONFOUNDER, trials=True, silent=("PP402",))
def draws_that_change_nothing_before_the_cache(draw: Draw) -> Loop:
    """The function draws, and what it draws is not used, as under an augmentation that is switched off."""
    pace, strength = draw.fast_input(epochs=(3, 4)), 0.0
    dataset = numbers(pace.epoch_elements)
    dataset = dataset.map(lambda value: tf.cast(value, tf.float32) + strength * tf.random.uniform([]), num_parallel_calls=AUTO)
    return for_loop(dataset.cache().batch(pace.batch).prefetch(2), sleeping(pace.step_s), pace.epochs)


@case(Kind.CONFOUNDER, silent=("PP402",), may=("PP403",))
def augmentation_before_a_cache_that_is_never_full(draw: Draw) -> Loop:
    """Each pass ends before the cache does, and draws anew: nothing is frozen."""
    pace = draw.fast_input(epochs=(3, 4))
    dataset = numbers(2 * pace.epoch_elements)
    dataset = dataset.map(lambda value: tf.cast(value, tf.float32) + tf.random.uniform([]), num_parallel_calls=AUTO)
    dataset = dataset.cache().take(pace.epoch_elements)
    return for_loop(dataset.batch(pace.batch).prefetch(2), sleeping(pace.step_s), pace.epochs)


# --- orders ------------------------------------------------------------------------------------------------------


def _split(draw: Draw, dataset: Any, held_out: int) -> Loop:
    """Train on what is left of the dataset and look at what was held out, in each epoch."""
    train, other = dataset.skip(held_out).batch(4).prefetch(2), dataset.take(held_out).batch(4).prefetch(2)
    step = sleeping(draw.number("step, s", 0.03, 0.05))

    def run(clock: Clock) -> None:
        for _ in range(2):
            for _batch in train:
                clock.step(step)
            for _batch in other:
                pass

    return run


@case(Kind.PLANTED, fires=("PP610",))
def split_of_a_shuffle_that_reshuffles(draw: Draw) -> Loop:
    count = draw.count("elements", 200, 300)
    dataset = numbers(count)
    dataset = dataset.shuffle(count)  # PLANTED shuffle
    return _split(draw, dataset, count // 5)


@case(Kind.HEALTHY, silent=("PP610",))
def split_of_a_fixed_order(draw: Draw) -> Loop:
    count = draw.count("elements", 200, 300)
    return _split(draw, numbers(count).shuffle(count, reshuffle_each_iteration=False), count // 5)


@case(Kind.PLANTED, trials=True, fires=("PP610",))
def split_of_files_that_are_listed_anew(draw: Draw) -> Loop:
    count = draw.count("files", 60, 120)
    for number in range(count):
        (draw.folder / f"{number}.txt").write_text(str(number))
    dataset = tf.data.Dataset.list_files(str(draw.folder / "*.txt"))  # PLANTED shuffle
    return _split(draw, dataset, count // 5)


@case(Kind.HEALTHY, trials=True, silent=("PP610",))
def split_of_files_in_a_fixed_order(draw: Draw) -> Loop:
    count = draw.count("files", 60, 120)
    for number in range(count):
        (draw.folder / f"{number}.txt").write_text(str(number))
    return _split(draw, tf.data.Dataset.list_files(str(draw.folder / "*.txt"), shuffle=False), count // 5)


@case(Kind.PLANTED, trials=True, fires=("PP610",))
def repeat_before_the_shuffle(draw: Draw) -> Loop:
    pace = draw.fast_input(epochs=(3, 4))
    dataset = numbers(pace.epoch_elements).repeat(pace.epochs)
    dataset = dataset.shuffle(draw.count("buffer", 64, 512))  # PLANTED shuffle
    return for_loop(dataset.batch(pace.batch).prefetch(2), sleeping(pace.step_s))


@case(Kind.HEALTHY, trials=True, silent=("PP610",))
def repeat_after_the_shuffle(draw: Draw) -> Loop:
    pace = draw.fast_input(epochs=(3, 4))
    dataset = numbers(pace.epoch_elements).shuffle(draw.count("buffer", 64, 512)).repeat(pace.epochs)
    return for_loop(dataset.batch(pace.batch).prefetch(2), sleeping(pace.step_s))


@case(Kind.HEALTHY, trials=True, silent=("PP610",))
def small_buffer_behind_python_that_mixes(draw: Draw) -> Loop:
    """A generator that draws its own order needs no large buffer behind it."""
    batch, steps = draw.choice("batch", [32, 64]), draw.count("steps", 60, 90)

    def mixed() -> Iterator[np.int64]:
        yield from np.random.default_rng().permutation(batch * steps)

    dataset = tf.data.Dataset.from_generator(mixed, output_signature=tf.TensorSpec([], tf.int64)).shuffle(8)
    return for_loop(dataset.batch(batch).prefetch(2), sleeping(draw.number("step, s", 0.02, 0.03)), 2)


# --- draws for a batch, draws with a seed ------------------------------------------------------------------------


@case(Kind.PLANTED, fires=("PP611",))
def one_draw_for_a_batch(draw: Draw) -> Loop:
    pace = draw.fast_input()
    dataset = numbers(pace.epoch_elements).map(wide(64), num_parallel_calls=AUTO).batch(pace.batch)
    dataset = dataset.map(lambda rows: rows + tf.random.uniform([]), num_parallel_calls=AUTO)  # PLANTED map
    return for_loop(dataset.prefetch(2), sleeping(pace.step_s), pace.epochs)


@case(Kind.PLANTED, trials=True, fires=("PP611",))
def one_corner_for_a_batch(draw: Draw) -> Loop:
    pace, side = draw.fast_input(), draw.count("side", 8, 16)
    dataset = numbers(pace.epoch_elements).map(wide(side * side * 3), num_parallel_calls=AUTO)
    dataset = dataset.map(lambda row: tf.reshape(row + tf.range(side * side * 3.0), [side, side, 3])).batch(pace.batch)
    half = side // 2
    dataset = dataset.map(lambda rows: tf.image.random_crop(rows, [tf.shape(rows)[0], half, half, 3]))  # PLANTED map
    return for_loop(dataset.prefetch(2), sleeping(pace.step_s), pace.epochs)


@case(Kind.HEALTHY, silent=("PP611",))
def a_draw_for_each_row(draw: Draw) -> Loop:
    pace = draw.fast_input()
    dataset = numbers(pace.epoch_elements).map(wide(64), num_parallel_calls=AUTO).batch(pace.batch)
    drawn = lambda rows: rows + tf.random.uniform([tf.shape(rows)[0], 1])  # noqa: E731
    return for_loop(dataset.map(drawn, num_parallel_calls=AUTO).prefetch(2), sleeping(pace.step_s), pace.epochs)


@case(Kind.PLANTED, fires=("PP612",))
def seeded_draws_in_parallel(draw: Draw) -> Loop:
    pace, seed = draw.fast_input(), draw.count("seed", 1, 99)
    dataset = numbers(pace.epoch_elements)
    drawn = lambda value: tf.cast(value, tf.float32) + tf.random.uniform([], seed=seed)  # noqa: E731
    dataset = dataset.map(drawn, num_parallel_calls=AUTO)  # PLANTED map
    return for_loop(dataset.batch(pace.batch).prefetch(2), sleeping(pace.step_s), pace.epochs)


@case(Kind.PLANTED, trials=True, fires=("PP612",))
def draws_in_parallel_under_a_global_seed(draw: Draw) -> Loop:
    tf.random.set_seed(draw.count("seed", 1, 99))
    pace = draw.fast_input()
    dataset = numbers(pace.epoch_elements).map(wide(64), num_parallel_calls=AUTO)
    dataset = dataset.map(lambda row: row + tf.random.normal([64]), num_parallel_calls=4)  # PLANTED map
    return for_loop(dataset.batch(pace.batch).prefetch(2), sleeping(pace.step_s), pace.epochs)


@case(Kind.HEALTHY, silent=("PP612",))
def stateless_draws_in_parallel(draw: Draw) -> Loop:
    pace, seed = draw.fast_input(), draw.count("seed", 1, 99)
    drawn = lambda value: tf.cast(value, tf.float32) + tf.random.stateless_uniform([], [value, seed])  # noqa: E731
    dataset = numbers(pace.epoch_elements).map(drawn, num_parallel_calls=AUTO)
    return for_loop(dataset.batch(pace.batch).prefetch(2), sleeping(pace.step_s), pace.epochs)
