"""The cure of ``train.py``: the random map runs on all cores; everything else is the same."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf
from train import BATCH, load_and_augment, main


def make_dataset(data: Path) -> tf.data.Dataset:
    files = sorted(str(path) for path in data.glob("pictures-*.tfrecord"))
    dataset = tf.data.TFRecordDataset(files).shuffle(256)
    dataset = dataset.map(load_and_augment, num_parallel_calls=tf.data.AUTOTUNE)
    dataset = dataset.batch(BATCH, drop_remainder=True)
    return dataset.prefetch(tf.data.AUTOTUNE)


if __name__ == "__main__":
    main(make_dataset)
