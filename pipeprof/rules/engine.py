"""Runs the rules on an Analysis and settles what became of each.

The one idea: five outcomes, one for every rule, none silent: fired, passed, not applicable (why), ignored (by whom), error.
A rule that crashes is reported and costs the others nothing. The engine judges nothing by itself but rivalry: of findings
that explain the same time of the same stage, the dearest stays, and the others stand under it.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pipeprof import units
from pipeprof.choice import Thresholds
from pipeprof.errors import UserError
from pipeprof.model.analysis import Analysis
from pipeprof.model.diagnosis import Finding, Relation, RuleOutcome, Severity
from pipeprof.model.looks import LookOrder
from pipeprof.model.profile import CallSite
from pipeprof.rules.base import Rule, cost_of
from pipeprof.rules.chosen import matches, parameters_of
from pipeprof.rules.needs import find_missing
from pipeprof.rules.registry import all_rules, suggest_code

_Sites = Mapping[tuple[str, str], CallSite | None]  # by pipeline and stage

FIRED = "fired"
PASSED = "passed"
NOT_APPLICABLE = "not applicable"
IGNORED = "ignored"
ERROR = "error"

_SEVERITIES = tuple(Severity)  # as declared: the gravest first


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """What the rules say: findings, the gravest and dearest first, and one outcome for each rule, by code."""

    findings: tuple[Finding, ...] = ()
    outcomes: tuple[RuleOutcome, ...] = ()


@dataclass(slots=True)
class _Result:
    """One rule's way through the engine."""

    rule: type[Rule[Any]]  # Any: each rule has parameters of its own
    outcome: str
    reason: str = ""
    findings: list[Finding] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Settled:
    """A finding that another one stands for."""

    finding: Finding
    by: Finding


def judge(
    analysis: Analysis,
    select: Sequence[str] = (),
    ignore: Sequence[str] = (),
    rules: Sequence[type[Rule[Any]]] | None = None,
    thresholds: Thresholds | None = None,
    take_back: Callable[[Finding], str] = lambda _finding: "",
) -> Judgement:
    """Run the rules.

    Args:
        analysis: what to judge.
        select: codes or prefixes ("PP2") of the rules to run; all where empty.
        ignore: codes or prefixes of rules to leave out, also of the selected.
        rules: the rules there are; the registry's where None.
        thresholds: parameters by code, where they are not the defaults.
        take_back: returns by what a finding is taken back, empty where it stands.

    Raises:
        UserError: an entry of ``select`` or ``ignore`` is no rule's code, name or prefix.
    """
    known = all_rules() if rules is None else tuple(rules)
    _refuse_unknown((*select, *ignore), known)
    set_by_code = thresholds or {}
    results = [_run(rule, analysis, select, ignore, set_by_code.get(rule.code, {})) for rule in known]
    for result in results:
        _take_back(result, take_back)
    settled = [*_settle_yields(results), *_settle_rivals(results)]
    sites = {(view.record.id, item.id): item.stage.call_site for view in analysis.pipelines for item in view.stages}
    settled += _settle_same_calls(results, settled, sites)
    findings = [one for result in results for one in _one_a_call(_with_settled(result.findings, settled), sites)]
    return Judgement(
        findings=tuple(sorted(findings, key=rank_of)),
        outcomes=tuple(
            RuleOutcome(code=item.rule.code, name=item.rule.name, outcome=item.outcome, reason=item.reason) for item in results
        ),
    )


def order_looks(
    analysis: Analysis, rules: Sequence[type[Rule[Any]]], select: Sequence[str] = (), ignore: Sequence[str] = ()
) -> tuple[LookOrder, ...]:
    """Return the looks at elements that the chosen rules order, each once; one that fails orders none, and the log says so."""
    orders: dict[LookOrder, None] = {}
    for rule in rules:
        if _why_ignored(rule, select, ignore):
            continue
        try:
            orders.update(dict.fromkeys(rule().looks(analysis)))
        except Exception:  # noqa: BLE001 - one rule's bug must not cost the user the trials
            traceback.print_exc()
    return tuple(orders)


