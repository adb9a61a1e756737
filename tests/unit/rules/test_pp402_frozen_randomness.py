"""PP402: randomness that a cache freezes."""

from __future__ import annotations

from dataclasses import replace

from pipeprof.model.diagnosis import Confidence, Severity
from pipeprof.model.profile import Role
from pipeprof.rules.base import Parameters
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp402_frozen_randomness import FrozenRandomness
from tests.support.builders import Scene, StageSpec, function, number, python_function, random_function, stage
from tests.support.looks import looked

ONCE = 1 / 3  # elements for each step of what runs in the first of three epochs only
SOURCE = stage("from_tensor_slices", visits=ONCE)
AUGMENT = stage("map", function=random_function(), line=12, code="ds.map(augment)", visits=ONCE)
CACHE = stage("cache", line=13, code="ds.cache()")


def check(*stages: StageSpec, **numbers: object) -> list:
    return list(FrozenRandomness().check(Scene(stages=stages).but(**numbers).analysis(), Parameters()))


def test_a_random_map_before_a_cache_fires_at_the_cache() -> None:
    (finding,) = check(SOURCE, AUGMENT, CACHE, stage("batch"))

    assert (finding.code, finding.stage_id, finding.severity, finding.confidence) == (
        "PP402", "s2", Severity.MEDIUM, Confidence.HIGH,
    )  # fmt: skip
    assert finding.message == (
        "train.py:12 .map(augment) draws random numbers (RandomUniform), but train.py:13 .cache() comes after it: every later "
        "epoch gets the first epoch's again. Put the cache before it."
    )
    assert number(finding, "frozen_stages") == "s1"
    assert number(finding, "cache_after") == "s0"


def test_the_cured_twin_is_silent() -> None:
    assert check(SOURCE, CACHE, AUGMENT, stage("batch")) == []


def test_a_fast_pipeline_is_judged_all_the_same() -> None:
    assert len(check(SOURCE, AUGMENT, CACHE, gap_s=0.0399)) == 1


def test_a_shuffle_before_a_cache_fires_unless_one_follows_or_it_does_not_reshuffle() -> None:
    shuffle = stage("shuffle", arguments={"reshuffle_each_iteration": True}, visits=ONCE)

    (finding,) = check(SOURCE, shuffle, CACHE)

    assert "shuffles anew in every epoch" in finding.message
    assert check(SOURCE, shuffle, CACHE, stage("shuffle")) == []
    assert check(SOURCE, stage("shuffle", arguments={"reshuffle_each_iteration": False}), CACHE) == []


def test_several_frozen_stages_are_named_in_one_finding() -> None:
    (finding,) = check(SOURCE, stage("shuffle", code="ds.shuffle(9)", line=11, visits=ONCE), AUGMENT, CACHE)

    assert "The same holds for train.py:12 .map(augment)." in finding.message
    assert number(finding, "frozen_stages") == "s1 s2"
    assert number(finding, "cache_after") == "s0"


def test_each_cache_answers_for_what_is_between_it_and_the_one_before() -> None:
    found = check(SOURCE, AUGMENT, replace(CACHE, visits=ONCE), AUGMENT, stage("cache"))

    assert [(finding.stage_id, number(finding, "frozen_stages")) for finding in found] == [("s2", "s1"), ("s4", "s3")]


def test_a_random_source_fires_only_if_it_draws_anew() -> None:
    fresh = stage("random", arguments={"seed": 1, "seed2": 2, "rerandomize": True}, visits=ONCE)

    assert [number(finding, "cache_after") for finding in check(fresh, CACHE)] == [None]
    assert check(stage("random", arguments={"seed": 0, "seed2": 0}), CACHE) == []


def test_a_function_without_random_operations_is_silent() -> None:
    assert check(SOURCE, stage("map", function=function("StatelessRandomUniformV2")), CACHE) == []


def test_a_validation_pipeline_is_not_looked_at() -> None:
    assert check(SOURCE, AUGMENT, CACHE, role=Role.VALIDATION) == []


def test_one_epoch_shows_no_harm_yet_and_lowers_the_confidence() -> None:
    (finding,) = check(SOURCE, AUGMENT, CACHE, epochs=1)

    assert (finding.severity, finding.confidence) == (Severity.MEDIUM, Confidence.MEDIUM)


