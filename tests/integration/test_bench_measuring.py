"""A pipeline alone, on real TensorFlow: planted costs are found, and the user's dataset is left as it was."""

from __future__ import annotations

import sys
import textwrap
import threading

import numpy as np
import pytest

from pipeprof.advise.isolation import Isolation, IsolationPlan
from pipeprof.advise.prefixes import MOST_SHUFFLED, arms_of, cut_prefixes, handing_over
from pipeprof.bench import BenchOrder, run_bench
from pipeprof.capture.datasets import DatasetRegistry
from pipeprof.diagnose import diagnose
from pipeprof.errors import UserError
from pipeprof.launch.target import Target
from pipeprof.model.diagnosis import InputBound, Work
from pipeprof.settings import Settings
from pipeprof.store import RunDirectory

tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.tf

PLANTED = """
    import time
    import tensorflow as tf

    CALLS = []

    def sleeping(x):
        time.sleep(0.004)
        return x

    def spinning(x):
        end = time.thread_time() + 0.003
        while time.thread_time() < end:
            pass
        return x

    def native(x):
        noise = tf.random.stateless_uniform([30_000], [1, 2]) + tf.cast(x, tf.float32)
        return tf.cast(tf.reduce_sum(tf.sort(noise)), tf.int64)

    def make(calls=()):
        CALLS.append(1)
        dataset = tf.data.Dataset.range(500)
        dataset = dataset.map(lambda x: tf.numpy_function(sleeping, [x], tf.int64))
        dataset = dataset.map(native)
        dataset = dataset.map(lambda x: tf.numpy_function(spinning, [x], tf.int64))
        return dataset.take(400)

    def locked():
        return tf.data.Dataset.range(500).map(lambda x: tf.numpy_function(spinning, [x], tf.int64), num_parallel_calls=2)

    def waiting():
        return tf.data.Dataset.range(500).map(lambda x: tf.numpy_function(sleeping, [x], tf.int64))

    def held_back():
        def block(x):
            return tf.fill([250_000], tf.numpy_function(sleeping, [x], tf.int64))
        dataset = tf.data.Dataset.range(50_000).map(block, num_parallel_calls=tf.data.AUTOTUNE)
        options = tf.data.Options()
        options.threading.private_threadpool_size = 12
        options.autotune.ram_budget = 16_000_000
        return dataset.with_options(options)

    def three():
        return tf.data.Dataset.range(3), "labels"

    def endless():
        return tf.data.Dataset.range(3).repeat().batch(2)

    def empty():
        return tf.data.Dataset.range(9).filter(lambda x: x > 10)

    def breaking():
        return tf.data.Dataset.range(100).map(lambda x: tf.debugging.check_numerics(1 / (50 - x), "bad value"))
"""


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """Return a function that benches one function of a little module and gives what came of it and the diagnosis."""
    (tmp_path / "pp_planted.py").write_text(textwrap.dedent(PLANTED))
    monkeypatch.setattr(sys, "path", [*sys.path])

    def run(name: str, **order):
        target = Target.parse(f"{tmp_path / 'pp_planted.py'}:{name}")
        done = run_bench(BenchOrder(target=target, **order), Settings(output_root=tmp_path / "runs"))
        return done, diagnose(RunDirectory(done.path).load())

    yield run
    sys.modules.pop("pp_planted", None)


def test_planted_costs_are_found_stage_by_stage_and_the_function_is_called_once(bench):
    done, diagnosis = bench("make", seconds=12.0)

    stages = [stage for stage in diagnosis.pipelines[0].stages if not stage.injected]
    works = [stage.isolated.work for stage in stages]
    waiting, native, python = (stage.isolated for stage in stages[1:4])
    assert [stage.op for stage in stages] == ["range", "map", "map", "map", "take"]
    assert works[1:4] == [Work.WAITING, Work.COMPUTING, Work.PYTHON]
    assert waiting.cpu_s < 0.5 * waiting.wall_s
    assert native.cpu_s > 0
    assert python.cpu_s > 0
    assert stages[3].cpu_source == "isolated prefixes"
    assert abs(stages[4].isolated.cpu_s) < python.cpu_s, "a take costs next to nothing"
    assert sys.modules["pp_planted"].CALLS == [1]
    assert (done.mistake, done.left_behind) == (None, False)


def test_a_pipeline_alone_is_not_called_input_bound(bench):
    _, diagnosis = bench("make", seconds=3.0)

    assert diagnosis.verdict.input_bound is InputBound.UNKNOWN
    assert diagnosis.verdict.sentence.startswith("The pipeline alone delivers")
    assert "pp_planted.py:" in diagnosis.verdict.sentence
    assert diagnosis.verdict.ceiling_speedup is None
    assert "PP101" not in [finding.code for finding in diagnosis.findings]
    assert not any("Training waits" in finding.message for finding in diagnosis.findings)
    assert "PP502" in [finding.code for finding in diagnosis.all_findings], "the same rules judge"


def test_a_stand_in_step_waits_as_far_as_the_pipeline_is_slower(bench):
    _, slow_step = bench("three", seconds=2.0, step_s=0.05)

    assert slow_step.verdict.sentence.startswith("A step of 50 ms would wait for its input")
    assert slow_step.steps.wait_share < 0.5


@pytest.mark.parametrize("name", ["three", "endless"])
def test_a_tiny_dataset_and_an_endless_one_are_measured(bench, name):
    done, diagnosis = bench(name, seconds=8.0)

    stages = [stage for stage in diagnosis.pipelines[0].stages if not stage.injected]
    assert all(stage.isolated is not None and stage.isolated.rounds >= 3 for stage in stages)
    assert done.mistake is None


