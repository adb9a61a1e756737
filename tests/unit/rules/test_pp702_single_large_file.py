"""PP702: all data in one file."""

from __future__ import annotations

import pytest

from pipeprof.advise.recommend import recommend
from pipeprof.model.diagnosis import Finding, Severity
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp702_single_large_file import SingleFileParameters, SingleLargeFile
from tests.support.builders import Scene, files_of, number, stage


def scene(files: int = 1, size: float = 2e8, busy_s: float = 0.036, visits: float = 64, **numbers: object) -> Scene:
    """Make a reader of record files, on a machine with three cores to spare."""
    reader = stage("TFRecordDataset", busy_s, visits=visits, line=12, code='tf.data.TFRecordDataset("all.tfrecord")')
    return Scene(stages=(reader,), files=(files_of("s0", "tfrecord", files, size, record_bytes=1000.0),)).but(**numbers)


def check(given: Scene, **params: float) -> list[Finding]:
    return list(SingleLargeFile().check(given.analysis(), SingleFileParameters(**params)))


def outcome_of(given: Scene) -> str:
    return next(item.outcome for item in judge(given.analysis()).outcomes if item.code == "PP702")


def test_one_large_file_that_training_waits_for_fires_at_its_reader() -> None:
    (finding,) = check(scene())

    assert (finding.code, finding.stage_id, finding.severity) == ("PP702", "s0", Severity.HIGH)
    assert finding.message == (
        'train.py:12 .TFRecordDataset("all.tfrecord") reads one file of 200 MB, and one file has one reader: 36 ms'
        " for each 40 ms step; 1.1 of 4 cores are in use. Training waits 75 % (71–79 %) of each step. Write the "
        "data as several files of 10 MB or more and read them at once, with interleave and a "
        "number of your own."
    )
    assert number(finding, "readers_possible") == pytest.approx(3.9)


@pytest.mark.parametrize(("visits", "in_batches"), [(3300, False), (3400, True)])
def test_records_that_take_longer_to_hand_over_than_to_read_are_to_be_handed_over_in_batches(
    visits: float, in_batches: bool
) -> None:
    (finding,) = check(scene(visits=visits))  # 36 ms less a share of 1 in 3.9, at 8 us for each

    assert ("in batches: batch() inside an interleave" in finding.message) is in_batches


def test_it_leads_to_splitting_by_hand() -> None:
    given = scene()

    (made,) = recommend(given.analysis(), check(given))

    assert (made.change.kind, made.title) == ("shard", "Split the data into several files of at least 10 MB")


def test_the_cured_twin_with_several_files_is_silent() -> None:
    assert check(scene(files=8, size=2.5e7)) == []


def test_it_fires_just_over_the_size_of_two_parts() -> None:
    assert len(check(scene(size=2.0e7))) == 1


def test_just_under_the_size_of_two_parts_it_is_silent() -> None:
    assert check(scene(size=1.99e7)) == []


def test_where_no_core_is_free_more_readers_would_not_help() -> None:
    assert check(scene(cpu_s_per_step=0.15)) == []


def test_where_the_step_takes_as_long_nobody_waits() -> None:
    assert check(scene(gap_s=0.0395)) == []


def test_it_does_not_apply_without_counters() -> None:
    assert outcome_of(scene().but(has_counters=False)) == NOT_APPLICABLE
