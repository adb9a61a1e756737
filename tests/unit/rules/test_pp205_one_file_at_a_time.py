"""PP205: readers of several files that open one at a time."""

from __future__ import annotations

import pytest

from pipeprof.advise.recommend import recommend
from pipeprof.model.diagnosis import Severity
from pipeprof.model.profile import Change
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp205_one_file_at_a_time import OneFileAtATime, OneFileParameters
from tests.support.builders import Scene, StageSpec, number, stage

RECORDS = (("TFRecord", 0.9),)


def reader(op: str = "TFRecordDataset", busy_s: float = 0.036, **details: object) -> StageSpec:
    details = {"inner_nodes": RECORDS, "line": 21, "code": f"{op}(files)"} | details
    return stage(op, busy_s, **details)


def scene(read: StageSpec, files: int = 8, **numbers: object) -> Scene:
    stages = (stage("from_tensor_slices", cardinality=files), read, stage("prefetch", segment=0))
    return Scene(stages=stages).but(**numbers)


SLOW = scene(reader())


def check(given: Scene, **params: float) -> list:
    return list(OneFileAtATime().check(given.analysis(), OneFileParameters(**params)))


def test_a_list_of_files_read_one_after_the_other_fires() -> None:
    (finding,) = check(SLOW)

    assert (finding.code, finding.stage_id, finding.severity) == ("PP205", "s1", Severity.HIGH)
    assert finding.message == (
        "train.py:21 TFRecordDataset(files) reads 8 files one after the other, and reading takes 36 ms for each 40 ms step; "
        "1.1 of 4 cores are in use. Training waits 75 % (71–79 %) of each step. Read several at once: interleave, or "
        "num_parallel_reads, with a number of your own."
    )
    assert (number(finding, "files"), number(finding, "files_at_once")) == (8, pytest.approx(3.9))
    assert number(finding, "cost_share") == pytest.approx((0.036 - 0.010) / 0.04)  # down to the loop's own 10 ms


@pytest.mark.parametrize(("visits", "kind"), [(3300.0, "interleave"), (3400.0, "batch_inside")])
def test_records_that_take_longer_to_hand_over_than_to_read_are_to_be_handed_over_in_batches(visits: float, kind: str) -> None:
    """Of 36 ms a reader for each of 3.9 cores spares 26.8, and the hand-over takes 8 us for each record."""
    given = scene(reader(visits=visits))

    (finding,) = check(given)
    (made,) = recommend(given.analysis(), [finding])

    assert made.change.kind == kind
    assert ("batch() inside an interleave" in finding.message) is (kind == "batch_inside")


def test_reading_that_waits_is_spread_over_files_and_not_cores() -> None:
    (finding,) = check(SLOW.but(cpu_s_per_step=0.004))

    assert number(finding, "files_at_once") == 8
    assert "it waits rather than computes, and 8 files could wait at once" in finding.message


@pytest.mark.parametrize(
    "read",
    [
        reader("flat_map", node="FlatMap"),
        reader("interleave"),
        reader("interleave", node="ParallelInterleaveV4"),
        reader("interleave", node="ParallelInterleaveV4", tuned=True, most_calls=1),
    ],
)
def test_all_ways_to_read_one_file_at_a_time_fire(read: StageSpec) -> None:
    assert len(check(scene(read))) == 1


def test_it_leads_to_a_trial_with_interleave() -> None:
    (made,) = recommend(SLOW.analysis(), check(SLOW))

    assert made.change == Change(kind="interleave")


@pytest.mark.parametrize(
    "cured",
    [
        reader(node="ParallelInterleaveV4", slots=4),
        reader("interleave", node="ParallelInterleaveV4", tuned=True, most_calls=4),
        reader(busy_s=0.009),
        reader("flat_map", node="FlatMap", inner_nodes=(("Map", 0.9),)),
    ],
)
def test_the_cured_twin_is_silent(cured: StageSpec) -> None:
    assert check(scene(cured)) == []


def test_work_beside_the_reading_is_no_reading() -> None:
    """Of 36 ms only 3.6 are reading: spread over the cores they save 2.7 ms, less than a tenth of the step."""
    assert check(scene(reader("interleave", inner_nodes=(("TFRecord", 0.05), ("Map", 0.9)))), min_share=0.1) == []


def test_a_single_file_cannot_be_read_side_by_side() -> None:
    assert check(scene(reader(), files=1)) == []


def test_files_of_an_unknown_number_are_counted_as_they_are_opened() -> None:
    given = scene(reader(), files=-2)

    assert check(given) == []  # the inner reader was made once in three epochs


def test_a_machine_without_a_free_core_is_silent() -> None:
    assert check(SLOW.but(cpu_s_per_step=0.04 * 4 * 0.86)) == []


def test_it_fires_just_over_the_threshold_and_not_just_under() -> None:
    assert len(check(SLOW, min_share=0.649)) == 1
    assert check(SLOW, min_share=0.651) == []
    assert len(check(SLOW, min_files=8)) == 1
    assert check(SLOW, min_files=9) == []


def test_it_does_not_apply_without_counters() -> None:
    (outcome,) = [item for item in judge(SLOW.but(has_counters=False).analysis()).outcomes if item.code == "PP205"]

    assert outcome.outcome == NOT_APPLICABLE
