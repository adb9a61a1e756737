"""A slow stage behind the sources and transformations that TensorFlow and Keras build from several of their own."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tests.ground_truth import files
from tests.ground_truth.chains import batched, numbers, trim
from tests.ground_truth.costs import burn
from tests.ground_truth.draws import Draw
from tests.ground_truth.planted_chains import read
from tests.ground_truth.registry import Kind, Loop, case

_SIDE = 12  # of a picture, which is then decoded in no time


@case(Kind.PLANTED)
def pictures_from_a_directory(draw: Draw) -> Loop:
    pace = draw.slow_input()
    native = burn(pace.element_s)
    for number, name in enumerate(("cats", "dogs")):
        (draw.folder / name).mkdir()
        files.pictures(draw.folder / name, pace.epoch_elements // 2, _SIDE, "png", number)
    dataset = tf.keras.utils.image_dataset_from_directory(
        draw.folder,
        batch_size=None,
        image_size=(_SIDE, _SIDE),
        shuffle=draw.choice("shuffle", [True, False]),
        seed=1,
        verbose=0,
    )
    dataset = dataset.map(lambda _image, label: native(label) + tf.random.uniform([]))  # PLANTED map
    return read(draw, batched(draw, dataset, pace.batch), pace)


@case(Kind.PLANTED)
def rows_of_a_csv_file(draw: Draw) -> Loop:
    pace = draw.slow_input()
    native = burn(pace.element_s)
    path = files.table(draw.folder / "rows.csv", pace.epoch_elements, 4)
    dataset = tf.data.experimental.CsvDataset(path, [tf.float32] * 4)
    dataset = dataset.map(lambda first, *_rest: native(first) + tf.random.uniform([]))  # PLANTED map
    return read(draw, batched(draw, trim(draw, dataset), pace.batch), pace)


@case(Kind.PLANTED)
def batches_of_a_csv_file(draw: Draw) -> Loop:
    pace = draw.slow_input()
    native = burn(pace.input_s)
    path = files.table(draw.folder / "rows.csv", pace.epoch_elements, 4)
    dataset = tf.data.experimental.make_csv_dataset(
        path, pace.batch, column_names=list("abcd"), column_defaults=[0.0] * 4, header=False, num_epochs=1, shuffle=False
    )
    dataset = dataset.map(lambda columns: native(columns["a"][0]) + tf.random.uniform([]))  # PLANTED map
    return read(draw, dataset, pace)


@case(Kind.PLANTED)
def one_slow_branch_of_a_choice(draw: Draw) -> Loop:
    pace = draw.slow_input()
    native, branches = burn(2 * pace.element_s), 2
    dataset = numbers(10**9)
    dataset = dataset.map(lambda value: native(value) + tf.random.uniform([]))  # PLANTED map
    fast = numbers(10**9).map(lambda value: tf.cast(value, tf.float32))
    turns = numbers(branches).repeat(pace.epoch_elements // branches)
    dataset = tf.data.Dataset.choose_from_datasets([dataset, fast], turns)
    return read(draw, batched(draw, dataset, pace.batch), pace)


@case(Kind.PLANTED)
def groups_by_window(draw: Draw) -> Loop:
    pace = draw.slow_input()
    native, groups = burn(pace.element_s), draw.count("groups", 2, 4)
    dataset = trim(draw, numbers(pace.epoch_elements))
    dataset = dataset.map(lambda value: (value, native(value) + tf.random.uniform([])))  # PLANTED map
    dataset = dataset.group_by_window(
        key_func=lambda value, _made: value % groups,
        reduce_func=lambda _key, rows: rows.batch(pace.batch),
        window_size=pace.batch,
    )
    return read(draw, dataset, pace)


@case(Kind.PLANTED)
def resampled_by_rejection(draw: Draw) -> Loop:
    pace = draw.slow_input()
    native, even = burn(pace.element_s), [0.5, 0.5]
    dataset = trim(draw, numbers(pace.epoch_elements))
    dataset = dataset.map(lambda value: (value, native(value) + tf.random.uniform([])))  # PLANTED map
    dataset = dataset.rejection_resample(lambda value, _made: tf.cast(value % 2, tf.int32), even, even, seed=1)
    return read(draw, batched(draw, dataset, pace.batch), pace)


@case(Kind.PLANTED)
def ragged_batches(draw: Draw) -> Loop:
    pace = draw.slow_input()
    native = burn(pace.element_s)
    dataset = trim(draw, numbers(pace.epoch_elements))
    dataset = dataset.map(lambda value: tf.fill([value % 3 + 1], native(value) + tf.random.uniform([])))  # PLANTED map
    return read(draw, dataset.ragged_batch(pace.batch), pace)


@case(Kind.PLANTED)
def interleave_in_an_interleave(draw: Draw) -> Loop:
    pace = draw.slow_input()
    native, parts, pieces = burn(pace.element_s), draw.choice("parts", [3, 4]), 2
    each = max(2, pace.epoch_elements // (parts * pieces))

    def piece(number: Any) -> Any:
        return numbers(each).map(lambda value: native(value + number))

    def part(_number: Any) -> Any:
        return numbers(pieces).interleave(piece, cycle_length=pieces)

    dataset = numbers(parts)
    dataset = dataset.interleave(part, cycle_length=draw.choice("cycle_length", [2, 3]))  # PLANTED interleave
    return read(draw, batched(draw, dataset, pace.batch), pace)
