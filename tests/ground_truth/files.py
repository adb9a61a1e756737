"""Files of the cases: records, plain and compressed, tables and pictures, written from the seed.

The one idea: every record of a case has the same content, so that the files are there in a second, and their reads are real.
Nothing here makes a dataset.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import tensorflow as tf


def records(folder: Path, files: int, count: int, content: bytes, compression: str = "") -> list[str]:
    """Write so many record files of so many records each."""
    first, *others = [str(folder / f"{number}.tfrecord") for number in range(files)]
    quick = tf.io.TFRecordOptions(compression, compression_level=1)
    with tf.io.TFRecordWriter(first, quick) as writer:
        for _ in range(count):
            writer.write(content)
    for path in others:
        shutil.copyfile(first, path)
    return [first, *others]


def example(values: int) -> bytes:
    """Return one serialised example with many features: parsing it is work."""
    features = {
        f"f{number}": tf.train.Feature(float_list=tf.train.FloatList(value=[number / 7] * 32)) for number in range(values)
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def noise(size: int, seed: int) -> bytes:
    """Return bytes that compress to about half."""
    return np.random.default_rng(seed).integers(0, 16, size, dtype=np.uint8).tobytes()


def table(path: Path, rows: int, columns: int) -> str:
    """Write a table of numbers."""
    line = ",".join(f"{number / 7:.6f}" for number in range(columns))
    path.write_text("\n".join([line] * rows) + "\n")
    return str(path)


def pictures(folder: Path, count: int, size: int, kind: str, seed: int) -> list[str]:
    """Write so many pictures of noise."""
    pixels = np.random.default_rng(seed).integers(0, 255, (size, size, 3), dtype=np.uint8)
    encode = tf.io.encode_png if kind == "png" else tf.io.encode_jpeg
    content = encode(pixels).numpy()
    paths = [folder / f"{number}.{kind}" for number in range(count)]
    for path in paths:
        path.write_bytes(content)
    return [str(path) for path in paths]
