"""PP801: expensive work that never changes, too large for memory."""

from __future__ import annotations

from pipeprof.advise.recommend import recommend
from pipeprof.model.diagnosis import Finding, Severity
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp801_deterministic_offline import DeterministicOffline, DeterministicOfflineParameters
from tests.support.builders import Scene, function, random_function, stage


def scene(elements: int = 10**6, size: int = 100_000, busy_s: float = 0.036, **numbers: object) -> Scene:
    """Make a costly map whose result is so large, random work after it, and 16 GB of memory."""
    costly = stage(
        "map",
        busy_s,
        visits=4,
        line=12,
        code="ds.map(prepare)",
        function=function("Sqrt"),
        element_bytes=size,
        cardinality=elements,
    )
    augment = stage("map", 0.001, visits=4, segment=2, function=random_function())
    source = stage("range", visits=4, element_bytes=8, cardinality=elements)
    return Scene(stages=(source, costly, augment)).but(**numbers)


def check(given: Scene, **params: float) -> list[Finding]:
    return list(DeterministicOffline().check(given.analysis(), DeterministicOfflineParameters(**params)))


def outcome_of(given: Scene) -> str:
    return next(item.outcome for item in judge(given.analysis()).outcomes if item.code == "PP801")


def test_work_whose_result_is_too_large_for_memory_fires_at_its_last_stage() -> None:
    (finding,) = check(scene())

    assert (finding.code, finding.stage_id, finding.severity) == ("PP801", "s1", Severity.HIGH)
    assert finding.message == (
        "Everything up to train.py:12 .map(prepare) gives the same elements in every epoch, 36 ms of work for each"
        " 40 ms step. The result takes 100 GB, too much for a cache in the 14 GB that are free. Training waits 75 "
        "% (71–79 %) of each step. Do this work once, write the result to files, and train from those."
    )


def test_it_leads_to_doing_the_work_once_by_hand() -> None:
    given = scene()

    (made,) = recommend(given.analysis(), check(given))

    assert (made.change.kind, made.title) == ("materialize", "Do this work once, and train from files with its result")
    assert made.trial.reason == "it rewrites files: pipeprof does not do that yet"


def test_the_cured_twin_that_copies_what_was_prepared_is_silent() -> None:
    assert check(scene(busy_s=0.001)) == []


def test_what_fits_into_memory_is_left_to_a_cache() -> None:
    judged = judge(scene(elements=1000).analysis(), select=["PP401", "PP801"])

    assert [item.code for item in judged.findings] == ["PP401"]


def test_it_fires_just_over_its_share() -> None:
    assert len(check(scene(busy_s=0.0141))) == 1


def test_just_under_its_share_it_is_silent() -> None:
    assert check(scene(busy_s=0.0139)) == []


def test_a_result_that_takes_longer_to_read_than_to_make_is_not_written() -> None:
    assert len(check(scene(size=2_600_000))) == 1  # 10.4 MB for a step, 35 ms at 300 MB a second
    assert check(scene(size=2_800_000)) == []


def test_data_that_are_read_once_are_left_alone() -> None:
    assert check(scene(epochs=1)) == []


def test_it_does_not_apply_without_a_size_of_the_memory() -> None:
    assert outcome_of(scene(memory_bytes=None)) == NOT_APPLICABLE
