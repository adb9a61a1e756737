"""Rules of files, formats and where the work is done: pipelines with one such problem, and the same cured.

The one idea: files are read from the page cache, so that what costs time is opening, inflating and parsing, never a disk. Every
loop reads its data once, since a cache would be the better cure of data that are read again.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tests.ground_truth import files
from tests.ground_truth.chains import AUTO, numbers
from tests.ground_truth.clock import Clock
from tests.ground_truth.consumers import for_loop
from tests.ground_truth.costs import CORES, burn, sleeping
from tests.ground_truth.draws import Draw, Pace
from tests.ground_truth.planted_files import cost_of
from tests.ground_truth.registry import Kind, Loop, case

LOOP_S = (3.0, 4.5)
SMALL_FILE_S = 1.5e-4  # about what opening and reading one takes
TINY_RECORD_S = 1e-6  # about what reading and batching one takes, or somewhat more


def pace_for(draw: Draw, element_s: float) -> Pace:
    """Draw one epoch around elements of a cost that is what it is: the step takes a part of the input's time."""
    input_s = draw.number("input of a step, s", 0.015, 0.03)
    batch = max(1, round(input_s / element_s))
    steps = max(40, round(draw.number("loop, s", *LOOP_S) / (batch * element_s)))
    step_s = batch * element_s * draw.number("step in inputs", 0.1, 0.3)
    return Pace(step_s=step_s, input_s=batch * element_s, batch=batch, steps=steps, epochs=1)


def repeated(path: Path, content: bytes, count: int) -> str:
    """Write a file of records that are all the same, without a writer: records stand one after the other."""
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(content)
    one = path.read_bytes()
    assert struct.unpack_from("<Q", one)[0] == len(content)
    path.write_bytes(one * count)
    return str(path)


def feed(dataset: Any, pace: Pace) -> Loop:
    return for_loop(dataset.prefetch(2), sleeping(pace.step_s))


# --- many small files --------------------------------------------------------------------------------------------


def small_records(draw: Draw) -> tuple[bytes, int, Pace]:
    """Return the content of a record, the records in a small file, and a loop drawn against reading such files."""
    content, each = files.noise(draw.count("bytes", 2_000, 10_000), draw.count("noise", 1, 10**6)), draw.count("records", 1, 2)
    return content, each, pace_for(draw, SMALL_FILE_S / each)


