"""PP804: all cores are busy with the input, and nothing is left to share out."""

from __future__ import annotations

from dataclasses import replace

from pipeprof.advise.recommend import recommend
from pipeprof.model.diagnosis import Finding, Severity
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp804_host_saturated import HostSaturated, HostSaturatedParameters
from tests.support.builders import Scene, function, random_function, stage


def scene(cpu_s: float = 0.152, busy_s: float = 0.156, **numbers: object) -> Scene:
    """Make a map whose calls fill four cores, for a step of its own of 10 ms."""
    work = stage(
        "map", busy_s, slots=4, tuned=True, line=14, code="ds.map(work)", function=random_function(), node="ParallelMapV2"
    )
    bins = ((200, 6.0, 2.0), (200, 6.0, 2.0), (200, 6.0, 2.0))
    given = Scene(stages=(stage("range", segment=2), work), cpu_s_per_step=cpu_s, bins=bins)
    return given.but(**numbers)


def check(given: Scene) -> list[Finding]:
    return list(HostSaturated().check(given.analysis(), HostSaturatedParameters()))


def test_a_pipeline_that_fills_the_cores_as_well_as_can_be_fires_at_the_largest_part() -> None:
    (finding,) = check(scene())

    assert (finding.code, finding.stage_id, finding.severity) == ("PP804", "s1", Severity.HIGH)
    assert finding.message == (
        "3.8 of 4 cores are in use, most of them by train.py:14 .map(work), and no other split of them gives much "
        "more than the 25 steps/s of this run. Training waits 75 % (71–79 %) of each step. Do less for each "
        "element, or run the input elsewhere: 4 tf.data service workers with 4 cores would keep up."
    )


def test_a_loop_that_only_reads_has_no_rate_to_keep_up_with() -> None:
    only_reads = scene(gap_s=0.0004, bins=((200, 8.0, 7.9), (200, 8.0, 7.9), (200, 8.0, 7.9)))

    (finding,) = check(only_reads)

    assert finding.message.endswith(
        "The loop does next to nothing but read, so no rate would be enough: do less for each element, or run the input "
        "elsewhere, where each tf.data service worker with 4 cores adds about as much again."
    )
    assert {item.name: item.value for item in finding.evidence}["workers_needed"] is None


def test_it_leads_to_other_machines_by_hand() -> None:
    given = scene()

    (made,) = recommend(given.analysis(), check(given))

    assert (made.change.kind, made.title) == ("data_service", "Run the input on tf.data service workers")
    assert made.trial.reason == "it needs other machines: pipeprof does not start any"


def test_the_cured_twin_with_less_work_is_silent() -> None:
    assert check(scene(cpu_s=0.05, busy_s=0.04, gap_s=0.039)) == []


def test_it_fires_just_over_its_share_of_the_cores() -> None:
    assert len(check(scene(cpu_s=0.1361))) == 1  # 3.4 of 4 cores


def test_just_under_its_share_of_the_cores_it_is_silent() -> None:
    assert check(scene(cpu_s=0.1359)) == []


def test_a_pipeline_far_below_what_the_cores_allow_is_silent() -> None:
    assert check(scene(busy_s=0.1)) == []


def test_work_that_a_cache_would_spare_is_left_to_the_cache() -> None:
    kept = stage("map", 0.156, slots=4, tuned=True, node="ParallelMapV2", element_bytes=100, cardinality=1000)

    assert check(scene().but(stages=(stage("range", segment=2), kept))) == []


def test_while_a_filter_throws_the_work_away_that_comes_first() -> None:
    given = scene()
    dear = replace(given.stages[1], visits=4.0, function=function("DecodeJpeg", passes=(0, -1, -1), reads=(0, 1)))
    late = stage("filter", line=15, code="ds.filter(big)", function=function("Greater", reads=(0,)))
    wasteful = given.but(stages=(replace(given.stages[0], visits=4.0), dear, late))

    assert check(wasteful)
    assert [item.code for item in judge(wasteful.analysis(), select=["PP603", "PP804"]).findings] == ["PP603"]


def test_it_does_not_apply_without_the_cpu_time_of_the_process() -> None:
    outcomes = judge(scene(cpu_s_per_step=None).analysis()).outcomes

    assert next(item.outcome for item in outcomes if item.code == "PP804") == NOT_APPLICABLE
