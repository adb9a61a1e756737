"""One cause gives one finding: what it brings about, and other cures of the same time, stand under it."""

from __future__ import annotations

import itertools
from dataclasses import replace

from pipeprof.model.analysis import Analysis
from pipeprof.model.diagnosis import Confidence, Evidence, Finding, Relation, Severity
from pipeprof.rules.base import COST_SHARE
from pipeprof.rules.causes import group_by_cause
from pipeprof.rules.engine import judge
from pipeprof.rules.registry import all_rules
from tests.support.builders import Scene, function, random_function, stage
from tests.unit.rules.test_pp407_cacheable_inside import SOURCE, load
from tests.unit.rules.test_pp407_cacheable_inside import scene as random_pictures

CHAIN = Scene(
    stages=(
        stage("from_tensor_slices"),
        stage("map", 0.02, function=random_function()),
        stage("map", 0.01),
        stage("batch"),
        stage("prefetch", segment=0),
    )
).analysis()


def finding(code: str, stage_id: str | None, cost: float = 0.3, severity: Severity = Severity.HIGH) -> Finding:
    evidence = (Evidence(name=COST_SHARE, value=cost, unit="share"),)
    return Finding(
        code=code, name=code.lower(), severity=severity, confidence=Confidence.HIGH, message="It is so.", stage_id=stage_id,
        pipeline_id="p0", evidence=evidence,
    )  # fmt: skip


def grouped(*findings: Finding, analysis: Analysis = CHAIN) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return each head's code with the codes under it, and why they stand there."""
    found = group_by_cause(findings, all_rules(), analysis)
    return [(item.code, [(one.code, str(one.relation)) for one in item.consequences]) for item in found]


def test_cures_of_one_stages_time_stand_under_the_dearest() -> None:
    random, cached = finding("PP201", "s1", 0.4), finding("PP407", "s1", 0.3)

    assert grouped(random, cached) == [("PP201", [("PP407", "other-cure")])]


def test_cures_of_two_stages_stay_apart() -> None:
    assert grouped(finding("PP201", "s1"), finding("PP203", "s2", 0.2)) == [("PP201", []), ("PP203", [])]


def test_what_saves_all_that_is_upstream_stands_over_it_and_not_over_what_comes_later() -> None:
    cache = finding("PP401", "s2", 0.5)

    assert grouped(cache, finding("PP201", "s1", 0.4)) == [("PP401", [("PP201", "other-cure")])]
    assert grouped(cache, finding("PP302", "s4", 0.4)) == [("PP401", []), ("PP302", [])]
    assert grouped(finding("PP201", "s1", 0.6), cache) == [("PP201", []), ("PP401", [])], "a cheaper cure further back"


def test_what_a_rule_names_as_its_consequence_stands_under_it_at_whatever_stage() -> None:
    waits, bursts = finding("PP206", "s1", 0.3), finding("PP106", None, 0.4)

    assert grouped(bursts, waits) == [("PP206", [("PP106", "consequence")])]
    assert grouped(bursts) == [("PP106", [])]


def test_nothing_graver_stands_under_something_lighter() -> None:
    lighter = finding("PP206", "s1", 0.06, Severity.MEDIUM)

    assert grouped(finding("PP106", None, 0.4), lighter) == [("PP106", []), ("PP206", [])]


def test_a_consequence_of_what_stands_under_another_stands_under_the_first_cause() -> None:
    cast, cached, memory = (
        finding("PP401", "s2", 0.5),
        finding("PP606", "s1", 0.4),
        replace(finding("PP404", "s3"), evidence=()),
    )

    assert grouped(cast, cached, memory) == [("PP401", [("PP404", "consequence"), ("PP606", "other-cure")])]


def test_rules_name_causes_that_there_are_and_none_is_its_own() -> None:
    causes = {rule.code: rule.follows_from for rule in all_rules()}
    open_ends = {code: set(named) for code, named in causes.items()}
    for _ in causes:
        open_ends = {code: named | {far for near in named for far in causes[near]} for code, named in open_ends.items()}

    assert {code for named in causes.values() for code in named} <= set(causes)
    assert [code for code, named in open_ends.items() if code in named] == []


def test_what_is_no_cost_is_never_put_away() -> None:
    frozen = replace(finding("PP402", "s1"), evidence=())

    assert grouped(finding("PP201", "s1"), frozen) == [("PP201", []), ("PP402", [])]


def test_the_verdict_is_no_cause() -> None:
    assert grouped(finding("PP101", "s1", 0.9), finding("PP201", "s1")) == [("PP101", []), ("PP201", [])]


def test_another_pipelines_findings_are_not_of_one_cause() -> None:
    other = replace(finding("PP407", "s1", 0.2), pipeline_id="p1")

    assert grouped(finding("PP201", "s1"), other) == [("PP201", []), ("PP407", [])]


def test_no_finding_is_lost_or_told_twice_however_they_hang_together() -> None:
    codes = ("PP201", "PP207", "PP301", "PP401", "PP403", "PP106", "PP206", "PP708")
    severities = itertools.cycle((Severity.HIGH, Severity.HIGH, Severity.MEDIUM))
    for places in itertools.product(("s1", "s2"), repeat=len(codes)):
        made = [finding(*one) for one in zip(codes, places, itertools.cycle((0.3, 0.5, 0.4)), severities, strict=False)]

        told = [code for head, under in grouped(*made) for code in (head, *(one for one, _ in under))]

        assert sorted(told) == sorted(codes)


def test_a_rival_that_stood_back_stands_under_the_finding_that_took_its_place() -> None:
    many = 1000.0
    slow = stage("map", 0.023, visits=many, function=function("Cast"), arguments={"num_parallel_calls": 1})
    scene = Scene(stages=(stage("from_tensor_slices", visits=many), slow, stage("batch")), step_s=0.024, gap_s=0.004)

    (found,) = judge(scene.but(cpu_s_per_step=0.024).analysis(), select=["PP2", "PP6"]).findings

    assert found.code == "PP201"
    assert [(one.code, one.relation) for one in found.consequences] == [("PP601", Relation.SAME_TIME)]
    assert found.consequences[0].message


def test_a_sequential_random_map_of_pictures_is_one_finding_with_its_other_cures() -> None:
    scene = random_pictures(SOURCE, load()).analysis()
    grouped_now = group_by_cause(judge(scene, ignore=["PP1"]).findings, all_rules(), scene)

    assert [item.code for item in grouped_now] == ["PP201"]
    assert "PP407" in {one.code for one in grouped_now[0].consequences}
