"""Rules of the order of stages and the work thrown away: pipelines with one such problem, and the same cured.

The one idea: a problem and its cure are built by one function from the same draws, and differ in the one call; the step lies
between the two costs, so that the cured input keeps up. The problem's call is marked where it is made.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import tensorflow as tf

from tests.ground_truth import files
from tests.ground_truth.chains import AUTO, numbers
from tests.ground_truth.consumers import for_loop
from tests.ground_truth.costs import CORES, burn, sleeping
from tests.ground_truth.draws import Draw, Pace
from tests.ground_truth.planted_files import cost_of
from tests.ground_truth.registry import Kind, Loop, case

LOOP_S = 5.0


def between(draw: Draw, problem_s: float, batch: int, epochs: int = 1) -> Pace:
    """Return a loop of five seconds whose input takes so long for a step, and the step itself half of that."""
    steps = max(12 * epochs, round(LOOP_S / problem_s))
    return Pace(
        step_s=problem_s * draw.number("step in inputs", 0.4, 0.6), input_s=problem_s, batch=batch, steps=steps, epochs=epochs
    )


def loop_over(dataset: Any, pace: Pace) -> Loop:
    return for_loop(dataset, sleeping(pace.step_s), pace.epochs)


# --- PP601 and PP602: one call a batch ----------------------------------------------------------------------------


def scalars(draw: Draw) -> tuple[Pace, int]:
    batch = draw.choice("batch", [1024, 2048])
    return between(draw, batch * 10e-6, batch), draw.count("factor", 2, 9)


@case(Kind.PLANTED, fires=("PP601",))
def a_cheap_map_of_single_numbers(draw: Draw) -> Loop:
    pace, factor = scalars(draw)
    dataset = numbers(pace.epoch_elements)
    dataset = dataset.map(lambda value: tf.cast(value, tf.float32) / factor)  # PLANTED map
    return loop_over(dataset.batch(pace.batch), pace)


@case(Kind.HEALTHY, silent=("PP601",))
def a_cheap_map_of_batches(draw: Draw) -> Loop:
    pace, factor = scalars(draw)
    dataset = numbers(pace.epoch_elements).batch(pace.batch)
    return loop_over(dataset.map(lambda values: tf.cast(values, tf.float32) / factor).prefetch(2), pace)


def row(columns: int) -> bytes:
    """Return one serialised example with a number for each column."""
    feature = {f"f{number}": tf.train.Feature(float_list=tf.train.FloatList(value=[number / 7])) for number in range(columns)}
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def rows(draw: Draw) -> tuple[Pace, Any, dict[str, Any]]:
    columns, batch = draw.count("columns", 8, 24), draw.choice("batch", [128, 256])
    pace = between(draw, batch * 20e-6, batch)
    spec = {f"f{number}": tf.io.FixedLenFeature([], tf.float32) for number in range(columns)}
    return pace, tf.data.Dataset.from_tensors(row(columns)).repeat(pace.epoch_elements), spec


@case(Kind.PLANTED, fires=("PP602",))
def rows_parsed_one_by_one(draw: Draw) -> Loop:
    pace, dataset, spec = rows(draw)
    dataset = dataset.map(lambda line: tf.io.parse_single_example(line, spec), num_parallel_calls=AUTO)  # PLANTED map
    return loop_over(dataset.batch(pace.batch), pace)


@case(Kind.HEALTHY, silent=("PP602",))
def rows_parsed_in_batches(draw: Draw) -> Loop:
    pace, dataset, spec = rows(draw)
    dataset = dataset.batch(pace.batch).map(lambda lines: tf.io.parse_example(lines, spec), num_parallel_calls=AUTO)
    return loop_over(dataset.prefetch(2), pace)


# --- PP603 and PP604: leave out before it is made -----------------------------------------------------------------


def made_for_nothing(draw: Draw, what: str) -> tuple[Pace, Callable[[Any], Any], int]:
    """Return a loop, the dear work on one element, and of how many elements one is kept."""
    kept, batch = draw.choice(what, [3, 4]), draw.choice("batch", [4, 8])
    pace = between(draw, draw.number("input of a step, s", 0.02, 0.04), batch)
    return pace, burn(pace.element_s * CORES / kept), kept


@case(Kind.PLANTED, fires=("PP603",))
def filter_behind_a_dear_map(draw: Draw) -> Loop:
    pace, native, kept = made_for_nothing(draw, "kept of")
    dataset = numbers(pace.epoch_elements * kept)
    dataset = dataset.map(lambda value: (value, native(value)), num_parallel_calls=AUTO)
    dataset = dataset.filter(lambda value, _made: value % kept == 0)  # PLANTED filter
    return loop_over(dataset.batch(pace.batch).prefetch(2), pace)


@case(Kind.HEALTHY, silent=("PP603",))
def filter_before_a_dear_map(draw: Draw) -> Loop:
    pace, native, kept = made_for_nothing(draw, "kept of")
    dataset = numbers(pace.epoch_elements * kept).filter(lambda value: value % kept == 0)
    dataset = dataset.map(lambda value: (value, native(value)), num_parallel_calls=AUTO)
    return loop_over(dataset.batch(pace.batch).prefetch(2), pace)


@case(Kind.PLANTED, silent=("PP603",))
def filter_that_needs_what_a_dear_map_makes(draw: Draw) -> Loop:
    """The predicate is about the very thing that is dear to make: no order of the two makes less of it."""
    pace, native, kept = made_for_nothing(draw, "kept of")
    dataset = numbers(pace.epoch_elements * kept)
    dataset = dataset.map(lambda value: native(value) + tf.cast(value % kept, tf.float32) * 1e9)  # PLANTED map
    return loop_over(dataset.filter(lambda made: made < 5e8).batch(pace.batch).prefetch(2), pace)


@case(Kind.PLANTED, fires=("PP604",))
def shard_behind_a_dear_map(draw: Draw) -> Loop:
    pace, native, shards = made_for_nothing(draw, "shards")
    dataset = numbers(pace.epoch_elements * shards).map(native, num_parallel_calls=AUTO)
    dataset = dataset.shard(shards, 1)  # PLANTED shard
    return loop_over(dataset.batch(pace.batch).prefetch(2), pace)


@case(Kind.HEALTHY, silent=("PP604",))
def shard_before_a_dear_map(draw: Draw) -> Loop:
    pace, native, shards = made_for_nothing(draw, "shards")
    dataset = numbers(pace.epoch_elements * shards).shard(shards, 1).map(native, num_parallel_calls=AUTO)
    return loop_over(dataset.batch(pace.batch).prefetch(2), pace)


def split(draw: Draw) -> tuple[Pace, Callable[[Any], Any], int]:
    """Return a loop of three epochs whose input keeps up, and the batches of another split that come before it."""
    step_s = draw.number("step, s", 0.01, 0.02)
    pace = Pace(step_s=step_s, input_s=0.5 * step_s, batch=draw.choice("batch", [4, 8]), steps=round(2.5 / step_s), epochs=3)
    return pace, burn(pace.element_s * CORES), round(pace.epoch_steps * draw.number("skipped in epochs", 0.6, 1.0))


@case(Kind.PLANTED, fires=("PP604",))
def skip_of_made_batches(draw: Draw) -> Loop:
    pace, native, skipped = split(draw)
    dataset = numbers(pace.epoch_elements + skipped * pace.batch).map(native, num_parallel_calls=AUTO).batch(pace.batch)
    dataset = dataset.skip(skipped)  # PLANTED skip
    return loop_over(dataset.prefetch(2), pace)


@case(Kind.HEALTHY, silent=("PP604",))
def skip_before_anything_is_made(draw: Draw) -> Loop:
    pace, native, skipped = split(draw)
    dataset = numbers(pace.epoch_elements + skipped * pace.batch).skip(skipped * pace.batch)
    return loop_over(dataset.map(native, num_parallel_calls=AUTO).batch(pace.batch).prefetch(2), pace)


@case(Kind.HEALTHY, silent=("PP604",))
def take_of_made_batches(draw: Draw) -> Loop:
    """A take ends the pass: what lies beyond it is never made."""
    pace, native, skipped = split(draw)
    dataset = numbers(pace.epoch_elements + skipped * pace.batch).map(native, num_parallel_calls=AUTO).batch(pace.batch)
    return loop_over(dataset.take(pace.epoch_steps).prefetch(2), pace)


# --- PP605 to PP607: bytes ----------------------------------------------------------------------------------------


def pictures(draw: Draw) -> tuple[Pace, int, int]:
    """Return a slow loop, the side of a picture, and a buffer of pictures that takes more than a hundred megabytes."""
    side = draw.choice("side", [160, 192, 224])
    pace = Pace(step_s=draw.number("step, s", 0.02, 0.03), input_s=0.01, batch=8, steps=180, epochs=1)
    return pace, side, round(draw.number("buffer, bytes", 1.1e8, 1.6e8) / (side * side * 3))


@case(Kind.PLANTED, fires=("PP605",))
def shuffle_of_decoded_pictures(draw: Draw) -> Loop:
    pace, side, buffer = pictures(draw)
    dataset = numbers(pace.epoch_elements)
    dataset = dataset.map(lambda value: tf.fill([side, side, 3], tf.cast(value % 256, tf.uint8)), num_parallel_calls=AUTO)
    dataset = dataset.shuffle(buffer)  # PLANTED shuffle
    return loop_over(dataset.batch(pace.batch).prefetch(2), pace)


@case(Kind.HEALTHY, silent=("PP605",))
def shuffle_before_pictures_are_decoded(draw: Draw) -> Loop:
    pace, side, buffer = pictures(draw)
    dataset = numbers(pace.epoch_elements).shuffle(buffer)
    dataset = dataset.map(lambda value: tf.fill([side, side, 3], tf.cast(value % 256, tf.uint8)), num_parallel_calls=AUTO)
    return loop_over(dataset.batch(pace.batch).prefetch(2), pace)


def stored_pictures(draw: Draw) -> tuple[Pace, Any, int]:
    """Return a loop over bytes in memory, and a buffer that takes more than a hundred megabytes of floats."""
    pace, side, _ = pictures(draw)
    stored = tf.data.Dataset.from_tensors(tf.zeros([side, side, 3], tf.uint8)).repeat(pace.epoch_elements)
    return pace, stored, round(draw.number("buffer, bytes", 1.1e8, 1.6e8) / (side * side * 3 * 4))


@case(Kind.PLANTED, fires=("PP606",))
def cast_before_a_shuffle(draw: Draw) -> Loop:
    pace, dataset, buffer = stored_pictures(draw)
    dataset = dataset.map(lambda image: tf.image.convert_image_dtype(image, tf.float32))  # PLANTED map
    return loop_over(dataset.shuffle(buffer).batch(pace.batch).prefetch(2), pace)


@case(Kind.HEALTHY, silent=("PP606",))
def cast_of_batches(draw: Draw) -> Loop:
    pace, dataset, buffer = stored_pictures(draw)
    dataset = dataset.shuffle(buffer).batch(pace.batch)
    return loop_over(dataset.map(lambda images: tf.image.convert_image_dtype(images, tf.float32)).prefetch(2), pace)


def texts(draw: Draw) -> tuple[Pace, int]:
    pace = Pace(
        step_s=draw.number("step, s", 0.01, 0.02), input_s=0.002, batch=draw.choice("batch", [8, 16]), steps=200, epochs=1
    )
    return pace, draw.count("longest", 500, 2000)


@case(Kind.PLANTED, fires=("PP607",))
def rows_of_any_length_padded(draw: Draw) -> Loop:
    pace, longest = texts(draw)
    dataset = numbers(pace.epoch_elements).map(lambda value: tf.range(value * 7919 % longest + 1))
    dataset = dataset.padded_batch(pace.batch)  # PLANTED padded_batch
    return loop_over(dataset.prefetch(2), pace)


@case(Kind.HEALTHY, silent=("PP607",))
def rows_sorted_by_length_padded(draw: Draw) -> Loop:
    pace, longest = texts(draw)
    dataset = numbers(pace.epoch_elements).map(lambda value: tf.range(value * longest // pace.epoch_elements + 1))
    return loop_over(dataset.padded_batch(pace.batch).prefetch(2), pace)


@case(Kind.HEALTHY, silent=("PP607",))
def rows_of_any_length_in_buckets(draw: Draw) -> Loop:
    pace, longest = texts(draw)
    dataset = numbers(pace.epoch_elements).map(lambda value: tf.range(value * 7919 % longest + 1))
    bounds = [longest * part // 8 for part in range(1, 8)]
    return loop_over(dataset.bucket_by_sequence_length(tf.size, bounds, [pace.batch] * 8).prefetch(2), pace)


# --- PP608: pixels ------------------------------------------------------------------------------------------------


def encoded(draw: Draw, usual: Callable[[Any], Any], cured: Callable[[Any], Any]) -> tuple[Pace, Any]:
    """Return a loop over pictures in memory whose step lies between what the usual and the cured decoding take."""
    side, batch = draw.choice("side", [384, 512]), draw.choice("batch", [4, 8])
    (path,) = files.pictures(draw.folder, 1, side, "jpeg", draw.count("noise", 1, 10**6))
    text = tf.io.read_file(path)
    problem_s, cured_s = (cost_of(partial(tf.function(call), text)) for call in (usual, cured))
    step_s = batch / CORES * (problem_s + cured_s) / 2
    pace = Pace(step_s=step_s, input_s=batch / CORES * problem_s, batch=batch, steps=round(LOOP_S / step_s), epochs=1)
    return pace, tf.data.Dataset.from_tensors(text).repeat(pace.epoch_elements)


def smoothly_shrunk(text: Any) -> Any:
    return tf.image.resize(tf.io.decode_jpeg(text, 3), [96, 96], antialias=True)


def shrunk(text: Any) -> Any:
    return tf.image.resize(tf.io.decode_jpeg(text, 3), [96, 96])


def cropped(text: Any) -> Any:
    return tf.image.crop_to_bounding_box(tf.io.decode_jpeg(text, 3), 0, 0, 96, 96)


def cropped_while_decoding(text: Any) -> Any:
    return tf.io.decode_and_crop_jpeg(text, [0, 0, 96, 96], channels=3)


@case(Kind.PLANTED, fires=("PP608",))
def resize_with_antialias(draw: Draw) -> Loop:
    pace, dataset = encoded(draw, smoothly_shrunk, shrunk)
    dataset = dataset.map(smoothly_shrunk, num_parallel_calls=AUTO)  # PLANTED map
    return loop_over(dataset.batch(pace.batch).prefetch(2), pace)


@case(Kind.HEALTHY, silent=("PP608",))
def resize_without_antialias(draw: Draw) -> Loop:
    pace, dataset = encoded(draw, smoothly_shrunk, shrunk)
    return loop_over(dataset.map(shrunk, num_parallel_calls=AUTO).batch(pace.batch).prefetch(2), pace)


@case(Kind.PLANTED, fires=("PP608",))
def crop_of_decoded_pictures(draw: Draw) -> Loop:
    pace, dataset = encoded(draw, cropped, cropped_while_decoding)
    dataset = dataset.map(cropped, num_parallel_calls=AUTO)  # PLANTED map
    return loop_over(dataset.batch(pace.batch).prefetch(2), pace)


@case(Kind.HEALTHY, silent=("PP608",))
def crop_while_decoding(draw: Draw) -> Loop:
    pace, dataset = encoded(draw, cropped, cropped_while_decoding)
    return loop_over(dataset.map(cropped_while_decoding, num_parallel_calls=AUTO).batch(pace.batch).prefetch(2), pace)


# --- PP609: iterators ---------------------------------------------------------------------------------------------


def long_graph(draw: Draw) -> tuple[Pace, Callable[[Any], Any]]:
    """Return a loop of many short epochs, and a function of many ops, which are optimised again for every iterator."""
    ops = draw.count("ops", 60, 160)
    pace = Pace(
        step_s=draw.number("step, s", 0.004, 0.008), input_s=0.001, batch=4, steps=400, epochs=draw.count("epochs", 15, 25)
    )

    def chain(value: Any) -> Any:
        value = tf.cast(value, tf.float32)
        for number in range(ops):
            value = value * 1.0001 + float(number)
        return value

    return pace, chain


@case(Kind.PLANTED, fires=("PP609",))
def an_iterator_for_each_short_epoch(draw: Draw) -> Loop:
    pace, chain = long_graph(draw)
    dataset = numbers(pace.epoch_elements).map(chain, num_parallel_calls=AUTO).batch(pace.batch)
    dataset = dataset.prefetch(2)  # PLANTED prefetch
    return loop_over(dataset, pace)


@case(Kind.HEALTHY, silent=("PP609",))
def one_iterator_for_all_epochs(draw: Draw) -> Loop:
    pace, chain = long_graph(draw)
    dataset = numbers(pace.epoch_elements).map(chain, num_parallel_calls=AUTO).batch(pace.batch).repeat(pace.epochs)
    return for_loop(dataset.prefetch(2), sleeping(pace.step_s))
