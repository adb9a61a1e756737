"""What all rules share: their shape, their parameters, their scale of severity, and how they name the user's code.

The one idea: a rule is a pure function from an Analysis to findings, with a page of documentation for a docstring. Rules
never read a clock, a file or TensorFlow, and never look at one another; the engine settles rivalries between them.
"""

from __future__ import annotations

import ast
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import PurePath
from typing import Any, ClassVar, Generic, TypeVar

from pipeprof import units
from pipeprof.analysis.alone import is_alone
from pipeprof.errors import UserError
from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.diagnosis import Confidence, Evidence, Finding, Safety, Severity, Stage
from pipeprof.model.looks import LookOrder
from pipeprof.model.profile import CallSite
from pipeprof.rules.needs import Need

SECTIONS = (
    "What it looks for",
    "Why it costs time",
    "How it is measured",
    "When it is wrong",
    "What to do",
    "What that can change",
    "References",
)
COST_SHARE = "cost_share"  # name of the evidence by which findings of one severity are sorted

HIGH_SHARE = 0.20
MEDIUM_SHARE = 0.05
_REMEDIES = {
    None: "it leads to no remedy of its own",
    Safety.SAFE: "its remedy leaves the elements as they are",
    Safety.USES_MEMORY: "its remedy leaves the elements as they are, and takes memory",
    Safety.REORDERS: "its remedy can at worst reorder the elements",
    Safety.CHANGES_DATA: "its remedy can at worst change the elements",
    Safety.MANUAL: "its remedy is to be judged by hand",
}
_CONFIDENCES = (Confidence.LOW, Confidence.MEDIUM, Confidence.HIGH)
_NAME_WIDTH = 44


class Status(StrEnum):
    """How far a rule is trusted: preview until ground truth has numbers for it."""

    PREVIEW = "preview"
    STABLE = "stable"


@dataclass(frozen=True, kw_only=True, slots=True)
class Parameters:
    """Thresholds of one rule, checked against the ranges that their fields state."""

    def __post_init__(self) -> None:
        """Refuse a value outside its range.

        Raises:
            UserError: a value is out of range.
        """
        for item in fields(self):
            value, low, high = getattr(self, item.name), item.metadata["low"], item.metadata["high"]
            if not low <= value <= high:
                raise UserError(f"{item.name} = {value} is out of range", f"choose {low:g} to {high:g}")


def parameter(default: float, *, unit: str, low: float, high: float, doc: str) -> Any:  # Any: a dataclass field
    """Declare one threshold: its default, its unit, its range and one line that says what it bounds."""
    return field(default=default, metadata={"unit": unit, "low": low, "high": high, "doc": doc})


P = TypeVar("P", bound=Parameters)


class Rule(ABC, Generic[P]):
    """One judgement: a code, the evidence it needs, thresholds, and a pure ``check``."""

    code: ClassVar[str]
    name: ClassVar[str]
    status: ClassVar[Status] = Status.PREVIEW
    since: ClassVar[str] = "0.1"
    remedy_safety: ClassVar[Safety | None] = None  # the most that what it leads to can do to the elements; None: no remedy
    needs: ClassVar[tuple[Need, ...]] = ()
    rivals: ClassVar[tuple[str, ...]] = ()  # codes that explain the same time of the same stage: the dearest stays
    yields_to: ClassVar[tuple[str, ...]] = ()  # codes with a cheaper cure for the same stage: where one reports, this is silent
    yields_within: ClassVar[tuple[str, ...]] = ()  # the same for the whole pipeline, whichever stage they name
    follows_from: ClassVar[tuple[str, ...]] = ()  # codes that bring this about in the same pipeline: it stands under theirs
    cures_upstream: ClassVar[bool] = False  # what it leads to saves the time of the stages before its own, too
    parameters: ClassVar[type[Parameters]] = Parameters

    @abstractmethod
    def check(self, analysis: Analysis, params: P) -> Iterable[Finding]:
        """Yield a finding for each place that the rule objects to."""

    def looks(self, analysis: Analysis) -> Iterable[LookOrder]:  # noqa: ARG002 - most rules need none
        """Yield what the rule would have seen of the elements themselves; ``analysis.look`` has it where it could be had."""
        return ()

    def report(
        self,
        message: str,
        *,
        severity: Severity,
        confidence: Confidence,
        pipeline: PipelineView | None = None,
        view: StageView | None = None,
        call_site: CallSite | None = None,
        evidence: Sequence[Evidence] = (),
    ) -> Finding:
        """Make a finding of this rule; the call site is the stage's, or the pipeline's, unless given."""
        return Finding(
            code=self.code,
            name=self.name,
            severity=severity,
            confidence=confidence,
            message=message,
            stage_id=None if view is None else view.id,
            pipeline_id=None if pipeline is None else pipeline.record.id,
            call_site=call_site or _find_call_site(pipeline, view),
            evidence=tuple(evidence),
        )


