"""The engine: five outcomes, crash isolation, selection, order, rivalry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from pipeprof.errors import UserError
from pipeprof.model.analysis import Analysis, PipelineView
from pipeprof.model.diagnosis import Confidence, Evidence, Finding, Severity
from pipeprof.rules.base import COST_SHARE, Parameters, Rule
from pipeprof.rules.engine import ERROR, FIRED, IGNORED, NOT_APPLICABLE, PASSED, judge
from pipeprof.rules.needs import Need
from tests.support.builders import Scene, function, number, random_function, stage

ANALYSIS = Scene(stages=(stage("map", 0.036, function=random_function()),)).analysis()


class _Made(Rule[Parameters]):
    """A rule that yields what its class says."""

    severity = Severity.LOW
    cost = 0.0

    def check(self, analysis: Analysis, params: Parameters) -> Iterator[Finding]:
        yield self.costing(self.cost, analysis.train)

    def costing(self, cost: float, pipeline: PipelineView | None, place: int = 0) -> Finding:
        """Report one stage of a pipeline."""
        return self.report(
            self.name,
            severity=self.severity,
            confidence=Confidence.HIGH,
            pipeline=pipeline,
            view=pipeline.stages[place] if pipeline else None,
            evidence=(Evidence(name=COST_SHARE, value=cost, unit="share"),),
        )


class _Cheap(_Made):
    code, name, severity, cost = "PP910", "cheap", Severity.MEDIUM, 0.06


class _Dear(_Made):
    code, name, severity, cost = "PP920", "dear", Severity.MEDIUM, 0.19


class _Grave(_Made):
    code, name, severity, cost = "PP930", "grave", Severity.HIGH, 0.0


class _Rival(_Made):
    code, name, cost, rivals = "PP940", "rival", 0.1, ("PP920",)


class _Twin(_Made):
    code, name, cost, rivals = "PP950", "twin", 0.1, ("PP940",)


class _Costly(_Made):
    code, name, cost, yields_to = "PP955", "costly", 0.9, ("PP910",)


class _Whole(_Made):
    code, name, cost, yields_within = "PP956", "whole", 0.9, ("PP910",)


class _Crashing(_Made):
    code, name = "PP960", "crashing"

    def check(self, analysis: Analysis, params: Parameters) -> Iterator[Finding]:
        yield from super().check(analysis, params)
        raise ZeroDivisionError("no steps")


class _Quiet(_Made):
    code, name = "PP970", "quiet"

    def check(self, analysis: Analysis, params: Parameters) -> Iterator[Finding]:
        yield from ()


class _Needy(_Made):
    code, name, needs = "PP980", "needy", (Need.MEMORY,)


def outcome_of(code: str, **arguments: object) -> tuple[str, str]:
    rules = (_Cheap, _Dear, _Grave, _Crashing, _Quiet, _Needy)
    analysis = arguments.pop("analysis", ANALYSIS)
    found = {item.code: item for item in judge(analysis, rules=rules, **arguments).outcomes}
    return found[code].outcome, found[code].reason


def test_a_rule_with_findings_fired_and_one_without_passed() -> None:
    assert outcome_of("PP910") == (FIRED, "")
    assert outcome_of("PP970") == (PASSED, "")


def test_a_rule_without_its_evidence_is_not_applicable_and_says_why() -> None:
    analysis = Scene(stages=(stage("map"),), memory_bytes=None).analysis()

    assert outcome_of("PP980", analysis=analysis) == (NOT_APPLICABLE, "the size of the memory is unknown")


def test_a_crashing_rule_is_reported_with_its_place_and_the_rest_go_on() -> None:
    judgement = judge(ANALYSIS, rules=(_Crashing, _Cheap))

    assert [(item.code, item.outcome) for item in judgement.outcomes] == [("PP960", ERROR), ("PP910", FIRED)]
    assert judgement.outcomes[0].reason.startswith("ZeroDivisionError: no steps (test_rules_engine.py:")
    assert [finding.code for finding in judgement.findings] == ["PP910"]


def test_an_ignored_rule_says_by_whom() -> None:
    assert outcome_of("PP920", ignore=["PP92"]) == (IGNORED, "by ignore = PP92")
    assert outcome_of("PP920", ignore=["dear"]) == (IGNORED, "by ignore = dear")


def test_a_rule_that_was_not_selected_says_so() -> None:
    assert outcome_of("PP910", select=["PP92", "PP93"]) == (IGNORED, "by select = PP92, PP93")
    assert outcome_of("PP920", select=["pp92"]) == (FIRED, "")


def test_ignore_is_stronger_than_select() -> None:
    assert outcome_of("PP920", select=["PP9"], ignore=["PP920"]) == (IGNORED, "by ignore = PP920")


@pytest.mark.parametrize("given", [{"select": ["PP399"]}, {"ignore": ["PQ"]}, {"select": [""]}])
def test_an_unknown_selector_is_the_users_mistake(given: dict) -> None:
    with pytest.raises(UserError, match="no such rule"):
        judge(ANALYSIS, **given)


def test_findings_come_gravest_first_and_then_by_cost() -> None:
    judgement = judge(ANALYSIS, rules=(_Cheap, _Dear, _Grave))

    assert [finding.code for finding in judgement.findings] == ["PP930", "PP920", "PP910"]


def test_of_rivals_at_one_stage_the_dearest_stays() -> None:
    judgement = judge(ANALYSIS, rules=(_Dear, _Rival))

    assert [finding.code for finding in judgement.findings] == ["PP920"]
    assert (judgement.outcomes[1].outcome, judgement.outcomes[1].reason) == (PASSED, "PP920 explains more of the same time")


def test_a_rule_yields_to_a_cheaper_cure_for_the_same_stage_whatever_it_saves() -> None:
    judged = judge(ANALYSIS, rules=(_Cheap, _Costly))

    assert [finding.code for finding in judged.findings] == ["PP910"]
    assert (judged.outcomes[1].outcome, judged.outcomes[1].reason) == (PASSED, "PP910 has a cheaper cure for the same stage")
    assert [finding.code for finding in judge(ANALYSIS, rules=(_Dear, _Costly)).findings] == ["PP920", "PP955"]


def test_a_rule_on_a_whole_pipeline_yields_to_a_cure_at_any_of_its_stages() -> None:
    judged = judge(ANALYSIS, rules=(_Cheap, _Whole))

    assert [finding.code for finding in judged.findings] == ["PP910"]
    assert judged.outcomes[1].reason == "PP910 has a cheaper cure for the same pipeline"
    assert [finding.code for finding in judge(ANALYSIS, rules=(_Dear, _Whole)).findings] == ["PP920", "PP956"]


def test_of_rivals_that_cost_the_same_the_lower_code_stays() -> None:
    assert [finding.code for finding in judge(ANALYSIS, rules=(_Rival, _Twin)).findings] == ["PP940"]


def test_a_rival_that_is_ignored_takes_nothing_away() -> None:
    assert [finding.code for finding in judge(ANALYSIS, rules=(_Dear, _Rival), ignore=["PP920"]).findings] == ["PP940"]


def test_every_rule_has_an_outcome_on_a_run_without_any_pipeline() -> None:
    from dataclasses import replace

    empty = replace(ANALYSIS, pipelines=(), train_id=None, profile=replace(ANALYSIS.profile, pipelines=()))
    outcomes = {item.code: item.outcome for item in judge(empty).outcomes}

    assert outcomes.pop("PP004") == PASSED
    assert set(outcomes.values()) == {NOT_APPLICABLE}


def test_a_cheap_sequential_map_before_a_batch_gives_one_finding_of_the_two() -> None:
    many = 1000.0
    slow = stage("map", 0.023, visits=many, function=function("Cast"), arguments={"num_parallel_calls": 1})
    scene = Scene(stages=(stage("from_tensor_slices", visits=many), slow, stage("batch")), step_s=0.024, gap_s=0.004)

    dear = judge(scene.but(cpu_s_per_step=0.024).analysis(), select=["PP2", "PP6"])
    crowded = judge(scene.but(cpu_s_per_step=0.024 * 3.3).analysis(), select=["PP2", "PP6"])

    assert [(finding.code, finding.stage_id) for finding in dear.findings] == [("PP201", "s1")]
    assert [(finding.code, finding.stage_id) for finding in crowded.findings] == [("PP601", "s1")]
    assert number(dear.findings[0], COST_SHARE) > number(crowded.findings[0], COST_SHARE)


def test_a_healthy_run_has_no_finding_above_info() -> None:
    scene = Scene(
        stages=(
            stage("from_tensor_slices", 0.001),
            stage("map", 0.02, function=random_function()),
            stage("batch", 0.001),
            stage("prefetch", segment=0),
        ),
        gap_s=0.0385,
    )

    judgement = judge(scene.analysis())

    assert [(finding.code, finding.severity) for finding in judgement.findings] == [("PP102", Severity.INFO)]
    assert ERROR not in {item.outcome for item in judgement.outcomes}


class _EachMap(_Made):
    code, name, cost = "PP970", "each-map", 0.1

    def check(self, analysis: Analysis, params: Parameters) -> Iterator[Finding]:
        train = analysis.train
        for place in range(len(train.stages) if train else 0):
            yield self.costing(0.1 * (place + 1), train, place)


def test_stages_that_one_call_makes_are_one_finding() -> None:
    stages = tuple(stage("map", 0.01, line=line) for line in (6, 6, 7))

    found = judge(Scene(stages=stages).analysis(), rules=[_EachMap]).findings

    assert [(item.stage_id, item.message) for item in found] == [
        ("s2", "each-map"),
        ("s1", "each-map The same call makes 1 more stage like it."),
    ]


def test_a_call_that_makes_two_pipelines_is_one_finding_of_the_dearer() -> None:
    analysis = Scene(stages=(stage("map", 0.01, line=6), stage("map", 0.01, line=7))).analysis()
    (view,) = analysis.pipelines
    other = replace(view, record=replace(view.record, id="p1", role="validation"))

    class InBoth(_Made):
        code, name = "PP971", "in-both"

        def check(self, analysis: Analysis, params: Parameters) -> Iterator[Finding]:
            for one, place, cost in ((other, 0, 0.0), (view, 0, 0.2), (other, 1, 0.3)):
                yield self.costing(cost, one, place)

    found = judge(replace(analysis, pipelines=(view, other)), rules=[InBoth]).findings

    assert [(item.pipeline_id, item.stage_id, item.message) for item in found] == [
        ("p1", "s1", "in-both"),
        ("p0", "s0", "in-both The same call makes 1 more stage like it."),
    ]


@pytest.mark.parametrize(("cost", "stands"), [(0.05, False), (0.2, True)])
def test_what_another_finding_stands_for_is_not_said_again_of_the_same_call_elsewhere(cost: float, stands: bool) -> None:
    analysis = Scene(stages=(stage("map", 0.01, line=6),)).analysis()
    (view,) = analysis.pipelines
    other = replace(view, record=replace(view.record, id="p1", role="validation"))

    class Cheaper(_Made):
        code, name, cost = "PP972", "cheaper", 0.5

    class Dearer(_Made):
        code, name, yields_to = "PP973", "dearer", ("PP972",)

        def check(self, analysis: Analysis, params: Parameters) -> Iterator[Finding]:
            yield self.costing(0.1, view)
            yield self.costing(cost, other)

    judgement = judge(replace(analysis, pipelines=(view, other)), rules=[Cheaper, Dearer])

    assert [item.pipeline_id for item in judgement.findings if item.code == "PP973"] == ["p1"] * stands
    (first,) = [item for item in judgement.findings if item.code == "PP972"]
    assert [item.pipeline_id for item in first.consequences] == ["p0"]
    assert [item.outcome for item in judgement.outcomes] == [FIRED, FIRED if stands else PASSED]


def test_stages_whose_calls_are_not_known_stay_apart() -> None:
    analysis = Scene(stages=(stage("map", 0.01), stage("map", 0.01))).analysis()
    (view,) = analysis.pipelines
    unknown = tuple(
        replace(item, stage=replace(item.stage, call_site=None), written=replace(item.written, call_site=None))
        for item in view.stages
    )

    found = judge(replace(analysis, pipelines=(replace(view, stages=unknown),)), rules=[_EachMap]).findings

    assert [item.stage_id for item in found] == ["s1", "s0"]


def test_a_threshold_that_was_set_takes_the_place_of_the_rules_own() -> None:
    scene = Scene(
        stages=(stage("from_tensor_slices"), stage("map", 0.036, function=random_function()), stage("prefetch", segment=0))
    )

    fired = {item.code for item in judge(scene.analysis()).findings}
    set_higher = {item.code for item in judge(scene.analysis(), thresholds={"PP201": {"min_share": 0.99}}).findings}

    assert fired - set_higher == {"PP201"}
