"""What AUTOTUNE really holds, read from TensorFlow's own model, against the bounds that are told before it is asked."""

from __future__ import annotations

import inspect
import time

import pytest

import pipeprof
from pipeprof.analysis import analyse
from pipeprof.analysis.memory_bounds import most_bytes
from pipeprof.analysis.place import Place
from pipeprof.capture.model_tree import TreeReader
from pipeprof.model.profile import Change

tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.tf

NUMBERS = 1000  # of an element, 4 bytes each
STEPS = 300
PAUSE = 25  # steps between two pauses of the consumer, in which buffers fill
THREADS = 5
BUDGET = 100_000
LEAVES_REST = tuple(map(int, tf.__version__.split(".")[:2])) >= (2, 21)  # 2.17 states all of the budget: too much is told
AUTO = {"num_parallel_calls": tf.data.AUTOTUNE}


def draw(x):
    """Draw, so that TensorFlow runs one call at a time where it is not told otherwise."""
    return tf.random.uniform([NUMBERS]) + tf.cast(x, tf.float32)


def numbers():
    return tf.data.Dataset.range(1_000_000)


def few():
    return tf.data.Dataset.range(40)


def with_options(dataset, budget=0):
    options = tf.data.Options()
    options.threading.private_threadpool_size = THREADS
    if budget:
        options.autotune.ram_budget = budget
    return dataset.with_options(options)


def held(dataset):
    """Return the most bytes and calls of each kind of node that the capture's reader of the model saw."""
    reader, iterator, most = TreeReader(), iter(dataset), {}
    for step in range(STEPS):
        next(iterator)
        if step % PAUSE == 0:
            time.sleep(0.05)
        for sample in reader.read(tf.data.experimental.get_model_proto(iterator)).samples:
            size, calls = most.get(sample.node, (0, 0.0))
            most[sample.node] = max(size, sample.buffered_bytes), max(calls, sample.parallelism or 0.0)
    return most


def bound(folder, dataset, op, kind, params):
    """Return what is told of a change of a pipeline from a run of it as it is."""
    with pipeprof.profile(output=folder) as prof:
        for _ in dataset.take(STEPS):
            pass
    analysis = analyse(prof.profile)
    view = analysis.train
    stage = next(item for item in reversed(view.stages) if item.stage.op == op and item.written is not None)
    found = most_bytes(Place(analysis=analysis, view=view, stage=stage, change=Change(kind=kind, params=params)))
    assert found is not None
    return found


def inner(**calls):
    return lambda x: few().map(lambda y: draw(x + y), **calls)


def inner_batch(**calls):
    return lambda x: few().map(lambda y: draw(x + y), **calls).batch(4)


CALLS = {
    "a map": ("map", "parallel_calls", lambda: numbers().map(draw), lambda: numbers().map(draw, **AUTO), "ParallelMapV2"),
    "a map and its batch": (
        "map",
        "parallel_calls",
        lambda: numbers().map(draw).batch(4),
        lambda: numbers().map(draw, **AUTO).batch(4),
        "MapAndBatch",
    ),
    "a map inside": (
        "flat_map",
        "parallel_inside",
        lambda: numbers().flat_map(inner()),
        lambda: numbers().flat_map(inner(**AUTO)),
        "ParallelMapV2",
    ),
    "a map and its batch inside": (
        "flat_map",
        "parallel_inside",
        lambda: numbers().flat_map(inner_batch()),
        lambda: numbers().flat_map(inner_batch(**AUTO)),
        "MapAndBatch",
    ),
    "an interleave": (
        "interleave",
        "parallel_calls",
        lambda: numbers().interleave(inner(), cycle_length=4),
        lambda: numbers().interleave(inner(), cycle_length=4, **AUTO),
        "ParallelInterleaveV4",
    ),
    "a flat_map": (
        "flat_map",
        "interleave",
        lambda: numbers().flat_map(inner()),
        lambda: numbers().interleave(inner(), **AUTO),
        "ParallelInterleaveV4",
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_calls_that_autotune_chooses_stay_within_the_threads_and_hold_no_more_than_is_told(name, tmp_path):
    op, kind, as_it_is, changed, node = CALLS[name]
    params = {} if kind == "interleave" else {"num_parallel_calls": -1}

    told = bound(tmp_path, with_options(as_it_is()), op, kind, params)
    size, calls = held(with_options(changed()))[node]

    assert 1 <= calls <= THREADS
    assert NUMBERS * 4 <= size <= told


def test_a_map_with_its_batch_holds_more_than_an_element_for_each_thread():
    size, _ = held(with_options(numbers().map(draw, **AUTO).batch(4)))["MapAndBatch"]

    assert size > 2 * THREADS * NUMBERS * 4  # which is why batches are counted


@pytest.mark.parametrize("budget", [BUDGET, 10])
def test_buffers_stay_within_the_budget_or_hold_one_element(budget, tmp_path):
    slow = with_options(numbers().map(draw), budget)

    told = bound(tmp_path, slow, "map", "prefetch", {})
    size, _ = held(slow.prefetch(tf.data.AUTOTUNE))["Prefetch"]

    assert NUMBERS * 4 <= size <= told
    if LEAVES_REST:
        assert told <= budget + NUMBERS * 4


def test_a_budget_bounds_all_buffers_together(tmp_path):
    if "synchronous" not in inspect.signature(tf.data.Dataset.map).parameters:
        pytest.skip("TensorFlow has synchronous maps from 2.18 on")
    mapped = numbers().map(draw, **AUTO).map(draw, synchronous=True).prefetch(tf.data.AUTOTUNE)

    told = bound(tmp_path, with_options(mapped), "prefetch", "limit_memory", {"ram_budget": BUDGET})
    buffers = held(with_options(mapped, BUDGET))

    assert told == BUDGET
    assert sum(size for size, _ in buffers.values()) <= told + 2 * NUMBERS * 4  # two are being handed on


def test_a_pipeline_without_autotune_tells_the_budget_that_it_would_have(tmp_path):
    dataset = with_options(numbers().map(draw), BUDGET)
    options = tf.data.Options()
    options.autotune.enabled = False

    assert bound(tmp_path, dataset.with_options(options), "map", "enable_autotune", {}) == BUDGET
