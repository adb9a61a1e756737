"""PP003: limits of the container."""

from __future__ import annotations

from typing import Any

import pytest

from pipeprof.advise.recommend import recommend
from pipeprof.model.analysis import Analysis
from pipeprof.model.diagnosis import Finding, Severity
from pipeprof.model.profile import Autotune
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp003_throttled_container import ThrottledContainer, ThrottledParameters
from tests.support.builders import Scene, number, stage
from tests.support.changed import changed

LIMITED = Scene(
    stages=(stage("map", 0.03, line=9, code="ds.map(decode)", slots=8), stage("batch"), stage("prefetch", segment=0)),
    cores=8,
    cpu_quota=2.0,
    memory_limit_bytes=4_000_000_000,
)


def limited(scene: Scene = LIMITED, stopped_s: float = 12.0, ram: float = 1e9, enabled: bool = True, **record: Any) -> Analysis:
    autotune = Autotune(enabled=enabled, cpu_budget=8, ram_budget_bytes=ram)
    return changed(scene.analysis(), host={"throttled_s": stopped_s}, record={"autotune": autotune, **record})


def check(analysis: Analysis, **params: float) -> list[Finding]:
    return list(ThrottledContainer().check(analysis, ThrottledParameters(**params)))


def test_it_fires_on_threads_that_the_quota_stopped_and_leads_to_as_many_threads_as_the_quota_has_cores() -> None:
    (finding,) = check(limited())

    assert (finding.code, finding.severity, finding.stage_id) == ("PP003", Severity.MEDIUM, "s0")
    assert finding.message == (
        "The container's quota of 2.0 cores stopped threads for 12 s in all, in 24 s; its functions run on 8 threads: give it "
        "2, private_threadpool_size = 2."
    )
    (made,) = recommend(limited(), [finding])
    assert (made.change.kind, made.change.params) == ("thread_pool", {"private_threadpool_size": 2})


def test_the_cured_twin_that_is_not_stopped_is_silent() -> None:
    assert check(limited(stopped_s=0.0, threadpool_size=2)) == []


def test_a_pipeline_with_no_more_threads_than_the_quota_is_not_given_what_it_has() -> None:
    (finding,) = check(limited(threadpool_size=2))

    assert finding.message.endswith("its functions run on no more threads than that: less work at once, or a larger quota.")
    assert recommend(limited(), [finding]) == ()


@pytest.mark.parametrize(("stopped_s", "fires"), [(2.41, True), (2.39, False)])
def test_it_speaks_just_over_the_threshold_and_not_just_under(stopped_s: float, fires: bool) -> None:
    assert bool(check(limited(stopped_s=stopped_s))) is fires  # 0.05 of 24 s and of 2 cores


def test_a_quota_of_all_cores_stops_nobody() -> None:
    assert check(limited(LIMITED.but(cpu_quota=8.0))) == []


def test_a_budget_just_over_the_memory_limit_is_told_and_one_just_under_is_not() -> None:
    (finding,) = check(limited(stopped_s=0.0, ram=4.1e9))

    assert (finding.severity, finding.stage_id) == (Severity.LOW, "s2")
    assert finding.message == (
        "AUTOTUNE may fill 4.1 GB with buffers, but the container has 4.0 GB: TensorFlow reads the machine's memory, not the "
        "limit. Bound it: options.autotune.ram_budget."
    )
    assert number(finding, "ram_budget_bytes") == 4.1e9
    (made,) = recommend(limited(), [finding])
    assert made.change.kind == "limit_memory"
    assert check(limited(stopped_s=0.0, ram=3.9e9)) == []


def test_a_budget_of_autotune_that_is_off_is_none() -> None:
    assert check(limited(stopped_s=0.0, ram=4.1e9, enabled=False)) == []


def test_it_does_not_apply_without_a_limit() -> None:
    outcomes = judge(limited(LIMITED.but(cpu_quota=None, memory_limit_bytes=None)), select=["PP003"]).outcomes

    (outcome,) = [item for item in outcomes if item.code == "PP003"]
    assert (outcome.outcome, outcome.reason) == (
        NOT_APPLICABLE,
        "the process has no CPU quota and no memory limit of its own",
    )
