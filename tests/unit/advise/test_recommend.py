"""What becomes of a recommendation once its trial is known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeprof.advise.recommend import _MAKERS, recommend
from pipeprof.model.analysis import Analysis
from pipeprof.model.diagnosis import Recommendation, Safety
from pipeprof.model.profile import Change, ElementsState, TrialRecord, TrialState
from pipeprof.rules.engine import judge
from tests.support.builders import Scene, function, stage

SLOW = Scene(
    stages=(
        stage("from_tensor_slices", cardinality=6400, element_bytes=20),
        stage("map", 0.036, visits=32.0, cardinality=6400, element_bytes=15_000, function=function("DecodeJpeg")),
        stage("prefetch", segment=0, node="Prefetch"),
    )
)


def cache_trial(**facts: object) -> TrialRecord:
    planted = {"state": TrialState.CONFIRMED, "speedup": 2.0, "low": 1.5, "high": 2.5, "pairs": 5}
    return TrialRecord(id="cache-p0-s1", pipeline_id="p0", stage_id="s1", change=Change(kind="cache"), **(planted | facts))  # type: ignore[arg-type]


def with_trials(*trials: TrialRecord, scene: Scene = SLOW) -> Analysis:
    analysis = scene.analysis()
    return replace(analysis, profile=replace(analysis.profile, trials=trials))


def recommended(analysis: Analysis):
    return {item.id: item for item in recommend(analysis, judge(analysis).findings)}


@pytest.mark.parametrize("state", list(ElementsState))
def test_a_confirmed_change_is_accepted_only_with_its_data_proven_the_same(state: ElementsState) -> None:
    proven = {ElementsState.IDENTICAL, ElementsState.EQUAL_WITHIN_ROUNDING, ElementsState.SAME_BUT_RANDOM}

    item = recommended(with_trials(cache_trial(elements=state)))["cache-p0-s1"]

    assert item.accepted is (state in proven)


def test_a_cache_that_was_seen_to_freeze_is_shown_as_refused() -> None:
    frozen = cache_trial(state=TrialState.WORSE, elements=ElementsState.DIFFERENT, speedup=None, low=None, high=None)

    item = recommended(with_trials(frozen))["cache-p0-s1"]

    assert (item.trial.state, item.accepted) == (TrialState.WORSE, False)
    assert item.predicted is None


def test_a_dataset_that_is_built_anew_is_advised_on_and_not_tried() -> None:
    anew = SLOW.but(stages=tuple(replace(item, objects=3) for item in SLOW.stages))

    (item,) = (item for item in recommended(anew.analysis()).values() if "PP401" in item.findings)

    assert (item.change.kind, item.safety, item.predicted) == ("build_once", Safety.MANUAL, None)
    assert item.title == "Build this dataset once, outside the loop over epochs, and cache it there"


def test_no_cache_is_recommended_where_what_is_read_changed() -> None:
    source, decode, prefetch = SLOW.stages
    changing = SLOW.but(stages=(source, replace(decode, changed_state="level"), prefetch))

    assert "PP401" in {finding.code for finding in judge(changing.analysis()).findings}
    assert [item.id for item in recommended(changing.analysis()).values() if "PP401" in item.findings] == []


def cheap_map(reason: str | None) -> Scene:
    made_of = function("Mul", not_elementwise=reason)
    stages = (
        stage("from_tensor_slices", 0.0005, visits=1000.0, element_bytes=80),
        stage("map", 0.023, visits=1000.0, element_bytes=80, function=made_of),
        stage("batch"),
        stage("prefetch", segment=0),
    )
    return Scene(stages=stages, step_s=0.024, gap_s=0.004)


def recommended_for_batches(scene: Scene) -> Recommendation:
    analysis = scene.analysis()
    (item,) = recommend(analysis, judge(analysis, select=["PP601"]).findings)
    return item


def test_a_map_is_swapped_with_its_batch_mechanically_only_where_it_is_proven() -> None:
    proven = recommended_for_batches(cheap_map(""))
    unproven = recommended_for_batches(cheap_map("StridedSlice is not known to"))

    assert (proven.change.kind, proven.safety) == ("vectorize", Safety.SAFE)
    assert (unproven.change.kind, unproven.safety, unproven.predicted) == ("rewrite_for_batches", Safety.MANUAL, None)
    assert unproven.title == "Rewrite this function for whole batches, then batch before it"


def test_a_change_of_the_order_is_never_accepted_unasked_even_where_the_order_was_seen_to_stay() -> None:
    scene = SLOW.but(stages=(SLOW.stages[0], replace(SLOW.stages[1], busy_s=0.036), SLOW.stages[2]))
    trial = replace(
        cache_trial(elements=ElementsState.IDENTICAL), id="parallel_calls-p0-s1", change=Change(kind="parallel_calls")
    )
    analysis = with_trials(trial, scene=scene)
    view = analysis.pipelines[0]
    free = replace(analysis, pipelines=(replace(view, record=replace(view.record, deterministic=False)),))
    finding = next(item for item in judge(analysis).findings if item.stage_id == "s1")

    accepted = {
        name: recommend(item, [replace(finding, code="PP201")])[0] for name, item in (("ordered", analysis), ("free", free))
    }

    assert (accepted["ordered"].safety, accepted["ordered"].accepted) == (Safety.SAFE, True)
    assert (accepted["free"].safety, accepted["free"].accepted) == (Safety.REORDERS, False)
    assert accepted["free"].trial.state is TrialState.CONFIRMED


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        (("map", "cache", "take"), "move_cache"),
        (("map", "cache", "batch"), "place_cache"),
    ],
)
def test_a_cache_is_moved_mechanically_only_where_its_neighbour_is_in_the_way(kinds: tuple[str, ...], expected: str) -> None:
    scene = Scene(stages=(stage("from_tensor_slices"), *(stage(op) for op in kinds), stage("prefetch", segment=0)))
    analysis = scene.analysis()
    finding = judge(SLOW.analysis()).findings[0]

    (item,) = recommend(analysis, [replace(finding, code="PP403", stage_id="s2", pipeline_id="p0", evidence=())])

    assert item.change.kind == expected
    assert item.title == "Let the cache fill: put take() before it"


def test_a_change_of_the_whole_pipeline_is_recommended_once_whichever_stages_lead_to_it(monkeypatch) -> None:
    monkeypatch.setitem(_MAKERS, "PP206", lambda _finding: Change(kind="nondeterministic"))
    finding = replace(judge(SLOW.analysis()).findings[0], code="PP206", pipeline_id="p0")

    found = recommend(SLOW.analysis(), [replace(finding, stage_id=stage_id) for stage_id in ("s1", "s2")])

    assert [(item.change.kind, item.findings) for item in found] == [("nondeterministic", ("PP206",))]
