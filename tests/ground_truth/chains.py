"""Small parts of chains that are dear in no case: sources, cheap stages, options.

Nothing here is ever planted: what is, stands in its case, on a line of its own.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tests.ground_truth.draws import Draw

AUTO = tf.data.AUTOTUNE


def numbers(count: int) -> Any:
    return tf.data.Dataset.range(count)


def trim(draw: Draw, dataset: Any) -> Any:
    """Put a cheap stage or two onto a chain of scalars, or none."""
    for _ in range(draw.count("cheap stages", 0, 2)):
        kind = draw.choice("cheap stage", ["map", "shuffle", "prefetch", "take"])
        if kind == "map":
            dataset = dataset.map(lambda value: value + 1)
        elif kind == "shuffle":
            dataset = dataset.shuffle(draw.count("shuffle", 4, 16), seed=1)
        elif kind == "prefetch":
            dataset = dataset.prefetch(draw.count("prefetch", 1, 4))
        else:
            dataset = dataset.take(10**9)
    return dataset


def batched(draw: Draw, dataset: Any, batch: int) -> Any:
    """Batch, and prefetch or not."""
    dataset = dataset.batch(batch, drop_remainder=draw.choice("drop_remainder", [True, False]))
    return dataset.prefetch(draw.choice("buffer", [1, 2, AUTO])) if draw.choice("own prefetch", [True, False]) else dataset


def labelled(dataset: Any) -> Any:
    return dataset.map(lambda value: (value, tf.zeros_like(value, tf.float32)))
