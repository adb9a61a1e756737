"""What a change is foretold to cost: memory that is sure and memory that is bounded are two numbers; buckets once measured."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from pipeprof.advise.changes import KINDS, bucket
from pipeprof.advise.changes.bucket import with_buckets
from pipeprof.advise.recommend import recommend
from pipeprof.advise.refusals import why_too_large
from pipeprof.advise.trial_records import new_record
from pipeprof.analysis.memory_bounds import most_bytes
from pipeprof.analysis.place import Place
from pipeprof.model.diagnosis import Recommendation, Safety
from pipeprof.model.profile import Autotune, Change, TrialRecord, TrialState
from pipeprof.rules.engine import judge
from tests.support.builders import Scene, function, stage

GB = 1_000_000_000
PARAMS: dict[str, Any] = {"num_parallel_calls": -1, "private_threadpool_size": 8, "ram_budget": GB, "boundaries": "10 20"}
DRAWN = function("RandomUniform", random_ops=("RandomUniform",), drawn_from_bytes=100)

SCENE = Scene(
    stages=(
        stage("range", element_bytes=8, cardinality=640),
        stage("map", 0.036, visits=32.0, element_bytes=1000, cardinality=640, function=DRAWN),
        stage("cache", element_bytes=1000, cardinality=640, visits=32.0),
        stage("take", element_bytes=1000, cardinality=640, visits=32.0),
        stage("prefetch", segment=0, element_bytes=1000, cardinality=640),
    ),
    autotune=Autotune(enabled=True, ram_budget_bytes=4 * GB),
)


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"parallel_inside"}))
def test_every_kind_says_what_memory_it_takes_or_takes_at_most(kind: str) -> None:
    analysis = SCENE.analysis()
    view = analysis.pipelines[0]
    stage_id = "s2" if kind == "move_cache" else "s1"
    place = Place(analysis=analysis, view=view, stage=view.stage(stage_id), change=Change(kind=kind, params=PARAMS))

    assert KINDS[kind].memory_bytes(view, stage_id, PARAMS) is not None or most_bytes(place) is not None


def test_the_map_inside_another_stage_takes_what_its_counted_elements_do() -> None:
    reading = Scene(
        stages=(stage("range"), stage("flat_map", 0.03, node="FlatMap", visits=32.0, inner_nodes=(("Map", 0.9),))), cores=4
    )
    analysis = reading.analysis()
    view = analysis.pipelines[0]
    outer, inner = view.stage("s1").executed

    def most(**counted: Any) -> int | None:
        counted_inner = replace(inner, **counted)
        flat = replace(view.stage("s1"), executed=(outer, counted_inner))
        return most_bytes(
            Place(
                analysis=analysis,
                view=view,
                stage=flat,
                change=Change(kind="parallel_inside", params={"num_parallel_calls": -1}),
            )
        )

    assert most(elements=10, bytes_produced=10_000) == 5 * 1000
    assert (
        most(elements=10, bytes_produced=40_000, node="MapAndBatch", known_ratio=4.0, parallelism=1.0) == 5 * 1000 + 17 * 4000
    )
    assert most(elements=10) is None


def test_a_recommendation_keeps_what_is_sure_and_what_is_bounded_apart() -> None:
    waiting = SCENE.but(
        stages=(
            stage("range"), stage("map", 0.036, visits=32.0, element_bytes=1000, function=DRAWN),
            stage("batch", arguments={"batch_size": 32}),
        ),
    )  # fmt: skip
    analysis = waiting.analysis()

    (item,) = (item for item in recommend(analysis, judge(analysis, select=["PP201"]).findings))

    assert item.change.kind == "parallel_calls"
    assert (item.memory_bytes, item.memory_most_bytes) == (None, 5 * 1000 + 17 * 32_000)


def test_nothing_is_refused_for_what_it_takes_at_most() -> None:
    bounded = Recommendation(
        id="p", findings=(), change=Change(kind="prefetch"), title="Prefetch", safety=Safety.SAFE, memory_most_bytes=9 * GB
    )

    assert why_too_large(bounded, 0, 1 * GB) == ""
    assert why_too_large(replace(bounded, memory_bytes=9 * GB), 0, 1 * GB) != ""


PADDED = Scene(
    stages=(stage("range"), stage("map", 0.004, visits=32.0), stage("padded_batch", 0.004, element_bytes=500)),
    step_s=0.031, gap_s=0.030, cpu_s_per_step=0.02,
)  # fmt: skip
MEASURED = {"boundaries": "10 20", "padding_now": 0.6, "padding_then": 0.2, "rows": 4000, "path": "row"}


def test_buckets_are_foretold_once_they_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket, "measure_buckets", lambda *_: MEASURED)
    analysis = PADDED.analysis()
    item = Recommendation(
        id="bucket-p0-s2", findings=("PP607",), change=Change(kind="bucket"), title="Let rows meet", safety=Safety.REORDERS,
        pipeline_id="p0", stage_id="s2",
    )  # fmt: skip

    found = with_buckets(item, analysis, analysis.pipelines[0], SimpleNamespace(), {})  # type: ignore[arg-type]
    record = new_record(found, "it was being tried")

    assert found.change.params == MEASURED
    assert found.memory_bytes == 3 * 500
    assert found.predicted is not None
    assert (record.predicted, record.predicted_high) == (found.predicted.speedup, found.predicted.high)
    assert record.predicted_high is not None
    assert record.predicted_high > 1.7


def test_a_report_of_a_run_foretells_buckets_by_what_its_trial_measured() -> None:
    wasted = PADDED.but(
        stages=(*PADDED.stages[:2], stage("padded_batch", 0.004, node_element_bytes=10_000, node_bytes_taken=4000))
    )
    analysis = wasted.analysis()
    record = TrialRecord(
        id="bucket-p0-s2", pipeline_id="p0", stage_id="s2", change=Change(kind="bucket", params=MEASURED),
        state=TrialState.NOT_TRIED, reason="it pays in the model's step",
    )  # fmt: skip
    tried = replace(analysis, profile=replace(analysis.profile, trials=(record,)))

    before, after = (recommend(item, judge(item, select=["PP607"]).findings)[0] for item in (analysis, tried))

    assert before.predicted is None
    assert after.predicted is not None
    assert "was not measured" in after.predicted.basis
