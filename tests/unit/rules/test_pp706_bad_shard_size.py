"""PP706: files that are cut badly."""

from __future__ import annotations

import pytest

from pipeprof.advise.recommend import recommend
from pipeprof.model.diagnosis import Finding, Severity
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp706_bad_shard_size import BadShardSize, ShardSizeParameters
from tests.support.builders import Scene, files_of, stage


def scene(files: int = 40, mean: float = 2e6, kind: str = "tfrecord", **numbers: object) -> Scene:
    reader = stage("TFRecordDataset", 0.001, visits=64, line=12, code="tf.data.TFRecordDataset(names)")
    return Scene(stages=(reader,), gap_s=0.0395, files=(files_of("s0", kind, files, mean),)).but(**numbers)


def told(files: int, asked: int, mean: float = 5e7) -> Scene:
    """Make a reader that is told to read so many files at once."""
    reader = stage("interleave", 0.001, visits=64, line=12, code="ds.interleave(read, 8)", arguments={"cycle_length": asked})
    return Scene(stages=(stage("from_tensor_slices"), reader), files=(files_of("s1", "tfrecord", files, mean),))


def check(given: Scene, **params: float) -> list[Finding]:
    return list(BadShardSize().check(given.analysis(), ShardSizeParameters(**params)))


def outcome_of(given: Scene) -> str:
    return next(item.outcome for item in judge(given.analysis()).outcomes if item.code == "PP706")


def test_many_files_of_a_few_megabytes_fires_as_information() -> None:
    (finding,) = check(scene())

    assert (finding.code, finding.stage_id, finding.severity) == ("PP706", "s0", Severity.INFO)
    assert finding.message == (
        "train.py:12 .TFRecordDataset(names) reads 40 files of 2.0 MB on average, 80 MB in all. Each costs an "
        "open, which is dear on cold or remote storage. Write files of 100 to 200 MB, or of 10 MB at least."
    )


def test_fewer_files_than_readers_fires_too() -> None:
    (finding,) = check(told(3, 8))

    assert finding.message == (
        "train.py:12 .interleave(read, 8) is to read 8 files at once, and there are 3 files of 50 MB on average: 5"
        " readers have nothing to do. Split the data into at least 8 files."
    )


def test_it_leads_to_a_change_by_hand() -> None:
    given = scene()

    (made,) = recommend(given.analysis(), check(given))

    assert (made.change.kind, made.title) == ("shard", "Write files of 100 to 200 MB, one or more for each reader")


def test_the_cured_twin_of_large_files_is_silent() -> None:
    assert check(scene(files=4, mean=2e7)) == []
    assert check(told(8, 8)) == []


@pytest.mark.parametrize("given", [scene(mean=9.9e6), scene(files=16), told(3, 4), told(2, 3, 2.0e7)])
def test_it_fires_just_over_its_thresholds(given: Scene) -> None:
    assert len(check(given)) == 1


@pytest.mark.parametrize("given", [scene(mean=1e7), scene(files=15), scene(files=18, mean=1e6), told(4, 4), told(2, 3, 1.9e7)])
def test_just_under_its_thresholds_it_is_silent(given: Scene) -> None:
    assert check(given) == []


def test_files_of_other_formats_are_left_alone() -> None:
    assert check(scene(kind="image")) == []


def test_it_does_not_apply_without_files() -> None:
    assert outcome_of(scene().but(files=())) == NOT_APPLICABLE
