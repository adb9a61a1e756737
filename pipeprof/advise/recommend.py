"""Recommendations: from findings to changes, each with its prediction; pure.

One finding leads to at most one change here; what the trials showed is put beside it later. Changes that cannot be made
mechanically are recommended too, as ``manual`` and with the reason why nothing was tried.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from pipeprof.advise.changes import find_change
from pipeprof.analysis.prediction import predict
from pipeprof.analysis.significance import NO_DIFFERENCE_BAND
from pipeprof.model.analysis import Analysis
from pipeprof.model.diagnosis import Finding, Recommendation, Safety, Trial
from pipeprof.model.profile import Change, ElementsState, TrialRecord, TrialState
from pipeprof.rules.pp601_map_before_batch import BY_HAND

MANUAL = {
    "rewrite_for_batches": "Rewrite this function for whole batches, then batch before it",
    "replace_python": "Do this work in TensorFlow ops, or yield whole batches from Python",
    "build_once": "Build this dataset once, outside the loop over epochs, and cache it there",
    "move_cache": "Move the cache above the random stages",
    "parse_batch": "Batch the records first, then parse each batch in one call",
    "filter_earlier": "Filter before the map whose work is thrown away",
    "skip_earlier": "Leave elements out before they are made",
    "shuffle_earlier": "Shuffle before the map that makes the elements large",
    "cast_later": "Cast after the batch, or in the model",
    "bucket": "Let rows of about one length meet in a batch: bucket_by_sequence_length",
    "fuse_decode_crop": "Make only the pixels that are used: crop while decoding, resize without antialias",
    "repeat_once": "Let one iterator serve all epochs: repeat() and one loop",
}
_TITLES = {"PP403": "Let the cache fill: put take() before it"}  # where one kind is the cure of several problems
PROVEN = frozenset({ElementsState.IDENTICAL, ElementsState.EQUAL_WITHIN_ROUNDING, ElementsState.SAME_BUT_RANDOM})
"""What must have become of the elements before a change is accepted: unchecked is never good enough."""
_CHANGES = "it would change the data"
_MANUAL_REASON = "it cannot be made mechanically: it changes your own code"


def recommend(analysis: Analysis, findings: Sequence[Finding]) -> tuple[Recommendation, ...]:
    """Return the changes that the findings lead to, those with the largest predicted gain first."""
    found: dict[tuple[str, str, str], Recommendation] = {}
    for finding in findings:
        made = _from_finding(analysis, finding)
        if made is None:
            continue
        key = (made.change.kind, made.pipeline_id or "", made.stage_id or "")
        known = found.get(key)
        found[key] = made if known is None else replace(known, findings=(*known.findings, finding.code))
    ordered = sorted(found.values(), key=lambda item: -(item.predicted.speedup if item.predicted else 0.0))
    return tuple(_with_trial(item, analysis.profile.trials) for item in ordered)


def recommendation_id(change: Change, pipeline_id: str, stage_id: str) -> str:
    """Return the id that ties a recommendation to its trial: the same Profile gives the same id."""
    return f"{change.kind}-{pipeline_id}-{stage_id}"


def _from_finding(analysis: Analysis, finding: Finding) -> Recommendation | None:
    maker = _MAKERS.get(finding.code)
    view = next((item for item in analysis.pipelines if item.record.id == finding.pipeline_id), None)
    if maker is None or view is None or finding.stage_id is None:
        return None
    stage = view.stage(finding.stage_id)
    change = maker(finding)
    if change is None:
        return None
    if change.kind in MANUAL:
        return _manual(change, finding)
    kind = find_change(change.kind)
    safety, caution = kind.safety(view, stage.id, change.params)
    memory = kind.memory_bytes(view, stage.id, change.params)
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
        memory_bytes=memory,
        trial=Trial(state=TrialState.NOT_TRIED, reason="trials were not run"),
    )


def _manual(change: Change, finding: Finding) -> Recommendation:
    return Recommendation(
        id=recommendation_id(change, finding.pipeline_id or "", finding.stage_id or ""),
        findings=(finding.code,),
        change=change,
        title=_TITLES.get(finding.code, MANUAL[change.kind]),
        safety=Safety.MANUAL,
        call_site=finding.call_site,
        pipeline_id=finding.pipeline_id,
        stage_id=finding.stage_id,
        trial=Trial(state=TrialState.NOT_TRIED, reason=_MANUAL_REASON),
        diff_reason=_MANUAL_REASON,
    )


def _with_trial(recommendation: Recommendation, trials: Sequence[TrialRecord]) -> Recommendation:
    """Put a trial beside its recommendation; a confirmed one is accepted where the data are proven the same."""
    record = next((item for item in trials if item.id == recommendation.id), None)
    if record is None:
        return recommendation
    trial = Trial(
        state=record.state,
        method=record.method,
        reason=record.reason,
        speedup=record.speedup,
        low=record.low,
        high=record.high,
        pairs=record.pairs,
        elements=record.elements,
        elements_compared=record.elements_compared,
        epochs_compared=record.epochs_compared,
        elements_note=record.elements_note,
        noise_low=record.noise_low,
        noise_high=record.noise_high,
        fill_s=record.fill_s,
        memory_bytes=record.memory_bytes,
        on_top_of=record.on_top_of,
        undecided=_is_undecided(record),
    )
    if record.elements is ElementsState.DIFFERENT:
        return replace(
            recommendation,
            trial=trial,
            predicted=None,
            safety=Safety.CHANGES_DATA,
            diff_reason=f"There is no patch: {_CHANGES}.",
        )
    return replace(
        recommendation,
        trial=trial,
        accepted=record.state is TrialState.CONFIRMED and record.elements in PROVEN,
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
    if _evidence(finding, "cause") == "assigns-variables":
        return None
    return Change(kind="parallel_calls", params={"num_parallel_calls": -1})


def _thread_pool(finding: Finding) -> Change | None:
    wanted = _evidence(finding, "wanted_threads")
    return None if wanted is None else Change(kind="thread_pool", params={"private_threadpool_size": round(float(wanted))})


def _cache(finding: Finding) -> Change:
    """Return no cache for a dataset that is built anew: it would be empty at every epoch."""
    return Change(kind="cache" if _evidence(finding, "objects") is None else "build_once")


def _vectorize(finding: Finding) -> Change:
    """Return work to be done by hand where the function is not proven to mean the same on a batch."""
    return Change(kind="vectorize" if _evidence(finding, BY_HAND) is None else "rewrite_for_batches")


def _of_kind(kind: str) -> Callable[[Finding], Change | None]:
    return lambda _finding: Change(kind=kind)


def _evidence(finding: Finding, name: str) -> float | str | None:
    return next((item.value for item in finding.evidence if item.name == name), None)


_MAKERS: dict[str, Callable[[Finding], Change | None]] = {
    "PP201": _parallel_calls,
    "PP202": _thread_pool,
    "PP203": _parallel_calls,
    "PP401": _cache,
    "PP402": _of_kind("move_cache"),
    "PP403": _of_kind("move_cache"),
    "PP501": _of_kind("replace_python"),
    "PP601": _vectorize,
    "PP602": _of_kind("parse_batch"),
    "PP603": _of_kind("filter_earlier"),
    "PP604": _of_kind("skip_earlier"),
    "PP605": _of_kind("shuffle_earlier"),
    "PP606": _of_kind("cast_later"),
    "PP607": _of_kind("bucket"),
    "PP608": _of_kind("fuse_decode_crop"),
    "PP609": _of_kind("repeat_once"),
}
