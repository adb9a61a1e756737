"""The search: try the recommended changes on the user's own pipeline, keep what is confirmed, revert the rest.

First the loop as it is is replayed against the same loop fed one ready element (the ceiling, and the check that the replay
reproduces the run at all). Then changes are tried in the order of predicted gain, those without a patch last, each on top of
those that were kept; elements are compared before anything is timed. Each start and result is streamed: a death loses nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipeprof.advise.beforehand import pipeline_cpu, stall_s
from pipeprof.advise.call_twins import rewrite_call, stages_of_call
from pipeprof.advise.changes import find_change
from pipeprof.advise.changes.bucket import BUCKET, with_buckets
from pipeprof.advise.changes.repeat_once import REPEAT
from pipeprof.advise.comparing import compare_change, why_untimed
from pipeprof.advise.consumer import gaps_from_histogram
from pipeprof.advise.guard import HungError, Pulse, run_guarded
from pipeprof.advise.handed_over import as_written
from pipeprof.advise.judging import judge_as_chosen
from pipeprof.advise.looking import LOOKS_SHARE, take_looks
from pipeprof.advise.match import match_stages
from pipeprof.advise.pairing import TrialPlan
from pipeprof.advise.quiet import silence_tensorflow
from pipeprof.advise.recommend import APPLIED_UNASKED, MANUAL, PROVEN, TRIED_LATE, UNTIMED, recommend
from pipeprof.advise.refusals import free_memory, why_not_timed, why_not_tried, why_too_large
from pipeprof.advise.replay import WarmUp
from pipeprof.advise.replayable import Replayable
from pipeprof.advise.sides import Equivalence
from pipeprof.advise.stored import held_by_new_cache
from pipeprof.advise.trial import mean_of_run, measure_control, reproduces, run_trial, steps_of_epoch
from pipeprof.advise.trial_records import described, failed, new_record, refused, with_outcome
from pipeprof.analysis import analyse
from pipeprof.analysis.significance import Interval
from pipeprof.errors import TrialError
from pipeprof.model.analysis import Analysis, PipelineView
from pipeprof.model.diagnosis import Recommendation
from pipeprof.model.looks import ElementLook
from pipeprof.model.profile import Control, ElementsState, Profile, TrialRecord, TrialState
from pipeprof.settings import Settings
from pipeprof.store import TrialEvent

Progress = Callable[[str, float], None]

_GAPS = 512  # of the consumer, drawn from the measured distribution
_SEED = 20_240_229
_CONTROL_SHARE = 0.4  # of the whole budget
_LEAST_TRIAL_S = 6.0
_WARM_UP_S = 0.6
_NOISE_PAIRS = 3  # of two the interval is too wide to say anything, however quiet the machine
_COMPARE_S = 6.0
_SPARE_S = 1.0  # for making the two pipelines of a trial
_COMPARE_LONGER_S = 30.0  # of a change that is faster, where the first look had too little time
_LOOK_GRACE_S = 20.0  # of looks beyond their time: they read on until the element that they wait for comes
_GRACE_S = 20.0  # of the supervisor beyond a trial's own deadline
_NOT_TOGETHER = "together with the changes confirmed before it the pipeline is slower than as it was"
_FATAL = frozenset({ElementsState.DIFFERENT})


@dataclass(slots=True)
class _Bench:
    """What all trials of one pipeline share."""

    view: PipelineView
    plan: TrialPlan
    names: Mapping[str, str]
    current: Replayable
    kept: dict[str, Replayable]  # id of each change that was kept, and the pipeline with it and those before it
    free_bytes: float | None = None  # of memory, for what the changes hold
    held_bytes: int = 0  # by the changes that were kept
    noise: Interval | None = None
    idle_scale: float | None = None


class Search:
    """Tries changes within a budget."""

    def __init__(
        self,
        profile: Profile,
        datasets: Mapping[str, Any],
        settings: Settings,
        stream: Callable[[TrialEvent], None],
        on_progress: Progress = lambda _text, _share: None,
    ) -> None:
        """Prepare.

        Args:
            profile: what was measured.
            datasets: the datasets that were kept, by pipeline.
            settings: the budget, and whether Python functions may run again.
            stream: takes every event as it happens.
            on_progress: takes a text and the share of the budget that is used.
        """
        self._profile = profile
        self._datasets = datasets
        self._settings = settings
        self._stream = stream
        self._on_progress = on_progress
        self._started = time.monotonic()
        self._stop = threading.Event()
        self.best: Replayable | None = None  # the pipeline with all changes that were kept, None where there are none
        self.kept: tuple[str, ...] = ()  # ids of these changes
        self._broken = ""  # a reason why nothing more can be measured in this process

    @property
    def _left_s(self) -> float:
        return self._settings.budget_s - (time.monotonic() - self._started)

    def run(self) -> None:
        """Try everything that the rules lead to; a reason is streamed where nothing can be tried."""
        analysis = self._with_looks(analyse(self._profile))
        if analysis.train is None:
            self._note("no tf.data pipeline was iterated")
        else:
            self._try_pipeline(analysis, analysis.train)

    def _with_looks(self, analysis: Analysis) -> Analysis:
        """Take the looks that rules ordered; one that hangs leaves nothing to be tried in this process."""

        def look(_pulse: Pulse) -> Sequence[ElementLook]:
            return take_looks(analysis, self._datasets, self._settings, self._stream, self._progress)

        try:
            deadline_s = LOOKS_SHARE * self._settings.budget_s + _LOOK_GRACE_S
            taken = run_guarded(look, stop=self._stop, deadline_s=deadline_s)
        except HungError as error:
            self._broken = str(error)
            return analysis
        self._profile = replace(self._profile, looks=(*self._profile.looks, *taken))
        return analyse(self._profile)

    def _try_pipeline(self, analysis: Analysis, view: PipelineView) -> None:
        try:
            bench = self._prepare(analysis, view)
        except TrialError as error:
            self._note(f"nothing was tried: {error}")
            self._refuse_all(analysis, str(error))
            return
        with bench.current.preserve_random_state():
            control = self._measure_control(bench)
            if control is not None:
                self._stream(TrialEvent.now("control", control=control))
                self._profile = replace(self._profile, controls=(*self._profile.controls, control))
                analysis = analyse(self._profile)
            reason = why_not_timed(control, judge_as_chosen(analysis, self._settings.choice).findings)
            original = bench.current
            self._try_all(bench, analysis, reason)
            self._check_together(bench, original)
        self.kept = tuple(bench.kept)
        self.best = bench.current if self.kept else None

    def measure_ceiling(self) -> Control | None:
        """Measure the training pipeline against the same loop fed one ready element; None where that cannot be done."""
        analysis = analyse(self._profile)
        if analysis.train is None:
            return None
        try:
            bench = self._prepare(analysis, analysis.train)
        except TrialError as error:
            self._note(f"nothing was tried: {error}")
            return None
        with bench.current.preserve_random_state():
            return self._measure_control(bench)

    def _prepare(self, analysis: Analysis, view: PipelineView) -> _Bench:
        """Make the pipeline replayable and the consumer that stands for the training step.

        Raises:
            TrialError: it cannot be replayed.
        """
        record = view.record
        if self._broken:
            raise TrialError(self._broken)
        dataset = self._datasets.get(record.id)
        if dataset is None:
            raise TrialError(record.kept_reason or "the pipeline's dataset was not kept")
        if record.loop.method == "gaps" and not record.loop.steps_in_bins:
            raise TrialError("no step was measured")
        limit = analysis.resources.memory_limit_bytes
        with silence_tensorflow():
            current = Replayable.of(dataset, limit)
        if current.has_python and not self._settings.replay_python:
            raise TrialError("the pipeline calls Python functions, and --no-replay-python forbids to run them again")
        names = match_stages(current.graph, record.written, record.output)
        current = as_written(current, names, record)
        plan = TrialPlan(
            gaps=gaps_from_histogram(record.loop.gap_histogram, _GAPS, _SEED),
            cores=self._profile.run.host.cores,
            noise_pairs=_NOISE_PAIRS,
            warm_up=WarmUp(cap_s=_WARM_UP_S),
            budget_s=max(_LEAST_TRIAL_S, self._settings.budget_s * _CONTROL_SHARE),
            epoch_steps=steps_of_epoch(view),
            stall_s=stall_s(view),
        )
        self._progress("measuring the pipeline alone")
        own_cpu, total = pipeline_cpu(current, plan, self._stop, self._settings.budget_s / 4), view.cpu_s_per_step
        cpu = max(0.0, total - own_cpu) if total is not None and own_cpu is not None else 0.0
        plan = replace(plan, cpu_s=min(cpu, plan.cores * (view.gap_s or 0.0)))
        return _Bench(view, plan, names, current, {}, free_memory(analysis))

    def _measure_control(self, bench: _Bench) -> Control | None:
        """Measure the ceiling; None where that could not be done, with a note that says why."""
        try:
            control = measure_control(
                bench.current.load,
                lambda: bench.current.load().take(1).cache().repeat(),
                bench.plan,
                bench.view.record.id,
                self._stop,
                self._progress_of("measuring the ceiling"),
            )
        except TrialError as error:
            self._broken = str(error) if isinstance(error, HungError) else self._broken
            self._note(f"the ceiling was not measured: {error}")
            return None
        bench.noise = Interval((control.noise_low * control.noise_high) ** 0.5, control.noise_low, control.noise_high)
        step_s, wait_share = mean_of_run(bench.view)
        same, why = reproduces(step_s, wait_share, control.baseline_step_s, control.baseline_wait_share, bench.noise)
        return replace(control, reproduces_run=same, reason=why)

    def _try_all(self, bench: _Bench, analysis: Analysis, reason: str) -> None:
        tried: set[str] = set()
        while True:
            judged = replace(analysis, profile=self._profile)  # what a trial disproved is not recommended again
            waiting = [item for item in self._recommendations(judged) if item.id not in tried]
            # what a patch holds is not proven on top of what none may hold; what is not timed uses what is left
            waiting.sort(key=lambda item: (item.change.kind in UNTIMED, item.change.kind in TRIED_LATE))
            if not waiting:
                return
            item = waiting[0]
            tried.add(item.id)
            why = self._why_not(item, bench)
            able = sum(other.change.kind not in UNTIMED and not self._why_not(other, bench) for other in waiting)
            record = refused(item, why) if why else self._try_one(bench, analysis, item, reason, self._share(able))
            self._stream(TrialEvent.now("result", trial=record))
            self._profile = replace(self._profile, trials=(*self._profile.trials, record))

    def _recommendations(self, analysis: Analysis) -> tuple[Recommendation, ...]:
        return recommend(analysis, judge_as_chosen(analysis, self._settings.choice).findings)

    def _why_not(self, item: Recommendation, bench: _Bench) -> str:
        """Return why a change is not tried, empty where it can be."""
        why = why_not_tried(item, bench.view.record.id, self._settings.allow)
        if item.change.kind not in MANUAL:  # those say what is to be done, whatever became of this process
            why = self._broken or why
        why = why or why_too_large(item, bench.held_bytes, bench.free_bytes)
        if not why and self._left_s < _LEAST_TRIAL_S * (1 + bool(bench.kept)):
            return "the budget was used up (give more with --budget)"
        return why

    def _share(self, changes: int) -> float:
        """Return the seconds for the next of some changes, its comparison apart: the last may use what is left."""
        left_s = self._left_s - self._comparison_s() - _SPARE_S
        return max(_LEAST_TRIAL_S, min(left_s, max(left_s / max(1, changes), self._settings.budget_s * 0.45)))

    def _try_one(self, bench: _Bench, analysis: Analysis, item: Recommendation, untimed: str, budget_s: float) -> TrialRecord:
        """Try one change; what it fails with is its result, and the others go on."""
        plan = replace(
            bench.plan,
            budget_s=budget_s,
            noise=bench.noise,
            idle_scale=bench.idle_scale,
            fills_cache=self._holds_cache(bench, item),
            fill_elements=bench.plan.epoch_steps if item.change.kind == REPEAT else None,
        )
        record = new_record(item, "it was being tried", tuple(bench.kept))
        deadline_s = plan.hard_deadline_s + _COMPARE_S + _COMPARE_LONGER_S + _GRACE_S
        self._stream(TrialEvent.now("start", trial=record, deadline_s=deadline_s))
        try:
            return self._prove(bench, analysis, item, plan, record, untimed)
        except Exception as error:  # noqa: BLE001 - whatever a pipeline, or TensorFlow over it, raises is a result
            return failed(item, record, error)

    def _prove(
        self, bench: _Bench, analysis: Analysis, item: Recommendation, plan: TrialPlan, record: TrialRecord, untimed: str
    ) -> TrialRecord:
        """Compare the elements, then the times; those not where ``untimed`` says why."""
        began = time.monotonic()
        if item.change.kind == BUCKET:
            item = with_buckets(item, analysis, bench.view, bench.current, bench.names)
            record = new_record(item, record.reason, record.on_top_of)
        changed, held = self._rewrite(bench, analysis, item)
        self._progress(f"comparing the elements: {item.title}")
        same = self._compare(bench, changed, item)
        if same.state in _FATAL:
            return described(replace(record, state=TrialState.WORSE, reason="the elements differ"), same)
        untimed = why_untimed(item, bench.view, same.state) or untimed
        if untimed:
            return described(replace(record, reason=untimed), same)
        outcome = run_trial(bench.current.load, changed.load, plan, self._stop, self._progress_of(f"trying: {item.title}"))
        record = with_outcome(record, outcome, plan, held)
        if record.state.is_gain and same.lacks_time and not outcome.left_behind:
            self._progress(f"comparing the elements at more length: {item.title}")
            same = self._compare(bench, changed, item, longest_s=_COMPARE_LONGER_S)
            if same.state in _FATAL:
                record = replace(record, state=TrialState.WORSE, reason="the elements differ")
        record = replace(described(record, same), wall_s=time.monotonic() - began)
        if outcome.left_behind:
            self._broken = "an earlier trial hangs and still holds the process"
        if record.state.is_gain and record.elements in PROVEN and item.safety in APPLIED_UNASKED:
            self._accept(bench, item, changed, outcome.idle_scale)
        return record

    @staticmethod
    def _accept(bench: _Bench, item: Recommendation, changed: Replayable, idle_scale: float | None) -> None:
        """Let what follows be tried on top of a change; one of the loop is none of the pipeline."""
        if item.change.kind != REPEAT:
            bench.current = changed
            bench.kept[item.id] = changed
            bench.held_bytes += item.memory_bytes or 0
            bench.idle_scale = idle_scale

    def _rewrite(self, bench: _Bench, analysis: Analysis, item: Recommendation) -> tuple[Replayable, int | None]:
        """Return the changed pipeline, and the bytes that a cache holds which it adds."""
        stage_id = item.stage_id or ""
        with silence_tensorflow():
            changed = rewrite_call(bench.current, bench.names, bench.view, stage_id, item.change)
            if item.change.kind != REPEAT:  # it is of the loop
                self._check_shared(bench, analysis, item)
            return changed, held_by_new_cache(bench.current, changed, bench.view, stage_id, analysis)

    def _check_together(self, bench: _Bench, original: Replayable) -> None:
        """Try all that was kept together against the pipeline as it was: each was confirmed on top of the others alone.

        Where that is slower only the first stays, which was tried on nothing else.
        """
        records = [item for item in self._profile.trials if item.id in bench.kept]
        if len(records) <= 1 or self._broken or self._left_s < _LEAST_TRIAL_S:
            return
        fills = any(self._holds_cache(bench, item) for item in records)
        plan = replace(bench.plan, budget_s=max(_LEAST_TRIAL_S, self._left_s), noise=bench.noise, fills_cache=fills)
        self._stream(TrialEvent.now("start", trial=records[-1], deadline_s=plan.hard_deadline_s + _GRACE_S))
        progress = self._progress_of("trying all confirmed changes together")
        outcome = run_trial(original.load, bench.current.load, plan, self._stop, progress)
        revoked = records[1:] if outcome.state is TrialState.WORSE else []
        for record in revoked:
            self._stream(TrialEvent.now("result", trial=replace(record, state=TrialState.WORSE, reason=_NOT_TOGETHER)))
        if revoked:
            bench.kept = dict(list(bench.kept.items())[:1])
            (bench.current,) = bench.kept.values()
        else:
            self._stream(TrialEvent.now("result", trial=records[-1]))

    def _compare(self, bench: _Bench, changed: Replayable, item: Recommendation, longest_s: float = _COMPARE_S) -> Equivalence:
        def rewrite(form: Replayable) -> Replayable:
            return rewrite_call(form, bench.names, bench.view, item.stage_id or "", item.change)

        return compare_change(item, (bench.current, changed), rewrite, bench.names, self._comparison_s(longest_s))

    def _comparison_s(self, longest_s: float = _COMPARE_S) -> float:
        """Return the seconds for comparing elements: a quarter of what is left at first, later half of it."""
        return min(longest_s, max(1.0, self._left_s / (4 if longest_s <= _COMPARE_S else 2)))

    def _holds_cache(self, bench: _Bench, item: Recommendation | TrialRecord) -> bool:
        return find_change(item.change.kind).freezes or any(stage.op == "cache" for stage in bench.view.record.written)

    def _check_shared(self, bench: _Bench, analysis: Analysis, item: Recommendation) -> None:
        """A call can make several pipelines: the change must be right for each of them.

        Raises:
            TrialError: it is not, or that cannot be known.
        """
        site = bench.view.stage(item.stage_id or "").stage.call_site
        for other in analysis.pipelines:
            twins = stages_of_call(other, site)
            if other.record.id == bench.view.record.id or not twins:
                continue
            dataset = self._datasets.get(other.record.id)
            if dataset is None:
                raise TrialError(f"the same call makes another pipeline, which was not kept: {other.record.kept_reason}")
            original = Replayable.of(dataset, analysis.resources.memory_limit_bytes)
            names = match_stages(original.graph, other.record.written, other.record.output)
            its = replace(bench, view=other, names=names, current=original)
            twin = replace(item, stage_id=twins[0])
            try:
                changed = rewrite_call(original, names, other, twins[0], item.change)
            except TrialError as error:
                raise TrialError(f"the same call makes the {other.record.role} pipeline, and there: {error}") from error
            if self._compare(its, changed, twin).state in _FATAL:
                raise TrialError(f"the same call makes the {other.record.role} pipeline, whose elements it changes")

    def _refuse_all(self, analysis: Analysis, reason: str) -> None:
        for item in self._recommendations(analysis):
            why = item.trial.reason if item.change.kind in MANUAL else reason
            self._stream(TrialEvent.now("result", trial=refused(item, why)))

    def _note(self, text: str) -> None:
        self._stream(TrialEvent.now("reason", text=text))

    def _progress(self, text: str) -> None:
        self._on_progress(text, 1 - max(0.0, self._left_s) / self._settings.budget_s)

    def _progress_of(self, prefix: str) -> Progress:
        return lambda text, _share: self._progress(f"{prefix}: {text}")
