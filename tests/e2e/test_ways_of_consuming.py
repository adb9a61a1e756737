"""Each way of consuming a pipeline: the wait is the program's own, and the time is on the line that costs it."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipeprof.model.diagnosis import Diagnosis, InputBound
from pipeprof.report.machine import from_json

pytestmark = [pytest.mark.tf, pytest.mark.slow]

SCRIPT = Path(__file__).parent / "scripts" / "ways.py"
STEPS = 300  # of each way
MAP_LINE = next(
    number for number, line in enumerate(SCRIPT.read_text().splitlines(), start=1) if "tf.numpy_function(nap" in line
)


def observe(way: str, folder: Path) -> tuple[Diagnosis, float]:
    """Run one way under pipeprof and return what it concludes, and the share of waiting that the script itself measured."""
    command = [sys.executable, "-m", "pipeprof", "run", "--no-trials", "--no-html", "--quiet", "--output", folder]
    done = subprocess.run(
        [*command, "--json", folder / "diagnosis.json", SCRIPT, way], capture_output=True, text=True, timeout=200, check=True
    )
    return from_json((folder / "diagnosis.json").read_bytes()), json.loads(done.stdout)["wait_share"]


@pytest.mark.parametrize(
    ("way", "source"),
    [
        ("for_loop", "tf.data model"),
        ("next_calls", "tf.data model"),
        ("as_numpy_iterator", "tf.data model"),
        ("optionals", "tf.data model"),
        ("two_pipelines", "tf.data model"),
        ("iterator_in_a_function", "tf.data model"),
        ("loop_in_a_function", "trace window"),
        ("loop_over_a_closure", "trace window"),
        ("reduction", "trace window"),
        ("distributed_dataset", "trace window"),
        ("datasets_from_function", "trace window"),
        ("autotune_off", "trace window"),
    ],
)
def test_the_wait_is_the_programs_own_and_the_bottleneck_is_the_line_that_naps(way: str, source: str, tmp_path: Path) -> None:
    diagnosis, truth = observe(way, tmp_path)

    train = next(pipeline for pipeline in diagnosis.pipelines if pipeline.role == "train")
    bottleneck = next(stage for stage in train.stages if stage.is_bottleneck)
    assert diagnosis.verdict.input_bound is InputBound.HIGHLY
    assert diagnosis.steps.wait_share == pytest.approx(truth, abs=0.15)
    assert (bottleneck.op, bottleneck.call_site.line) == ("map", MAP_LINE)
    assert source in train.counters


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_keras_fit_is_observed_on_each_backend(backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    monkeypatch.setenv("KERAS_BACKEND", backend)

    diagnosis, truth = observe("keras_fit", tmp_path)

    train = next(pipeline for pipeline in diagnosis.pipelines if pipeline.role == "train")
    bottleneck = next(stage for stage in train.stages if stage.is_bottleneck)
    assert diagnosis.run.versions.keras_backend == backend
    assert (diagnosis.steps.count, diagnosis.steps.epochs) == (STEPS, 1)
    assert diagnosis.verdict.input_bound in {InputBound.HIGHLY, InputBound.MODERATELY}  # a step of torch takes longer
    assert diagnosis.steps.wait_share <= truth + 0.1  # Keras' own step, which the script cannot see, is in its number
    assert (bottleneck.op, bottleneck.call_site.line) == ("map", MAP_LINE)


def test_a_pipeline_that_a_thread_of_its_own_reads_gets_no_ceiling(tmp_path: Path) -> None:
    diagnosis, _truth = observe("background_thread", tmp_path)

    assert diagnosis.verdict.input_bound is InputBound.HIGHLY
    assert "thread" in diagnosis.verdict.sentence
    assert diagnosis.verdict.ceiling_speedup is None
