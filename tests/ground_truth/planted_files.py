"""Real files: what is slow is reading, unpacking, parsing or decoding them.

The one idea: the cost of one element is measured before the loop, on the same op, and the step is drawn against it; so the
costs are real, and the share of waiting is still the seed's.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tests.ground_truth import files
from tests.ground_truth.chains import AUTO, batched, numbers
from tests.ground_truth.consumers import for_loop
from tests.ground_truth.costs import CORES, burn, sleeping
from tests.ground_truth.draws import LOOP_S, Draw, Pace
from tests.ground_truth.planted_chains import read
from tests.ground_truth.registry import Kind, Loop, case


def cost_of(call: Callable[[], object]) -> float:
    """Return what a call takes, the fastest of some."""
    taken = []
    for _ in range(5):
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    return min(taken)


def pace_of(draw: Draw, element_s: float, epochs: tuple[int, ...] = (1, 2)) -> Pace:
    """Draw a loop around elements of a cost that is what it is."""
    batch = max(1, round(draw.number("input of a step, s", 0.015, 0.04) / element_s))
    input_s = batch * element_s
    step_s = input_s * (1 - draw.number("share of waiting meant", 0.1, 0.9))
    steps = round(draw.number("loop, s", *LOOP_S) / input_s)
    return Pace(step_s=step_s, input_s=input_s, batch=batch, steps=max(12, steps), epochs=draw.choice("epochs", epochs))


@case(Kind.PLANTED)
def parsed_records(draw: Draw) -> Loop:
    columns = draw.count("features", 60, 160)
    content = files.example(columns)
    spec = {f"f{number}": tf.io.FixedLenFeature([32], tf.float32) for number in range(columns)}
    pace = pace_of(draw, cost_of(lambda: tf.io.parse_single_example(content, spec)) * 0.6)
    paths = files.records(draw.folder, 4, max(2, pace.epoch_elements // 4), content)
    calls = draw.choice("calls", [None, 1, AUTO])
    dataset = tf.data.TFRecordDataset(paths)
    dataset = dataset.map(lambda record: tf.io.parse_single_example(record, spec), num_parallel_calls=calls)  # PLANTED map
    return read(draw, batched(draw, dataset, pace.batch), pace)


@case(Kind.PLANTED)
def compressed_records(draw: Draw) -> Loop:
    content = files.noise(draw.count("bytes", 100_000, 300_000), draw.count("noise", 1, 10**6))
    sample = files.records(draw.folder, 1, 40, content, "GZIP")
    element_s = cost_of(lambda: sum(1 for _ in tf.compat.v1.io.tf_record_iterator(sample[0], _gzip()))) / 40
    pace = pace_of(draw, element_s, epochs=(2, 3))
    paths = files.records(draw.folder, 2, max(2, pace.epoch_elements // 2), content, "GZIP")
    dataset = tf.data.TFRecordDataset(paths, compression_type="GZIP")  # PLANTED TFRecordDataset
    dataset = dataset.map(tf.strings.length)
    return read(draw, batched(draw, dataset, pace.batch), pace)


def _gzip() -> Any:
    return tf.io.TFRecordOptions(compression_type="GZIP")


@case(Kind.PLANTED)
def parsed_table(draw: Draw) -> Loop:
    columns = draw.count("columns", 300, 900)
    path = files.table(draw.folder / "sample.csv", 1, columns)
    line = tf.strings.strip(tf.io.read_file(path))
    defaults = [[0.0]] * columns
    pace = pace_of(draw, cost_of(lambda: tf.io.decode_csv(line, defaults)) * 0.8)
    paths = files.table(draw.folder / "rows.csv", pace.epoch_elements, columns)
    dataset = tf.data.TextLineDataset(paths)
    dataset = dataset.map(lambda row: tf.stack(tf.io.decode_csv(row, defaults)))  # PLANTED map
    return read(draw, batched(draw, dataset, pace.batch), pace)


@case(Kind.PLANTED)
def decoded_pictures(draw: Draw) -> Loop:
    kind, size = draw.choice("picture", ["png", "jpeg"]), draw.count("size", 128, 320)
    decode = tf.io.decode_png if kind == "png" else tf.io.decode_jpeg
    paths = files.pictures(draw.folder, 64, size, kind, draw.count("noise", 1, 10**6))
    pace = pace_of(draw, cost_of(lambda: decode(tf.io.read_file(paths[0]))) / CORES)
    dataset = tf.data.Dataset.from_tensor_slices(paths).repeat().take(pace.epoch_elements)
    dataset = dataset.map(lambda path: tf.image.resize(decode(tf.io.read_file(path), 3), [8, 8]))  # PLANTED map
    return read(draw, batched(draw, dataset, pace.batch), pace)


@case(Kind.PLANTED)
def cacheable_decode(draw: Draw) -> Loop:
    kind, size = draw.choice("picture", ["png", "jpeg"]), draw.count("size", 128, 256)
    decode = tf.io.decode_png if kind == "png" else tf.io.decode_jpeg
    paths = files.pictures(draw.folder, draw.count("pictures", 60, 120), size, kind, draw.count("noise", 1, 10**6))
    decode_s = cost_of(lambda: decode(tf.io.read_file(paths[0])))
    pace = pace_of(draw, decode_s / CORES, epochs=(1,))
    epochs = max(4, round(pace.epoch_elements / len(paths)))
    dataset = tf.data.Dataset.from_tensor_slices(paths)
    dataset = dataset.map(lambda path: tf.image.resize(decode(tf.io.read_file(path), 3), [8, 8]))  # PLANTED map
    dataset = dataset.shuffle(8).batch(min(pace.batch, len(paths) // 3))
    return for_loop(dataset, sleeping(pace.step_s), min(epochs, 40))


@case(Kind.PLANTED)
def first_snapshot(draw: Draw) -> Loop:
    """A snapshot that is written in the first epoch and read in the second."""
    pace = draw.slow_input(epochs=(2,))
    native = burn(pace.element_s * CORES)
    dataset = numbers(pace.epoch_elements * 2)
    dataset = dataset.map(native)  # PLANTED map
    dataset = dataset.snapshot(str(draw.folder / "snapshot"))
    return read(draw, dataset.batch(pace.batch), pace)


@case(Kind.PLANTED)
def saved_and_loaded(draw: Draw) -> Loop:
    pace = draw.slow_input()
    native = burn(pace.element_s)
    numbers(pace.epoch_elements).save(str(draw.folder / "saved"))
    dataset = tf.data.Dataset.load(str(draw.folder / "saved"))
    dataset = dataset.map(lambda value: native(value) + tf.random.uniform([]))  # PLANTED map
    return read(draw, batched(draw, dataset, pace.batch), pace)
