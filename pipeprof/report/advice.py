"""Findings and recommendations in words; shared by all renderers.

One idea: a prediction, a trial and what became of the data stand side by side, and a replay never claims more than it
showed: it says that the input keeps up, only a re-run says that training is faster. Nothing here judges or calculates.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from pipeprof import units
from pipeprof.model.diagnosis import Evidence, Finding, Prediction, Recommendation, Relation, Safety, Severity, Trial
from pipeprof.model.profile import ElementsState, TrialState
from pipeprof.report.stages import Sites
from pipeprof.report.text import counted, harmless, list_words, one_line, ordinal

_SEVERITIES = {Severity.HIGH: 0, Severity.MEDIUM: 1, Severity.LOW: 2, Severity.INFO: 3}
_RATIO_UNITS = {"\N{MULTIPLICATION SIGN}", "x", "ratio", "speedup"}
_CODE_LINES = 12
_NOTICEABLE_S = 0.05
_NOTICEABLE_BYTES = 1_000_000
_FROM_CACHE = 0.01  # of what was read may come from storage
_MUCH_MORE = 2  # times what a change surely holds, from which on the most that it can hold is said too
_SOONEST = 2  # epoch that can earn back what the first one paid
_SAME_CPU = 1.1  # below it, a ratio of CPU seconds is no difference
_BYTE_UNITS = {"bytes", "byte", "B"}
_SAFETY = {
    Safety.SAFE: "safe",
    Safety.REORDERS: "reorders the elements",
    Safety.USES_MEMORY: "uses memory",
    Safety.CHANGES_DATA: "changes the data",
    Safety.MANUAL: "to be done by hand",
}
_RELATIONS = {
    Relation.CONSEQUENCE: "brings about",
    Relation.OTHER_CURE: "another cure",
}
_SENTENCE = re.compile(r"(?<=[.;]) (?=[A-Z])")
_ELEMENTS = {
    ElementsState.IDENTICAL: "elements identical",
    ElementsState.EQUAL_WITHIN_ROUNDING: "elements equal within rounding",
    ElementsState.SAME_BUT_RANDOM: "elements the same but for their randomness",
    ElementsState.REORDERED: "same elements in another order",
    ElementsState.DIFFERENT: "ELEMENTS DIFFER",
    ElementsState.UNCHECKED: "elements not compared",
}


class Outcome(StrEnum):
    """What a reader needs to know of a recommendation at first sight."""

    CONFIRMED = "confirmed"
    LESS_CPU = "less CPU"
    UNDECIDED = "undecided"
    NOT_TRIED = "not tried"
    NO_DIFFERENCE = "no difference"
    REFUSED = "refused"


_OUTCOMES = {
    TrialState.CONFIRMED: Outcome.CONFIRMED,
    TrialState.LESS_CPU: Outcome.LESS_CPU,
    TrialState.NOT_TRIED: Outcome.NOT_TRIED,
    TrialState.NO_DIFFERENCE: Outcome.NO_DIFFERENCE,
    TrialState.WORSE: Outcome.REFUSED,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class EvidenceRow:
    """One number a finding rests on."""

    name: str
    value: str
    threshold: str
    n: str

    @property
    def phrase(self) -> str:
        """The row as one phrase: ``share of the step 87 % (threshold 20 %, n = 412)``."""
        notes = [f"threshold {self.threshold}" if self.threshold else "", f"n = {self.n}" if self.n else ""]
        kept = ", ".join(note for note in notes if note)
        return f"{self.name} {self.value}" + (f" ({kept})" if kept else "")


@dataclass(frozen=True, kw_only=True, slots=True)
class FindingText:
    """One finding, ready to be shown."""

    code: str
    name: str
    severity: Severity
    confidence: str
    where: str
    path: str
    message: str
    evidence: tuple[EvidenceRow, ...]
    relation: str  # to the finding that it stands under, empty where it stands by itself
    under: tuple[FindingText, ...]
    settled: tuple[str, ...]  # rules that have found the same, and stand back

    @property
    def gist(self) -> str:
        """The first sentence of the message."""
        return _SENTENCE.split(self.message, maxsplit=1)[0]


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """A ratio of step times with its interval, for drawing."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True, slots=True)
class AdviceText:
    """One recommendation, ready to be shown."""

    id: str
    title: str
    outcome: Outcome
    standing: str  # whether a confirmed change is in the patch, where that is not plain
    where: str
    path: str
    codes: tuple[str, ...]
    safety: str
    is_safe: bool
    caution: str  # without a full stop
    predicted: str
    trial: str
    elements: str  # empty where nothing was tried
    elements_differ: bool
    costs: str  # memory, break-even, filling a cache
    diff: tuple[str, ...]  # lines
    diff_reason: str
    code: tuple[str, ...]  # lines of the call, where there is neither a patch nor a sketch
    sketch: tuple[str, ...]  # lines, where it is to be done by hand
    predicted_interval: Interval | None
    trial_interval: Interval | None
    noise_interval: Interval | None


