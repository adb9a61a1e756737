"""The Diagnosis of a Profile: analysis, rules, recommendations and patches, put together.

Judging is pure; only writing the patches reads the user's files, and a file that changed since it was captured gets none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from pipeprof.advise.call_twins import ONE_FOR_ALL
from pipeprof.advise.changes.move_cache import cut_short_by, frozen_by
from pipeprof.advise.changes.parallel_inside import INSIDE
from pipeprof.advise.changes.parse_batch import PARSE
from pipeprof.advise.judging import judge_as_chosen
from pipeprof.advise.recommend import APPLIED_UNASKED, MANUAL, NO_EDIT, PROVEN, recommend
from pipeprof.advise.source_edit import SITES_PER_EDIT, Edit, Patch, plan_edit
from pipeprof.analysis import analyse
from pipeprof.analysis.alignment import align
from pipeprof.analysis.alone import conclude_alone
from pipeprof.analysis.bound import find_bound
from pipeprof.analysis.isolated import cpu_coverage
from pipeprof.analysis.levels import levels_over_time
from pipeprof.analysis.rewrites import Applied, explained_share, name_rewrites
from pipeprof.analysis.scaling import scaled_rates
from pipeprof.analysis.sources import compare_sources
from pipeprof.analysis.stage_graph import neighbours
from pipeprof.analysis.verdict import conclude, describe_empty
from pipeprof.choice import Choice
from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.diagnosis import Diagnosis, Finding, Pipeline, Recommendation, Rerun, Run, Safety
from pipeprof.model.plan import applied_phrase
from pipeprof.model.profile import TRACED, CallSite, Change, ElementsState, Profile, RerunFacts, TrialRecord, TrialState
from pipeprof.rules.causes import group_by_cause

_OF_A_RERUN = ("id", "state", "reason", "speedup", "low", "high", "pairs", "baseline_step_s", "candidate_step_s")
_NO_SITE = "The line that makes this stage is not known: the pipeline was built before the capture began."
_NO_PARSER = "Which call of parse_single_example it is is not known: make it parse_example, and put the batch before the map."
_NO_PAIR = "The two stages that would change places do not follow each other directly."
_NOT_IN_A_TRACE = "A trace does not hold the lines of your code: pipeprof run train.py sees them and writes the patch."


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
        recommendations = tuple(_with_patch(item, analysis) for item in recommendations)
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
        reruns=tuple(_rerun(item, item.rerun) for item in profile.trials if item.rerun is not None),
    )


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


# --- patches -----------------------------------------------------------------------------------------------------


def _with_patch(recommendation: Recommendation, analysis: Analysis) -> Recommendation:
    if recommendation.diff_reason or recommendation.change.kind in MANUAL:
        return recommendation
    if recommendation.change.kind not in SITES_PER_EDIT:
        return replace(recommendation, diff_reason=NO_EDIT.get(recommendation.change.kind, ""))
    patch = patch_for([recommendation], analysis)
    return replace(recommendation, diff=patch.diff, diff_reason="" if patch.diff is not None else patch.reason)


def patch_for(recommendations: Sequence[Recommendation], analysis: Analysis) -> Patch:
    """Return one patch for several recommendations, or the reason why it cannot be made."""
    views = {view.record.id: view for view in analysis.pipelines}
    edits = []
    for item in recommendations:
        view = views.get(item.pipeline_id or "")
        sites = _sites(item, view) if view is not None else ()
        if view is not None and SITES_PER_EDIT[item.change.kind] > 1 and _pair(item, view) is None:
            return Patch(diff=None, reason=_NO_PAIR)
        if view is not None and item.change.kind == PARSE and sites:
            parse = _function_of(item, view, "parse_call")
            if parse is None:
                return Patch(diff=None, reason=_NO_PARSER)
            edits.append(Edit(change=Change(kind="parse_together"), sites=(parse,)))
        if not sites:
            return Patch(diff=None, reason=_NOT_IN_A_TRACE if analysis.profile.run.ended == TRACED else _NO_SITE)
        edits.append(Edit(change=item.change, sites=sites))
    sources = {source.path: source for source in analysis.profile.run.sources}
    root = Path(analysis.profile.run.working_directory or ".")
    return plan_edit(edits, sources, root=root)


@dataclass(frozen=True, kw_only=True, slots=True)
class MadePatch:
    """Changes of a run as one patch."""

    changes: tuple[str, ...]  # their titles
    patch: Patch
    left: tuple[str, ...] = ()  # titles of accepted changes that no patch can hold


def make_patch(
    profile: Profile, choice: Choice | None = None, *, untried: bool = False, allow: Sequence[Safety] = ()
) -> MadePatch:
    """Return the accepted changes of a run as one patch.

    Args:
        profile: the run.
        choice: which rules judge, and by which thresholds.
        untried: whether to take also safe changes of which no trial was made.
        allow: what confirmed changes may do to the data.
    """
    analysis = analyse(profile)
    found = recommend(analysis, judge_as_chosen(analysis, choice or Choice()).findings)
    known = [item for item in found if item.change.kind in SITES_PER_EDIT]
    left = tuple(item.title for item in found if item.accepted and item.change.kind not in SITES_PER_EDIT)
    wanted = [item for item in known if item.accepted or _is_allowed(item, allow) or (untried and _is_safe_and_untried(item))]
    return MadePatch(changes=tuple(item.title for item in wanted), patch=patch_for(wanted, analysis), left=left)


def _is_allowed(item: Recommendation, allow: Sequence[Safety]) -> bool:
    """Tell whether a change was confirmed, does no more to the data than what is allowed, and was seen to do no more."""
    is_proven = item.trial.elements in PROVEN | {ElementsState.REORDERED}
    return item.trial.state is TrialState.CONFIRMED and item.safety in allow and is_proven


def _is_safe_and_untried(item: Recommendation) -> bool:
    is_safe = item.safety in APPLIED_UNASKED
    return is_safe and item.trial.state is TrialState.NOT_TRIED


def _sites(recommendation: Recommendation, view: PipelineView) -> tuple[CallSite, ...]:
    """Return the calls that an edit needs, empty where one is not known."""
    stage, kind = view.stage(recommendation.stage_id or ""), recommendation.change.kind
    sites: list[CallSite | None] = [stage.stage.call_site]
    if kind in ONE_FOR_ALL:
        sites = [view.record.call_site]
    elif kind == INSIDE:
        sites = [_function_of(recommendation, view, "inner_map")]
    elif SITES_PER_EDIT[kind] > 1:
        pair = _pair(recommendation, view)
        sites = [] if pair is None else [item.stage.call_site for item in pair]
    known = [site for site in sites if site is not None]
    return tuple(known) if len(known) == len(sites) else ()


def _function_of(recommendation: Recommendation, view: PipelineView, name: str) -> CallSite | None:
    """Return a call inside the function of the recommendation's stage, None where it is not known."""
    written = view.stage(recommendation.stage_id or "").written
    site = getattr(written.function, name) if written is not None and written.function is not None else None
    return site if isinstance(site, CallSite) else None


def _pair(recommendation: Recommendation, view: PipelineView) -> tuple[StageView, StageView] | None:
    """Return the two stages that change places, as they stand."""
    stage = view.stage(recommendation.stage_id or "")
    if recommendation.change.kind != "move_cache":
        return neighbours(view, stage.id)
    take, above = cut_short_by(view, stage.id), frozen_by(view, stage.id)
    if take is not None:
        return stage, take
    return None if above is None else (above, stage)