@pytest.mark.parametrize(("name", "least", "most"), [("locked", 0.0, 1.5), ("waiting", 1.5, 9.9)])
def test_the_slowest_stage_is_measured_with_more_calls_at_once(bench, name, least, most):
    _, diagnosis = bench(name, seconds=9.0)

    (pipeline,) = diagnosis.pipelines
    assert pipeline.scaling_stage_id == "s1"
    assert [item.calls for item in pipeline.scaling][:2] == [1, 2]
    assert len(pipeline.scaling) >= 2
    assert least < pipeline.scaling[1].speedup < most  # Python under its lock gains nothing, waiting nearly twice


def test_autotunes_own_number_and_that_of_the_threads_are_among_those_that_are_tried(bench):
    _, diagnosis = bench("held_back", seconds=9.0)

    (pipeline,) = diagnosis.pipelines
    chosen = next(stage.parallelism for stage in pipeline.stages if stage.id == pipeline.scaling_stage_id)
    tried = [item.calls for item in pipeline.scaling]
    assert round(chosen) < 12, "its budget is full before all threads are in use"
    assert {round(chosen), 12} <= set(tried)


def test_an_empty_pipeline_leaves_no_run(bench, tmp_path):
    with pytest.raises(UserError, match="it is empty"):
        bench("empty", seconds=2.0)

    assert not list((tmp_path / "runs").iterdir())


def test_what_was_measured_before_a_pipeline_raised_is_kept(bench):
    done, diagnosis = bench("breaking", seconds=2.0)

    assert done.mistake.what == "the pipeline raised InvalidArgumentError after 50 elements: bad value : Tensor had Inf values"
    assert diagnosis.steps.count == 50
    assert diagnosis.run.exit_status == 2
    assert diagnosis.pipelines[0].stages[0].isolated is not None


# --- the user's own dataset ------------------------------------------------------------------------------------------


def _isolate(dataset, seconds: float = 0.5) -> dict:
    tree = DatasetRegistry().read_tree(dataset)
    arms = arms_of(dataset, tree.stages, tree.output, None)
    Isolation(arms, handing_over(), IsolationPlan(seconds=seconds, stop=threading.Event())).run()
    return {stage.op: arms[stage.id].result for stage in tree.stages if stage.id in arms}


def test_the_shuffle_order_of_the_users_dataset_stays_its_own():
    def make():
        tf.random.set_seed(3)
        return tf.data.Dataset.range(50).shuffle(50)

    expected = make()
    undisturbed = [list(expected.as_numpy_iterator()) for _ in range(2)]

    dataset = make()
    first = list(dataset.as_numpy_iterator())
    found = _isolate(dataset)

    assert found["shuffle"].blocks
    assert [first, list(dataset.as_numpy_iterator())] == undisturbed


def test_the_users_cache_is_neither_filled_nor_read():
    calls = []

    def count(value):
        calls.append(int(value))
        return value

    dataset = tf.data.Dataset.range(20).map(lambda x: tf.numpy_function(count, [x], tf.int64)).cache().repeat()
    found = _isolate(dataset)
    calls.clear()
    first = [int(item) for item in dataset.take(20).as_numpy_iterator()]

    assert found["cache"].blocks, found["cache"].note
    assert first == calls == list(range(20)), "the user's own first pass is still his to make"


def test_a_prefix_behind_a_full_cache_calls_nothing_above_it():
    calls = []

    def count(value):
        calls.append(1)
        return value

    dataset = tf.data.Dataset.range(20).map(lambda x: tf.numpy_function(count, [x], tf.int64)).cache().repeat().batch(4)
    tree = DatasetRegistry().read_tree(dataset)
    prefix = cut_prefixes(dataset, tree.stages, tree.output, None)[tree.output]

    prefix.fill(10.0, threading.Event(), lambda: None)
    filled = len(calls)
    iterator = iter(prefix.load(7))
    for _ in range(5):
        next(iterator)

    assert (filled, len(calls)) == (20, 20)


def test_prefixes_keep_the_options_and_hold_small_shuffle_buffers():
    options = tf.data.Options()
    options.threading.private_threadpool_size = 3
    dataset = tf.data.Dataset.range(10).shuffle(100_000).map(lambda x: x + 1).with_options(options)
    tree = DatasetRegistry().read_tree(dataset)

    prefixes = cut_prefixes(dataset, tree.stages, tree.output, None)
    shuffle = next(prefixes[stage.id] for stage in tree.stages if stage.op == "shuffle")

    assert shuffle.load(1).options().threading.private_threadpool_size == 3
    sizes = [
        int(tf.make_ndarray(node.attr["value"].tensor))
        for node in shuffle.replayable.graph.node
        if node.op == "Const" and node.attr["value"].tensor.dtype == tf.int64.as_datatype_enum
    ]
    assert MOST_SHUFFLED in sizes


@pytest.mark.parametrize(
    "make",
    [
        lambda: tf.data.Dataset.zip(
            (tf.data.Dataset.range(9), tf.data.Dataset.from_tensor_slices({"x": np.zeros((9, 4))}))
        ).batch(2),
        lambda: tf.data.Dataset.from_generator(lambda: iter(range(9)), output_signature=tf.TensorSpec((), tf.int64)).batch(2),
        lambda: tf.data.Dataset.range(9).map(lambda x: tf.ragged.range(x % 3)).ragged_batch(3),
        lambda: tf.data.Dataset.range(9).map(lambda x: tf.sparse.from_dense([x, 0])),
        lambda: tf.data.Dataset.range(9).window(3).flat_map(lambda window: window.batch(3)),
    ],
    ids=["zip", "generator", "ragged", "sparse", "nested"],
)
def test_elements_of_every_kind_can_be_counted(make):
    dataset = make()
    found = _isolate(dataset)

    last = list(found.values())[-1]
    assert last.blocks, last.note
