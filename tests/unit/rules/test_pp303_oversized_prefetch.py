"""PP303: prefetch buffers that hold much memory for nothing."""

from __future__ import annotations

import pytest

from pipeprof.advise.recommend import recommend
from pipeprof.model.diagnosis import Safety, Severity
from pipeprof.model.profile import Change
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.held import HeldParameters
from pipeprof.rules.pp303_oversized_prefetch import OversizedPrefetch
from tests.support.builders import Scene, StageSpec, number, stage


def buffer(size: int = 200, buffered: tuple[float, float, float] | None = (190, 200, 1.6e9), **details: object) -> StageSpec:
    details = {"segment": 0, "line": 32, "code": f"ds.prefetch({size})"} | details
    return stage("prefetch", arguments={"buffer_size": size}, buffered=buffered, **details)


def scene(prefetch: StageSpec, busy_s: float = 0.02, **numbers: object) -> Scene:
    numbers = {"step_s": 0.04, "gap_s": 0.0399} | numbers
    return Scene(stages=(stage("map", busy_s), prefetch)).but(**numbers)


LARGE = scene(buffer())


def check(given: Scene, **params: float) -> list:
    return list(OversizedPrefetch().check(given.analysis(), HeldParameters(**params)))


def test_a_full_buffer_that_nobody_needs_fires_with_its_bytes() -> None:
    (finding,) = check(LARGE)

    assert (finding.code, finding.stage_id, finding.severity) == ("PP303", "s1", Severity.LOW)
    assert finding.message == (
        "train.py:32 .prefetch(200) holds 200 elements, 1.6 GB or 10 % of the memory, and training never draws on them: the "
        "input makes an element in 20 ms, a step uses one in 40 ms. Two elements do: prefetch(2), or "
        "prefetch(tf.data.AUTOTUNE)."
    )
    assert number(finding, "cost_share") == 0


def test_elements_that_share_their_memory_hold_none() -> None:
    assert check(LARGE.but(rss_bytes=1_500_000_000)) == []


def test_it_weighs_more_where_memory_is_short() -> None:
    (finding,) = check(LARGE.but(rss_bytes=13_000_000_000))

    assert finding.severity is Severity.MEDIUM


def test_the_limit_of_the_container_counts_where_it_is_lower() -> None:
    (finding,) = check(LARGE.but(memory_limit_bytes=8_000_000_000))

    assert number(finding, "spare_memory_share") == pytest.approx(0.2 * 0.99)


def test_it_leads_to_a_smaller_buffer() -> None:
    (made,) = recommend(LARGE.analysis(), check(LARGE))

    assert made.change == Change(kind="shrink_prefetch", params={"buffer_size": 2})
    assert made.title == "Hold 2 elements in this prefetch, not 200, and free the memory of the others"
    assert (made.safety, made.memory_bytes) == (Safety.SAFE, 0)


@pytest.mark.parametrize(
    "cured",
    [
        scene(buffer(size=2, buffered=(1.9, 2, 1.6e7))),
        scene(buffer(size=-1)),  # AUTOTUNE's
        scene(buffer(buffered=(90, 200, 1.6e9))),  # drawn on
        scene(buffer(buffered=None)),
        scene(buffer(), busy_s=0.033),  # an input that only just keeps up
        scene(buffer(), gap_s=0.03),  # a loop that waits
    ],
)
def test_the_cured_twin_is_silent(cured: Scene) -> None:
    assert check(cured) == []


def test_it_fires_just_over_the_threshold_and_not_just_under() -> None:
    assert len(check(LARGE, min_memory=0.0989)) == 1  # 198 of the 200 elements are spare
    assert check(LARGE, min_memory=0.0991) == []
    assert len(check(LARGE, full=0.949)) == 1
    assert check(LARGE, full=0.951) == []


@pytest.mark.parametrize("given", [LARGE.but(has_counters=False), LARGE.but(rss_bytes=None), LARGE.but(alone=True)])
def test_it_does_not_apply_without_counters_memory_or_a_consumer(given: Scene) -> None:
    (outcome,) = [item for item in judge(given.analysis()).outcomes if item.code == "PP303"]

    assert outcome.outcome == NOT_APPLICABLE
