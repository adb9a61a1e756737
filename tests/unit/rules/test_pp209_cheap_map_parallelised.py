"""PP209: cheap maps for which a thread is dearer than the work."""

from __future__ import annotations

import pytest

from pipeprof.advise.recommend import recommend
from pipeprof.model.diagnosis import Safety, Severity
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp209_cheap_map_parallelised import CheapMapParallelised, CheapMapParameters
from tests.support.builders import Scene, StageSpec, function, number, python_function, stage


def scale(busy_s: float = 0.04, **details: object) -> StageSpec:
    details = {"function": function("Mul"), "node": "ParallelMapV2", "line": 31, "code": "ds.map(scale, 2)"} | details
    return stage("map", busy_s, **({"slots": 2, "visits": 1000} | details))


def scene(view: StageSpec, **numbers: object) -> Scene:
    """Return a step of 68 ms for a thousand elements, of which 6 are the loop's own."""
    numbers = {"step_s": 0.068, "gap_s": 0.006} | numbers
    rest = (stage("filter", 0.003, segment=3, visits=1000), stage("batch", segment=3), stage("prefetch", segment=0))
    return Scene(stages=(stage("from_tensor_slices", segment=2), view, *rest)).but(**numbers)


SLOW = scene(scale())


def check(given: Scene, **params: float) -> list:
    return list(CheapMapParallelised().check(given.analysis(), CheapMapParameters(**params)))


def test_a_step_that_is_longer_than_one_thread_would_need_fires() -> None:
    (finding,) = check(SLOW)

    assert (finding.code, finding.stage_id, finding.severity) == ("PP209", "s1", Severity.HIGH)
    assert finding.message == (
        "train.py:31 .map(scale, 2) hands each of the 1000 elements of a step to another thread and back, which costs more "
        "than its work: on one thread they would take at most 43 ms of the 68 ms step. Training waits 91 % (87–95 %) of each "
        "step. Map whole batches, or say synchronous=True."
    )
    assert number(finding, "cost_share") == pytest.approx(0.025 / 0.068)


def test_it_leads_to_a_synchronous_map() -> None:
    (made,) = recommend(SLOW.analysis(), check(SLOW))

    assert (made.change.kind, made.safety) == ("synchronous", Safety.SAFE)


def test_a_call_counts_with_what_it_costs_at_least() -> None:
    (finding,) = check(scene(scale(busy_s=0.01)))

    assert number(finding, "one_thread_s_per_step") == pytest.approx(0.033)


@pytest.mark.parametrize(
    "cured",
    [
        scene(scale(node="Map", slots=1)),
        scene(scale(node="MapAndBatch")),
        scene(scale(busy_s=0.06)),  # one thread would take as long
        scene(scale(busy_s=0.101)),  # a dear call
        scene(scale(function=python_function())),
        scene(scale(visits=31)),
        SLOW.but(step_s=0.5),  # more than handing over can cost
        SLOW.but(gap_s=0.066),
    ],
)
def test_the_cured_twin_is_silent(cured: Scene) -> None:
    assert check(cured) == []


def test_it_fires_just_over_the_threshold_and_not_just_under() -> None:
    assert len(check(SLOW, min_share=0.367)) == 1
    assert check(SLOW, min_share=0.368) == []


@pytest.mark.parametrize("given", [SLOW.but(has_counters=False), SLOW.but(alone=True)])
def test_it_does_not_apply_without_counters_or_a_consumer(given: Scene) -> None:
    (outcome,) = [item for item in judge(given.analysis()).outcomes if item.code == "PP209"]

    assert outcome.outcome == NOT_APPLICABLE
