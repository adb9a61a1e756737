"""Patches for recommendations: which calls of the user's source each of them concerns, and what one patch can hold.

The edits themselves are ``source_edit``'s. It reads the user's files and writes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipeprof.advise.call_twins import ONE_FOR_ALL, stages_of_call
from pipeprof.advise.changes import find_change
from pipeprof.advise.changes.cast_later import CAST, last_holder
from pipeprof.advise.changes.filter_earlier import EFFECTS, FILTER
from pipeprof.advise.changes.fuse_decode_crop import FUSE
from pipeprof.advise.changes.move_cache import cut_short_by, frozen_by
from pipeprof.advise.changes.parallel_inside import INSIDE
from pipeprof.advise.changes.parse_batch import PARSE
from pipeprof.advise.changes.shrink_prefetch import SHRINK, SIZE, size_of
from pipeprof.advise.changes.split_map import SPLIT
from pipeprof.advise.changes.synchronous import SYNCHRONOUS
from pipeprof.advise.judging import judge_as_chosen
from pipeprof.advise.recommend import APPLIED_UNASKED, MANUAL, NO_EDIT, PROVEN, UNTIMED, recommend
from pipeprof.advise.script_showed import shown_by_script
from pipeprof.advise.source_edit import SITES_PER_EDIT, Edit, Patch, plan_edit
from pipeprof.analysis import analyse
from pipeprof.analysis.before_draws import share_before_draws
from pipeprof.analysis.stage_graph import neighbours, upstream
from pipeprof.choice import Choice
from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.diagnosis import Recommendation, Safety
from pipeprof.model.profile import TRACED, CallSite, Change, ElementsState, FirstDraw, Profile, StageFunction, TrialState

_NO_SITE = "The line that makes this stage is not known: the pipeline was built before the capture began."
_NO_PARSER = "Which call of parse_single_example it is is not known: make it parse_example, and put the batch before the map."
_NO_PAIR = "The two stages that would change places do not follow each other directly."
_NO_HOLDER = "Nothing that holds or copies elements is known to stand directly behind the map."
_NOT_IN_A_TRACE = "A trace does not hold the lines of your code: pipeprof run train.py sees them and writes the patch."
_NO_DRAW = "The line that first draws is not known: its function is a lambda or a method, or not in a file of yours."
_ELSEWHERE = "Its function is defined in another file, {file}: cut it there, and put cache() between its parts."
_SEEDED = "It sets seeds, and each part would draw other numbers: pipeprof run --apply keeps them as they are."
_DRAWN_EARLY = "Most of what could be kept ({ops}) stands behind the first draw in its function: move it up."
_SHUFFLED = "A shuffle stands further up, and must come behind the cache: it is yours to move."
_UNLIKE = "The same call makes several maps, and they draw at different lines, or are not all shuffled alike."
_TWICE = "The predicate would run all of the map's {ops}, too: write it with what the map reads, and put filter() before it."
_PERHAPS_NO_JPEG = "A file that is no JPEG would fail: the patch is written once a trial has compared the pictures."
_SMALL_TOO = "The same call makes several prefetches, and one of them is not known to hold more than {wanted} elements."
_TOO_OLD = "TensorFlow has map(..., synchronous=True) from 2.18 on: map whole batches instead."
_FIRST_SYNCHRONOUS = (2, 18)
_KEEPS_ELEMENTS = frozenset(
    {"parallel_calls", INSIDE, SYNCHRONOUS, "prefetch", SHRINK, "thread_pool", "limit_memory", "enable_autotune"}
)
"""Kinds that make no other elements by what they are; of all others only a trial proves it."""
_LATE_SHARE = 0.2  # of what could be kept may stand behind the first draw


class _NoEditError(Exception):
    """A recommendation cannot be written as an edit; the text is a whole sentence."""


@dataclass(frozen=True, slots=True)
class Left:
    """A change that a patch does not hold."""

    change: Recommendation
    reason: str  # empty where it is one that no patch can hold: the report sketches it


@dataclass(frozen=True, kw_only=True, slots=True)
class MadePatch:
    """Changes of a run as one patch."""

    changes: tuple[str, ...]  # their titles
    patch: Patch
    left: tuple[Left, ...] = ()


def with_patch(recommendation: Recommendation, analysis: Analysis) -> Recommendation:
    """Return the recommendation with its patch, or with the reason why there is none."""
    if recommendation.diff_reason or recommendation.change.kind in MANUAL:
        return recommendation
    if recommendation.change.kind not in SITES_PER_EDIT:
        return replace(recommendation, diff_reason=NO_EDIT.get(recommendation.change.kind, ""))
    patch = patch_for([recommendation], analysis)
    if patch.diff is None:
        return replace(recommendation, diff_reason=patch.reason)
    return replace(recommendation, diff=patch.diff, diff_reason="", sketch="")


def patch_for(recommendations: Sequence[Recommendation], analysis: Analysis) -> Patch:
    """Return one patch for several recommendations, or the reason why it cannot be made."""
    edits: list[Edit] = []
    try:
        for item in recommendations:
            edits += _edits_of(item, analysis)
    except _NoEditError as error:
        return Patch(diff=None, reason=str(error))
    sources = {source.path: source for source in analysis.profile.run.sources}
    root = Path(analysis.profile.run.working_directory or ".")
    return plan_edit(edits, sources, root=root)


def make_patch(
    profile: Profile, choice: Choice | None = None, *, untried: bool = False, allow: Sequence[Safety] = ()
) -> MadePatch:
    """Return the accepted changes of a run as one patch.

    A change that cannot be written where it stands is left, and the others are written without it; files that changed since
    the run leave nothing written.

    Args:
        profile: the run.
        choice: which rules judge, and by which thresholds.
        untried: whether to take also safe changes of which no trial was made, where no element can change by them.
        allow: what confirmed changes may do to the data.
    """
    analysis = analyse(profile)
    found = recommend(analysis, judge_as_chosen(analysis, choice or Choice()).findings)
    known = [item for item in found if item.change.kind in SITES_PER_EDIT]
    by_hand = [Left(item, "") for item in found if item.accepted and item.change.kind not in SITES_PER_EDIT]
    shown = shown_by_script(profile.trials)
    wanted = [
        item
        for item in known
        if item.accepted or _is_allowed(item, allow, shown) or (untried and _is_safe_and_untried(item, analysis))
    ]
    stale = next((patch for item in wanted if (patch := patch_for([item], analysis)).stale), None)
    if stale is not None:
        return MadePatch(changes=tuple(item.title for item in wanted), patch=stale)
    able, left = _able(wanted, by_hand, analysis)
    patch = patch_for(able or wanted, analysis)
    titles = tuple(item.title for item in (able or wanted))
    return MadePatch(changes=titles, patch=patch, left=(*by_hand, *(left if able else ())))


def _able(
    wanted: Sequence[Recommendation], by_hand: Sequence[Left], analysis: Analysis
) -> tuple[list[Recommendation], list[Left]]:
    """Return the changes that one patch can hold, and those that it cannot, or that were proven on top of one of these."""
    able: list[Recommendation] = []
    left: list[Left] = []
    without = {item.change.id: item.change.title for item in by_hand}
    for item in sorted(wanted, key=lambda item: (not item.accepted, len(item.trial.on_top_of))):  # as they were tried
        beneath = [without[name] for name in item.trial.on_top_of if name in without]
        patch = patch_for([*able, item], analysis)
        if not beneath and patch.diff is not None:
            able.append(item)
            continue
        without[item.id] = item.title
        left.append(Left(item, f"it was confirmed on top of: {beneath[0]}" if beneath else patch.reason))
    return able, left


def _is_allowed(item: Recommendation, allow: Sequence[Safety], shown: frozenset[str]) -> bool:
    """Tell whether a change was confirmed, does no more to the data than what is allowed, and was seen to do no more."""
    is_proven = item.trial.elements in PROVEN | {ElementsState.REORDERED}
    is_confirmed = item.trial.state.is_gain or (item.change.kind in UNTIMED and item.id in shown)
    return is_confirmed and item.safety in allow and is_proven


def _is_safe_and_untried(item: Recommendation, analysis: Analysis) -> bool:
    """Tell whether a change was not tried and needs no proof: it makes the same elements of all pipelines of its line."""
    if item.trial.state is not TrialState.NOT_TRIED or item.trial.impossible or item.safety not in APPLIED_UNASKED:
        return False
    if item.trial.elements is ElementsState.REORDERED:
        return False
    return item.trial.elements in PROVEN or (item.change.kind in _KEEPS_ELEMENTS and _is_safe_for_all(item, analysis))


def _is_safe_for_all(item: Recommendation, analysis: Analysis) -> bool:
    change = find_change(item.change.kind)
    twins = [(view, name) for view in analysis.pipelines for name in stages_of_call(view, item.call_site)]
    return all(change.safety(view, name, item.change.params)[0] in APPLIED_UNASKED for view, name in twins)


# --- the calls of an edit --------------------------------------------------------------------------------------------


def _edits_of(item: Recommendation, analysis: Analysis) -> list[Edit]:
    """Return the edits of one recommendation.

    Raises:
        _NoEditError: a call that it needs is not known, or it would not do what was tried.
    """
    view = next((view for view in analysis.pipelines if view.record.id == item.pipeline_id), None)
    if view is None:
        raise _NoEditError(_NO_SITE)
    sites, change = _sites(item, view), item.change
    edits: list[Edit] = []
    if SITES_PER_EDIT[change.kind] > 1 and _pair(item, view) is None:
        raise _NoEditError(_NO_HOLDER if change.kind == CAST else _NO_PAIR)
    if not sites:
        raise _NoEditError(_NOT_IN_A_TRACE if analysis.profile.run.ended == TRACED else _NO_SITE)
    if change.kind == PARSE:
        parse = _function_of(item, view, "parse_call")
        if parse is None:
            raise _NoEditError(_NO_PARSER)
        edits.append(Edit(change=Change(kind="parse_together"), sites=(parse,)))
    if change.kind == SPLIT:
        return [_split(item, analysis, view, sites[0])]
    return [*edits, Edit(change=_seen_by_editor(item, analysis, view, sites[0]), sites=sites)]


def _seen_by_editor(item: Recommendation, analysis: Analysis, view: PipelineView, site: CallSite) -> Change:
    """Return the change with what its editor must know of the run.

    Raises:
        _NoEditError: it would not do what was tried.
    """
    change = item.change
    if change.kind == FILTER:
        return replace(change, params={"unpacks": _seen_by_filter(item, view).gives_tuple})
    if change.kind == CAST:
        return replace(change, params={"compared": _is_compared(item, view)})
    if change.kind == FUSE:
        return replace(change, params={"seeded": _draws_by_seeds(item, view)})
    if change.kind == SYNCHRONOUS and not _has_synchronous(analysis.profile.run.versions.tensorflow):
        raise _NoEditError(_TOO_OLD)
    if change.kind == SHRINK:
        _require_large(analysis, site, int(change.params[SIZE] or 0))
    return change


def _split(item: Recommendation, analysis: Analysis, view: PipelineView, site: CallSite) -> Edit:
    """Return the edit that cuts a map's function where it first draws, and takes the shuffle before it behind the cache.

    The trial cut each stage's graph by itself; in source all that one call makes has one cut.

    Raises:
        _NoEditError: where that is is not known, or it would not do what was tried.
    """
    stage = view.stage(item.stage_id or "")
    draw = _cut_of(stage, site)
    late = sorted((one for one in stage.stage.ops if one.op in draw.behind), key=lambda one: -one.share)
    if sum(one.share for one in late) > _LATE_SHARE * share_before_draws(stage):
        raise _NoEditError(_DRAWN_EARLY.format(ops=", ".join(one.op for one in late[:2])))
    shuffle = _shuffle_before(view, stage)
    for other in analysis.pipelines:
        for twin in map(other.stage, stages_of_call(other, site)):
            cut = _cut_of(twin, site)
            if (cut.defined, cut.line) != (draw.defined, draw.line) or _shuffle_before(other, twin) != shuffle:
                raise _NoEditError(_UNLIKE)
    lines = (draw.defined, draw.line)
    if shuffle is None:
        return Edit(change=item.change, sites=(site,), lines=lines)
    return Edit(change=replace(item.change, kind="split_shuffled_map"), sites=(shuffle, site), lines=lines)


def _cut_of(stage: StageView, site: CallSite) -> FirstDraw:
    """Return where a map's function first draws, in the file of its call.

    Raises:
        _NoEditError: that is not known, or it is in another file, or draws by seeds.
    """
    function = stage.written.function if stage.written is not None else None
    draw = function.first_draw if function is not None else None
    if function is None or draw is None:
        raise _NoEditError(_NO_DRAW)
    if draw.file != site.file:
        raise _NoEditError(_ELSEWHERE.format(file=Path(draw.file).name))
    if function.has_op_seed:
        raise _NoEditError(_SEEDED)
    return draw


def _shuffle_before(view: PipelineView, stage: StageView) -> CallSite | None:
    """Return the call of the shuffle directly before a map, None where nothing before it shuffles.

    Raises:
        _NoEditError: one stands further up, or where it is made is not known.
    """
    shuffles = [one for one in upstream(view, stage.id) if one.stage.op == "shuffle" and _reshuffles(one)]
    if not shuffles:
        return None
    pair = neighbours(view, stage.id, first="shuffle")
    if pair is None or len(shuffles) > 1 or pair[0].stage.call_site is None:
        raise _NoEditError(_SHUFFLED)
    return pair[0].stage.call_site


def _reshuffles(shuffle: StageView) -> bool:
    return shuffle.written is None or shuffle.written.arguments.get("reshuffle_each_iteration") is not False


def _has_synchronous(tensorflow: str | None) -> bool:
    known = re.match(r"(\d+)\.(\d+)", tensorflow or "")
    return known is not None and (int(known[1]), int(known[2])) >= _FIRST_SYNCHRONOUS


def _draws_by_seeds(item: Recommendation, view: PipelineView) -> bool:
    """Tell whether seeds are set by which a map's function may draw.

    Raises:
        _NoEditError: no trial has compared its pictures.
    """
    if item.trial.elements not in PROVEN:
        raise _NoEditError(_PERHAPS_NO_JPEG)
    written = view.stage(item.stage_id or "").written
    function = written.function if written is not None else None
    return view.record.global_seed_set or function is None or function.has_op_seed


def _is_compared(item: Recommendation, view: PipelineView) -> bool:
    """Tell whether a trial proved that the elements stay the same, and the stage's function reads no variable meanwhile."""
    written = view.stage(item.stage_id or "").written
    function = written.function if written is not None else None
    return item.trial.elements in PROVEN and function is not None and "ReadVariableOp" not in function.op_types


