"""Puts findings of one cause under one finding: what it brings about, and what would save the same time in another way.

The one idea: a reader is to see each problem once. The time of one stage is one problem, whatever cures there are for it; so
is what a rule names as following from another's finding. Nothing graver is ever put under something lighter, and nothing is
taken away: what stands under another is judged, tried and suppressed like any finding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pipeprof.model.analysis import Analysis, PipelineView
from pipeprof.model.diagnosis import Finding, Relation
from pipeprof.rules.base import Rule, cost_of
from pipeprof.rules.engine import rank_of

_VERDICTS = {"PP101", "PP102"}  # they say how fast the loop is, not why

_Rules = Mapping[str, type[Rule[Any]]]  # Any: each rule has parameters of its own


def group_by_cause(findings: Sequence[Finding], rules: Iterable[type[Rule[Any]]], analysis: Analysis) -> tuple[Finding, ...]:
    """Return the causes, in the order of the findings, each with what stands under it.

    Args:
        findings: of a whole judgement, the gravest first, each by itself.
        rules: those that made them.
        analysis: what they judged.
    """
    by_code = {rule.code: rule for rule in rules}
    upstream = {view.record.id: _stages_before(view) for view in analysis.pipelines}
    over: dict[int, tuple[Finding, Relation]] = {}
    stands_over: dict[Relation, Callable[[Finding, Finding], bool]] = {
        Relation.CONSEQUENCE: lambda one, item: _brings_about(one, item, by_code),
        Relation.OTHER_CURE: lambda one, item: _saves_the_same(one, item, by_code, upstream),
    }
    for relation, is_over in stands_over.items():
        for item in findings:
            first = None if id(item) in over else next((one for one in findings if is_over(one, item)), None)
            if first is not None and _head_of(first, over) is not item:
                over[id(item)] = (first, relation)
    return tuple(replace(item, consequences=_under(item, findings, over)) for item in findings if id(item) not in over)


def _brings_about(cause: Finding, finding: Finding, rules: _Rules) -> bool:
    follows_from = rules[finding.code].follows_from if finding.code in rules else ()
    is_as_grave = rank_of(cause)[0] <= rank_of(finding)[0]
    return cause.code in follows_from and cause.pipeline_id == finding.pipeline_id and is_as_grave


def _saves_the_same(
    better: Finding, finding: Finding, rules: _Rules, upstream: Mapping[str, Mapping[str, frozenset[str]]]
) -> bool:
    """Tell whether a graver or dearer finding is about the time of the same stage, or of stages before its own."""
    if {better.code, finding.code} & _VERDICTS or not cost_of(better) or not cost_of(finding):
        return False
    if better.pipeline_id != finding.pipeline_id or better.stage_id is None or finding.stage_id is None:
        return False
    if (rank_of(better), better.stage_id) >= (rank_of(finding), finding.stage_id):
        return False
    reaches_back = better.code in rules and rules[better.code].cures_upstream
    before = upstream.get(better.pipeline_id or "", {}).get(better.stage_id, frozenset()) if reaches_back else frozenset()
    return finding.stage_id == better.stage_id or finding.stage_id in before


def _stages_before(view: PipelineView) -> dict[str, frozenset[str]]:
    """Return for each stage the ids of all that its elements come through."""
    inputs = {item.id: item.stage.inputs for item in view.stages}
    found: dict[str, frozenset[str]] = {}
    for start, nearest in inputs.items():
        seen: set[str] = set()
        to_visit = list(nearest)
        while to_visit:
            stage_id = to_visit.pop()
            if stage_id not in seen:
                seen.add(stage_id)
                to_visit += inputs.get(stage_id, ())
        found[start] = frozenset(seen)
    return found


def _head_of(finding: Finding, over: Mapping[int, tuple[Finding, Relation]]) -> Finding:
    while id(finding) in over:
        finding = over[id(finding)][0]
    return finding


def _under(head: Finding, findings: Sequence[Finding], over: Mapping[int, tuple[Finding, Relation]]) -> tuple[Finding, ...]:
    """Return what stands under a cause, consequences first, and last what the rules had settled themselves."""
    members = [item for item in findings if id(item) in over and _head_of(item, over) is head]
    own = [replace(item, consequences=(), relation=_relation_to_head(item, over)) for item in members]
    own.sort(key=lambda item: item.relation is not Relation.CONSEQUENCE)
    said = {item.code for item in (head, *members)}
    settled = {one.code: one for item in (head, *members) for one in item.consequences if one.code not in said}
    return (*own, *settled.values())


def _relation_to_head(finding: Finding, over: Mapping[int, tuple[Finding, Relation]]) -> Relation:
    """Return how a finding stands to its head: a consequence where any link up to it is one."""
    relations = set()
    while id(finding) in over:
        finding, relation = over[id(finding)]
        relations.add(relation)
    return Relation.CONSEQUENCE if Relation.CONSEQUENCE in relations else Relation.OTHER_CURE
