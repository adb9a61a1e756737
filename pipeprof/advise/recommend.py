"""Recommendations: from findings to changes, each with its prediction; pure.

One finding leads to at most one change here; what the trials showed is put beside it later. Changes that cannot be made
mechanically are recommended too, as ``manual`` and with the reason why nothing was tried.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace

from pipeprof.advise.call_twins import ONE_FOR_ALL
from pipeprof.advise.changes import find_change
from pipeprof.advise.changes.bucket import BUCKET
from pipeprof.advise.changes.move_cache import cut_short_by, frozen_by
from pipeprof.advise.changes.shrink_prefetch import SHRINK, SIZE
from pipeprof.advise.script_showed import as_script_showed, shown_by_script
from pipeprof.advise.sketches import sketch_of
from pipeprof.analysis.memory_bounds import most_bytes, saved_bytes
from pipeprof.analysis.place import Place
from pipeprof.analysis.prediction import predict
from pipeprof.analysis.significance import NO_DIFFERENCE_BAND
from pipeprof.model.analysis import Analysis, PipelineView
from pipeprof.model.diagnosis import Finding, Recommendation, Safety, Trial
from pipeprof.model.profile import Change, ElementsState, TrialRecord, TrialState
from pipeprof.rules.file_reading import FINE
from pipeprof.rules.pp401_cacheable_prefix import WITHHELD
from pipeprof.rules.pp502_python_latency import GENERATOR
from pipeprof.rules.pp601_map_before_batch import BY_HAND
from pipeprof.rules.pp602_parse_single import PARSER
from pipeprof.rules.pp608_resize_decode_waste import DECODE
from pipeprof.rules.sequential_cause import INSIDE

MANUAL = {
    "rewrite_for_batches": "Rewrite this function for whole batches, then batch before it",
    "replace_python": "Do this work in TensorFlow ops, or yield whole batches from Python",
    "build_once": "Build this dataset once, outside the loop over epochs, and cache it there",
    "prefetch_to_device": "Send fewer bytes, or copy the next batch to the device while this one is used: prefetch_to_device",
    "place_cache": "Move the cache above the random stages",
    "steps_per_execution": "Put several steps into one call into TensorFlow",
    "keep_statistics": "Keep what adapt() found, and give the layer its numbers",
    "batch_inside": "Batch inside the interleave, so that it hands over batches",
    "parse_by_hand": "Batch before parsing, and parse a whole batch in one call",
    "bound_buffer": "Give this buffer a fixed size, or AUTOTUNE a limit: options.autotune.ram_budget",
    "split_once": "Split the data before they are shuffled, or keep the order of the split",
    "repeat_after_shuffle": "Put the repeat after the shuffle",
    "draw_per_element": "Draw one random value for each element of the batch",
    "stateless_random": "Draw with tf.random.stateless_* operations, with a seed for each element",
    "convert_format": "Convert the files once, to TFRecord files of 100 to 200 MB",
    "recompress": "Write the files again without compression",
    "shard": "Split the data into several files of at least 10 MB",
    "materialize": "Do this work once, and train from files with its result",
    "data_service": "Run the input on tf.data service workers",
    "move_to_model": "Move this augmentation into the model, on the GPU",
    "resize_once": "Resize without antialias, or once, when the files are written",
}
_TITLES = {  # where one kind is the cure of several problems
    "PP403": "Let the cache fill: put take() before it",
    "PP404": "Cache where elements are still small, or in a file",
    "PP502": "Read from several generators side by side, with interleave",
    "PP503": "Yield whole batches from the generator, and leave the batch() after it out",
    "PP701": "Pack the files into TFRecord files of 100 to 200 MB",
    "PP704": "Write the files again with GZIP",
    "PP706": "Write files of 100 to 200 MB, one or more for each reader",
    "PP707": "Write these features as bytes",
    "PP709": "Keep only what training uses in the files",
}
PROVEN = frozenset({ElementsState.IDENTICAL, ElementsState.EQUAL_WITHIN_ROUNDING, ElementsState.SAME_BUT_RANDOM})
"""What must have become of the elements before a change is accepted: unchecked is never good enough."""
_CHANGES = "it would change the data"
_MANUAL_REASON = "it cannot be made mechanically: it changes your own code"
_REWRITES_FILES = "it rewrites files: pipeprof does not do that yet"
_REASONS = {
    "steps_per_execution": "it changes your own loop: callbacks and metrics are called once for several steps",
    "bound_buffer": "how much it may hold is yours to say: no measurement gives a budget, and a smaller shuffle reorders",
    "keep_statistics": "it changes your own model, not the input",
    "batch_inside": "it changes your own function, and the order: elements of one file come in blocks",
    "parse_by_hand": "it changes your own function, which then takes many records",
    "resize_once": "it changes your own function, and its pixels",
    "convert_format": _REWRITES_FILES,
    "recompress": _REWRITES_FILES,
    "shard": _REWRITES_FILES,
    "materialize": _REWRITES_FILES,
    "data_service": "it needs other machines: pipeprof does not start any",
    "move_to_model": "it changes the model, not the input",
}  # why a kind is not tried
NO_EDIT = {
    "repeat_once": "Your loop over epochs must then count their steps: it is yours to write.",
}  # kinds that can be tried, but not written as source
TRIED_LATE = frozenset({*NO_EDIT, "cast_later", "fuse_decode_crop", "split_map"})
"""Kinds with no patch, or often none: nothing is proven on top of these."""
UNTIMED = frozenset({BUCKET, SHRINK})
"""Kinds whose elements can be compared, but whose gain is none that a replay can time: the model's step, or memory."""
_KEPT_ELEMENTS = 2  # of a prefetch that nobody draws on, as PP303 counts them
_SHOWN = "your script was faster with it, run again: pipeprof fix --allow reorders writes it"
SKETCHED = TRIED_LATE | {BUCKET, "filter_earlier"}  # where no patch can be made
APPLIED_UNASKED = frozenset({Safety.SAFE, Safety.USES_MEMORY})
"""What a change may do to be applied, or tried, without being asked for."""


