"""PP612: seeded draws in parallel calls."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeprof.advise.recommend import recommend
from pipeprof.model.diagnosis import Confidence, Severity
from pipeprof.rules.base import Parameters
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp612_seeds_lost import SeedsLost
from tests.support.builders import Scene, StageSpec, function, random_function, stage
from tests.support.looks import looked


def crop(*, seeded: bool = True, calls: int | None = -1, **details: object) -> StageSpec:
    given = {
        "function": random_function(has_op_seed=seeded),
        "arguments": {} if calls is None else {"num_parallel_calls": calls},
        "slots": 4,
        "line": 12,
        "code": "ds.map(crop, num_parallel_calls=AUTO)",
    }
    return stage("map", **(given | details))


def scene(*stages: StageSpec, **numbers: object) -> Scene:
    return Scene(stages=(stage("range"), *stages)).but(**numbers)


def check(given: Scene) -> list:
    return list(SeedsLost().check(given.analysis(), Parameters()))


def test_a_seeded_draw_in_parallel_calls_fires_at_the_map() -> None:
    given = scene(crop())

    (finding,) = check(given)
    (made,) = recommend(given.analysis(), [finding])

    assert (finding.code, finding.stage_id) == ("PP612", "s1")
    assert (finding.severity, finding.confidence) == (Severity.LOW, Confidence.HIGH)
    assert finding.message == (
        "train.py:12 .map(crop, num_parallel_calls=AUTO) draws random numbers (RandomUniform) with an operation seed in "
        "several calls at once: which element gets which number depends on the threads, so that two runs differ. Draw with "
        "tf.random.stateless_* operations and a seed for each element."
    )
    assert made.change.kind == "stateless_random"


def test_a_global_seed_counts_as_well() -> None:
    (finding,) = check(scene(crop(seeded=False), seed_set=True))

    assert "with a global seed" in finding.message


def test_the_cured_twin_with_stateless_draws_is_silent() -> None:
    assert check(scene(crop(function=function("StatelessRandomUniformV2")), seed_set=True)) == []


def test_without_a_seed_nobody_asked_for_repetition_and_it_is_silent() -> None:
    assert check(scene(crop(seeded=False))) == []


@pytest.mark.parametrize("given", [crop(calls=None, slots=1), crop(calls=1, slots=1), crop(slots=1)])
def test_one_call_at_a_time_is_silent_also_where_tensorflow_made_it_so(given: StageSpec) -> None:
    assert check(scene(given)) == []


def test_what_was_not_seen_to_run_is_less_sure() -> None:
    (finding,) = check(scene(crop()).but(has_counters=False))

    assert finding.confidence is Confidence.MEDIUM


def test_it_does_not_apply_without_a_pipeline() -> None:
    outcomes = judge(replace(scene(crop()).analysis(), pipelines=(), train_id=None)).outcomes

    (outcome,) = [item for item in outcomes if item.code == "PP612"]
    assert outcome.outcome == NOT_APPLICABLE


@pytest.mark.parametrize(
    ("same", "control", "confidence", "said"),
    [
        (0.25, 1.0, Confidence.HIGH, "75 % were others in a second load"),
        (1.0, 1.0, Confidence.LOW, "two loads of 64 elements happened to be equal"),
        (0.25, 0.5, Confidence.HIGH, "so that two runs differ. Draw"),  # something else differs too: the graph is what there is
    ],
)
def test_two_loads_prove_it_or_make_it_less_sure(same: float, control: float, confidence: Confidence, said: str) -> None:
    rule = SeedsLost()
    analysis = looked(scene(crop()).analysis(), rule, same=same, control=control)

    (finding,) = rule.check(analysis, Parameters())

    assert finding.confidence is confidence
    assert said in finding.message
