"""The Diagnosis of a Profile: analysis, rules, recommendations and patches, put together.

Judging is pure; only writing the patches reads the user's files, and a file that changed since it was captured gets none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from pipeprof.advise.judging import judge_as_chosen
from pipeprof.advise.patches import with_patch
from pipeprof.advise.recommend import recommend
from pipeprof.analysis import analyse
from pipeprof.analysis.alignment import align
from pipeprof.analysis.alone import conclude_alone
from pipeprof.analysis.bound import find_bound
from pipeprof.analysis.isolated import cpu_coverage
from pipeprof.analysis.levels import levels_over_time
from pipeprof.analysis.rewrites import Applied, explained_share, name_rewrites
from pipeprof.analysis.scaling import scaled_rates
from pipeprof.analysis.sources import compare_sources
from pipeprof.analysis.verdict import conclude, describe_empty
from pipeprof.choice import Choice
from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.diagnosis import Diagnosis, Finding, Pipeline, Recommendation, Rerun, Run
from pipeprof.model.plan import applied_phrase
from pipeprof.model.profile import Profile, RerunFacts, TrialRecord
from pipeprof.rules.base import name_stage
from pipeprof.rules.causes import group_by_cause

_OF_A_RERUN = ("id", "state", "reason", "speedup", "low", "high", "pairs", "baseline_step_s", "candidate_step_s")


def diagnose(profile: Profile, choice: Choice | None = None, *, with_patches: bool = True) -> Diagnosis:
    """Conclude from a Profile.

    Args:
        profile: what was measured.
        choice: which rules judge, and by which thresholds; all by their own where None.
        with_patches: whether to write the patches, which reads the user's files.
    """
    analysis = analyse(profile)
    judgement = judge_as_chosen(analysis, choice or Choice())
    recommendations = recommend(analysis, judgement.findings)
    findings, recommendations = _without_applied(judgement.findings, recommendations, profile.run.applied)
    if with_patches:
        recommendations = tuple(with_patch(item, analysis) for item in recommendations)
    return Diagnosis(
        run=_run(profile),
        steps=analysis.steps,
        resources=analysis.resources,
        verdict=conclude_alone(conclude(analysis.verdict, findings), analysis),
        timeline=analysis.timeline,
        pipelines=tuple(_pipeline(analysis, view) for view in analysis.pipelines),
        findings=group_by_cause(findings, judgement.rules, analysis),
        recommendations=recommendations,
        rules=judgement.outcomes,
        unused_comments=judgement.unused,
        trials_note=profile.trials_note,
        not_read_again=tuple(_not_read_again(analysis)),
        reruns=tuple(_rerun(item, item.rerun) for item in profile.trials if item.rerun is not None),
    )


def _not_read_again(analysis: Analysis) -> Iterator[str]:
    views = {view.record.id: view for view in analysis.pipelines}
    for look in analysis.profile.looks:
        view = views.get(look.order.pipeline_id)
        if look.same is None and view is not None:
            yield f"{name_stage(view.stage(look.order.stage_id))}: {look.note}"


def _rerun(trial: TrialRecord, facts: RerunFacts) -> Rerun:
    own = {name: getattr(trial, name) for name in _OF_A_RERUN}
    return Rerun(**own, **{item.name: getattr(facts, item.name) for item in fields(RerunFacts)})


def _without_applied(
    findings: tuple[Finding, ...], recommendations: tuple[Recommendation, ...], applied: tuple[str, ...]
) -> tuple[tuple[Finding, ...], tuple[Recommendation, ...]]:
    """Leave out what the run had already, though its source does not show it, and the findings that lead to it."""
    had = [item for item in recommendations if applied_phrase(item.title, item.call_site) in applied]
    cured = {(code, item.pipeline_id, item.stage_id) for item in had for code in item.findings}
    left = tuple(item for item in findings if (item.code, item.pipeline_id, item.stage_id) not in cured)
    return left, tuple(item for item in recommendations if item not in had)


def _run(profile: Profile) -> Run:
    run = profile.run
    return Run(
        id=run.id,
        command=run.command,
        versions=run.versions,
        host=run.host,
        wall_s=run.wall_s,
        exit_status=run.exit_status,
        started_at=run.started_at,
        ended=run.ended,
        capture_overhead_share=run.capture_overhead_share,
        problems=run.problems,
        gave_nothing=tuple(describe_empty(item) for item in profile.empty_pipelines),
        bench_step_s=run.bench_step_s,
    )


def _pipeline(analysis: Analysis, view: PipelineView) -> Pipeline:
    alignment = align(view.record)
    return Pipeline(
        id=view.record.id,
        role=view.record.role,
        call_site=view.record.call_site,
        stages=tuple(item.stage for item in view.stages),
        written=" → ".join(item.stage.op for item in view.stages if item.written is not None),
        executed=_executed(view),
        unattributed_s_per_step=view.unattributed_s_per_step,
        consumer=view.record.consumer,
        counters=view.record.counters,
        windows=view.record.windows,
        sources_factor=max((pair.factor for pair in compare_sources(view.record)), default=None),
        rewrites=tuple(_rewrite_text(view, item) for item in name_rewrites(view.record, alignment)),
        explained_share=explained_share(view.record, alignment),
        levels=levels_over_time(view.stages, view.record),
        scaling_stage_id=view.record.scaling_stage,
        scaling=scaled_rates(view.record),
        cpu_coverage=cpu_coverage(view),
        cpu_s_per_step=view.input_cpu_s_per_step,
        bound=find_bound(analysis, view),
    )


def _rewrite_text(view: PipelineView, applied: Applied) -> str:
    stages = ", ".join(view.stage(stage_id).stage.op for stage_id in applied.stage_ids)
    sides = " → ".join(part for part in (stages, " + ".join(applied.nodes)) if part)
    return f"{applied.rewrite}: {sides}"


def _executed(view: PipelineView) -> str:
    """Describe what TensorFlow ran, source first, each node once."""
    names: dict[str, str] = {}
    for item in view.stages:
        for node in reversed(item.executed):
            names.setdefault(node.id, _node_text(item, node.node))
    return " → ".join(names.values())


def _node_text(item: StageView, node: str) -> str:
    if item.stage.injected:
        return f"{node} (added by TensorFlow)"
    if item.stage.parallelism is None or node.startswith("Prefetch"):
        return node
    threads = "1 call at a time" if item.stage.parallelism <= 1 else f"{item.stage.parallelism:.0f} threads"
    chosen = ", AUTOTUNE" if item.is_parallel_by_autotune else ""
    return f"{node} ({threads}{chosen})"
