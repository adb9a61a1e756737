"""A map that gives up its parallel calls, in every way that people write them."""

from __future__ import annotations

import pytest

TF = "import tensorflow as tf\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("ds = ds.map(f)§.batch(8)\n", "ds = ds.map(f, synchronous=True).batch(8)\n"),
        ("ds = ds.map(f, 4)§\n", "ds = ds.map(f, synchronous=True)\n"),
        ("ds = ds.map(f, (4), name='m')§\n", "ds = ds.map(f, synchronous=True, name='m')\n"),
        ("ds = ds.map(f, num_parallel_calls=tf.data.AUTOTUNE)§\n", "ds = ds.map(f, synchronous=True)\n"),
        ("ds = ds.map(num_parallel_calls=None, map_func=f)§\n", "ds = ds.map(synchronous=True, map_func=f)\n"),
        (
            "ds = (\n    src\n    .map(\n        lambda x: x,\n        num_parallel_calls=CALLS,  # many\n    )§\n)\n",
            "ds = (\n    src\n    .map(\n        lambda x: x,\n        synchronous=True,  # many\n    )\n)\n",
        ),
        (
            "ds = src.map(\n    lambda x: x,\n    name='m',\n)§\n",
            "ds = src.map(\n    lambda x: x,\n    name='m',\n    synchronous=True,\n)\n",
        ),
    ],
)
def test_the_one_argument_takes_the_place_of_the_other(workplace, before, after):
    workplace.check(TF + before, TF + after, "synchronous")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ds = ds.map(f, synchronous=True)§\n", ".map(...) already has synchronous=True"),
        ("ds = ds.map(f, synchronous=flag)§\n", ".map(...) already has synchronous=flag"),
        ("ds = ds.map(f, 4, False)§\n", ".map(...) says whether its elements keep their order, as only a parallel map can"),
        (
            "ds = ds.map(f, deterministic=False, num_parallel_calls=4)§\n",
            ".map(...) says whether its elements keep their order, as only a parallel map can",
        ),
        ("ds = ds.map(f, os.cpu_count())§\n", "num_parallel_calls of .map(...) is worked out where it stands"),
        ("ds = ds.map(f, (n := 4))§\n", "num_parallel_calls of .map(...) is worked out where it stands"),
        ("ds = ds.map(f, **more)§\n", ".map(...) takes **more, so its num_parallel_calls cannot be seen"),
        ("ds = ds.interleave(f, 4)§\n", ".interleave(...) is not a .map(...) of a dataset"),
        ("ds = tf.data.Dataset.map(ds, f)§\n", ".map(...) is not a .map(...) of a dataset"),
    ],
)
def test_what_says_more_of_its_calls_is_refused(workplace, text, reason):
    patch = workplace.plan(TF + text, "synchronous")

    assert patch.diff is None
    assert patch.reason == f"train.py:2: {reason}."
