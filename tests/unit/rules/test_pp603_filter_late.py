"""PP603: filters that throw away what was dear to make."""

from __future__ import annotations

import pytest

from pipeprof.advise.recommend import recommend
from pipeprof.model.diagnosis import Confidence, Severity
from pipeprof.model.profile import StageFunction
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp603_filter_late import FilterLate, FilterLateParameters
from tests.support.builders import Scene, StageSpec, function, number, stage

HANDS_ON_THE_FIRST = function("DecodeJpeg", passes=(0, -1, -1), reads=(0, 1))
SOURCE = stage("from_tensor_slices", visits=4.0)


def decode(busy_s: float = 0.036, made_of: StageFunction | None = HANDS_ON_THE_FIRST, **details: object) -> StageSpec:
    return stage("map", busy_s, visits=4.0, function=made_of, **({"line": 12, "code": "ds.map(decode)"} | details))


def keep(*reads: int, visits: float = 1.0, made_of: object = "reads") -> StageSpec:
    predicate = function("Greater", reads=reads) if made_of == "reads" else made_of
    return stage("filter", visits=visits, line=13, code="ds.filter(big)", function=predicate)  # type: ignore[arg-type]


def scene(*stages: StageSpec, **numbers: object) -> Scene:
    return Scene(stages=(SOURCE, *stages, stage("batch"))).but(**numbers)


LATE = scene(decode(), keep(0))


def check(given: Scene, **params: float) -> list:
    return list(FilterLate().check(given.analysis(), FilterLateParameters(**params)))


def test_a_filter_that_drops_most_of_what_a_dear_map_made_fires_at_the_filter() -> None:
    (finding,) = check(LATE)

    assert (finding.code, finding.stage_id, finding.severity, finding.confidence) == (
        "PP603", "s2", Severity.HIGH, Confidence.HIGH,
    )  # fmt: skip
    assert finding.message == (
        "train.py:13 .filter(big) drops 75 % of what train.py:12 .map(decode) makes, which takes 36 ms for each 40 ms step: "
        "that work is thrown away. Training waits 75 % (71–79 %) of each step. Its predicate reads nothing that is made there: "
        "filter first."
    )
    assert number(finding, "cost_share") == pytest.approx((0.036 - 0.010) / 0.04)
    assert number(finding, "dropped") == 0.75


def test_it_leads_to_a_change() -> None:
    (made,) = recommend(LATE.analysis(), check(LATE))

    assert (made.change.kind, made.stage_id) == ("filter_earlier", "s2")


def test_the_cured_twin_is_silent() -> None:
    first = stage("filter", visits=1.0, function=function("Greater", reads=(0,)))

    assert check(scene(first, decode(0.009), stage("map", visits=1.0))) == []


@pytest.mark.parametrize(("visits", "fires"), [(3.59, True), (3.61, False)])
def test_it_fires_just_over_a_tenth_dropped_and_not_just_under(visits: float, fires: bool) -> None:
    assert bool(check(scene(decode(), keep(0, visits=visits)))) is fires


def test_a_map_that_costs_little_is_silent() -> None:
    assert check(scene(decode(0.001), keep(0), step_s=0.011, gap_s=0.010)) == []


def test_a_predicate_that_needs_a_part_of_what_is_made_is_told_at_low_confidence() -> None:
    (finding,) = check(scene(decode(), keep(1)))

    assert finding.confidence is Confidence.LOW
    assert finding.message.endswith(
        "Its predicate reads something that is made there, though not all of it: where that can be made first by a cheap map, "
        "filter after that and do the rest behind the filter."
    )


def test_a_predicate_that_needs_all_that_is_made_keeps_its_place() -> None:
    assert check(scene(decode(), keep(1, 2))) == []
    assert check(scene(decode(made_of=function("DecodeJpeg", passes=(-1,), reads=(0,))), keep(0))) == []


def test_where_the_graph_does_not_tell_the_condition_is_said() -> None:
    for given in (scene(decode(made_of=None), keep(0)), scene(decode(), keep(made_of=None))):
        (finding,) = check(given)

        assert finding.confidence is Confidence.LOW
        assert finding.message.endswith("Filter first; that holds only if the predicate needs earlier fields only.")


def test_what_is_read_is_followed_through_several_maps() -> None:
    swap = function("Mul", passes=(1, -1), reads=(0, 1))  # its first output is its second input
    both = scene(decode(0.018, function("Mul", passes=(-1, 0))), decode(0.018, swap), keep(0))
    one = scene(decode(0.018, function("Mul", passes=(0, -1))), decode(0.018, swap), keep(0))

    assert [number(item, "busy_s_before") for item in check(both)] == [0.036]
    assert [number(item, "busy_s_before") for item in check(one)] == [0.018]


def test_a_batch_or_a_cache_between_is_not_passed_by() -> None:
    assert check(scene(decode(), stage("cache", visits=4.0), keep(0))) == []
    assert check(scene(decode(), stage("batch", visits=4.0), keep(0))) == []
    assert len(check(scene(decode(), stage("shuffle", visits=4.0), keep(0)))) == 1


def test_it_does_not_apply_without_counters() -> None:
    outcomes = judge(LATE.but(has_counters=False).analysis()).outcomes

    (outcome,) = [item for item in outcomes if item.code == "PP603"]
    assert outcome.outcome == NOT_APPLICABLE
