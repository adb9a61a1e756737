"""A real CPU quota: the control group stops the threads of a program, and pipeprof says so. Only root can set one.

Where no quota can be set the test is skipped, and PP003 has recorded evidence alone (`tests/unit`).
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("tensorflow")

from pipeprof.report.machine import from_json

pytestmark = [pytest.mark.tf, pytest.mark.slow]

GROUPS = Path("/sys/fs/cgroup")
QUOTA_CORES = 0.5  # below the share of the machine that a process gets beside the rest of the suite: the quota is the limit
PERIOD_US = 100_000
QUOTA_US = int(QUOTA_CORES * PERIOD_US)
SCRIPT = """
    import time
    import tensorflow as tf

    def sort(x):
        noise = tf.random.stateless_uniform([60_000], [1, 2]) + tf.cast(x, tf.float32)
        return tf.reduce_sum(tf.sort(noise))

    ended = time.monotonic() + 4
    for batch in tf.data.Dataset.range(100_000).map(sort, num_parallel_calls=4).batch(4).prefetch(1):
        if time.monotonic() > ended:
            break
"""


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group of its own with a quota below one core; it is taken down when its processes have ended."""
    for made in (GROUPS / "cpu", GROUPS):
        group = made / f"test-{uuid.uuid4().hex}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            if (group / "cpu.max").exists():
                (group / "cpu.max").write_text(f"{QUOTA_US} {PERIOD_US}")
            else:
                (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
                (group / "cpu.cfs_quota_us").write_text(str(QUOTA_US))
            yield group
        except OSError:
            continue
        else:
            return
        finally:
            group.rmdir()
    pytest.skip("no CPU quota can be set here")


def findings_of(tmp_path: Path, group: Path | None = None) -> dict[str, dict[str, float]]:
    """Run the script under pipeprof, in a control group where one is given; return the evidence of each finding by its code."""

    def enter() -> None:
        if group is not None:
            (group / "cgroup.procs").write_text(str(os.getpid()))

    script = tmp_path / "train.py"
    script.write_text(textwrap.dedent(SCRIPT))
    said = tmp_path / "diagnosis.json"
    command = [sys.executable, "-m", "pipeprof", "run", "--no-trials", "--no-html", "--json", str(said), str(script)]
    subprocess.run(command, cwd=tmp_path, capture_output=True, check=True, timeout=240, preexec_fn=enter)
    found = from_json(said.read_bytes()).all_findings
    return {item.code: {one.name: one.value for one in item.evidence} for item in found}


@pytest.mark.skipif((os.cpu_count() or 1) <= QUOTA_CORES, reason="a quota of all cores stops nothing")
def test_a_quota_that_stops_threads_is_told_and_none_is_not(group: Path, tmp_path: Path) -> None:
    stopped = findings_of(tmp_path, group)
    free = findings_of(tmp_path)

    assert stopped["PP003"]["cpu_quota"] == QUOTA_CORES
    assert stopped["PP003"]["throttled_s"] > 0
    assert stopped["PP003"]["wanted_threads"] == 1  # the least that a pool can have
    assert "PP003" not in free
