"""Trials of real tf.data pipelines, kept short: sleeping maps stand for latency, so that the truth is known."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from pipeprof.advise import guard
from pipeprof.advise.replay import Drive, WarmUp, measure_alone
from pipeprof.advise.trial import TrialPlan, measure_control, run_trial
from pipeprof.analysis.significance import Interval
from pipeprof.model.profile import TrialState

tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.tf

STOP = threading.Event()
PLAN = TrialPlan(
    gaps=(0.004,),
    cores=2,
    budget_s=60.0,  # room for a busy machine; trials end early
    longest_block_s=0.4,
    warm_up=WarmUp(elements=6, seconds=0.1, cap_s=1.0),
)
QUIET = replace(PLAN, noise=Interval(1.0, 0.99, 1.01))  # no A/A: what is tested fails before it matters


def _nap(value: object) -> object:
    time.sleep(0.005)
    return value


def _napping(calls: int | None = None, pool: int | None = None, length: int = 10**9) -> Callable[[], object]:
    """A map that sleeps 5 ms an element, four elements a batch: 20 ms a step when its calls run one at a time."""

    def make() -> object:
        dataset = tf.data.Dataset.range(length)
        dataset = dataset.map(lambda value: tf.numpy_function(_nap, [value], tf.int64), num_parallel_calls=calls).batch(4)
        if pool is not None:
            options = tf.data.Options()
            options.threading.private_threadpool_size = pool
            dataset = dataset.with_options(options)
        return dataset.prefetch(2)

    return make


def test_parallel_calls_with_a_bigger_pool_are_confirmed():
    outcome = run_trial(_napping(), _napping(calls=8, pool=16), PLAN, STOP)

    assert outcome.state is TrialState.CONFIRMED
    assert outcome.high > 2.5  # 20 ms of naps a step become less than the consumer's 4 ms: 20 / 4 and what the loop costs
    assert outcome.candidate_wait_share < outcome.baseline_wait_share


def test_identical_arms_are_not_confirmed():
    outcome = run_trial(_napping(), _napping(), replace(PLAN, budget_s=20.0), STOP)

    assert outcome.state is TrialState.NO_DIFFERENCE
    assert outcome.low < 1.05


def test_a_finite_dataset_is_driven_over_its_epochs():
    outcome = run_trial(_napping(length=160), _napping(calls=8, pool=16, length=160), PLAN, STOP)

    assert outcome.pairs >= 3
    assert outcome.speedup > 1.5


def test_a_cache_is_compared_after_its_first_pass():
    def cached() -> object:
        return _napping(length=64)().cache()

    outcome = run_trial(_napping(length=64), cached, replace(PLAN, fills_cache=True, count_boundaries=False), STOP)

    assert outcome.state is TrialState.CONFIRMED
    assert outcome.candidate_wait_share < outcome.baseline_wait_share
    assert outcome.fill_s is not None


def test_a_candidate_whose_function_raises_is_worse_with_the_reason():
    def broken() -> object:
        return tf.data.Dataset.range(100).map(
            lambda value: tf.debugging.check_numerics(1.0 / tf.cast(value - 50, tf.float32), "x")
        )

    outcome = run_trial(_napping(), broken, QUIET, STOP)

    assert outcome.state is TrialState.WORSE
    assert outcome.reason.startswith("the changed pipeline raises InvalidArgumentError")


def test_a_candidate_that_never_yields_is_given_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(guard, "_GRACE_S", 0.1)
    release = threading.Event()

    def stuck(value: object) -> object:
        release.wait()
        return value

    def candidate() -> object:
        return tf.data.Dataset.range(4).map(lambda value: tf.numpy_function(stuck, [value], tf.int64))

    outcome = run_trial(_napping(), candidate, replace(QUIET, stall_s=10.0), STOP)
    release.set()

    assert outcome.state is TrialState.WORSE
    assert outcome.reason.startswith("hung: the changed pipeline")
    assert outcome.left_behind


def test_an_empty_dataset_leaves_the_change_not_tried():
    outcome = run_trial(lambda: tf.data.Dataset.range(0), _napping(), PLAN, STOP)

    assert (outcome.state, outcome.reason) == (TrialState.NOT_TRIED, "the pipeline as it is yields no element")


def test_an_endless_cache_of_unknown_length_is_not_tried():
    plan = replace(PLAN, fills_cache=True)

    outcome = run_trial(lambda: _napping(length=64)().repeat(), lambda: _napping(length=64)().cache().repeat(), plan, STOP)

    assert outcome.state is TrialState.NOT_TRIED
    assert "length is not known" in outcome.reason


def test_the_control_shows_what_an_ideal_input_would_give():
    loaded = _napping()()

    control = measure_control(lambda: loaded, lambda: loaded.take(1).cache().repeat(), QUIET, "p0", STOP)

    assert control.baseline_wait_share > control.ready_wait_share
    assert control.recoverable_low > 0.2  # 16 of 20 ms in truth
    assert control.ceiling_high > 2.5


def test_the_pipeline_alone_is_timed_without_a_consumer():
    block = measure_alone(Drive(_napping()), WarmUp(elements=6, seconds=0.1), STOP, seconds=0.3)

    assert block.step_s >= 0.02  # four naps, one after the other
    assert 0 < block.cpu_s / block.steps < block.step_s * 2
