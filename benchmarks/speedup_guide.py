"""The single steps of the guide "Better performance with the tf.data API": each pipeline before its step and after it.

The one idea: the costs are the guide's (files that take a while to open, reads and maps that wait), and each pipeline lacks one
thing alone. Nothing here measures.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

AUTO = tf.data.AUTOTUNE
STEPS = ("guide_prefetching", "guide_extraction", "guide_transformation", "guide_caching", "guide_vectorizing")
_FILES = 4
_OPENING_S, _READING_S, _MAPPING_S = 0.03, 0.015, 0.02
_SIGNATURE = tf.TensorSpec([], tf.float32)


def _read(file: Any) -> Iterator[np.float32]:
    time.sleep(_OPENING_S)
    for number in range(12):
        time.sleep(_READING_S)
        yield np.float32(100 * file + number)


def _reading(file: Any) -> Any:
    return tf.data.Dataset.from_generator(_read, args=(file,), output_signature=_SIGNATURE)


def _waiting(seconds: float) -> Any:
    """Return a map that waits, outside TensorFlow's threads' work, as one that asks a service does."""

    def work(value: Any) -> Any:
        time.sleep(seconds)
        return np.float32(value + 1)

    return lambda value: tf.ensure_shape(tf.numpy_function(work, [value], tf.float32), [])


def _numbers(count: int) -> Any:
    return tf.data.Dataset.range(count).map(lambda value: tf.cast(value, tf.float32))


def guide_prefetching(_data: Path) -> Any:
    dataset = _numbers(96)
    dataset = dataset.map(_waiting(0.002))
    return dataset.batch(4)


def guide_prefetching_tuned(data: Path) -> Any:
    return guide_prefetching(data).prefetch(AUTO)


def guide_extraction(_data: Path) -> Any:
    dataset = tf.data.Dataset.range(_FILES)
    dataset = dataset.interleave(_reading, cycle_length=_FILES)
    return dataset.batch(4)


def guide_extraction_tuned(_data: Path) -> Any:
    options = tf.data.Options()
    options.threading.private_threadpool_size = 8
    files = tf.data.Dataset.range(_FILES)
    read = files.interleave(_reading, cycle_length=_FILES, num_parallel_calls=_FILES)
    return read.batch(4).with_options(options).prefetch(AUTO)


def guide_transformation(_data: Path) -> Any:
    dataset = _numbers(48)
    dataset = dataset.map(_waiting(_MAPPING_S))
    return dataset.batch(4)


def guide_transformation_tuned(_data: Path) -> Any:
    options = tf.data.Options()
    options.threading.private_threadpool_size = 16
    mapped = _numbers(48).map(_waiting(_MAPPING_S), num_parallel_calls=16)
    return mapped.batch(4).with_options(options).prefetch(AUTO)


def guide_caching(_data: Path) -> Any:
    dataset = tf.data.Dataset.range(2)
    dataset = dataset.interleave(_reading, cycle_length=2)
    dataset = dataset.map(_waiting(0.003))
    return dataset.batch(4)


def guide_caching_tuned(_data: Path) -> Any:
    read = tf.data.Dataset.range(2).interleave(_reading, cycle_length=2).map(_waiting(0.003))
    return read.cache().batch(4).prefetch(AUTO)


def guide_vectorizing(_data: Path) -> Any:
    dataset = tf.data.Dataset.range(20_000)
    dataset = dataset.map(lambda value: tf.cast(value, tf.float32) * 2.0 + 1.0)
    return dataset.batch(256)


def guide_vectorizing_tuned(_data: Path) -> Any:
    return tf.data.Dataset.range(20_000).batch(256).map(lambda values: tf.cast(values, tf.float32) * 2.0 + 1.0).prefetch(AUTO)
