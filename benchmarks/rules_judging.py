"""Judges the rules on observations: hits, misses and false reports of each, as a table. It runs nothing.

The one idea: what counts is decided by the case alone. A report at the marked call of another rule's case is a second opinion
on a real problem and counts neither way; everything that is said of a call that nobody planted counts against the rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.accuracy_judging import Observation
from pipeprof.model.diagnosis import Finding, Severity
from pipeprof.rules.registry import AnyRule, all_rules
from tests.ground_truth.registry import STAND_IN, Case, Kind, every_case

TELLS_ONLY = {"PP001", "PP002", "PP004", "PP005", "PP101", "PP102", "PP103", "PP105", "PP107"}
"""Rules on the run as a whole, which are right or wrong with the verdict: benchmarks/accuracy.py judges that."""

OF_A_PREFIX = {"PP401", "PP801"}
"""Rules whose place is where a change goes: what they speak of is all the work before it."""

_PAGE = """# How good is each rule?

{runs} runs of {cases} programs with a known problem, none, or one that is cured (`tests/ground_truth`), costs and sizes
drawn from {seeds}. Each rule is run on every one of them. *Must fire* counts the runs of cases that plant the rule's own
problem, *found* those in which it named the marked call. *False* counts runs in which it reported something, above the
severity info, that nobody planted: on another call than the marked one, in a healthy or misleading program, or in the cured
twin of its own case. A report at the marked call of another rule's case is a second opinion and counts neither way; nor
does one that a program is known to have a reason for beside what it plants (many short epochs, GZIP files whose reading was
cured, a second slow map, one large file). Rules on the run as a whole (PP001 to PP107, in part) are judged on their own
cases only, since any run may be short, noisy or without a GPU; whether the verdict is right is in
[accuracy.md](../accuracy.md). `make benchmark-rules` made this page. A rule is *stable* that found all its problems here
and reported nothing else.

| rule | name | status | cases | must fire | found | false | precision | recall |
|---|---|---|---|---|---|---|---|---|
{rows}

## Misses and false reports

{misses}

## Without a program

These have recorded or stand-in evidence only (`tests/unit/rules`), since their own takes what a usual machine or a run does not
have. They stay preview until it was had, and count in no figure above.

| rule | name | it would take |
|---|---|---|
{stand_in}
"""


@dataclass(slots=True)
class Score:
    """What one rule did over all observations."""

    rule: AnyRule
    cases: set[str] = field(default_factory=set)  # that must make it fire, or must not since they cure it
    must: int = 0
    found: int = 0
    false: int = 0
    misses: list[str] = field(default_factory=list)

    @property
    def precision(self) -> float | None:
        said = self.found + self.false
        return self.found / said if said else None

    @property
    def recall(self) -> float | None:
        return self.found / self.must if self.must else None


def judge_rules(seen: Sequence[Observation]) -> tuple[Sequence[Observation], list[Score]]:
    """Score every rule on every observation."""
    scores = [Score(rule) for rule in all_rules()]
    for item in seen:
        for score in scores:
            _judge(score, every_case()[item.case], item)
    return seen, scores


def _judge(score: Score, case: Case, item: Observation) -> None:
    code = score.rule.code
    if code in case.fires or code in case.silent:
        score.cases.add(case.name)
    if item.diagnosis is None:
        if code in case.fires:
            score.must += 1
            score.misses.append(f"`{case.name}` (seed {item.seed}): the run failed: {item.failure}")
        return
    reports = [one for one in item.diagnosis.all_findings if one.code == code]
    if code in case.fires:
        score.must += 1
        if any(_is_at_mark(one, case, item) for one in reports):
            score.found += 1
        else:
            outcome = next((one for one in item.diagnosis.rules if one.code == code), None)
            said = "another place" if reports else f"{outcome.outcome} {outcome.reason}".strip() if outcome else "not run"
            score.misses.append(f"`{case.name}` (seed {item.seed}): {said}{_word_of(case)}")
    false = [one for one in reports if _is_false(one, case, item)]
    if false:
        score.false += 1
        score.misses.append(
            f"`{case.name}` (seed {item.seed}): false, at {_place(false[0])}: {false[0].message.split('. ')[0]}"
        )


def _is_at_mark(finding: Finding, case: Case, item: Observation) -> bool:
    return not case.planted or _place(finding) in _marks(case, item)


def _word_of(case: Case) -> str:
    """Return what the case itself says of when its rule speaks, where it says anything."""
    return f" ({case.build.__doc__})" if case.build.__doc__ else ""


def _marks(case: Case, item: Observation) -> set[str]:
    marks = item.truth.get("planted") or [(mark.file, mark.line, mark.op) for mark in case.planted]
    return {f"{file}:{line}" for file, line, _ in marks}


def _is_false(finding: Finding, case: Case, item: Observation) -> bool:
    """A report that no case answers for; the rules on a run as a whole answer for their own cures only."""
    if finding.code in case.silent:
        return True
    if finding.severity is Severity.INFO:
        return False
    if finding.code in TELLS_ONLY or finding.code in {*case.fires, *case.may}:
        return False
    if case.kind is not Kind.PLANTED:
        return True
    places = _served_by(finding, item) if finding.code in OF_A_PREFIX else {_place(finding)}
    return places.isdisjoint(_marks(case, item))


def _served_by(finding: Finding, item: Observation) -> set[str]:
    """Return the places of the stage that is named and of all before it, whose work the change would spare."""
    pipelines = item.diagnosis.pipelines if item.diagnosis is not None else ()
    stages = next((one.stages for one in pipelines if one.id == finding.pipeline_id), ())
    by_id = {stage.id: stage for stage in stages}
    found, waiting = {_place(finding)}, [finding.stage_id or ""]
    while waiting:
        stage = by_id.pop(waiting.pop(), None)
        if stage is not None:
            waiting += stage.inputs
            if stage.call_site is not None:
                found.add(f"{Path(stage.call_site.file).name}:{stage.call_site.shown_line}")
    return found


def _place(finding: Finding) -> str:
    site = finding.call_site
    return f"{Path(site.file).name}:{site.shown_line}" if site is not None else "no line"


def line_of(item: Observation) -> str:
    """Return what became of one run, for the terminal."""
    said = (
        item.failure
        if item.diagnosis is None
        else ", ".join(f"{one.code} {_place(one)}" for one in item.diagnosis.all_findings)
    )
    case = every_case()[item.case]
    return f"{item.case} ({item.seed}) must {','.join(case.fires) or '-'} not {','.join(case.silent) or '-'}: {said}"


def table(judged: tuple[Sequence[Observation], list[Score]]) -> str:
    """Return the page."""
    seen, scores = judged
    rows = [
        f"| {score.rule.code} | {score.rule.name} | {score.rule.status} | {len(score.cases)} | {score.must} | {score.found} | "
        f"{score.false} | {_share(score.precision)} | {_share(score.recall)} |"
        for score in scores
        if score.rule.code not in STAND_IN
    ]
    apart = [
        f"| {score.rule.code} | {score.rule.name} | {STAND_IN[score.rule.code]} |"
        for score in scores
        if score.rule.code in STAND_IN
    ]
    seeds = sorted({str(item.seed) for item in seen})
    misses = [f"- {score.rule.code}: {miss}" for score in scores for miss in score.misses]
    return _PAGE.format(
        runs=len(seen),
        seeds=f"the {'seed' if len(seeds) == 1 else 'seeds'} {', '.join(seeds)}",
        cases=len({item.case for item in seen}),
        rows="\n".join(rows),
        misses="\n".join(misses) or "None.",
        stand_in="\n".join(apart),
    )


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"