def recommend(analysis: Analysis, findings: Sequence[Finding]) -> tuple[Recommendation, ...]:
    """Return the changes that the findings lead to, those with the largest predicted gain first."""
    found: dict[tuple[str, str, str], Recommendation] = {}
    for finding in findings:
        made = _from_finding(analysis, finding)
        if made is None:
            continue
        is_one = made.change.kind in ONE_FOR_ALL and not made.change.params  # the same change, whichever stage leads to it
        key = (made.change.kind, made.pipeline_id or "", "" if is_one else made.stage_id or "")
        known = found.get(key)
        found[key] = made if known is None else replace(known, findings=tuple(dict.fromkeys((*known.findings, finding.code))))
    ordered = sorted(found.values(), key=lambda item: -(item.predicted.speedup if item.predicted else 0.0))
    return tuple(_with_trial(item, analysis.profile.trials) for item in ordered)


def recommendation_id(change: Change, pipeline_id: str, stage_id: str) -> str:
    """Return the id that ties a recommendation to its trial: the same Profile gives the same id."""
    return f"{change.kind}-{pipeline_id}-{stage_id}"


def _from_finding(analysis: Analysis, finding: Finding) -> Recommendation | None:
    maker = _MAKERS.get(finding.code)
    view = next((item for item in analysis.pipelines if item.record.id == finding.pipeline_id), None)
    change = maker(finding) if maker is not None else None
    if view is None or change is None:
        return None
    if finding.stage_id is None:  # of the loop, which is the user's own
        return _manual(change, finding, view) if change.kind in MANUAL else None
    stage = view.stage(finding.stage_id)
    if change.kind == "move_cache" and not _can_move_cache(view, finding):
        change = Change(kind="place_cache")
    if change.kind in MANUAL:
        return _manual(change, finding, view)
    change = _as_measured(change, recommendation_id(change, view.record.id, stage.id), analysis.profile.trials)
    kind = find_change(change.kind)
    safety, caution = kind.safety(view, stage.id, change.params)
    place = Place(analysis=analysis, view=view, stage=stage, change=change)
    return Recommendation(
        id=recommendation_id(change, view.record.id, stage.id),
        findings=(finding.code,),
        change=change,
        title=kind.title(view, stage.id, change.params),
        safety=safety,
        caution=caution,
        call_site=finding.call_site,
        pipeline_id=view.record.id,
        stage_id=stage.id,
        predicted=predict(analysis, view, stage.id, change),
        memory_bytes=kind.memory_bytes(view, stage.id, change.params),
        memory_most_bytes=most_bytes(place),
        memory_saved_bytes=saved_bytes(place),
        trial=Trial(state=TrialState.NOT_TRIED, reason="trials were not run"),
        sketch=sketch_of(change.kind, finding, view) if change.kind in SKETCHED else "",
    )


def _as_measured(change: Change, name: str, trials: Sequence[TrialRecord]) -> Change:
    """Return the change with what its trial measured for it, where that is part of it."""
    if change.kind != BUCKET:
        return change
    return next((item.change for item in trials if item.id == name and item.change.kind == BUCKET), change)


def _manual(change: Change, finding: Finding, view: PipelineView) -> Recommendation:
    reason = _REASONS.get(change.kind, _MANUAL_REASON)
    return Recommendation(
        id=recommendation_id(change, finding.pipeline_id or "", finding.stage_id or ""),
        findings=(finding.code,),
        change=change,
        title=_TITLES.get(finding.code, MANUAL[change.kind]),
        safety=Safety.MANUAL,
        call_site=finding.call_site,
        pipeline_id=finding.pipeline_id,
        stage_id=finding.stage_id,
        trial=Trial(state=TrialState.NOT_TRIED, reason=reason),
        diff_reason=reason,
        sketch=sketch_of(change.kind, finding, view),
    )


