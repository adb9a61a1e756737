"""PP605: shuffle buffers that hold what a map has blown up."""

from __future__ import annotations

import pytest

from pipeprof.advise.recommend import recommend
from pipeprof.model.diagnosis import Confidence, Severity
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp605_shuffle_late import ShuffleLate, ShuffleLateParameters
from tests.support.builders import Scene, StageSpec, number, stage

PICTURE = 150_528
NAMES = stage("from_tensor_slices", element_bytes=30)
MIB = 1024 * 1024


def decode(busy_s: float = 0.0, size: int | None = PICTURE, **details: object) -> StageSpec:
    return stage("map", busy_s, element_bytes=size, **({"line": 12, "code": "ds.map(decode)"} | details))


def shuffle(size: int = 1000, **details: object) -> StageSpec:
    given = {"line": 13, "code": f"ds.shuffle({size})", "arguments": {"buffer_size": size}}
    return stage("shuffle", **(given | details))


def scene(*stages: StageSpec, **numbers: object) -> Scene:
    given = {"epoch_elements": (200, 200, 200)} | numbers
    return Scene(stages=(*stages, stage("batch"), stage("prefetch", segment=0))).but(**given)


LATE = scene(NAMES, decode(), shuffle())


def check(given: Scene, **params: float) -> list:
    return list(ShuffleLate().check(given.analysis(), ShuffleLateParameters(**params)))


def test_a_buffer_of_decoded_pictures_fires_at_the_shuffle() -> None:
    (finding,) = check(LATE)

    assert (finding.code, finding.stage_id, finding.severity, finding.confidence) == (
        "PP605", "s2", Severity.LOW, Confidence.HIGH,
    )  # fmt: skip
    assert finding.message == (
        "train.py:13 .shuffle(1000) holds 1,000 elements that train.py:12 .map(decode) has made 753 times as large: the buffer "
        "takes 150 MB where 200 kB would do. Shuffle before the map."
    )
    assert number(finding, "cost_share") == 0.0


def test_a_filling_that_is_waited_for_weighs_as_much_as_it_costs() -> None:
    (finding,) = check(scene(NAMES, decode(0.004), shuffle(), boundary_s=2.0))

    assert finding.severity is Severity.HIGH
    assert "would do and takes 4.0 s to fill at the start of each epoch." in finding.message
    assert number(finding, "cost_share") == pytest.approx(3 * 2.0 / 24)  # no more than was waited


def test_it_leads_to_a_change() -> None:
    (made,) = recommend(LATE.analysis(), check(LATE))

    assert (made.change.kind, made.stage_id) == ("shuffle_earlier", "s2")


def test_the_cured_twin_is_silent() -> None:
    assert check(scene(NAMES, shuffle(element_bytes=30), decode())) == []


def test_what_the_buffer_held_counts_where_it_was_seen() -> None:
    (finding,) = check(scene(NAMES, decode(), shuffle(held=(600.0, 0.0))))

    assert number(finding, "buffer_bytes") == pytest.approx(600 * (PICTURE + 170))


@pytest.mark.parametrize(("share", "fires"), [(1.01, True), (0.99, False)])
def test_it_fires_just_over_so_many_bytes_too_much_and_not_just_under(share: float, fires: bool) -> None:
    count = 64 * MIB / (PICTURE - 30) * share

    assert bool(check(scene(NAMES, decode(), shuffle(held=(count, 0.0))))) is fires


@pytest.mark.parametrize(("size", "fires"), [(2_000_000, True), (1_990_000, False)])
def test_elements_that_grew_just_over_four_times_fire_and_just_under_do_not(size: int, fires: bool) -> None:
    source = stage("from_tensor_slices", element_bytes=499_800)

    assert bool(check(scene(source, decode(size=size), shuffle()))) is fires


def test_of_several_maps_the_one_that_blows_up_is_named() -> None:
    read = stage("map", line=11, code="ds.map(read)", element_bytes=20_000)

    (finding,) = check(scene(NAMES, read, decode(), shuffle(8000)))

    assert "has made 753 times as large" in finding.message
    assert "train.py:11 .map(read)" in finding.message


def test_sizes_that_were_counted_serve_where_none_is_static() -> None:
    source = stage("TFRecordDataset", node_element_bytes=100)

    assert len(check(scene(source, decode(size=None, node_element_bytes=PICTURE), shuffle()))) == 1
    assert check(scene(stage("TFRecordDataset"), decode(), shuffle())) == []


def test_a_map_behind_a_filter_or_a_batch_is_left_alone() -> None:
    assert check(scene(NAMES, decode(), stage("filter", element_bytes=PICTURE), shuffle())) == []
    assert check(scene(NAMES, decode(), stage("unbatch", element_bytes=PICTURE), shuffle())) == []


def test_it_does_not_apply_without_counters() -> None:
    outcomes = judge(LATE.but(has_counters=False).analysis()).outcomes

    (outcome,) = [item for item in outcomes if item.code == "PP605"]
    assert outcome.outcome == NOT_APPLICABLE