def rank_of(finding: Finding) -> tuple[int, float, str]:
    """Return the key by which findings are sorted: the gravest first, then the dearest."""
    return _SEVERITIES.index(finding.severity), -cost_of(finding), finding.code


def _run(
    rule: type[Rule[Any]],
    analysis: Analysis,
    select: Sequence[str],
    ignore: Sequence[str],
    thresholds: Mapping[str, float],
) -> _Result:
    ignored = _why_ignored(rule, select, ignore)
    if ignored:
        return _Result(rule, IGNORED, ignored)
    try:
        missing = [reason for need in rule.needs if (reason := find_missing(analysis, need))]
        if missing:
            return _Result(rule, NOT_APPLICABLE, missing[0])
        findings = list(rule().check(analysis, parameters_of(rule.parameters, thresholds)))
    except Exception as error:  # noqa: BLE001 - one rule's bug must not cost the user the other rules
        return _Result(rule, ERROR, _describe_error(error))
    return _Result(rule, FIRED if findings else PASSED, "", findings)


def _take_back(result: _Result, take_back: Callable[[Finding], str]) -> None:
    """Leave out findings that are taken back; of a rule with none left the outcome says by what."""
    reasons = [take_back(item) for item in result.findings]
    result.findings = [item for item, reason in zip(result.findings, reasons, strict=True) if not reason]
    if reasons and not result.findings:
        result.outcome, result.reason = IGNORED, reasons[0]


def _why_ignored(rule: type[Rule[Any]], select: Sequence[str], ignore: Sequence[str]) -> str:
    """Return by whom a rule is left out, empty where it is not."""
    ignored_by = next((item for item in ignore if matches(rule, item)), None)
    if ignored_by is not None:
        return f"by ignore = {ignored_by}"
    if select and not any(matches(rule, item) for item in select):
        return f"by select = {', '.join(select)}"
    return ""


def _refuse_unknown(wanted: Sequence[str], known: Sequence[type[Rule[Any]]]) -> None:
    for item in wanted:
        if not any(matches(rule, item) for rule in known):
            raise UserError(f"no such rule: {item}", suggest_code(item, known))


