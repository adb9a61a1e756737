"""The words and rows that all renderers share: one Diagnosis becomes one Sheet of finished text.

Pure: no clock, no disk, no environment. Every number is turned into words here or in its neighbours through ``units``, so
that the terminal and the page can never disagree; all user text is harmless from here on. Renderers lay out, and no more.
"""

from __future__ import annotations

import shlex
import signal
from dataclasses import dataclass
from enum import StrEnum

from pipeprof import units
from pipeprof.model.diagnosis import Diagnosis, Gpu, InputBound, Limit, Run, Severity, Steps, Verdict
from pipeprof.model.profile import TRACED, Role, TrialState
from pipeprof.report.advice import AdviceText, FindingText, Outcome, advice_text, finding_text, sort_advice, sort_findings
from pipeprof.report.gaps import Gap, find_gaps
from pipeprof.report.reruns import rerun_text
from pipeprof.report.stages import PipelineTable, Sites, pipeline_table
from pipeprof.report.steps import StepRow, step_notes, step_rows
from pipeprof.report.text import one_line

_TOLD_ELSEWHERE = {"PP004", "PP101", "PP102"}  # their findings say what the verdict and "not measured" say
_LOCK_WORTH_TELLING = 0.1
_SERIOUS = {Severity.HIGH, Severity.MEDIUM}
_ROLES = {Role.TRAIN: 0, Role.VALIDATION: 1, Role.OTHER: 2}


class Tone(StrEnum):
    """How good the news is; renderers turn it into a mark and a colour."""

    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"
    UNKNOWN = "unknown"