def _require_large(analysis: Analysis, site: CallSite, wanted: int) -> None:
    """Make sure that whatever prefetch a call makes becomes a smaller one: its size may be an argument of a helper.

    Raises:
        _NoEditError: one of them is not known to.
    """
    made = (view.stage(name) for view in analysis.pipelines for name in stages_of_call(view, site))
    if any((size_of(stage) or 0) <= wanted for stage in made):
        raise _NoEditError(_SMALL_TOO.format(wanted=wanted))


def _seen_by_filter(item: Recommendation, view: PipelineView) -> StageFunction:
    """Return the function of the map that a filter would come before.

    The trial cut it down to what the predicate needs. In source TensorFlow does that, but for ops that hold state.

    Raises:
        _NoEditError: it holds such ops, or nothing is known of it.
    """
    pair = _pair(item, view)
    function = None if pair is None or pair[0].written is None else pair[0].written.function
    if function is None:
        raise _NoEditError(_NO_PAIR)
    kept = sorted({*function.stateful_ops, *(op for op in function.op_types if op.startswith(EFFECTS))})
    if kept:
        raise _NoEditError(_TWICE.format(ops=", ".join(kept)))
    return function


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
    """Return the two stages that a change concerns, as they stand."""
    stage = view.stage(recommendation.stage_id or "")
    if recommendation.change.kind == CAST:
        last = last_holder(view, stage.id)
        return None if last is None else (stage, last)
    if recommendation.change.kind != "move_cache":
        return neighbours(view, stage.id)
    take, above = cut_short_by(view, stage.id), frozen_by(view, stage.id)
    if take is not None:
        return stage, take
    return None if above is None else (above, stage)