def _describe_error(error: Exception) -> str:
    """Say what broke and where, so that a report of it is enough to find it."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename.replace(chr(92), '/').rsplit('/', 1)[-1]}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"


def _one_a_call(findings: Sequence[Finding], sites: _Sites) -> list[Finding]:
    """Of one rule's findings keep the dearest of each call: a loop or a helper makes several stages with one line.

    They may be of several pipelines. A finding on a stage whose call is not known names the pipeline's, and stays by itself.
    """
    calls: dict[object, list[Finding]] = {}
    for item in findings:
        calls.setdefault(_site_of(item, sites) or (item.pipeline_id, item.stage_id), []).append(item)
    kept = []
    for same in calls.values():
        first = max(same, key=cost_of)
        more = len(same) - 1
        text = f" The same call makes {units.count_of(more, 'more stage')} like it." if more else ""
        kept.append(replace(first, message=first.message + text))
    return kept


def _site_of(finding: Finding, sites: _Sites) -> CallSite | None:
    return sites.get((finding.pipeline_id or "", finding.stage_id or ""))


def _with_settled(findings: Sequence[Finding], settled: Sequence[_Settled]) -> list[Finding]:
    """Put what was settled under the finding that stands for it, each code once."""
    return [replace(item, consequences=tuple(_stood_for(item, settled).values())) for item in findings]


def _stood_for(finding: Finding, settled: Sequence[_Settled]) -> dict[str, Finding]:
    """Return by code what a finding stands for, also by way of what it took the place of."""
    found: dict[str, Finding] = {}
    open_ends = [finding]
    while open_ends:
        winner = open_ends.pop()
        for item in settled:
            if item.by is winner and item.finding.code not in found:
                found[item.finding.code] = replace(item.finding, relation=Relation.SAME_TIME)
                open_ends.append(item.finding)
    return found


def _settle_yields(results: Sequence[_Result]) -> list[_Settled]:
    """Take back what is said of a stage, or of a pipeline, for which a rule with a cheaper cure has a finding."""
    said = {result.rule.code: list(result.findings) for result in results}
    settled = []
    for result in results:
        rule = result.rule
        found = [(item, _find_cheaper(item, rule.yields_to, rule.yields_within, said)) for item in result.findings]
        codes = {one.code for _, others in found for one in others}
        what = "the same stage" if codes & set(rule.yields_to) else "the same pipeline"
        settled += _stand_back(result, found, f"{' and '.join(sorted(codes))} has a cheaper cure for {what}")
    return settled


def _find_cheaper(
    mine: Finding, at_stage: Sequence[str], within: Sequence[str], said: Mapping[str, Sequence[Finding]]
) -> list[Finding]:
    """Return the findings that a finding yields to, the dearest first."""
    place = (mine.pipeline_id, mine.stage_id)
    found = [item for code in at_stage for item in said.get(code, ()) if (item.pipeline_id, item.stage_id) == place]
    found += [item for code in within for item in said.get(code, ()) if item.pipeline_id == mine.pipeline_id]
    return sorted(found, key=lambda item: -cost_of(item))


def _settle_same_calls(results: Sequence[_Result], settled: Sequence[_Settled], sites: _Sites) -> list[_Settled]:
    """Take back what is said of a call for which another finding stands in a pipeline where it costs no less."""
    more = []
    for result in results:
        found = [(item, _find_standing(item, settled, sites)) for item in result.findings]
        codes = {one.code for _, others in found for one in others}
        more += _stand_back(result, found, f"{' and '.join(sorted(codes))} stands for the same call in another pipeline")
    return more


def _find_standing(mine: Finding, settled: Sequence[_Settled], sites: _Sites) -> list[Finding]:
    """Return the findings that stand for what the same rule says of the same call elsewhere, at no less a cost."""
    site = _site_of(mine, sites)
    same = [item for item in settled if item.finding.code == mine.code and _site_of(item.finding, sites) == site]
    return [item.by for item in same if site is not None and cost_of(item.finding) >= cost_of(mine)]


def _settle_rivals(results: Sequence[_Result]) -> list[_Settled]:
    """Of findings of rival rules on one stage keep the dearest; the other rule's outcome says who explains it better."""
    by_code = {result.rule.code: result for result in results}
    settled = []
    for result in results:
        found = [(item, _find_betters(item, result.rule.rivals, by_code)) for item in result.findings]
        codes = {one.code for _, others in found for one in others}
        settled += _stand_back(result, found, f"{' and '.join(sorted(codes))} explains more of the same time")
    return settled


def _stand_back(result: _Result, found: Sequence[tuple[Finding, list[Finding]]], reason: str) -> list[_Settled]:
    """Take back the findings of a rule that others stand for, the first of them; with none left it passed, for the reason."""
    settled = [_Settled(finding=item, by=others[0]) for item, others in found if others]
    result.findings = [item for item, others in found if not others]
    if settled and not result.findings:
        result.outcome, result.reason = PASSED, reason
    return settled


def _find_betters(mine: Finding, rivals: Sequence[str], by_code: dict[str, _Result]) -> list[Finding]:
    """Return rival findings on the same stage that cost more, the dearest first; of equals the lower code is better."""
    place = (mine.pipeline_id, mine.stage_id)
    others = [item for code in rivals if code in by_code for item in by_code[code].findings]
    same_place = [item for item in others if (item.pipeline_id, item.stage_id) == place]
    better = [item for item in same_place if (-cost_of(item), item.code) < (-cost_of(mine), mine.code)]
    return sorted(better, key=lambda item: (-cost_of(item), item.code))
