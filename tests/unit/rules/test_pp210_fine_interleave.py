"""PP210: a parallel interleave of elements that take longer to hand over than to read."""

from __future__ import annotations

import pytest

from pipeprof.advise.recommend import recommend
from pipeprof.model.diagnosis import Confidence, Finding, Severity
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp210_fine_interleave import FineInterleave, FineInterleaveParameters
from tests.support.builders import Scene, StageSpec, number, stage


def read(busy_s: float = 0.02, inside: float = 0.1, **details: object) -> StageSpec:
    given = {"node": "ParallelInterleaveV4", "slots": 4, "line": 9, "code": "paths.interleave(read, num_parallel_calls=4)"}
    return stage("interleave", busy_s, inner_nodes=(("TFRecord", inside),), **({"visits": 3000.0} | given | details))


def scene(reader: StageSpec, **numbers: object) -> Scene:
    """Make a step of 40 ms that waits 30 ms, for 3,000 records; one thread would take 5 ms for them."""
    return Scene(stages=(stage("from_tensor_slices", segment=3), reader, stage("batch"), stage("prefetch", segment=0))).but(
        **numbers
    )


FINE = scene(read())


def check(given: Scene, **params: float) -> list[Finding]:
    return list(FineInterleave().check(given.analysis(), FineInterleaveParameters(**params)))


def test_small_records_through_a_parallel_interleave_fire_with_what_one_thread_would_take() -> None:
    (finding,) = check(FINE)

    assert (finding.code, finding.stage_id, finding.severity) == ("PP210", "s1", Severity.HIGH)
    assert finding.confidence is Confidence.MEDIUM
    assert finding.message == (
        "train.py:9 .interleave(read, num_parallel_calls=4) hands 3,000 small elements of a step from thread to thread, which "
        "costs more than reading them: one thread would take at most 5.0 ms of each 40 ms. Training waits 75 % (71–79 %) "
        "of each step. Batch inside it, so that it hands over batches."
    )
    assert number(finding, "one_thread_s_per_step") == pytest.approx(0.005)
    assert number(finding, "cost_share") == pytest.approx(0.75)


def test_it_leads_to_batches_by_hand() -> None:
    (made,) = recommend(FINE.analysis(), check(FINE))

    assert made.change.kind == "batch_inside"
    assert ".batch(1000)" in made.sketch


@pytest.mark.parametrize(
    "cured",
    [
        scene(read(visits=3.0)),  # batches
        scene(read(busy_s=0.16, inside=0.2)),  # what is inside takes the time
        scene(read(node="Interleave", slots=1)),
        scene(read(), gap_s=0.038),
    ],
)
def test_the_cured_twin_is_silent(cured: Scene) -> None:
    assert check(cured) == []


def test_a_step_that_is_longer_than_any_hand_over_explains_has_another_cause() -> None:
    assert check(scene(read(visits=64.0)), max_element_s=30e-3 / 65) == []
    assert len(check(scene(read(visits=64.0)), max_element_s=30e-3 / 63)) == 1


def test_it_fires_just_over_the_threshold_and_not_just_under() -> None:
    assert len(check(FINE, min_share=0.749)) == 1
    assert check(FINE, min_share=0.751) == []
    assert len(check(FINE, min_elements=2999)) == 1
    assert check(FINE, min_elements=3001) == []


@pytest.mark.parametrize("given", [FINE.but(has_counters=False), FINE.but(alone=True)])
def test_it_does_not_apply_without_counters_or_a_consumer(given: Scene) -> None:
    (outcome,) = [item for item in judge(given.analysis()).outcomes if item.code == "PP210"]

    assert outcome.outcome == NOT_APPLICABLE
