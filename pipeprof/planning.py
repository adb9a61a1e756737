"""Plans which confirmed changes of a run a new run may have, and refuses where they are proven for something else.

Reads the user's files only to see that they are as they were. It must not load TensorFlow, nor run anything.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path

from pipeprof.advise.applied_order import FOLLOWS, ORDER, counts_on_order
from pipeprof.advise.applied_refusals import BY_SOURCE, at_another_time
from pipeprof.advise.applying import KEEPS_PACE, why_not_here
from pipeprof.advise.call_twins import ONE_FOR_ALL, stages_of_call
from pipeprof.advise.changes.cast_later import CAST, last_holder
from pipeprof.advise.changes.move_cache import cut_short_by
from pipeprof.advise.judging import judge_as_chosen
from pipeprof.advise.live_state import READS_TABLE, live_state, live_state_above
from pipeprof.advise.recommend import PROVEN, UNTIMED, recommend
from pipeprof.advise.script_showed import shown_by_script
from pipeprof.analysis import analyse
from pipeprof.analysis.stage_graph import downstream, neighbours
from pipeprof.capture.call_sites import source_digest
from pipeprof.capture.host_facts import host_facts
from pipeprof.choice import Choice
from pipeprof.errors import UserError
from pipeprof.model.analysis import Analysis, PipelineView
from pipeprof.model.diagnosis import Recommendation, Safety
from pipeprof.model.plan import ApplyPlan, PlannedChange, PlannedStage, applied_phrase, site_range
from pipeprof.model.profile import CallSite, Change, ElementsState, PipelineRecord, Profile, WrittenStage

_TENSORFLOWS = ("tensorflow", "tensorflow-cpu", "tf-nightly")
_PAIRS = frozenset({"skip_earlier", "shuffle_earlier", "filter_earlier", "vectorize", "parse_batch"})
_REORDERS = "it reorders the elements, and is made where that is asked for: --allow reorders"
_INFINITE = -1  # cardinality
_AGAIN = "run the script again with pipeprof run, then apply that run"


def plan_changes(
    profile: Profile,
    command: Sequence[str],
    choice: Choice | None = None,
    directory: Path | None = None,
    allow: Sequence[Safety] = (),
    *,
    untimed: bool = False,
) -> ApplyPlan:
    """Return the confirmed changes of a run for a new run of the same script.

    Args:
        profile: the earlier run.
        command: the script (or ``-m`` and the module) and its arguments, as typed.
        choice: which rules judge.
        directory: where the new run will be; the working directory where None.
        allow: what else changes may do to the data.
        untimed: whether to take also those of them whose gain only the script can show, and has not shown yet.

    Raises:
        UserError: nothing was confirmed, or it was confirmed for another script, source, machine or TensorFlow.
    """
    _refuse_other_script(profile, command, directory or Path.cwd())
    _refuse_changed_sources(profile)
    refuse_other_place(profile)
    analysis = analyse(profile)
    found = recommend(analysis, judge_as_chosen(analysis, choice or Choice()).findings)
    shown = [item for item in found if item.accepted or _is_shown(item, analysis, untimed and item.safety in allow)]
    if not shown:
        raise UserError(
            f"no change of {profile.run.id} was confirmed", "pipeprof report shows what was found and what became of it"
        )
    reasons = {item.id: _why_left(item, analysis, allow) for item in shown}
    able = [item for item in shown if not reasons[item.id]]
    left = [
        f"not applied: {applied_phrase(item.title, item.call_site)}: {reasons[item.id]}" for item in shown if reasons[item.id]
    ]
    if not able:
        raise UserError(f"nothing of {profile.run.id} can be applied to a running program", "; ".join(left))
    changes = tuple(_planned(_following(item, able), analysis) for item in able)
    return ApplyPlan(run_id=profile.run.id, changes=changes, left=tuple(left))


def _following(item: Recommendation, planned: Sequence[Recommendation]) -> Recommendation:
    """Let a stage that becomes parallel hand on its elements as they are ready, where that is planned for its pipeline."""
    is_asked = any(other.change.kind == "nondeterministic" and other.pipeline_id == item.pipeline_id for other in planned)
    if item.change.kind != "parallel_calls" or not is_asked:
        return item
    return replace(item, change=replace(item.change, params={**item.change.params, ORDER: FOLLOWS}))


def _is_shown(item: Recommendation, analysis: Analysis, untimed: bool) -> bool:
    """Tell whether a change reorders and was seen to do no more, and was confirmed: by a trial, or by the script itself."""
    if item.safety is not Safety.REORDERS:
        return False
    if item.change.kind not in UNTIMED:
        return item.trial.state.is_gain and item.trial.elements in PROVEN | {ElementsState.REORDERED}
    view = next(view for view in analysis.pipelines if view.record.id == item.pipeline_id)
    is_wanted = untimed or item.id in shown_by_script(analysis.profile.trials)
    is_proven = item.trial.elements is ElementsState.REORDERED and not live_state_above(view, item.stage_id or "")
    return is_wanted and is_proven


def _why_left(item: Recommendation, analysis: Analysis, allow: Sequence[Safety]) -> str:
    """Return why a change that was shown is not planned, "" where it is."""
    reason = why_not_here(item.change.kind) or _why_not_early(item, analysis)
    if item.accepted or item.safety in allow:
        return reason or _why_not_reordered(item, analysis)
    return reason or _REORDERS


def _why_not_early(item: Recommendation, analysis: Analysis) -> str:
    """Return what of the program all stages would see too early, as far as a run tells: which tables change it does not."""
    if item.change.kind in KEEPS_PACE:
        return ""
    reasons = [live_state_above(view, stage_id) for view, stage_id in _places(item, analysis)]
    return at_another_time(reasons[0]) if reasons and all(one not in {"", READS_TABLE} for one in reasons) else ""


def _why_not_reordered(item: Recommendation, analysis: Analysis) -> str:
    """Return why stages behind one that reorders forbid it, "" where they do not, or where it reorders nothing."""
    for stage in _behind(item, analysis) if item.safety is Safety.REORDERS else ():
        function = stage.function
        if function is not None and function.random_ops and function.has_op_seed:
            return f"random draws of {stage.op} behind it are seeded and would fall on other elements"
        if counts_on_order(stage.class_name):
            return f"{stage.op} behind it takes elements by their place"
        reason = live_state(function)
        if reason and stage.arguments.get("num_parallel_calls", 1) == 1:  # several at a time count on no order as it is
            return f"behind it {reason} for one element after the other; {BY_SOURCE}"
    return ""


def _behind(item: Recommendation, analysis: Analysis) -> Iterator[WrittenStage]:
    """Yield what reads the stages that a change is made at."""
    for view, stage_id in _places(item, analysis):
        yield from (found.written for found in downstream(view, stage_id) if found.written is not None)


def plan_ceiling(profile: Profile) -> ApplyPlan:
    """Return a plan that puts one batch, always ready, in the place of the training input.

    Raises:
        UserError: the sources changed since, it is a run of another machine or TensorFlow, or no training input was seen.
    """
    _refuse_changed_sources(profile)
    refuse_other_place(profile)
    train = analyse(profile).train
    if train is None:
        raise UserError(f"no training input was seen in {profile.run.id}", "pipeprof report shows what was")
    record = train.record
    output = next(stage for stage in record.written if stage.id == record.output)
    whole = next((epoch.elements for epoch in record.loop.epochs if epoch.elements), record.loop.elements)
    elements = output.cardinality if output.cardinality >= 0 or output.cardinality == _INFINITE else whole
    change = Change(kind="ready_input", params={"elements": elements})
    site = output.call_site
    planned = PlannedChange(
        id="ceiling",
        phrase=applied_phrase("One batch, always ready, in the place of the input", site),
        change=change,
        trees=(_tree(record, record.output),),
    )
    return ApplyPlan(run_id=profile.run.id, changes=(planned,))


def _refuse_other_script(profile: Profile, command: Sequence[str], directory: Path) -> None:
    then, base = profile.run.command, Path(profile.run.working_directory or ".")
    if _script(then, base) != _script(command, directory):
        was, now = _script_name(then), _script_name(command)
        raise UserError(f"{profile.run.id} was a run of {was}, not of {now}", "name a run of this script, or run it first")


def _script_name(command: Sequence[str]) -> str:
    return " ".join(command[:2] if command[:1] == ("-m",) else command[:1]) or "another program"


def _script(command: Sequence[str], base: Path) -> str:
    if command and command[0] == "-m":
        return " ".join(command[:2])
    return os.path.realpath(base / command[0]) if command else ""


def _refuse_changed_sources(profile: Profile) -> None:
    for source in profile.run.sources:
        now = source_digest(source.path)
        if now is None or now.sha256 != source.sha256:
            what = "is gone" if now is None else "has changed"
            raise UserError(f"{source.path} {what} since {profile.run.id}", _AGAIN)


def refuse_other_place(profile: Profile) -> None:
    """Refuse a run of another machine or TensorFlow: what was confirmed there is confirmed for nothing here.

    Raises:
        UserError: it is one.
    """
    what = other_place(profile)
    if what:
        raise UserError(what, _AGAIN)


def other_place(profile: Profile) -> str:
    """Return what of the place of a run differs from here, empty where nothing does."""
    then, now = profile.run.host, host_facts()
    for name, was, is_now in (("CPU", then.cpu_model, now.cpu_model), ("number of cores", then.cores, now.cores)):
        if was != is_now:
            return f"{profile.run.id} was made on another machine ({name}: {was}, here {is_now})"
    was, here = profile.run.versions.tensorflow, _tensorflow_version()
    if was is not None and here is not None and _as_installed(was) != _as_installed(here):
        return f"{profile.run.id} was made with TensorFlow {was}, and this is {here}"
    return ""


def _as_installed(version: str) -> str:
    """Return a version as an installer writes it: TensorFlow calls itself 2.21.0-rc1 where that has 2.21.0rc1."""
    return re.sub(r"[-.]?(rc|dev)", r"\1", version)


def _tensorflow_version() -> str | None:
    for name in _TENSORFLOWS:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None


def _planned(item: Recommendation, analysis: Analysis) -> PlannedChange:
    trees = tuple(dict.fromkeys(_tree(view.record, stage_id) for view, stage_id in _places(item, analysis)))
    phrase = applied_phrase(item.title, item.call_site)
    behind = _behind(item, analysis) if item.safety is Safety.REORDERS else ()
    draws = any(stage.function is not None and stage.function.random_ops for stage in behind)
    return PlannedChange(id=item.id, phrase=phrase, change=item.change, trees=trees, draws_behind=draws)


def _places(item: Recommendation, analysis: Analysis) -> Iterator[tuple[PipelineView, str]]:
    """Yield every stage that the change was proven for: one call can make several."""
    own = next(view for view in analysis.pipelines if view.record.id == item.pipeline_id)
    if item.change.kind in ONE_FOR_ALL:
        yield own, own.record.output
        return
    made_at = _made_at(item, own)
    stage, first = own.stage(made_at).stage, _first_of_pair(item, own, made_at)
    for view in analysis.pipelines:
        for stage_id in stages_of_call(view, stage.call_site):
            if view.stage(stage_id).stage.op == stage.op and _first_of_pair(item, view, stage_id) == first:
                yield view, stage_id


def _first_of_pair(item: Recommendation, view: PipelineView, stage_id: str) -> CallSite | None:
    """Return where the first of two stages that change places was made: behind another, the second is not what was proven."""
    if item.change.kind == CAST:
        above = (stage for stage in view.stages if stage.stage.op == "map" and _is_held_by(view, stage.id, stage_id))
        return next((stage.stage.call_site for stage in above), None)
    pair = neighbours(view, stage_id) if item.change.kind in _PAIRS else None
    return None if pair is None else pair[0].stage.call_site


def _is_held_by(view: PipelineView, stage_id: str, holder_id: str) -> bool:
    last = last_holder(view, stage_id)
    return last is not None and last.id == holder_id


def _made_at(item: Recommendation, view: PipelineView) -> str:
    """Return the stage as which a change is made: of two that change places the second, before which there are no two."""
    stage_id = item.stage_id or ""
    if item.change.kind == CAST:
        last = last_holder(view, stage_id)
        return stage_id if last is None else last.id
    pair = neighbours(view, stage_id) if item.change.kind in _PAIRS else None
    take = cut_short_by(view, stage_id) if item.change.kind == "move_cache" else None
    return pair[1].id if pair is not None else take.id if take is not None else stage_id


def _tree(record: PipelineRecord, stage_id: str) -> tuple[PlannedStage, ...]:
    by_id = {stage.id: stage for stage in record.written}
    wanted: set[str] = set()
    waiting = [stage_id]
    while waiting:
        current = waiting.pop()
        if current not in wanted:
            wanted.add(current)
            waiting.extend(by_id[current].inputs)
    kept = [stage for stage in record.written if stage.id in wanted]
    positions = {stage.id: index for index, stage in enumerate(kept)}
    return tuple(_stage(stage, positions) for stage in kept)


def _stage(stage: WrittenStage, positions: dict[str, int]) -> PlannedStage:
    return PlannedStage(
        class_name=stage.class_name,
        site=site_range(stage.call_site),
        inputs=tuple(positions[name] for name in stage.inputs),
        cardinality=stage.cardinality,
    )
