"""The Analysis as a whole, from planted profiles."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeprof.analysis import analyse
from pipeprof.model.diagnosis import Limit
from pipeprof.model.profile import Host, HostBin, HostSeries, Profile, PythonCalls, RunInfo, Versions
from tests.support.trees import chain, record, steady_loop


def profile(*, python_cpu_s: float, held: int) -> Profile:
    """A healthy loop of 100 s in which the lock was held at so many of 100 moments."""
    loop = replace(steady_loop(steps=1000, wait_s=0.001, gap_s=0.099), start_s=0.0, end_s=100.0, wall_s=100.0)
    (source,) = chain("range")
    calls = PythonCalls(calls=100, wall_s=python_cpu_s, cpu_s=python_cpu_s)
    host_bin = HostBin(
        start_s=0.0, end_s=100.0, cpu_share=0.5, system_cpu_share=None, rss_max_bytes=1, read_bytes=0,
        lock_checks=100, lock_held=held,
    )  # fmt: skip
    versions = Versions(pipeprof="0", python="3.11")
    return Profile(
        run=RunInfo(id="r", command=("train.py",), started_at="", versions=versions, host=Host(cores=4)),
        pipelines=(record((replace(source, python=calls),), (), loop=loop),),
        host=HostSeries(bins=(host_bin,)),
    )


@pytest.mark.parametrize(("python_cpu_s", "limit"), [(0.0, Limit.HOST), (30.0, Limit.COMPUTE)])
def test_the_pipelines_own_python_is_no_python_of_the_loop(python_cpu_s: float, limit: Limit) -> None:
    assert analyse(profile(python_cpu_s=python_cpu_s, held=90)).verdict.limit is limit
