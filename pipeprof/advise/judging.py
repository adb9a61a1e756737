"""The rules' judgement as the user wants it: their choice of rules and thresholds, and the comments in their source.

The one idea: what a comment takes back is taken back everywhere, so that a change nobody wants is not tried either. Comments
are read from the files as they were captured; a file that changed since has none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipeprof.advise.suppression import Suppressed, Suppression, find_suppressions, suppress
from pipeprof.choice import Choice
from pipeprof.model.analysis import Analysis
from pipeprof.model.diagnosis import Finding, RuleOutcome
from pipeprof.model.looks import LookOrder
from pipeprof.model.profile import RunInfo
from pipeprof.rules.engine import ERROR, FIRED, IGNORED, judge, order_looks
from pipeprof.rules.plugins import find_plugins
from pipeprof.rules.registry import AnyRule, all_rules


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """What the rules say, after what the user takes back."""

    findings: tuple[Finding, ...]
    outcomes: tuple[RuleOutcome, ...]
    unused: tuple[str, ...]  # comments that took nothing back, a sentence each
    rules: tuple[AnyRule, ...]  # those that judged


def judge_as_chosen(analysis: Analysis, choice: Choice) -> Judged:
    """Judge by the rules that were chosen, and take back what comments cover."""
    plugins = find_plugins()
    rules = (*all_rules(), *plugins.rules)
    judgement = judge(analysis, select=choice.select, ignore=choice.ignore, rules=rules, thresholds=choice.thresholds)
    failed = (RuleOutcome(code=name, name=name, outcome=ERROR, reason=reason) for name, reason in plugins.broken)
    judgement = replace(judgement, outcomes=(*judgement.outcomes, *failed))
    comments = tuple(_comments(analysis.profile.run))
    if not comments:
        return Judged(findings=judgement.findings, outcomes=judgement.outcomes, unused=(), rules=rules)
    left = suppress(judgement.findings, comments)
    outcomes = _outcomes(judgement.outcomes, left)
    return Judged(findings=left.findings, outcomes=outcomes, unused=left.unused, rules=rules)


def order_looks_as_chosen(analysis: Analysis, choice: Choice) -> tuple[LookOrder, ...]:
    """Return the looks at elements that the rules that were chosen order."""
    return order_looks(analysis, (*all_rules(), *find_plugins().rules), choice.select, choice.ignore)


def _outcomes(outcomes: Sequence[RuleOutcome], left: Suppressed) -> tuple[RuleOutcome, ...]:
    remaining = {finding.code for finding in left.findings}
    return tuple(
        replace(item, outcome=IGNORED, reason=left.by_code[item.code])
        if item.outcome == FIRED and item.code in left.by_code and item.code not in remaining
        else item
        for item in outcomes
    )


def _comments(run: RunInfo) -> Iterator[Suppression]:
    base = Path(run.working_directory or ".")
    for source in run.sources:
        try:
            content = (base / source.path).read_bytes()
        except (OSError, ValueError):
            continue
        if hashlib.sha256(content).hexdigest() == source.sha256:
            yield from find_suppressions(source.path, content.decode("utf-8", "replace"))
