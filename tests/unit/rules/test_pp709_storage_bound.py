"""PP709: storage is the limit, and compression would not help."""

from __future__ import annotations

import pytest

from pipeprof.advise.recommend import recommend
from pipeprof.model.diagnosis import Finding, Severity
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp709_storage_bound import StorageBound
from pipeprof.rules.storage_parameters import StorageParameters
from tests.support.builders import Scene, files_of, number, stage


def scene(compresses: float = 1.1, read_share: float = 1.0, cpu_s: float = 0.012, **numbers: object) -> Scene:
    """Make a reader of 9 MB for a step that waits for its bytes, given by storage for so much of them."""
    reader = stage("TFRecordDataset", 0.036, visits=90, line=12, code="tf.data.TFRecordDataset(names)")
    facts = files_of("s0", "tfrecord", 8, 7e8, record_bytes=1e5, payload_compresses=compresses)
    given = Scene(stages=(reader,), files=(facts,), cpu_s_per_step=cpu_s, read_bytes=round(9e6 * 600 * read_share))
    return given.but(**numbers)


def check(given: Scene, **params: float) -> list[Finding]:
    return list(StorageBound().check(given.analysis(), StorageParameters(**params)))


def outcome_of(given: Scene) -> str:
    return next(item.outcome for item in judge(given.analysis()).outcomes if item.code == "PP709")


def test_a_reader_that_waits_for_storage_fires() -> None:
    (finding,) = check(scene())

    assert (finding.code, finding.stage_id, finding.severity) == ("PP709", "s0", Severity.HIGH)
    assert finding.message == (
        "train.py:12 .TFRecordDataset(names) waits for storage: 220 MB a second, 9.0 MB for each 40 ms step, from "
        "8 files of 700 MB on average. Training waits 75 % (71–79 %) of each step. Keep only what training uses in"
        " the files, or hold them on a faster disk or in memory."
    )
    assert number(finding, "read_bytes_per_s") == pytest.approx(2.25e8)


def test_it_leads_to_a_change_by_hand() -> None:
    given = scene()

    (made,) = recommend(given.analysis(), check(given))

    assert (made.change.kind, made.title) == ("materialize", "Keep only what training uses in the files")


def test_the_cured_twin_that_reads_from_the_page_cache_is_silent() -> None:
    assert check(scene(read_share=0.0)) == []


def test_it_fires_just_over_its_thresholds() -> None:
    assert len(check(scene(read_share=0.51))) == 1
    assert len(check(scene(cpu_s=0.0179))) == 1


def test_just_under_its_thresholds_it_is_silent() -> None:
    assert check(scene(read_share=0.49)) == []
    assert check(scene(cpu_s=0.0181)) == []


def test_data_that_would_shrink_are_left_to_compression() -> None:
    judged = judge(scene(4.0).analysis(), select=["PP704", "PP709"])

    assert [item.code for item in judged.findings] == ["PP704"]


def test_remote_files_are_another_rules() -> None:
    facts = files_of("s0", "tfrecord", 8, 7e8, record_bytes=1e5, filesystem="nfs4")

    assert check(scene(files=(facts,))) == []


def test_it_does_not_apply_without_the_bytes_of_storage() -> None:
    assert outcome_of(scene().but(read_bytes=None)) == NOT_APPLICABLE
