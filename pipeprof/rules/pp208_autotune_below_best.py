"""PP208: a fixed number of calls was measured to be faster than the one that AUTOTUNE chose.

The one idea: measured or silent. The rates of ``pipeprof bench`` at fixed numbers of calls are compared with that at AUTOTUNE's
own number; a confirmed trial of a fixed number says the same. Nothing is predicted here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeprof import units
from pipeprof.analysis.scaling import scaled_rates
from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.diagnosis import Confidence, Evidence, Finding, Safety
from pipeprof.model.profile import TrialRecord, TrialState
from pipeprof.rules.base import COST_SHARE, Parameters, Rule, Status, grade, name_stage, parameter
from pipeprof.rules.needs import Need, is_trial_of_calls


@dataclass(frozen=True, kw_only=True, slots=True)
class BelowBestParameters(Parameters):
    """Thresholds of PP208."""

    min_gain: float = parameter(0.1, unit="of the rate", low=0.01, high=10, doc="that the fixed number is faster by")


@dataclass(frozen=True, kw_only=True, slots=True)
class Better:
    """A fixed number of calls, and how much faster it was."""

    calls: int
    ratio: float
    low: float
    source: str


class AutotuneBelowBest(Rule[BelowBestParameters]):
    """AUTOTUNE below the best.

    What it looks for:
        A stage whose number of calls AUTOTUNE chose, and a fixed number with
        which it was measured to be clearly faster.

    Why it costs time:
        AUTOTUNE models the pipeline and climbs in small steps; it can stop
        early, or take time for CPU time and give cores to a stage that waits.
        A memory budget (options.autotune.ram_budget) that large elements fill
        stops it too: of 16 calls that slept, it ran 4 in a budget of 8 MB.

    How it is measured:
        pipeprof bench runs the slowest stage with several fixed numbers of
        calls, in rounds, AUTOTUNE's own number and that of the threads among
        them; a number fires where the whole interval of its rate lies above
        that of AUTOTUNE's. Or by a trial of a fixed number that was confirmed.

    When it is wrong:
        bench runs the pipeline alone: beside a training step that computes on
        the CPU fewer calls may be better.

    What to do:
        Write the number: num_parallel_calls=N.

    What that can change:
        More elements are held at a time, whatever memory budget was set. The
        number stays as it is on another machine.

    References:
        tf.data.experimental.AutotuneOptions; Plumber (MLSys 2022), on
        AUTOTUNE's model.
    """

    code = "PP208"
    name = "autotune-below-best"
    status = Status.STABLE
    remedy_safety = Safety.CHANGES_DATA
    needs = (Need.TRAINING, Need.SCALING)
    rivals = ("PP202",)
    parameters = BelowBestParameters

    def check(self, analysis: Analysis, params: BelowBestParameters) -> Iterator[Finding]:
        """Yield a finding for each stage that was measured to be faster with a fixed number."""
        train = analysis.train
        if train is None:
            return
        for view in train.stages:
            now = view.chosen_calls
            better = None if now is None else _find_better(analysis, train, view, now)
            if now is not None and better is not None and better.ratio >= 1 + params.min_gain:
                yield self._report_stage(analysis, train, view, (now, better), params)

    def _report_stage(
        self,
        analysis: Analysis,
        train: PipelineView,
        view: StageView,
        numbers: tuple[int, Better],
        params: BelowBestParameters,
    ) -> Finding:
        now, better = numbers
        cost = 1 - 1 / better.ratio
        message = (
            f"{name_stage(view)} runs {units.count_of(now, 'call')} at once, chosen by AUTOTUNE; with {better.calls} it was "
            f"{units.ratio(better.ratio)} as fast ({better.source}). Write the number: num_parallel_calls={better.calls}."
        )
        return self.report(
            message,
            severity=grade(cost),
            confidence=Confidence.MEDIUM,
            pipeline=train,
            view=view,
            evidence=(
                Evidence(name=COST_SHARE, value=cost, unit="share", n=analysis.steps.count),
                Evidence(name="gain", value=better.ratio - 1, unit="of the rate", threshold=params.min_gain),
                Evidence(name="gain_low", value=better.low - 1, unit="of the rate"),
                Evidence(name="calls_chosen", value=now, unit="calls"),
                Evidence(name="calls_best", value=better.calls, unit="calls"),
            ),
        )


def _find_better(analysis: Analysis, train: PipelineView, view: StageView, now: int) -> Better | None:
    own = [_of_trial(item) for item in analysis.profile.trials if _is_confirmed_for(item, train, view)]
    measured = _measured(train, now) if train.record.scaling_stage == view.id else None
    found = [item for item in (*own, measured) if item is not None]
    return max(found, key=lambda item: item.ratio, default=None)


def _measured(train: PipelineView, now: int) -> Better | None:
    """Return the fastest number that bench tried, where its whole interval lies above that of AUTOTUNE's number."""
    points = scaled_rates(train.record)
    chosen = next((point for point in points if point.calls == now), None)
    best = max(points, key=lambda point: point.speedup, default=None)
    if chosen is None or best is None or best.calls == now or chosen.speedup <= 0 or best.low <= chosen.high:
        return None
    low = best.low / chosen.high if chosen.high > 0 else 1.0
    return Better(calls=best.calls, ratio=best.speedup / chosen.speedup, low=low, source="measured alone")


def _is_confirmed_for(trial: TrialRecord, train: PipelineView, view: StageView) -> bool:
    is_here = (trial.pipeline_id, trial.stage_id) == (train.record.id, view.id)
    return is_here and is_trial_of_calls(trial) and trial.state is TrialState.CONFIRMED and trial.speedup is not None


def _of_trial(trial: TrialRecord) -> Better:
    calls = int(trial.change.params["num_parallel_calls"] or 0)
    ratio = trial.speedup or 1.0
    return Better(calls=calls, ratio=ratio, low=trial.low or ratio, source="by a trial")