def test_a_seed_that_repeats_the_draws_anyway_is_said() -> None:
    (finding,) = check(SOURCE, AUGMENT, CACHE, seed_set=True)
    (repeated,) = check(SOURCE, AUGMENT, CACHE, stage("repeat"), seed_set=True)

    assert "repeats the draws even without the cache" in finding.message
    assert finding.confidence is Confidence.MEDIUM
    assert "even without the cache" not in repeated.message


def test_it_does_not_apply_without_a_pipeline() -> None:
    from dataclasses import replace

    analysis = replace(Scene(stages=(SOURCE,)).analysis(), pipelines=(), train_id=None)
    outcomes = {item.code: item for item in judge(analysis).outcomes}

    assert (outcomes["PP402"].outcome, outcomes["PP402"].reason) == (NOT_APPLICABLE, "no tf.data pipeline was seen")


def test_a_cache_that_is_built_anew_in_every_epoch_freezes_nothing() -> None:
    anew = [replace(item, objects=3) for item in (SOURCE, AUGMENT, CACHE, stage("batch"))]
    to_file = replace(CACHE, objects=3, arguments={"filename": "/tmp/kept"})

    assert check(*anew) == []
    assert len(check(anew[0], anew[1], to_file, anew[3])) == 1


def look_at(*stages: StageSpec, numbers: dict[str, object] | None = None, **shown: object) -> list:
    rule = FrozenRandomness()
    analysis = looked(Scene(stages=stages).but(**(numbers or {})).analysis(), rule, **shown)
    return list(rule.check(analysis, Parameters()))


def test_two_passes_that_were_equal_take_the_finding_back_unless_a_seed_made_them_so() -> None:
    equal = {"same": 1.0, "same_order": True, "whole": True}
    (seeded,) = look_at(SOURCE, AUGMENT, CACHE, numbers={"seed_set": True}, **equal)

    assert look_at(SOURCE, AUGMENT, CACHE, **equal) == []
    assert len(look_at(SOURCE, AUGMENT, CACHE, elements=3, **equal)) == 1  # so few can be equal by accident
    assert "even without the cache" in seeded.message


def test_two_passes_that_differed_are_evidence() -> None:
    (finding,) = look_at(SOURCE, AUGMENT, CACHE, same=0.1, same_order=False, whole=True)

    (shown,) = [item for item in finding.evidence if item.name == "same_before_cache"]
    assert (shown.value, shown.n) == (0.1, 64)


PYTHON = stage("map", function=python_function(), line=12, code="ds.map(noisy)", visits=ONCE)


def test_python_code_fires_only_where_two_passes_gave_other_elements() -> None:
    (finding,) = look_at(SOURCE, PYTHON, CACHE, same=0.25, same_order=False, whole=True)

    assert check(SOURCE, PYTHON, CACHE) == []
    assert finding.message == (
        "train.py:12 .map(noisy) runs Python code before train.py:13 .cache(), and two passes up to there gave other elements "
        "(75 % of 64): the cache freezes them, every later epoch gets the first epoch's again. Put the cache before what is "
        "random in it."
    )
    assert number(finding, "frozen_stages") == "s1"


def test_another_order_of_the_same_elements_is_no_randomness_of_the_python_code() -> None:
    assert look_at(SOURCE, PYTHON, CACHE, same=1.0, same_order=False, whole=True) == []


def test_parts_of_passes_say_nothing_where_the_order_is_drawn_anew_anyway() -> None:
    shown = {"same": 0.0, "same_order": False, "whole": False}

    assert len(look_at(SOURCE, PYTHON, CACHE, **shown)) == 1
    assert look_at(SOURCE, PYTHON, CACHE, stage("shuffle"), **shown) == []


def test_it_looks_as_the_run_makes_its_epochs_and_only_where_something_may_differ() -> None:
    rule = FrozenRandomness()
    (anew,) = rule.looks(Scene(stages=(SOURCE, AUGMENT, CACHE)).analysis())
    (repeated,) = rule.looks(Scene(stages=(SOURCE, AUGMENT, CACHE, stage("repeat"))).analysis())

    assert (anew.stage_id, anew.one_iterator, repeated.one_iterator) == ("s1", False, True)
    assert list(rule.looks(Scene(stages=(SOURCE, CACHE)).analysis())) == []


def test_a_cache_that_is_never_full_freezes_nothing() -> None:
    assert check(*(replace(item, visits=1.0) for item in (SOURCE, AUGMENT, CACHE)), stage("take")) == []
