"""What was not measured, in words: the part of a report that keeps silence from looking like health.

Every value that could be there and is not becomes one line, as do the capture's own problems. Nothing is guessed here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeprof import units
from pipeprof.model.diagnosis import Diagnosis, Pipeline, Stage
from pipeprof.report.stages import Sites
from pipeprof.report.text import call_text, list_words, one_line

_SEEN_ENOUGH = 0.95
_NAMED_STAGES = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Gap:
    """One thing that is not known."""

    text: str
    minor: bool = False  # a reader of the short report can do without it


def find_gaps(diagnosis: Diagnosis, sites: Sites) -> tuple[Gap, ...]:
    """Return everything that was not measured, what matters most first."""
    gaps = [Gap(text=one_line(problem)) for problem in diagnosis.run.problems]
    if diagnosis.pipelines:  # else the verdict says it
        gaps += [Gap(text=one_line(sentence)) for sentence in diagnosis.run.gave_nothing]
    if diagnosis.trials_note:
        gaps.append(Gap(text=f"Trials: {one_line(diagnosis.trials_note)}"))
    failed = [rule for rule in diagnosis.rules if rule.outcome == "error"]
    gaps += [Gap(text=f"Rule {one_line(rule.code)} failed: {one_line(rule.reason)}") for rule in failed]
    gaps += [Gap(text=one_line(comment), minor=True) for comment in diagnosis.unused_comments]
    gaps += [Gap(text=f"Elements read again, {one_line(stage)}", minor=True) for stage in diagnosis.not_read_again]
    gaps += _loop_gaps(diagnosis)
    for pipeline in diagnosis.pipelines:
        gaps += _pipeline_gaps(pipeline, sites)
    gaps += _machine_gaps(diagnosis)
    return tuple(sorted(dict.fromkeys(gaps), key=lambda gap: gap.minor))


def _loop_gaps(diagnosis: Diagnosis) -> list[Gap]:
    if not diagnosis.steps.count:
        return [Gap(text="Steps: none was seen")] if diagnosis.pipelines else []
    gaps = []
    if diagnosis.steps.wait_share is None:
        gaps.append(Gap(text="Waiting: the share of the time that training waits for input"))
    elif diagnosis.steps.wait_share_low is None:
        gaps.append(Gap(text="Waiting: how sure its share is (no interval)", minor=True))
    if diagnosis.verdict.ceiling_speedup is None and diagnosis.run.bench_step_s != 0:
        gaps.append(Gap(text="Ceiling: what the fastest possible input would give"))
    return gaps


def _pipeline_gaps(pipeline: Pipeline, sites: Sites) -> list[Gap]:
    name = f"{pipeline.role} pipeline"
    own = [stage for stage in pipeline.stages if stage.fused_into is None]
    ran = [stage for stage in own if stage.executed_as is not None and not stage.injected]
    silent = [stage for stage in ran if stage.busy_s_per_step is None]
    gaps = []
    if ran and len(silent) == len(ran):
        source = one_line(pipeline.counters)
        gaps.append(Gap(text=f"Time inside the stages of the {name}" + (f": {source}" if source else "")))
    elif silent:
        calls = [call_text(stage.op, stage.call_site, not stage.inputs) for stage in silent[:_NAMED_STAGES]]
        more = len(silent) - len(calls)
        named = list_words([*calls, f"{more} more"] if more else calls)
        gaps.append(Gap(text=f"Time inside {named} of the {name}"))
    gaps += _half_seen(ran, sites)
    if ran and all(stage.cpu_s is None and stage.isolated is None for stage in ran):
        gaps.append(Gap(text=f"CPU seconds of the stages of the {name}; busy is wall time", minor=True))
    return gaps


def _half_seen(stages: Sequence[Stage], sites: Sites) -> list[Gap]:
    """Say of the stages that come and go between two samples how much of them was seen."""
    half = [(stage, stage.seen_share) for stage in stages if stage.seen_share is not None and stage.seen_share < _SEEN_ENOUGH]
    if not half:
        return []
    stage, least = min(half, key=lambda item: item[1])
    call = f"{sites.where(stage.call_site)} {call_text(stage.op, stage.call_site, not stage.inputs)}".strip()
    others = "" if len(half) == 1 else f", and not all of {units.count_of(len(half) - 1, 'other stage')}"
    return [Gap(text=f"{call}: the counters saw {units.percent(least)} of its elements{others}; the rest is inferred")]


def _machine_gaps(diagnosis: Diagnosis) -> list[Gap]:
    resources = diagnosis.resources
    quiet = [one_line(gpu.name) for gpu in resources.gpus if gpu.sm_share is None]
    gaps = [Gap(text=f"Load of {units.count_of(len(quiet), 'GPU')}: {list_words(list(dict.fromkeys(quiet)))}")] if quiet else []
    if diagnosis.run.host.gpus and not resources.gpus:
        gaps.append(Gap(text=f"Load of {units.count_of(len(diagnosis.run.host.gpus), 'GPU')}: no sample was taken"))
    if not diagnosis.run.host.gpus and not resources.gpus:
        gaps.append(Gap(text="GPU: none was found", minor=True))
    missing = [
        name
        for name, value in (
            ("CPU load", resources.cpu_share),
            ("peak memory", resources.rss_peak_bytes),
            ("reads from storage", resources.read_bytes_per_s),
            ("throttling by a CPU quota", resources.throttled_s),
            ("pipeprof's own cost", diagnosis.run.capture_overhead_share),
        )
        if value is None
    ]
    if missing:
        gaps.append(Gap(text=f"Machine: {list_words(missing)}", minor=True))
    return gaps
