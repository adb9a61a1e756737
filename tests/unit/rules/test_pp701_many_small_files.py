"""PP701: files that hold hardly anything."""

from __future__ import annotations

import pytest

from pipeprof.advise.recommend import recommend
from pipeprof.model.diagnosis import Finding, Severity
from pipeprof.model.profile import OpCost
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp701_many_small_files import ManySmallFiles, SmallFilesParameters
from tests.support.builders import Scene, files_of, function, number, stage


def scene(files: int = 2000, mean: float = 5_000, busy_s: float = 0.036, **numbers: object) -> Scene:
    """Make an interleave over files of one record each, 20 of them for a step."""
    reader = stage("interleave", busy_s, visits=20, line=12, code="ds.interleave(read)")
    facts = files_of("s1", "tfrecord", files, mean, record_bytes=mean)
    return Scene(stages=(stage("from_tensor_slices"), reader), files=(facts,)).but(**numbers)


def check(given: Scene, **params: float) -> list[Finding]:
    return list(ManySmallFiles().check(given.analysis(), SmallFilesParameters(**params)))


def outcome_of(given: Scene) -> str:
    return next(item.outcome for item in judge(given.analysis()).outcomes if item.code == "PP701")


def test_many_small_files_that_training_waits_for_fires_at_the_stage_that_reads_them() -> None:
    (finding,) = check(scene())

    assert (finding.code, finding.stage_id, finding.severity) == ("PP701", "s1", Severity.HIGH)
    assert finding.message == (
        "train.py:12 .interleave(read) reads 2,000 files of 5.0 kB on average, 20 of them for a step: opening them"
        " takes 36 ms for each 40 ms step. Training waits 75 % (71–79 %) of each step. Pack them into TFRecord "
        "files of 100 to 200 MB, their bytes as they are."
    )
    assert number(finding, "opens_per_step") == pytest.approx(20)


def test_it_leads_to_packing_by_hand_with_the_reason() -> None:
    given = scene()

    (made,) = recommend(given.analysis(), check(given))

    assert (made.change.kind, made.title) == ("convert_format", "Pack the files into TFRecord files of 100 to 200 MB")
    assert made.trial.reason == "it rewrites files: pipeprof does not do that yet"


def test_the_cured_twin_with_the_same_records_in_few_files_is_silent() -> None:
    facts = files_of("s1", "tfrecord", 4, 2_500_000, record_bytes=5_000)

    assert check(scene(files=4, busy_s=0.012).but(files=(facts,))) == []


@pytest.mark.parametrize(("numbers", "fires"), [({"mean": 999_000}, True), ({"mean": 1_000_000}, False), ({"files": 64}, True)])
def test_it_fires_just_over_its_thresholds(numbers: dict[str, float], fires: bool) -> None:
    assert bool(check(scene(**numbers))) is fires


def test_just_under_its_thresholds_it_is_silent() -> None:
    assert check(scene(files=63)) == []
    assert check(scene(busy_s=0.0119)) == []  # 1.9 of 40 ms beyond the step's own 10
    assert len(check(scene(busy_s=0.0121))) == 1


def test_reading_that_is_all_copying_is_no_opening() -> None:
    assert check(scene(mean=900_000, busy_s=0.018)) == []


def test_a_map_that_reads_whole_files_counts_with_its_reading_alone() -> None:
    read = stage(
        "map",
        0.036,
        visits=20,
        function=function("ReadFile", "DecodeJpeg"),
        ops=(OpCost(op="ReadFile", calls=1, busy_s=0.001),),
    )
    untold = stage("map", 0.036, visits=20, function=function("ReadFile", "DecodeJpeg"))
    facts = (files_of("s1", "image", 2000, 5_000),)

    (finding,) = check(Scene(stages=(stage("from_tensor_slices"), read), files=facts))
    assert number(finding, "opening_s_per_step") == pytest.approx(0.0198)
    assert check(Scene(stages=(stage("from_tensor_slices"), untold), files=facts)) == []


def test_where_a_cache_would_keep_the_records_it_leaves_that_to_the_cache() -> None:
    kept = stage("interleave", 0.036, visits=20, element_bytes=100, cardinality=1000)

    assert check(scene().but(stages=(stage("from_tensor_slices"), kept))) == []


def test_it_does_not_apply_without_files() -> None:
    assert outcome_of(scene().but(files=())) == NOT_APPLICABLE
