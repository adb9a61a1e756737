"""PP405: shuffle buffers of large elements."""

from __future__ import annotations

import pytest

from pipeprof.advise.recommend import recommend
from pipeprof.model.diagnosis import Confidence, Severity
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp405_shuffle_memory import ShuffleMemory, ShuffleMemoryParameters
from tests.support.builders import Scene, StageSpec, number, stage

PATHS = stage("from_tensor_slices", line=10, code="tf.data.Dataset.from_tensor_slices(paths)", element_bytes=64)
DECODE = stage("map", 0.032, line=12, code="ds.map(decode)", visits=32, element_bytes=600_000)


def shuffle(size: int, element_bytes: int | None = 600_000, **details: object) -> StageSpec:
    given = {"visits": 32, "arguments": {"buffer_size": size}, "line": 13, "code": f"ds.shuffle({size})"}
    return stage("shuffle", element_bytes=element_bytes, **(given | details))


def scene(*stages: StageSpec, **numbers: object) -> Scene:
    return Scene(stages=stages).but(**numbers)


LATE = scene(PATHS, DECODE, shuffle(5_000, held=(5_000, 3e9)))


def check(given: Scene, **params: float) -> list:
    return list(ShuffleMemory().check(given.analysis(), ShuffleMemoryParameters(**params)))


def test_a_buffer_of_decoded_elements_fires_at_the_shuffle() -> None:
    (finding,) = check(LATE)

    assert (finding.code, finding.stage_id, finding.severity) == ("PP405", "s2", Severity.LOW)
    assert finding.message == (
        "train.py:13 .shuffle(5000) holds 5,000 elements of 600 kB: 3.0 GB of the 16 GB of memory, and takes about 5.0 s to "
        "fill. Shuffle right after train.py:10 .from_tensor_slices(paths): there the same buffer takes 1.2 MB."
    )
    assert number(finding, "fill_s") == pytest.approx(5.0)
    assert number(finding, "shuffle_after") == "s0"
    assert finding.confidence is Confidence.HIGH


def test_it_leads_to_an_earlier_shuffle() -> None:
    (made,) = recommend(LATE.analysis(), check(LATE))

    assert made.change.kind == "shuffle_earlier"


def test_the_cured_twin_that_shuffles_paths_is_silent() -> None:
    assert check(scene(PATHS, shuffle(5_000, 64), DECODE)) == []


@pytest.mark.parametrize(("size", "fires"), [(530, False), (536, True)])
def test_it_fires_just_over_the_threshold_and_not_just_under(size: int, fires: bool) -> None:
    """Two per cent of 16 GB are 320 MB."""
    assert bool(check(scene(PATHS, DECODE, shuffle(size)))) is fires


def test_a_buffer_larger_than_the_data_holds_the_data() -> None:
    (finding,) = check(scene(PATHS, DECODE, shuffle(10**6, cardinality=1_000)))

    assert number(finding, "buffer_elements") == 1_000
    assert finding.confidence is Confidence.MEDIUM, "nothing was seen in the buffer"


def test_what_was_seen_in_the_buffer_counts_before_its_size() -> None:
    (finding,) = check(scene(PATHS, DECODE, shuffle(10**6, None, held=(2_000, 1.2e9))))

    assert number(finding, "buffer_elements") == 2_000


def test_without_an_earlier_place_only_a_very_large_buffer_is_said_and_no_change() -> None:
    small, large = scene(shuffle(5_000)), scene(shuffle(6_000))

    (finding,) = check(large)

    assert check(small) == []
    assert finding.severity is Severity.MEDIUM
    assert recommend(large.analysis(), [finding]) == ()


def test_a_batch_between_is_no_place_to_move_over_and_silent() -> None:
    assert check(scene(PATHS, stage("batch", element_bytes=600_000), shuffle(3_000))) == []


def test_an_unknown_size_is_silent() -> None:
    assert check(scene(PATHS, DECODE, shuffle(5_000, None))) == []


def test_it_does_not_apply_where_the_memory_is_unknown() -> None:
    outcomes = judge(LATE.but(memory_bytes=None).analysis()).outcomes

    (outcome,) = [item for item in outcomes if item.code == "PP405"]
    assert (outcome.outcome, outcome.reason) == (NOT_APPLICABLE, "the size of the memory is unknown")