@case(Kind.PLANTED, fires=("PP701",))
def many_small_files(draw: Draw) -> Loop:
    content, each, pace = small_records(draw)
    paths = files.records(draw.folder, 400, each, content)
    dataset = tf.data.Dataset.from_tensor_slices(paths * max(1, pace.epoch_elements // each // 400))
    dataset = dataset.interleave(tf.data.TFRecordDataset, cycle_length=16, num_parallel_calls=AUTO)  # PLANTED interleave
    return feed(dataset.batch(pace.batch), pace)


@case(Kind.PLANTED, silent=("PP701", "PP706"))
def small_files_packed(draw: Draw) -> Loop:
    content, _, pace = small_records(draw)
    paths = [repeated(draw.folder / f"{part}.tfrecord", content, pace.epoch_elements // 4) for part in range(4)]
    dataset = tf.data.Dataset.from_tensor_slices(paths)
    dataset = dataset.interleave(tf.data.TFRecordDataset, cycle_length=4, num_parallel_calls=AUTO)  # PLANTED interleave
    return feed(dataset.batch(pace.batch), pace)


# --- one large file ----------------------------------------------------------------------------------------------


def tiny_records(draw: Draw) -> tuple[bytes, Pace]:
    """Return a record's content and a loop; the pipeline frees its batches, which takes the loop as long as reading."""
    content = files.noise(draw.count("bytes", 120, 200), draw.count("noise", 1, 10**6))
    return content, pace_for(draw, TINY_RECORD_S)


@case(Kind.PLANTED, fires=("PP702",))
def single_large_file(draw: Draw) -> Loop:
    content, pace = tiny_records(draw)
    path = repeated(draw.folder / "all.tfrecord", content, pace.epoch_elements)
    dataset = tf.data.TFRecordDataset(path)  # PLANTED TFRecordDataset
    return feed(dataset.batch(pace.batch).map(tf.size), pace)


@case(Kind.HEALTHY, silent=("PP702", "PP210"))
def large_file_split(draw: Draw) -> Loop:
    content, pace = tiny_records(draw)
    paths = [repeated(draw.folder / f"{part}.tfrecord", content, pace.epoch_elements // 4) for part in range(4)]
    dataset = tf.data.Dataset.from_tensor_slices(paths)
    in_batches = lambda path: tf.data.TFRecordDataset(path).batch(pace.batch)  # noqa: E731
    dataset = dataset.interleave(in_batches, cycle_length=4, num_parallel_calls=4).map(tf.size)
    return for_loop(dataset.prefetch(2), sleeping(3 * pace.batch * TINY_RECORD_S))


# --- hand-over ---------------------------------------------------------------------------------------------------


@case(Kind.PLANTED, fires=("PP210",), silent=("PP205",))
def interleave_of_tiny_records(draw: Draw) -> Loop:
    content, pace = tiny_records(draw)
    paths = [repeated(draw.folder / f"{part}.tfrecord", content, pace.epoch_elements // 4) for part in range(4)]
    dataset = tf.data.Dataset.from_tensor_slices(paths)
    dataset = dataset.interleave(tf.data.TFRecordDataset, cycle_length=4, num_parallel_calls=4)  # PLANTED interleave
    return feed(dataset.batch(pace.batch).map(tf.size), pace)


# --- compression -------------------------------------------------------------------------------------------------


def records_of(draw: Draw, compression: str) -> tuple[list[str], Pace]:
    """Return names of files, and a loop whose step is drawn against what their GZIP twins cost."""
    content = files.noise(draw.count("bytes", 30_000, 80_000), draw.count("noise", 1, 10**6))
    options = tf.io.TFRecordOptions(compression_type="GZIP")
    (draw.folder / "sample").mkdir()
    sample = files.records(draw.folder / "sample", 1, 40, content, "GZIP")
    element_s = cost_of(lambda: sum(1 for _ in tf.compat.v1.io.tf_record_iterator(sample[0], options))) / 40
    pace = pace_for(draw, element_s / CORES)
    return files.records(draw.folder, 4, max(2, pace.epoch_elements // 4), content, compression), pace


@case(Kind.PLANTED, fires=("PP703",))
def inflated_records(draw: Draw) -> Loop:
    paths, pace = records_of(draw, "GZIP")
    dataset = tf.data.TFRecordDataset(paths, compression_type="GZIP", num_parallel_reads=4)  # PLANTED TFRecordDataset
    return feed(dataset.map(tf.strings.length).batch(pace.batch), pace)


@case(Kind.PLANTED, silent=("PP703",))
def plain_records(draw: Draw) -> Loop:
    paths, pace = records_of(draw, "")
    dataset = tf.data.TFRecordDataset(paths, num_parallel_reads=4)  # PLANTED TFRecordDataset
    return feed(dataset.map(tf.strings.length).batch(pace.batch), pace)


# --- text --------------------------------------------------------------------------------------------------------


def parser_of(columns: int) -> Callable[[Any], Any]:
    defaults = [[0.0]] * columns
    return lambda rows: tf.stack(tf.io.decode_csv(rows, defaults), 1)


def rows_of(draw: Draw) -> tuple[int, Pace]:
    """Return how many columns a table has, and a loop drawn against parsing its rows in batches, on all cores."""
    columns = draw.count("columns", 100, 300)
    line = tf.strings.strip(tf.io.read_file(files.table(draw.folder / "sample.csv", 1, columns)))
    lines, parse = tf.repeat(line[None], 200), tf.function(parser_of(columns))
    parse(lines)
    return columns, pace_for(draw, cost_of(lambda: parse(lines)) / 200 / CORES)


@case(Kind.PLANTED, fires=("PP705",))
def rows_of_text(draw: Draw) -> Loop:
    columns, pace = rows_of(draw)
    paths = [files.table(draw.folder / f"{part}.csv", pace.epoch_elements // 4, columns) for part in range(4)]
    dataset = tf.data.TextLineDataset(paths, num_parallel_reads=4).batch(pace.batch)
    dataset = dataset.map(parser_of(columns), num_parallel_calls=AUTO)  # PLANTED map
    return feed(dataset, pace)


@case(Kind.HEALTHY, silent=("PP705",), may=("PP702",))
def rows_in_binary(draw: Draw) -> Loop:
    """All in one file: where the loop still waits, that is why."""
    columns, pace = rows_of(draw)
    path = draw.folder / "rows.bin"
    path.write_bytes(np.arange(columns, dtype=np.float32).tobytes() * pace.epoch_elements)
    dataset = tf.data.FixedLengthRecordDataset(str(path), columns * 4).batch(pace.batch)
    dataset = dataset.map(lambda rows: tf.io.decode_raw(rows, tf.float32), num_parallel_calls=AUTO)
    return feed(dataset, pace)


# --- how records are cut and encoded -----------------------------------------------------------------------------


@case(Kind.PLANTED, fires=("PP706",))
def shards_too_small(draw: Draw) -> Loop:
    pace = draw.fast_input(batches=(1,), epochs=(1,))
    paths = files.records(draw.folder, draw.count("files", 24, 40), 2, files.noise(700_000, draw.count("noise", 1, 10**6)))
    dataset = tf.data.TFRecordDataset(paths, num_parallel_reads=4)  # PLANTED TFRecordDataset
    return feed(dataset.map(tf.strings.length), pace)


@case(Kind.PLANTED, silent=("PP706",))
def shards_large_enough(draw: Draw) -> Loop:
    pace = draw.fast_input(batches=(1,), epochs=(1,))
    paths = files.records(draw.folder, draw.count("files", 4, 6), 16, files.noise(700_000, draw.count("noise", 1, 10**6)))
    dataset = tf.data.TFRecordDataset(paths, num_parallel_reads=4)  # PLANTED TFRecordDataset
    return feed(dataset.map(tf.strings.length), pace)


def pixels_of(draw: Draw) -> tuple[np.ndarray, Callable[[bool], bytes], dict[str, Any], Pace]:
    """Return pixels, how to make an Example of them, how to parse it, and a loop drawn against parsing them as numbers."""
    side = draw.count("side", 48, 96)
    pixels = np.random.default_rng(draw.count("noise", 1, 10**6)).integers(0, 256, side * side * 3)

    def example(as_bytes: bool) -> bytes:
        as_numbers = tf.train.Feature(int64_list=tf.train.Int64List(value=pixels))
        raw = tf.train.Feature(bytes_list=tf.train.BytesList(value=[pixels.astype(np.uint8).tobytes()]))
        feature = {"pixels": raw if as_bytes else as_numbers}
        return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()

    spec = {"pixels": tf.io.FixedLenFeature([pixels.size], tf.int64)}
    records = tf.repeat(tf.constant(example(False))[None], 20)
    return pixels, example, spec, pace_for(draw, cost_of(lambda: tf.io.parse_example(records, spec)) / 20)


@case(Kind.PLANTED, fires=("PP707",))
def pixels_as_numbers(draw: Draw) -> Loop:
    _, example, spec, pace = pixels_of(draw)
    count = pace.epoch_elements // 4
    paths = [repeated(draw.folder / f"{part}.tfrecord", example(False), count) for part in range(4)]
    dataset = tf.data.TFRecordDataset(paths, num_parallel_reads=4)  # PLANTED TFRecordDataset
    parse = lambda records: tf.io.parse_example(records, spec)["pixels"]  # noqa: E731
    dataset = dataset.batch(pace.batch).map(parse, num_parallel_calls=AUTO)  # PLANTED map
    return feed(dataset, pace)


@case(Kind.PLANTED, silent=("PP707",))
def pixels_as_bytes(draw: Draw) -> Loop:
    _, example, _, pace = pixels_of(draw)
    count, spec = pace.epoch_elements // 4, {"pixels": tf.io.FixedLenFeature([], tf.string)}
    paths = [repeated(draw.folder / f"{part}.tfrecord", example(True), count) for part in range(4)]
    dataset = tf.data.TFRecordDataset(paths, num_parallel_reads=4)  # PLANTED TFRecordDataset
    parse = lambda records: tf.io.decode_raw(tf.io.parse_example(records, spec)["pixels"], tf.uint8)  # noqa: E731
    return feed(dataset.batch(pace.batch).map(parse, num_parallel_calls=AUTO), pace)


# --- where the work is done --------------------------------------------------------------------------------------


def first_steps(dataset: Any, pace: Pace) -> Loop:
    """Read as many steps as the loop is to take, of a dataset that goes on."""

    def run(clock: Clock) -> None:
        for _, _batch in zip(range(pace.steps), dataset, strict=False):
            clock.step(sleeping(pace.step_s))

    return run


def prepared(draw: Draw, count: int) -> tuple[Any, Callable[[Any], Any], Pace]:
    """Return numbers, a function that makes much of each of them at a cost, and a loop drawn against that."""
    pace = draw.slow_input(epochs=(1,))
    native, size = burn(pace.element_s * CORES), draw.count("values", 20_000, 40_000)
    return numbers(count), lambda value: tf.fill([size], native(value)), pace


@case(Kind.PLANTED, fires=("PP801",))
def prepared_anew(draw: Draw) -> Loop:
    dataset, make, pace = prepared(draw, 10**6)
    dataset = dataset.map(make, num_parallel_calls=AUTO)  # PLANTED map
    dataset = dataset.map(lambda values: values[:10] + tf.random.uniform([]), num_parallel_calls=AUTO)
    return first_steps(dataset.batch(pace.batch).repeat().prefetch(2), pace)


@case(Kind.PLANTED, silent=("PP801",))
def prepared_anew_but_small(draw: Draw) -> Loop:
    dataset, make, pace = prepared(draw, 100)
    dataset = dataset.map(make, num_parallel_calls=AUTO)  # PLANTED map
    dataset = dataset.map(lambda values: values[:10] + tf.random.uniform([]), num_parallel_calls=AUTO)
    return first_steps(dataset.batch(pace.batch).repeat().prefetch(2), pace)


def augmented(draw: Draw, load: float) -> tuple[Any, Callable[[Any], Any], Pace]:
    """Return numbers, random work on each, and a step that takes so many times what all cores need for it."""
    pace = draw.slow_input(epochs=(1,))
    native, rest_s = burn(pace.element_s * CORES), pace.input_s * load
    drawn = Pace(step_s=rest_s, input_s=pace.input_s, batch=pace.batch, steps=pace.steps, epochs=1)
    return numbers(pace.epoch_elements), lambda value: native(value) + tf.random.uniform([]), drawn


@case(Kind.PLANTED, fires=("PP804",))
def all_cores_busy(draw: Draw) -> Loop:
    dataset, work, pace = augmented(draw, draw.number("step in inputs", 0.2, 0.5))
    dataset = dataset.map(work, num_parallel_calls=AUTO)  # PLANTED map
    return feed(dataset.batch(pace.batch), pace)


@case(Kind.HEALTHY, silent=("PP804",))
def cores_to_spare(draw: Draw) -> Loop:
    dataset, work, pace = augmented(draw, draw.number("step in inputs", 2.5, 4.0))
    dataset = dataset.map(work, num_parallel_calls=AUTO)
    return feed(dataset.batch(pace.batch), pace)
