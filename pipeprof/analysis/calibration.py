"""Calibration: how good predictions were, by the trials of the runs that were kept.

Every finished trial is scored, also one whose change the rules no longer lead to: to look at those alone that are still
recommended would leave out the ones that disappointed. A trial on top of others is not: it is against what was kept before
it, and all predictions are against the pipeline as it was. Nothing here reads a file.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from pipeprof.analysis.prediction import predict
from pipeprof.model.analysis import Analysis
from pipeprof.model.diagnosis import Prediction
from pipeprof.model.history import Accuracy, Calibration, Score, Scored, Unreadable
from pipeprof.model.profile import TrialRecord, TrialState


def score_trials(run_id: str, analysis: Analysis) -> Scored:
    """Compare each finished trial of a run with its prediction."""
    trials = [record for record in analysis.profile.trials if record.rerun is None]  # a re-run of the script is not predicted
    finished = [record for record in trials if record.state is not TrialState.NOT_TRIED and record.speedup]
    first = [record for record in finished if not record.on_top_of]
    scores = [_score(run_id, record, _predicted(record, analysis)) for record in first]
    known = tuple(score for score in scores if score is not None)
    return Scored(scores=known, on_top_of_others=len(finished) - len(first), unpredicted=len(first) - len(known))


def calibrate(scored: Sequence[Scored], unreadable: Sequence[Unreadable] = ()) -> Calibration:
    """Put the scores of some runs together, the kinds of change in the order of the alphabet."""
    scores = tuple(score for run in scored for score in run.scores)
    kinds = sorted({score.kind for score in scores})
    return Calibration(
        runs=len(scored),
        overall=_accuracy(scores),
        kinds={kind: _accuracy([score for score in scores if score.kind == kind]) for kind in kinds},
        scores=scores,
        on_top_of_others=sum(run.on_top_of_others for run in scored),
        unpredicted=sum(run.unpredicted for run in scored),
        unreadable=tuple(unreadable),
    )


def _predicted(record: TrialRecord, analysis: Analysis) -> Prediction | None:
    """Return what was predicted before the trial; of runs that did not keep it, what the model of today says."""
    if record.predicted is not None and record.predicted_low is not None and record.predicted_high is not None:
        return Prediction(speedup=record.predicted, low=record.predicted_low, high=record.predicted_high)
    view = next((item for item in analysis.pipelines if item.record.id == record.pipeline_id), None)
    if view is None or all(item.id != record.stage_id for item in view.stages):
        return None
    return predict(analysis, view, record.stage_id, record.change)


def _score(run_id: str, record: TrialRecord, predicted: Prediction | None) -> Score | None:
    if predicted is None or not record.speedup:
        return None
    return Score(
        run=run_id,
        trial=record.id,
        kind=record.change.kind,
        state=record.state,
        predicted=predicted,
        speedup=record.speedup,
        low=record.low,
        high=record.high,
        error=predicted.speedup / record.speedup - 1,
        is_held=predicted.low <= record.speedup <= predicted.high,
    )


def _accuracy(scores: Sequence[Score]) -> Accuracy:
    if not scores:
        return Accuracy(count=0)
    return Accuracy(
        count=len(scores),
        median_abs_error=statistics.median(abs(score.error) for score in scores),
        median_error=statistics.median(score.error for score in scores),
        held_share=sum(score.is_held for score in scores) / len(scores),
    )
