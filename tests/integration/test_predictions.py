"""From a real capture to predictions, a bound and an outlook; no clock is judged, only what must hold whatever it shows."""

import math

import pytest

import pipeprof
from pipeprof.analysis import analyse
from pipeprof.analysis.bound import find_bound
from pipeprof.analysis.outlook import look_ahead
from pipeprof.analysis.prediction import predict
from pipeprof.cli.main import main
from pipeprof.model.diagnosis import BoundLimit
from pipeprof.model.profile import Change

pytestmark = pytest.mark.tf

tf = pytest.importorskip("tensorflow")


@pytest.fixture(scope="module")
def profiling(tmp_path_factory):
    """Four epochs of a map with a random draw, which runs one call at a time, a shuffle and a batch."""
    with pipeprof.profile(output=tmp_path_factory.mktemp("runs")) as prof:
        dataset = tf.data.Dataset.range(512)
        dataset = dataset.map(lambda value: tf.reduce_sum(tf.random.uniform([20_000])) + tf.cast(value, tf.float32))
        dataset = dataset.shuffle(128).batch(8).prefetch(2)
        for _ in range(4):
            for _ in dataset:
                pass
    return prof


def of_op(analysis, op):
    return next(view.id for view in analysis.train.stages if view.stage.op == op)


@pytest.mark.parametrize(
    "change",
    [
        Change(kind="parallel_calls", params={"num_parallel_calls": -1}),
        Change(kind="cache"),
        Change(kind="vectorize"),
        Change(kind="thread_pool", params={"private_threadpool_size": 4}),
    ],
    ids=lambda change: change.kind,
)
def test_every_kind_of_change_is_predicted_with_an_ordered_interval(profiling, change):
    analysis = analyse(profiling.profile)

    found = predict(analysis, analysis.train, of_op(analysis, "map"), change)

    assert found is not None
    assert 0 < found.low <= found.speedup <= found.high < math.inf


def test_the_bound_shares_out_no_more_than_the_cores_that_there_are(profiling):
    analysis = analyse(profiling.profile)

    found = find_bound(analysis, analysis.train)

    assert found is not None
    assert sum(item.cores for item in found.stages) <= found.cores * (1 + 1e-6)
    assert found == profiling.diagnosis.pipelines[0].bound


def test_a_map_that_runs_one_call_at_a_time_is_the_wall_of_the_outlook(profiling):
    found = look_ahead(analyse(profiling.profile), cores=64, step_s=1e-6)

    assert found.wall_stage is not None
    assert found.wall_stage.op == "map"
    assert found.input_bound.limited_by is BoundLimit.STAGE
    assert found.cores_needed is None


def test_the_command_answers_from_the_run_on_disk(profiling, capsys):
    assert main(["predict", str(profiling.path), "--cores", "8", "--step-ms", "1"]) == 0

    shown = capsys.readouterr().out
    assert "test_predictions.py" in shown
    assert ".map" in shown
