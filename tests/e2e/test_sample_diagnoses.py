"""A short smoke of the samples' benchmark: one with a real problem, one without (all of them: `make benchmark-samples`)."""

import subprocess
import sys
import tomllib

import pytest

from benchmarks.samples import SAMPLES, Row, check_slow, observe

pytestmark = [pytest.mark.tf, pytest.mark.slow]

pytest.importorskip("tensorflow")


@pytest.fixture(scope="module", autouse=True)
def _data():
    subprocess.run([sys.executable, SAMPLES / "make_data.py"], check=True, capture_output=True, timeout=240)


@pytest.mark.parametrize("name", ["healthy", "cacheable_decode"])
def test_a_sample_is_diagnosed_as_expected(name):
    expected = tomllib.loads((SAMPLES / name / "expected.toml").read_text())

    row = Row(name, "train.py", observe(SAMPLES / name / "train.py", budget=20))
    check_slow(row, expected)

    assert row.failures == [], row.cells()  # whether a gain is confirmed is the benchmark's: it is a matter of time