def _with_trial(recommendation: Recommendation, trials: Sequence[TrialRecord]) -> Recommendation:
    """Put a trial beside its recommendation; a confirmed one is accepted where the data are proven the same."""
    found = next((item for item in trials if item.id == recommendation.id), None)
    if found is None:
        return recommendation
    record = as_script_showed(found, trials)
    shown = {item.name: getattr(record, item.name) for item in fields(Trial) if item.name != "undecided"}
    if record.change.kind in UNTIMED and record.id in shown_by_script(trials):
        shown["reason"] = _SHOWN
    trial = Trial(**shown, undecided=_is_undecided(record))
    if record.elements is ElementsState.DIFFERENT:
        return replace(
            recommendation,
            trial=trial,
            predicted=None,
            safety=Safety.CHANGES_DATA,
            diff_reason=f"{_CHANGES[0].upper()}{_CHANGES[1:]}.",
        )
    if record.impossible:
        return replace(recommendation, trial=trial, diff_reason=f"{record.reason[0].upper()}{record.reason[1:]}.", sketch="")
    return replace(
        recommendation,
        trial=trial,
        accepted=record.state.is_gain and record.elements in PROVEN and recommendation.safety in APPLIED_UNASKED,
        break_even_epochs=_break_even(record),
    )


def _is_undecided(record: TrialRecord) -> bool:
    """Tell whether a trial ended without a difference that was shown, while its interval leaves room for a gain."""
    if record.state is not TrialState.NO_DIFFERENCE:
        return False
    return record.high is None or record.high > 1 + NO_DIFFERENCE_BAND


def _break_even(record: TrialRecord) -> float | None:
    """Return after how many epochs the time to fill a cache is earned back; None where nothing is filled."""
    gained = (record.baseline_step_s or 0.0) - (record.candidate_step_s or 0.0)
    if record.fill_s is None or record.epoch_steps is None or gained <= 0:
        return None
    return 1.0 + max(0.0, record.fill_s) / (gained * record.epoch_steps)


def _parallel_calls(finding: Finding) -> Change | None:
    """Return None where calls in parallel would race for a variable that the function assigns."""
    cause = _evidence(finding, "cause")
    if cause == "assigns-variables":
        return None
    return Change(kind="parallel_inside" if cause == INSIDE else "parallel_calls", params={"num_parallel_calls": -1})


def _fixed_calls(finding: Finding) -> Change | None:
    best = _evidence(finding, "calls_best")
    return None if best is None else Change(kind="parallel_calls", params={"num_parallel_calls": round(float(best))})


def _thread_pool(finding: Finding) -> Change | None:
    wanted = _evidence(finding, "wanted_threads")
    return None if wanted is None else Change(kind="thread_pool", params={"private_threadpool_size": round(float(wanted))})


def _shrink_prefetch(_finding: Finding) -> Change:
    return Change(kind=SHRINK, params={SIZE: _KEPT_ELEMENTS})


def _cache(finding: Finding) -> Change | None:
    """Return no cache for a dataset that is built anew, which would be empty at every epoch, and none that is withheld."""
    if _evidence(finding, WITHHELD) is not None:
        return None
    return Change(kind="cache" if _evidence(finding, "objects") is None else "build_once")


def _vectorize(finding: Finding) -> Change:
    """Return work to be done by hand where the function is not proven to mean the same on a batch."""
    return Change(kind="vectorize" if _evidence(finding, BY_HAND) is None else "rewrite_for_batches")


def _parse_batch(finding: Finding) -> Change:
    """Return work to be done by hand where the rest of the function is not proven to mean the same on a batch."""
    kinds = {"example": "parse_batch", "csv": "vectorize"}  # decode_csv takes any number of lines as it is
    return Change(kind=kinds.get(str(_evidence(finding, PARSER)), "parse_by_hand"))


def _within_limits(finding: Finding) -> Change | None:
    """Return a bound for buffers where the memory limit is what is exceeded, else threads within the CPU quota."""
    budget = next((item for item in finding.evidence if item.name == "ram_budget_bytes"), None)
    if budget is None:
        return _thread_pool(finding)
    return Change(kind="limit_memory", params={"ram_budget": round(float(budget.threshold or 0))})


def _bridge(finding: Finding) -> Change | None:
    kind = _evidence(finding, "cure")
    return None if kind is None else Change(kind=str(kind))


