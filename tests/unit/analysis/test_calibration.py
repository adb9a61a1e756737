"""How good the predictions were, by the trials of some runs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeprof.analysis.calibration import calibrate, score_trials
from pipeprof.analysis.prediction import predict
from pipeprof.model.analysis import Analysis
from pipeprof.model.diagnosis import Prediction
from pipeprof.model.history import Accuracy, Scored
from pipeprof.model.profile import Change, RerunFacts, TrialRecord, TrialState
from tests.support.builders import Scene, stage

SLOW = Scene(stages=(stage("from_tensor_slices"), stage("map", 0.036), stage("prefetch", segment=0)), cores=4)
CALLS = Change(kind="parallel_calls", params={"num_parallel_calls": -1})
CACHE = Change(kind="cache")


def predicted(change: Change) -> Prediction:
    analysis = SLOW.analysis()
    found = predict(analysis, analysis.pipelines[0], "s1", change)
    assert found is not None
    return found


def trial(change: Change, promised_too_much: float = 0.0, **facts: object) -> TrialRecord:
    """Make a trial of which the prediction is so much off."""
    speedup = predicted(change).speedup / (1 + promised_too_much)
    planted = {"state": TrialState.CONFIRMED, "speedup": speedup, "low": speedup * 0.95, "high": speedup * 1.05}
    return TrialRecord(id=f"{change.kind}-p0-s1", pipeline_id="p0", stage_id="s1", change=change, **(planted | facts))


def scored(*trials: TrialRecord) -> Scored:
    return score_trials("run", SLOW.but(trials=trials).analysis())


def test_errors_are_relative_to_the_trial_with_their_sign_and_by_kind() -> None:
    runs = [scored(trial(CALLS, 0.10)), scored(trial(CALLS, -0.20), trial(CACHE, 0.50))]

    found = calibrate(runs)

    assert (found.runs, found.overall.count) == (2, 3)
    assert (found.overall.median_abs_error, found.overall.median_error) == (pytest.approx(0.20), pytest.approx(0.10))
    assert list(found.kinds) == ["cache", "parallel_calls"]
    assert found.kinds["cache"].median_error == pytest.approx(0.50)
    calls = found.kinds["parallel_calls"]
    assert (calls.count, calls.median_abs_error, calls.median_error) == (2, pytest.approx(0.15), pytest.approx(-0.05))


def test_an_interval_holds_a_speedup_up_to_its_ends_and_none_beyond() -> None:
    interval = predicted(CALLS)
    speedups = (interval.low, interval.high, interval.low * 0.999, interval.high * 1.001)

    runs = [scored(trial(CALLS, speedup=speedup)) for speedup in speedups]

    assert [run.scores[0].is_held for run in runs] == [True, True, False, False]
    assert calibrate(runs).overall.held_share == 0.5


@pytest.mark.parametrize("state", [TrialState.CONFIRMED, TrialState.NO_DIFFERENCE, TrialState.WORSE])
def test_a_disappointing_trial_counts_as_well(state: TrialState) -> None:
    (score,) = scored(trial(CALLS, 0.3, state=state)).scores

    assert (score.kind, score.state, score.predicted) == ("parallel_calls", state, predicted(CALLS))
    assert score.error == pytest.approx(0.3)


@pytest.mark.parametrize("unfinished", [{"state": TrialState.NOT_TRIED}, {"state": TrialState.WORSE, "speedup": None}])
def test_a_trial_that_showed_no_speedup_is_not_looked_at(unfinished: dict[str, object]) -> None:
    assert scored(trial(CALLS, **unfinished)) == Scored()


def test_a_trial_on_top_of_others_is_left_out_and_counted() -> None:
    run = scored(trial(CALLS), trial(CACHE, on_top_of=("parallel_calls-p0-s1",)))

    assert [score.kind for score in run.scores] == ["parallel_calls"]
    assert calibrate([run, run]).on_top_of_others == 2


def test_a_rerun_of_the_script_is_no_trial_of_a_prediction() -> None:
    rerun = replace(trial(CALLS), id="rerun-1", stage_id="", rerun=RerunFacts(changes=(), ceiling=True))

    run = scored(trial(CALLS), rerun)

    assert (len(run.scores), run.unpredicted) == (1, 0)


def test_a_trial_without_a_prediction_is_left_out_and_counted() -> None:
    strangers = (
        replace(trial(CALLS), change=Change(kind="unheard_of")),
        replace(trial(CALLS), pipeline_id="gone"),
        replace(trial(CALLS), stage_id="gone"),
    )

    assert [scored(item) for item in strangers] == [Scored(unpredicted=1)] * 3


def test_the_trial_is_predicted_with_the_parameters_that_were_tried() -> None:
    two = Change(kind="parallel_calls", params={"num_parallel_calls": 2})

    (score,) = scored(replace(trial(CALLS), change=two)).scores

    assert score.predicted == predicted(two) != predicted(CALLS)


def test_of_nothing_no_accuracy_is_claimed() -> None:
    found = calibrate([scored()])

    assert (found.runs, found.overall, found.kinds, found.scores) == (1, Accuracy(count=0), {}, ())


def test_the_trials_themselves_do_not_change_what_is_predicted() -> None:
    analysis: Analysis = SLOW.but(trials=(trial(CALLS, 0.5),)).analysis()

    assert predict(analysis, analysis.pipelines[0], "s1", CALLS) == predicted(CALLS)