def say_safety(rule: type[Rule[Any]]) -> str:
    """Say what a rule's remedy can do to the elements at most: a clause without its full stop."""
    return _REMEDIES[rule.remedy_safety]


def grade(share: float) -> Severity:
    """Return the severity of a cost, given as a share of the step."""
    if share >= HIGH_SHARE:
        return Severity.HIGH
    return Severity.MEDIUM if share >= MEDIUM_SHARE else Severity.LOW


def weakest(*confidences: Confidence) -> Confidence:
    """Return the lowest of several confidences."""
    return min(confidences, key=_CONFIDENCES.index)


def cost_of(finding: Finding) -> float:
    """Return the share of the step that a finding explains, 0 where it is not a cost."""
    for item in finding.evidence:
        if item.name == COST_SHARE and isinstance(item.value, int | float):
            return float(item.value)
    return 0.0


def describe_wait(analysis: Analysis) -> str:
    """Say the share of the step that training waits: ``37 % (31-44 %) of each step``."""
    steps = analysis.steps
    text = units.percent(steps.wait_share)
    if steps.wait_share_low is not None and steps.wait_share_high is not None:
        text += f" ({units.percent_interval(steps.wait_share_low, steps.wait_share_high)})"
    return f"{text} of each step"


def say_wait(analysis: Analysis) -> str:
    """Say who waits how long, as a sentence without its full stop; for a pipeline alone nobody does."""
    if is_alone(analysis):
        return "The pipeline was measured alone: what training would wait is not known"
    step_s = analysis.profile.run.bench_step_s
    who = "Training" if step_s is None else f"A consumer that takes {units.duration(step_s)}"
    return f"{who} waits {describe_wait(analysis)}"


def name_stage(view: StageView) -> str:
    """Name a stage by the user's code, ``train.py:42 .map(decode)``; by its operation where there is no call site."""
    written = view.written
    site = view.stage.call_site or (written.call_site or written.library_site if written is not None else None)
    if site is None:
        return f"{view.stage.op} ({view.id})"
    return f"{name_place(site)} {_shorten(_last_call(site.code, view.stage))}"


def name_place(site: CallSite) -> str:
    """Name a place in the user's source: ``train.py:42``."""
    return f"{PurePath(site.file).name}:{site.shown_line}"


def _find_call_site(pipeline: PipelineView | None, view: StageView | None) -> CallSite | None:
    if view is not None and view.stage.call_site is not None:
        return view.stage.call_site
    return None if pipeline is None else pipeline.record.call_site


def _last_call(code: str, stage: Stage) -> str:
    """Return the last call of a chain as written; ``.op(...)`` where the text was cut short and does not parse.

    A stage that another function made comes after the user's call of that: ``fit(...) .map``.
    """
    source = f"({code}\n)"
    try:
        call = ast.parse(source, mode="eval").body
    except (SyntaxError, ValueError):
        return f".{stage.op}(\N{HORIZONTAL ELLIPSIS})"
    called = getattr(call.func, "attr", getattr(call.func, "id", "")) if isinstance(call, ast.Call) else ""
    if called and called != stage.op:
        return f"{called}(\N{HORIZONTAL ELLIPSIS}) {'.' if stage.inputs else ''}{stage.op}"
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
        return code if code.strip() else f".{stage.op}(\N{HORIZONTAL ELLIPSIS})"
    head = call.func.value
    lines = source.encode().splitlines(keepends=True)
    start = sum(len(line) for line in lines[: (head.end_lineno or 1) - 1]) + (head.end_col_offset or 0)
    stop = sum(len(line) for line in lines[: (call.end_lineno or 1) - 1]) + (call.end_col_offset or 0)
    tail = source.encode()[start:stop].decode()
    return tail[tail.index(".") :]  # a parenthesis may close around the head first


def _shorten(text: str) -> str:
    """Put ``text`` on one line and leave out its middle where it is long."""
    line = " ".join(text.split()).replace("( ", "(").replace(" )", ")")
    if len(line) <= _NAME_WIDTH:
        return line
    half = (_NAME_WIDTH - 1) // 2
    return f"{line[:half]}\N{HORIZONTAL ELLIPSIS}{line[-half:]}"