_TONES = {
    InputBound.HIGHLY: Tone.BAD,
    InputBound.MODERATELY: Tone.WARNING,
    InputBound.NOT: Tone.WARNING,  # good only where the verdict says that there is nothing to fix
    InputBound.UNKNOWN: Tone.UNKNOWN,
}
_RERUN_TONES = {
    TrialState.CONFIRMED: Tone.GOOD,
    TrialState.NO_DIFFERENCE: Tone.WARNING,
    TrialState.WORSE: Tone.BAD,
    TrialState.NOT_TRIED: Tone.UNKNOWN,
}
_BOUNDS = {
    InputBound.HIGHLY: "highly input-bound",
    InputBound.MODERATELY: "moderately input-bound",
    InputBound.NOT: "not input-bound",
    InputBound.UNKNOWN: "not judged",
}
_LIMITS = {  # of the input says nothing beside the band
    Limit.COMPUTE: "limited by the model",
    Limit.HOST: "limited by Python work between the steps",
    Limit.CONTENTION: "input and model compete for the CPU",
    Limit.STARTUP: "limited by the start",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Headline:
    """The verdict."""

    tone: Tone
    sentence: str
    tags: tuple[str, ...]  # band, limit, ceiling, confidence


@dataclass(frozen=True, kw_only=True, slots=True)
class Fact:
    """One named fact about the run."""

    name: str
    value: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RerunText:
    """What became of the script itself, run again."""

    tone: Tone
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RuleRow:
    """What became of one rule."""

    name: str  # with its code
    outcome: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Sheet:
    """Everything a report says, in finished words."""

    headline: Headline
    facts: str
    step_rows: tuple[StepRow, ...]
    step_notes: str
    pipelines: tuple[PipelineTable, ...]  # training first
    findings: tuple[FindingText, ...]  # most severe first
    key_findings: tuple[FindingText, ...]  # without those that repeat what is told elsewhere
    advice: tuple[AdviceText, ...]
    advice_summary: str
    reruns: tuple[RerunText, ...]
    gaps: tuple[Gap, ...]
    run_facts: tuple[Fact, ...]
    rules: tuple[RuleRow, ...]


def make_sheet(diagnosis: Diagnosis) -> Sheet:
    """Turn a Diagnosis into words."""
    sites = Sites(diagnosis)
    findings = tuple(finding_text(item, sites) for item in sort_findings(diagnosis.findings))
    pipelines = sorted(diagnosis.pipelines, key=lambda item: _ROLES[item.role])
    titles = {item.id: item.title for item in diagnosis.recommendations}
    advice = tuple(advice_text(item, sites, titles) for item in sort_advice(diagnosis.recommendations))
    return Sheet(
        headline=_headline(diagnosis),
        facts=_facts(diagnosis),
        step_rows=step_rows(diagnosis.steps),
        step_notes=step_notes(diagnosis.steps),
        pipelines=tuple(pipeline_table(item, sites) for item in pipelines),
        findings=findings,
        key_findings=tuple(item for item in findings if item.code not in _TOLD_ELSEWHERE),
        advice=advice,
        advice_summary=_advice_summary(advice),
        reruns=tuple(RerunText(tone=_RERUN_TONES[item.state], text=rerun_text(item)) for item in diagnosis.reruns),
        gaps=find_gaps(diagnosis, sites),
        run_facts=_run_facts(diagnosis),
        rules=tuple(
            RuleRow(name=one_line(f"{rule.code} {rule.name}"), outcome=one_line(rule.outcome), reason=one_line(rule.reason))
            for rule in diagnosis.rules
        ),
    )


def _headline(diagnosis: Diagnosis) -> Headline:
    verdict = diagnosis.verdict
    if diagnosis.run.bench_step_s == 0 and diagnosis.steps.count:
        return Headline(
            tone=Tone.WARNING if any(item.severity in _SERIOUS for item in diagnosis.all_findings) else Tone.GOOD,
            sentence=one_line(verdict.sentence),
            tags=("measured alone, without training", f"{verdict.confidence} confidence"),
        )
    band, limit = _BOUNDS[verdict.input_bound], _LIMITS.get(verdict.limit, "")
    tags = (band, limit, _ceiling(diagnosis), f"{verdict.confidence} confidence")
    died = (diagnosis.run.exit_status or 0) < 0
    return Headline(
        tone=Tone.BAD if died else _tone(verdict),
        sentence=one_line(verdict.sentence),
        tags=(*((end_text(diagnosis.run),) if died else ()), *(tag for tag in tags if tag)),
    )


def _tone(verdict: Verdict) -> Tone:
    return Tone.GOOD if verdict.nothing_to_fix else _TONES[verdict.input_bound]


def _ceiling(diagnosis: Diagnosis) -> str:
    verdict = diagnosis.verdict
    if verdict.ceiling_speedup is None:
        return ""
    text = f"ceiling {units.ratio(verdict.ceiling_speedup)}"
    if verdict.ceiling_low is None:
        return text
    if verdict.ceiling_high is None:
        return f"{text} (no upper bound)"
    return f"{text} ({units.ratio_interval(verdict.ceiling_low, verdict.ceiling_high)})"


def _facts(diagnosis: Diagnosis) -> str:
    return " ".join(sentence for sentence in (_loop_sentence(diagnosis), _machine_sentence(diagnosis)) if sentence)


def _loop_sentence(diagnosis: Diagnosis) -> str:
    steps = diagnosis.steps
    if not steps.count:
        return "No training step was seen."
    epochs = f" in {units.count_of(steps.epochs, 'epoch')}" if steps.epochs else ""
    parts = [units.count_of(steps.count, "step") + epochs]
    if steps.median_s is not None:
        within = "" if steps.p95_s is None else f", 95 % within {units.duration(steps.p95_s)}"
        parts[0] += f", median {units.duration(steps.median_s)}{within}"
    if steps.wait_share is not None and diagnosis.run.bench_step_s != 0:  # who takes no time does nothing but wait
        parts.append(f"waiting {_wait(steps)}{_had_back(diagnosis.verdict)}")
    if steps.first_batch_s is not None:
        parts.append(f"first batch after {units.duration(steps.first_batch_s)}")
    return "; ".join(parts) + "."


def _wait(steps: Steps) -> str:
    text = units.percent(steps.wait_share)
    if steps.wait_share_low is not None and steps.wait_share_high is not None:
        text += f" ({units.percent_interval(steps.wait_share_low, steps.wait_share_high)})"
    boundaries = f" ({units.percent(steps.boundary_wait_share)} at epoch boundaries)" if steps.boundary_wait_share else ""
    return f"{text} of the time{boundaries}"


def _had_back(verdict: Verdict) -> str:
    if verdict.recoverable_low is None or verdict.recoverable_high is None:
        return ""
    share = units.percent_interval(verdict.recoverable_low, verdict.recoverable_high)
    return f", of which {share} can be had back: the rest is hand-over that a ready input pays too"


def _machine_sentence(diagnosis: Diagnosis) -> str:
    resources, host = diagnosis.resources, diagnosis.run.host
    parts = []
    if resources.cpu_share is not None:
        parts.append(f"CPU {units.percent(resources.cpu_share)} of {units.count_of(host.cores, 'core')}")
    if resources.rss_peak_bytes is not None:
        limit = resources.memory_limit_bytes
        of_limit = "" if limit is None else f" of {units.byte_count(limit)}"
        parts.append(f"memory at most {units.byte_count(resources.rss_peak_bytes)}{of_limit}")
    if resources.read_bytes_per_s is not None:
        parts.append(f"{units.byte_count(resources.read_bytes_per_s)}/s read from storage")
    if resources.lock_held_share is not None and resources.lock_held_share >= _LOCK_WORTH_TELLING:
        parts.append(f"Python's lock held {units.percent(resources.lock_held_share)} of the loop")
    if resources.throttled_s:
        parts.append(f"throttled by the CPU quota for {units.duration(resources.throttled_s)}")
    parts += [f"{one_line(gpu.name)} {units.percent(gpu.sm_share)} busy" for gpu in resources.gpus if gpu.sm_share is not None]
    return "; ".join(parts) + "." if parts else ""


def _advice_summary(advice: tuple[AdviceText, ...]) -> str:
    counts = [(sum(item.outcome is outcome for item in advice), outcome.value) for outcome in Outcome]
    return ", ".join(f"{number} {word}" for number, word in counts if number)


def _rules_summary(diagnosis: Diagnosis) -> str:
    outcomes = dict.fromkeys(rule.outcome for rule in diagnosis.rules)
    counts = [f"{sum(rule.outcome == outcome for rule in diagnosis.rules)} {one_line(outcome)}" for outcome in outcomes]
    return f"{units.count_of(len(diagnosis.rules), 'rule')}: {', '.join(counts)}" if counts else ""


def _run_facts(diagnosis: Diagnosis) -> tuple[Fact, ...]:
    run, host, versions = diagnosis.run, diagnosis.run.host, diagnosis.run.versions
    packages = (
        ("pipeprof", versions.pipeprof),
        ("Python", versions.python),
        ("TensorFlow", versions.tensorflow),
        ("Keras", versions.keras),
    )
    named = " · ".join(f"{name} {one_line(version)}" for name, version in packages if version)
    quota = "" if host.cpu_quota is None else f", quota {units.significant(host.cpu_quota)}"
    model = f" ({one_line(host.cpu_model)})" if host.cpu_model else ""
    limit = "" if host.memory_limit_bytes is None else f", limit {units.byte_count(host.memory_limit_bytes)}"
    facts = [
        Fact(name="Run", value=one_line(run.id)),
        Fact(name="Command", value=command_text(run)),
        Fact(name="Started", value=one_line(run.started_at)),
        Fact(name="Ended", value=end_text(run)),
        Fact(name="Versions", value=named + (f" on {one_line(versions.keras_backend)}" if versions.keras_backend else "")),
        Fact(name="CPU", value=units.count_of(host.cores, "core") + quota + model),
        Fact(name="Memory", value=units.byte_count(host.memory_bytes) + limit),
        *(Fact(name="GPU", value=_gpu(gpu)) for gpu in diagnosis.resources.gpus),
        Fact(name="Capture", value=f"{units.percent(run.capture_overhead_share)} of the run's time"),
        Fact(name="Steps from", value=one_line(diagnosis.steps.method)),
        Fact(name="Rules", value=_rules_summary(diagnosis)),
    ]
    return tuple(fact for fact in facts if fact.value)


def _gpu(gpu: Gpu) -> str:
    parts = [
        one_line(gpu.name),
        "load not measured" if gpu.sm_share is None else f"{units.percent(gpu.sm_share)} busy",
        "" if gpu.memory_bytes is None else units.byte_count(gpu.memory_bytes),
        "" if gpu.power_w is None else f"{gpu.power_w:.0f} W",
        "" if gpu.pcie_bytes_per_s is None else f"PCIe {units.byte_count(gpu.pcie_bytes_per_s)}/s",
    ]
    return ", ".join(part for part in parts if part)


def command_text(run: Run) -> str:
    """Return the command as it can be typed again, harmless and on one line."""
    return one_line(" ".join(shlex.quote(part) for part in run.command))


def end_text(run: Run) -> str:
    """Return how the script ended: ``exit status 1 after 3.2 s``, ``killed by SIGKILL after 4.1 min``."""
    after = f" after {units.duration(run.wall_s)}"
    if run.ended == TRACED:
        return f"traced for {units.duration(run.wall_s)}"
    if run.exit_status is None:
        return f"still running{after}"
    if run.exit_status < 0:
        return f"killed by {_signal_name(-run.exit_status)}{after}"
    return f"exit status {run.exit_status}{after}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