def finding_text(finding: Finding, sites: Sites) -> FindingText:
    """Return one finding in words, with what stands under it."""
    settled = [item for item in finding.consequences if item.relation is Relation.SAME_TIME]
    return FindingText(
        code=one_line(finding.code),
        name=one_line(finding.name),
        severity=finding.severity,
        confidence=f"{finding.confidence} confidence",
        where=sites.where(finding.call_site),
        path=sites.path(finding.call_site),
        message=one_line(finding.message),
        evidence=tuple(_evidence_row(item) for item in finding.evidence),
        relation="" if finding.relation is None else _RELATIONS[finding.relation],
        under=tuple(finding_text(item, sites) for item in finding.consequences if item not in settled),
        settled=tuple(one_line(f"{item.code} {item.name}") for item in settled),
    )


def sort_findings(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """Return findings by severity; the given order stays within one severity."""
    return tuple(sorted(findings, key=lambda finding: _SEVERITIES[finding.severity]))


def sort_advice(advice: tuple[Recommendation, ...]) -> tuple[Recommendation, ...]:
    """Return what was confirmed first, then what was not tried, then what did not help; else as given."""
    order = list(Outcome)
    return tuple(sorted(advice, key=lambda item: (order.index(_outcome(item.trial)), not item.accepted)))


def _outcome(trial: Trial) -> Outcome:
    return Outcome.UNDECIDED if trial.undecided else _OUTCOMES[trial.state]


def _evidence_row(item: Evidence) -> EvidenceRow:
    threshold = "" if item.threshold is None else _quantity(item.threshold, item.unit)
    return EvidenceRow(
        name=one_line(item.name.replace("_", " ")),
        value=_quantity(item.value, item.unit),
        threshold=threshold,
        n="" if item.n is None else f"{item.n:,}",
    )


def _quantity(value: float | str | None, unit: str) -> str:
    if value is None:
        return units.NOT_MEASURED
    if isinstance(value, str):
        return one_line(value)
    if unit == "s":
        return units.duration(value)
    if unit in _BYTE_UNITS:
        return units.byte_count(value)
    if unit == "share":
        return units.percent(value)
    if unit in _RATIO_UNITS:
        return units.ratio(value)
    if unit.endswith("/s"):
        return f"{units.byte_count(value)}/s" if unit[:-2].strip() in _BYTE_UNITS else units.rate(value, one_line(unit))
    return one_line(counted(value, unit))


def advice_text(item: Recommendation, sites: Sites, titles: Mapping[str, str]) -> AdviceText:
    """Return one recommendation in words; ``titles`` names those that a trial was stacked on."""
    trial, predicted = item.trial, item.predicted
    return AdviceText(
        id=one_line(item.id),
        title=one_line(item.title),
        outcome=_outcome(trial),
        standing=_standing(item),
        where=sites.where(item.call_site),
        path=sites.path(item.call_site),
        codes=tuple(one_line(code) for code in item.findings),
        safety=_SAFETY[item.safety],
        is_safe=item.safety is Safety.SAFE,
        caution=one_line(item.caution).rstrip("."),
        predicted=_predicted(item),
        trial=_trial(trial, titles),
        elements=_elements(trial),
        elements_differ=trial.elements is ElementsState.DIFFERENT,
        costs=_costs(item),
        diff=tuple(harmless(line) for line in (item.diff or "").rstrip("\n").split("\n")) if item.diff else (),
        sketch=tuple(harmless(line) for line in item.sketch.split("\n")) if item.sketch else (),
        code=_code(item),
        diff_reason="" if item.diff_reason == trial.reason else one_line(item.diff_reason),
        predicted_interval=None if predicted is None else _interval(predicted.speedup, predicted.low, predicted.high),
        trial_interval=_interval(trial.speedup, trial.low, trial.high),
        noise_interval=_interval(1.0, trial.noise_low, trial.noise_high),
    )


def _code(item: Recommendation) -> tuple[str, ...]:
    if item.diff or item.sketch or not item.diff_reason or item.call_site is None:
        return ()
    return tuple(harmless(line) for line in item.call_site.code.split("\n")[:_CODE_LINES])


def _interval(value: float | None, low: float | None, high: float | None) -> Interval | None:
    if value is None or low is None or high is None:
        return None
    return Interval(value=value, low=low, high=high)


def _standing(item: Recommendation) -> str:
    if not item.trial.state.is_gain or item.accepted:
        return ""
    if item.safety is Safety.REORDERS and item.trial.elements is not ElementsState.UNCHECKED:
        return "left out of the patch unless you ask for it: pipeprof fix --allow reorders"
    if item.trial.elements in {ElementsState.UNCHECKED, ElementsState.REORDERED}:
        return "left out of the patch: the data were not proven to stay the same"
    return "left out of the patch unless you ask for it"


def _predicted(item: Recommendation) -> str:
    if item.predicted is None:
        return "no prediction"
    foreseen = item.predicted
    numbers = f"{units.ratio(foreseen.speedup)} ({units.ratio_interval(foreseen.low, foreseen.high)})"
    return "; ".join(part for part in (numbers, _pays(foreseen), one_line(foreseen.basis)) if part)


def _pays(foreseen: Prediction) -> str:
    """Return from which epoch on a change has earned back what it costs first, empty where it costs nothing first."""
    if foreseen.break_even_epochs is None:
        return ""
    likely = _epoch(foreseen.break_even_epochs)
    if foreseen.break_even_high is None:
        return f"pays from the {ordinal(likely)} epoch, if at all"
    latest = _epoch(foreseen.break_even_high)
    return f"pays from the {ordinal(likely)} epoch" + (f", at the latest from the {ordinal(latest)}" if latest > likely else "")


def _epoch(earned_after: float) -> int:
    """Return the first epoch at whose end the cost is earned back: the second at the soonest, the first pays it."""
    return max(_SOONEST, math.ceil(earned_after))


def _trial(trial: Trial, titles: Mapping[str, str]) -> str:
    reason = one_line(trial.reason)
    if trial.state is TrialState.NOT_TRIED:
        return reason or "no reason was recorded"
    numbers = "" if trial.speedup is None else units.ratio(trial.speedup)
    if numbers and trial.low is not None and trial.high is not None:
        numbers += f" ({units.ratio_interval(trial.low, trial.high)})"
    pairs = f"in {units.count_of(trial.pairs, 'pair')}" if trial.pairs else ""
    method = _method(trial) if numbers or pairs else ""  # refused before anything was timed
    measured = " ".join(part for part in (numbers, method, pairs) if part)
    stacked = list_words([one_line(titles.get(name, name)) for name in trial.on_top_of])
    cpu = _cpu(trial)
    more = "more pairs would decide it: give them time with --budget" if trial.undecided else ""
    return "; ".join(part for part in (measured, reason, cpu, f"on top of: {stacked}" if stacked else "", more) if part)


def _cpu(trial: Trial) -> str:
    """Return what an element takes of the cores, where that is clearly another: it decides between what is as fast."""
    if trial.cpu_low is None or trial.cpu_high is None or trial.baseline_cpu_s is None or trial.candidate_cpu_s is None:
        return ""
    if trial.cpu_high >= 1 / _SAME_CPU and trial.cpu_low <= _SAME_CPU:
        return ""
    amounts = f"{units.duration(trial.baseline_cpu_s)} → {units.duration(trial.candidate_cpu_s)} an element"
    return f"it takes {'less' if trial.cpu_low > 1 else 'more'} CPU: {amounts}"


def _storage(trial: Trial) -> str:
    """Return where what the trial read came from, where it read anything to speak of."""
    if not trial.read_bytes or trial.storage_bytes is None or trial.read_bytes < _NOTICEABLE_BYTES:
        return ""
    share = min(1.0, trial.storage_bytes / trial.read_bytes)
    if share < _FROM_CACHE:
        return "files came from the page cache"
    return f"{units.percent(share)} of what was read came from storage, the rest from the page cache"


def _method(trial: Trial) -> str:
    if trial.method == "rerun":
        return "by re-running the script"
    return f"by {one_line(trial.method)}"


def _elements(trial: Trial) -> str:
    if trial.state is TrialState.NOT_TRIED and trial.elements is ElementsState.UNCHECKED:
        return ""
    note = f"; {one_line(trial.elements_note)}" if trial.elements_note else ""
    if not trial.elements_compared:
        return _ELEMENTS[trial.elements] + note
    state = "elements not proven the same" if trial.elements is ElementsState.UNCHECKED else _ELEMENTS[trial.elements]
    epochs = f" over {units.count_of(trial.epochs_compared, 'epoch')}" if trial.epochs_compared else ""
    also = f"; also compared: {list_words(list(trial.also_compared))}" if trial.also_compared else ""
    return f"{state}: {trial.elements_compared:,} compared{epochs}{also}{note}"


def _memory(item: Recommendation) -> str:
    """Return what a change holds, and what it can hold at most where that is much more, or gives back."""
    sure, most = item.memory_bytes or 0, item.memory_most_bytes
    if item.memory_saved_bytes is not None and most is not None:
        held = f"{units.byte_count(item.memory_saved_bytes)} less than they held" if item.memory_saved_bytes else ""
        limit = f"AUTOTUNE's buffers take at most {units.byte_count(most)} then"
        return f"{limit}, {held or 'and did not hold more'}"
    needs = f"needs {units.byte_count(sure)} of memory" if sure else ""
    if most is None or most < _MUCH_MORE * sure or not most:
        return needs
    return f"{needs}, at most {units.byte_count(most)}" if needs else f"takes at most {units.byte_count(most)} of memory"


def _costs(item: Recommendation) -> str:
    trial = item.trial
    parts = [
        _memory(item),
        "" if trial.memory_bytes is None else f"took {units.byte_count(trial.memory_bytes)} in the trial",
        "" if item.break_even_epochs is None else f"pays off after {counted(item.break_even_epochs, 'epochs')}",
        _storage(trial),
        "" if (trial.fill_s or 0.0) < _NOTICEABLE_S else f"the first epoch takes {units.duration(trial.fill_s)} longer",
    ]
    return ", ".join(part for part in parts if part)
