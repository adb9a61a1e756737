"""Well-built pipelines behind a step that is dearer than they are: there is nothing to fix."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tests.ground_truth import consumers, files
from tests.ground_truth.chains import AUTO, labelled, numbers
from tests.ground_truth.costs import CORES, burn, computing, nap, sleeping
from tests.ground_truth.draws import Draw, Pace
from tests.ground_truth.registry import Kind, Loop, case


def parallel(draw: Draw, pace: Pace) -> Any:
    """Return a usual good pipeline: shuffle, parallel map, batch, prefetch."""
    native = burn(pace.element_s * CORES)
    dataset = numbers(pace.epoch_elements).shuffle(draw.count("shuffle", 4, 32))
    return dataset.map(native, num_parallel_calls=AUTO).batch(pace.batch).prefetch(draw.choice("buffer", [2, AUTO]))


@case(Kind.HEALTHY)
def healthy_sleeping_step(draw: Draw) -> Loop:
    pace = draw.fast_input()
    return consumers.for_loop(parallel(draw, pace), sleeping(pace.step_s), pace.epochs)


@case(Kind.HEALTHY)
def healthy_computing_step(draw: Draw) -> Loop:
    pace = draw.fast_input(load=0.15)
    return consumers.for_loop(parallel(draw, pace), computing(pace.step_s), pace.epochs)


@case(Kind.HEALTHY)
def healthy_keras_fit(draw: Draw) -> Loop:
    from tests.ground_truth import consumers_keras

    pace = draw.fast_input()
    dataset = labelled(parallel(draw, pace))
    return consumers_keras.fit(dataset, sleeping(pace.step_s), pace.epochs)


@case(Kind.HEALTHY, silent=("PP401", "PP402", "PP403", "PP404", "PP406"))
def healthy_cache(draw: Draw) -> Loop:
    pace = draw.fast_input(epochs=(3, 4))
    native = burn(pace.element_s)
    dataset = numbers(pace.epoch_elements).map(native, num_parallel_calls=AUTO).cache().shuffle(16)
    return consumers.for_loop(dataset.batch(pace.batch).prefetch(2), sleeping(pace.step_s), pace.epochs)


@case(Kind.HEALTHY)
def healthy_records(draw: Draw) -> Loop:
    pace, columns = draw.fast_input(), draw.count("features", 2, 8)
    spec = {f"f{number}": tf.io.FixedLenFeature([32], tf.float32) for number in range(columns)}
    paths = files.records(draw.folder, 4, max(2, pace.epoch_elements // 4), files.example(columns))
    dataset = tf.data.TFRecordDataset(paths, num_parallel_reads=2).batch(pace.batch)
    dataset = dataset.map(lambda batch: tf.io.parse_example(batch, spec), num_parallel_calls=AUTO).prefetch(2)
    return consumers.for_loop(dataset, draw.choice("step", [sleeping, computing])(pace.step_s), pace.epochs)


@case(Kind.HEALTHY)
def healthy_interleave(draw: Draw) -> Loop:
    pace, parts = draw.fast_input(), draw.choice("parts", [4, 8])
    native, each = burn(pace.element_s), max(2, pace.epoch_elements // parts)
    inner = lambda part: numbers(each).map(lambda value: native(value + part))  # noqa: E731
    dataset = numbers(parts).interleave(inner, cycle_length=4, num_parallel_calls=AUTO)
    return consumers.next_calls(dataset.batch(pace.batch).prefetch(2), sleeping(pace.step_s), pace.epochs)


@case(Kind.HEALTHY)
def healthy_pictures(draw: Draw) -> Loop:
    pace = draw.fast_input(batches=(2, 4))
    paths = files.pictures(draw.folder, 32, draw.count("size", 32, 64), "jpeg", draw.count("noise", 1, 10**6))
    dataset = tf.data.Dataset.from_tensor_slices(paths).repeat().take(pace.epoch_elements)
    dataset = dataset.map(lambda path: tf.io.decode_jpeg(tf.io.read_file(path), 3), num_parallel_calls=AUTO)
    return consumers.for_loop(dataset.batch(pace.batch).prefetch(AUTO), sleeping(pace.step_s), pace.epochs)


@case(Kind.HEALTHY)
def healthy_reduction(draw: Draw) -> Loop:
    pace = draw.fast_input(epochs=(1,))
    return consumers.reduction(parallel(draw, pace), sleeping(pace.step_s))


@case(Kind.HEALTHY)
def healthy_loop_in_a_function(draw: Draw) -> Loop:
    pace = draw.fast_input(epochs=(1,))
    return consumers.loop_over_an_argument(parallel(draw, pace), sleeping(pace.step_s))


@case(Kind.HEALTHY)
def healthy_zip(draw: Draw) -> Loop:
    pace = draw.fast_input()
    native = burn(pace.element_s)
    dataset = tf.data.Dataset.zip((numbers(pace.epoch_elements).map(native, num_parallel_calls=AUTO), numbers(10**9)))
    return consumers.numpy_iterator(dataset.batch(pace.batch).prefetch(2), sleeping(pace.step_s), pace.epochs)


@case(Kind.HEALTHY)
def healthy_padded_batch(draw: Draw) -> Loop:
    pace = draw.fast_input()
    dataset = numbers(pace.epoch_elements).map(lambda value: tf.range(value % 50), num_parallel_calls=AUTO)
    dataset = dataset.padded_batch(pace.batch).prefetch(2)
    return consumers.for_loop(dataset, draw.choice("step", [sleeping, computing])(pace.step_s), pace.epochs)


@case(Kind.HEALTHY)
def healthy_generator(draw: Draw) -> Loop:
    pace = draw.fast_input()

    def generate() -> Iterator[np.float32]:
        for number in range(pace.epoch_elements):
            yield np.float32(number)

    dataset = tf.data.Dataset.from_generator(generate, output_signature=tf.TensorSpec([], tf.float32))
    return consumers.for_loop(dataset.batch(pace.batch).prefetch(2), sleeping(pace.step_s), pace.epochs)


@case(Kind.HEALTHY)
def healthy_vectorised_maps(draw: Draw) -> Loop:
    pace = draw.fast_input(batches=(256, 512, 1024), load=0.1)
    dataset = numbers(pace.epoch_elements).batch(pace.batch)
    dataset = dataset.map(lambda values: tf.cast(values, tf.float32) / 255, num_parallel_calls=AUTO).prefetch(2)
    return consumers.for_loop(dataset, draw.choice("step", [sleeping, computing])(pace.step_s), pace.epochs)


@case(Kind.HEALTHY, silent=("PP502",))
def healthy_latency_hidden(draw: Draw) -> Loop:
    pace = draw.fast_input(load=0.3)
    options = tf.data.Options()
    options.threading.private_threadpool_size = 16
    dataset = numbers(pace.epoch_elements).map(nap(pace.element_s * 4), num_parallel_calls=16)
    dataset = dataset.batch(pace.batch).prefetch(4).with_options(options)
    return consumers.for_loop(dataset, sleeping(pace.step_s), pace.epochs)