def _can_move_cache(view: PipelineView, finding: Finding) -> bool:
    """Tell whether a cache is cured by changing places with one neighbour: the take behind it, or all that it freezes."""
    stage_id, frozen = finding.stage_id or "", _evidence(finding, "frozen_stages")
    if frozen is None:
        return cut_short_by(view, stage_id) is not None
    above = frozen_by(view, stage_id)
    return above is not None and frozen == above.id and cut_short_by(view, stage_id) is None


def _shuffle_earlier(finding: Finding) -> Change | None:
    """Return None where no earlier stage has smaller elements."""
    return None if _evidence(finding, "shuffle_after") is None else Change(kind="shuffle_earlier")


def _growth(finding: Finding) -> Change | None:
    """Return what bounds the buffer that grows; None where it is the program's own, or a cache that fills."""
    kinds = {"buffers": "bound_buffer", "caches-kept": "build_once"}
    kind = kinds.get(str(_evidence(finding, "cause")))
    return None if kind is None else Change(kind=kind)


def _python_latency(finding: Finding) -> Change | None:
    """Return parallel calls for a map; several generators are the user's own to write."""
    wanted = _evidence(finding, "wanted_calls")
    if wanted is None or _evidence(finding, "source") == GENERATOR:
        return Change(kind="replace_python")
    return Change(kind="parallel_calls", params={"num_parallel_calls": round(float(wanted))})


def _shuffle_quality(finding: Finding) -> Change | None:
    """Return None for a small buffer: a larger one costs memory, and the order of the data is not known."""
    kinds = {"split-reshuffles": "split_once", "repeat-before-shuffle": "repeat_after_shuffle"}
    kind = kinds.get(str(_evidence(finding, "cause")))
    return None if kind is None else Change(kind=kind)


def _several_files(finding: Finding) -> Change:
    """Return an interleave of batches where single elements take longer to hand over than to read."""
    return Change(kind="interleave" if _evidence(finding, FINE) is None else "batch_inside")


def _fewer_pixels(finding: Finding) -> Change:
    """Return a crop while decoding, where that is the dearer waste: its pixels stay, unlike those of another resizing."""
    return Change(kind="fuse_decode_crop" if _evidence(finding, "op") == DECODE else "resize_once")


def _of_kind(kind: str) -> Callable[[Finding], Change | None]:
    return lambda _finding: Change(kind=kind)


def _evidence(finding: Finding, name: str) -> float | str | None:
    return next((item.value for item in finding.evidence if item.name == name), None)


_MAKERS: dict[str, Callable[[Finding], Change | None]] = {
    "PP003": _within_limits,
    "PP103": _of_kind("steps_per_execution"),
    "PP104": _thread_pool,
    "PP106": _bridge,
    "PP108": _of_kind("prefetch_to_device"),
    "PP201": _parallel_calls,
    "PP202": _thread_pool,
    "PP203": _parallel_calls,
    "PP204": _parallel_calls,
    "PP205": _several_files,
    "PP206": _of_kind("nondeterministic"),
    "PP207": _of_kind("enable_autotune"),
    "PP208": _fixed_calls,
    "PP209": _of_kind("synchronous"),
    "PP210": _of_kind("batch_inside"),
    "PP301": _of_kind("prefetch"),
    "PP302": _of_kind("prefetch"),
    "PP303": _shrink_prefetch,
    "PP401": _cache,
    "PP402": _of_kind("move_cache"),
    "PP403": _of_kind("move_cache"),
    "PP404": _of_kind("place_cache"),
    "PP405": _shuffle_earlier,
    "PP406": _growth,
    "PP407": _of_kind("split_map"),
    "PP501": _of_kind("replace_python"),
    "PP502": _python_latency,
    "PP503": _of_kind("replace_python"),
    "PP601": _vectorize,
    "PP602": _parse_batch,
    "PP603": _of_kind("filter_earlier"),
    "PP604": _of_kind("skip_earlier"),
    "PP605": _of_kind("shuffle_earlier"),
    "PP606": _of_kind("cast_later"),
    "PP607": _of_kind("bucket"),
    "PP608": _fewer_pixels,
    "PP609": _of_kind("repeat_once"),
    "PP610": _shuffle_quality,
    "PP611": _of_kind("draw_per_element"),
    "PP612": _of_kind("stateless_random"),
    "PP701": _of_kind("convert_format"),
    "PP702": _of_kind("shard"),
    "PP703": _of_kind("recompress"),
    "PP704": _of_kind("recompress"),
    "PP705": _of_kind("convert_format"),
    "PP706": _of_kind("shard"),
    "PP707": _of_kind("convert_format"),
    "PP708": _of_kind("interleave"),
    "PP709": _of_kind("materialize"),
    "PP801": _of_kind("materialize"),
    "PP802": _of_kind("move_to_model"),
    "PP803": _of_kind("keep_statistics"),
    "PP804": _of_kind("data_service"),
    "PP805": _of_kind("steps_per_execution"),
}
