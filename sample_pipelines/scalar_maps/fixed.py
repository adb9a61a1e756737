"""The cure of ``train.py``: rows are batched before they are prepared; everything else is the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf
from train import BATCH, main, prepare


def make_dataset(data: Path) -> tf.data.Dataset:
    table = np.load(data / "trips.npz")
    dataset = tf.data.Dataset.from_tensor_slices((table["trips"], table["fares"]))
    dataset = dataset.batch(BATCH, drop_remainder=True)
    dataset = dataset.map(prepare)
    return dataset.prefetch(tf.data.AUTOTUNE)


if __name__ == "__main__":
    main(make_dataset)
