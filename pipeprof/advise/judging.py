"""The rules' judgement as the user wants it: their choice of rules and thresholds, and the comments in their source.

The one idea: what a comment takes back is taken back everywhere, so that a change nobody wants is not tried either, and before
findings are weighed against each other: what it stood for is then said by itself, as under ``--ignore``. Comments
are read from the files as they were captured; a file that changed since has none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeprof.advise.suppression import Comments, Suppression, find_suppressions
from pipeprof.choice import Choice
from pipeprof.model.analysis import Analysis
from pipeprof.model.diagnosis import Finding, RuleOutcome
from pipeprof.model.looks import LookOrder
from pipeprof.model.profile import RunInfo
from pipeprof.rules.engine import ERROR, FIRED, PASSED, judge, order_looks
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
    comments = Comments(tuple(_comments(analysis.profile.run)))
    judgement = judge(analysis, choice.select, choice.ignore, rules, choice.thresholds, comments.take_back)
    failed = (RuleOutcome(code=name, name=name, outcome=ERROR, reason=reason) for name, reason in plugins.broken)
    outcomes = (*judgement.outcomes, *failed)
    judged = {item.code for item in outcomes if item.outcome in {FIRED, PASSED}}
    unused = comments.unused(judged, {rule.code for rule in rules})
    return Judged(findings=judgement.findings, outcomes=outcomes, unused=unused, rules=rules)


def order_looks_as_chosen(analysis: Analysis, choice: Choice) -> tuple[LookOrder, ...]:
    """Return the looks at elements that the rules that were chosen order."""
    return order_looks(analysis, (*all_rules(), *find_plugins().rules), choice.select, choice.ignore)


def _comments(run: RunInfo) -> Iterator[Suppression]:
    base = Path(run.working_directory or ".")
    for source in run.sources:
        try:
            content = (base / source.path).read_bytes()
        except (OSError, ValueError):
            continue
        if hashlib.sha256(content).hexdigest() == source.sha256:
            yield from find_suppressions(source.path, content.decode("utf-8", "replace"))
