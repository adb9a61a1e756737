"""Pipelines with the published structure of Plumber's study (MLSys 2022, section 5), the guide's, and their hand-tuned twins.

The one idea: each is written as a beginner would, with no parallelism at all; ``speedup_styles`` derives the variants with
AUTOTUNE and with one call for each core from this very source, and only the hand-tuned twins are written out. Data are small
and made from a seed. Nothing here measures.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

CORES = len(os.sched_getaffinity(0))
BATCH = 16
SIDE = 96
LONGEST = 256
MAX_LEN = 50
PICTURES = 256
_PICTURE = {"image": tf.io.FixedLenFeature([], tf.string), "label": tf.io.FixedLenFeature([], tf.int64)}
_TEXT = {name: tf.io.VarLenFeature(tf.int64) for name in ("inputs", "targets", "in_seg", "in_pos", "out_seg", "out_pos")}
_WORDS = 2000


def write_data(folder: Path) -> None:
    """Write the sentences: TFRecords of six integer lists, records of fixed length, and lines of words."""
    rng = np.random.default_rng(11)
    for shard in range(4):
        with tf.io.TFRecordWriter(str(folder / f"wmt-{shard}.tfrecord")) as writer:
            for _ in range(400):
                length = int(rng.integers(60, 300))
                lists = {name: rng.integers(0, 32_000, length) for name in _TEXT}
                feature = {
                    name: tf.train.Feature(int64_list=tf.train.Int64List(value=values)) for name, values in lists.items()
                }
                writer.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())
        rng.integers(0, 32_000, (2000, 3 * MAX_LEN + 3), dtype=np.int32).tofile(folder / f"gnmt-{shard}.bin")
    words = np.array([f"word{number}" for number in range(_WORDS)])
    lines = [" ".join(words[rng.integers(0, _WORDS, int(rng.integers(4, 40)))]) for _ in range(4000)]
    (folder / "sentences.txt").write_text("\n".join(lines))
    (folder / "words.txt").write_text("\n".join(words))


def pictures(data: Path) -> list[str]:
    return sorted(str(path) for path in data.glob("pictures-*.tfrecord"))[: PICTURES // 128]


# --- ResNet ------------------------------------------------------------------------------------------------------


def crop_and_flip(image: Any, label: Any) -> Any:
    image = tf.image.random_flip_left_right(tf.image.random_crop(image, [SIDE, SIDE, 3]))
    return tf.cast(image, tf.float32) / 255.0, label


def resnet_example(record: Any) -> Any:
    example = tf.io.parse_single_example(record, _PICTURE)
    image = tf.io.decode_jpeg(example["image"], channels=3)
    size = [SIDE + 32, SIDE + 32]
    return crop_and_flip(tf.cast(tf.image.resize(image, size, method="bicubic"), tf.uint8), example["label"])


def to_hwcn(images: Any, labels: Any) -> Any:
    return tf.transpose(images, [1, 2, 3, 0]), labels


def resnet(data: Path) -> Any:
    dataset = tf.data.TFRecordDataset(pictures(data)).shuffle(64)
    dataset = dataset.map(resnet_example)
    dataset = dataset.batch(BATCH, drop_remainder=True)
    return dataset.map(to_hwcn)


def resnet_tuned(data: Path) -> Any:
    def decode(record: Any) -> Any:
        example = tf.io.parse_single_example(record, _PICTURE)
        image = tf.io.decode_jpeg(example["image"], channels=3)
        return tf.cast(tf.image.resize(image, [SIDE + 32, SIDE + 32], method="bicubic"), tf.uint8), example["label"]

    dataset = tf.data.TFRecordDataset(pictures(data)).map(decode, num_parallel_calls=tf.data.AUTOTUNE).cache().shuffle(64)
    dataset = dataset.map(crop_and_flip, num_parallel_calls=tf.data.AUTOTUNE).batch(BATCH, drop_remainder=True)
    return dataset.map(to_hwcn, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


# --- Mask-RCNN ---------------------------------------------------------------------------------------------------


def rcnn_example(record: Any) -> Any:
    example = tf.io.parse_single_example(record, _PICTURE)
    image = tf.cast(tf.io.decode_jpeg(example["image"], channels=3), tf.float32) / 255.0
    image = tf.image.random_flip_left_right(image)
    wide = tf.shape(image)[1] > tf.shape(image)[0]
    image = tf.image.resize(image, [SIDE, SIDE])
    grid = tf.stack(tf.meshgrid(tf.range(24.0), tf.range(24.0)), -1)
    anchors = tf.reshape(grid, [-1, 1, 2]) + tf.random.uniform([1, 9, 2])
    labels = tf.argmax(tf.reduce_sum(tf.abs(anchors[:, :, None, :] - tf.random.uniform([1, 1, 20, 2])), -1), axis=-1)
    return image, tf.cast(labels, tf.int32), wide


def orientation(_image: Any, _labels: Any, wide: Any) -> Any:
    return tf.cast(wide, tf.int64)


def normalise(images: Any, labels: Any, _wide: Any) -> Any:
    return (images - 0.5) / 0.25, labels


def rcnn(data: Path) -> Any:
    dataset = tf.data.TFRecordDataset(pictures(data)).shuffle(64)
    dataset = dataset.map(rcnn_example)
    dataset = dataset.group_by_window(orientation, lambda _key, window: window.batch(8), window_size=8)
    return dataset.map(normalise)


def rcnn_tuned(data: Path) -> Any:
    dataset = tf.data.TFRecordDataset(pictures(data)).shuffle(64).map(rcnn_example, num_parallel_calls=CORES)
    dataset = dataset.group_by_window(orientation, lambda _key, window: window.batch(8), window_size=8)
    return dataset.map(normalise, num_parallel_calls=CORES).prefetch(2)


# --- MultiBoxSSD -------------------------------------------------------------------------------------------------


def ssd_decode(record: Any) -> Any:
    example = tf.io.parse_single_example(record, _PICTURE)
    return tf.io.decode_jpeg(example["image"], channels=3), example["label"]


def has_boxes(_image: Any, label: Any) -> Any:
    return label >= 0


def ssd_crop(image: Any, label: Any) -> Any:
    def smaller(turn: Any, size: Any) -> Any:
        return turn + 1, tf.minimum(size, tf.random.uniform([], SIDE, SIDE + 64, tf.int32))

    _, size = tf.while_loop(lambda turn, _size: turn < 4, smaller, (0, SIDE + 64))
    image = tf.image.random_crop(image, tf.stack([size, size, 3]))
    image = tf.image.resize(image, [SIDE, SIDE])
    image = tf.image.random_saturation(tf.image.random_brightness(image / 255.0, 0.1), 0.7, 1.3)
    return tf.image.random_flip_left_right(image), label


def ssd(data: Path) -> Any:
    dataset = tf.data.TFRecordDataset(pictures(data))
    dataset = dataset.map(ssd_decode)
    dataset = dataset.filter(has_boxes)
    dataset = dataset.map(ssd_crop)
    dataset = dataset.batch(BATCH, drop_remainder=True)
    return dataset.map(to_hwcn)


def ssd_tuned(data: Path) -> Any:
    dataset = tf.data.TFRecordDataset(pictures(data)).map(ssd_decode, num_parallel_calls=tf.data.AUTOTUNE)
    dataset = dataset.filter(has_boxes).cache().map(ssd_crop, num_parallel_calls=tf.data.AUTOTUNE)
    dataset = dataset.batch(BATCH, drop_remainder=True)
    return dataset.map(to_hwcn, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


# --- Transformer, TransformerSmall, GNMT -------------------------------------------------------------------------


def wmt_parse(record: Any) -> Any:
    lists = tf.io.parse_single_example(record, _TEXT)
    return {name: tf.sparse.to_dense(value) for name, value in lists.items()}


def wmt_cast(lists: Any) -> Any:
    return {name: tf.cast(value, tf.int32) for name, value in lists.items()}


def is_short(lists: Any) -> Any:
    return tf.size(lists["inputs"]) <= LONGEST


def wmt_pad(lists: Any) -> Any:
    return {name: tf.pad(value, [[0, LONGEST - tf.size(value)]]) for name, value in lists.items()}


def wmt_files(data: Path) -> list[str]:
    return sorted(str(path) for path in data.glob("wmt-*.tfrecord"))


def transformer(data: Path) -> Any:
    dataset = tf.data.TFRecordDataset(wmt_files(data))
    dataset = dataset.map(wmt_parse)
    dataset = dataset.map(wmt_cast)
    dataset = dataset.filter(is_short)
    dataset = dataset.map(wmt_pad)
    dataset = dataset.shuffle(512)
    return dataset.batch(BATCH, drop_remainder=True)


def transformer_tuned(data: Path) -> Any:
    dataset = tf.data.TFRecordDataset(wmt_files(data)).map(wmt_parse, num_parallel_calls=tf.data.AUTOTUNE)
    dataset = dataset.filter(is_short).map(lambda lists: wmt_pad(wmt_cast(lists)), num_parallel_calls=tf.data.AUTOTUNE)
    return dataset.cache().shuffle(512).batch(BATCH, drop_remainder=True).prefetch(tf.data.AUTOTUNE)


def _tokeniser(data: Path) -> Any:
    source = tf.lookup.TextFileInitializer(
        str(data / "words.txt"), tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER
    )
    table = tf.lookup.StaticHashTable(source, 0)
    return lambda line: tf.cast(table.lookup(tf.strings.split(tf.strings.lower(line))), tf.int32)


def is_sentence(words: Any) -> Any:
    return tf.size(words) <= LONGEST


def trim(words: Any) -> Any:
    return words[:32]


def pack(rows: Any) -> Any:
    """Shift every row to the left of the next, in a loop, as packing does."""

    def step(turn: Any, packed: Any) -> Any:
        return turn + 1, tf.roll(packed, shift=1, axis=0) + rows

    _, packed = tf.while_loop(
        lambda turn, _packed: turn < 8, step, (0, rows), shape_invariants=(tf.TensorShape([]), tf.TensorShape([None, None]))
    )
    return packed[:, :16]


def transformer_small(data: Path) -> Any:
    dataset = tf.data.TextLineDataset(str(data / "sentences.txt"))
    dataset = dataset.map(_tokeniser(data))
    dataset = dataset.filter(is_sentence)
    dataset = dataset.shuffle(1024)
    dataset = dataset.map(trim)
    dataset = dataset.padded_batch(64, padded_shapes=[32])
    dataset = dataset.map(pack)
    return dataset.unbatch().batch(BATCH, drop_remainder=True)


def transformer_small_tuned(data: Path) -> Any:
    dataset = tf.data.TextLineDataset(str(data / "sentences.txt")).map(_tokeniser(data), num_parallel_calls=tf.data.AUTOTUNE)
    dataset = dataset.filter(is_sentence).cache().shuffle(1024).map(trim).padded_batch(64, padded_shapes=[32])
    dataset = dataset.map(pack, num_parallel_calls=tf.data.AUTOTUNE)
    return dataset.unbatch().batch(BATCH, drop_remainder=True).prefetch(tf.data.AUTOTUNE)


def split_record(record: Any) -> Any:
    numbers = tf.io.decode_raw(record, tf.int32)
    return numbers[:MAX_LEN], numbers[MAX_LEN : 2 * MAX_LEN], numbers[2 * MAX_LEN : 3 * MAX_LEN], numbers[3 * MAX_LEN :]


def as_dict(source: Any, target: Any, shifted: Any, lengths: Any) -> Any:
    return {"source": source, "target": target, "shifted": shifted, "lengths": lengths}


def gnmt(data: Path) -> Any:
    files = sorted(str(path) for path in data.glob("gnmt-*.bin"))
    dataset = tf.data.FixedLengthRecordDataset(files, (3 * MAX_LEN + 3) * 4)
    dataset = dataset.map(split_record)
    dataset = dataset.shuffle(BATCH * 50)
    dataset = dataset.batch(BATCH * 4, drop_remainder=True)
    return dataset.map(as_dict)


def gnmt_tuned(data: Path) -> Any:
    files = sorted(str(path) for path in data.glob("gnmt-*.bin"))
    dataset = tf.data.FixedLengthRecordDataset(files, (3 * MAX_LEN + 3) * 4).shuffle(BATCH * 50)
    dataset = dataset.batch(BATCH * 4, drop_remainder=True)

    def split_batch(records: Any) -> Any:
        numbers = tf.io.decode_raw(records, tf.int32)
        return as_dict(
            numbers[:, :MAX_LEN], numbers[:, MAX_LEN : 2 * MAX_LEN], numbers[:, 2 * MAX_LEN : 3 * MAX_LEN], numbers[:, 150:]
        )

    return dataset.map(split_batch, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


# --- the guide "Better performance with the tf.data API" ---------------------------------------------------------


def read_slowly(number: Any) -> Any:
    def read(value: Any) -> Any:
        time.sleep(0.015)
        return np.float32(value)

    return tf.ensure_shape(tf.numpy_function(read, [number], tf.float32), [])


def mapped_slowly(value: Any) -> Any:
    def work(number: Any) -> Any:
        time.sleep(0.003)
        return np.float32(number + 1)

    return tf.ensure_shape(tf.numpy_function(work, [value], tf.float32), [])


def guide(_data: Path) -> Any:
    dataset = tf.data.Dataset.range(48)
    dataset = dataset.map(read_slowly)
    dataset = dataset.map(mapped_slowly)
    return dataset.batch(4)


def guide_tuned(_data: Path) -> Any:
    options = tf.data.Options()
    options.threading.private_threadpool_size = 16
    dataset = tf.data.Dataset.range(48).map(read_slowly, num_parallel_calls=16).map(mapped_slowly, num_parallel_calls=4)
    return dataset.batch(4).with_options(options).prefetch(tf.data.AUTOTUNE)
