"""PP703: inflating is what training waits for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeprof.advise.recommend import recommend
from pipeprof.model.diagnosis import Finding, Severity
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp703_compressed_cpu_bound import CompressedCpuBound, CompressedParameters
from tests.support.builders import Scene, files_of, number, stage


def scene(compression: str = "GZIP", rate: float | None = 3e8, busy_s: float = 0.036, **numbers: object) -> Scene:
    """Make a reader of records of 100 kB, 90 of them for a step: 9 MB, that take 30 ms to inflate."""
    reader = stage("TFRecordDataset", busy_s, visits=90, line=12, code='tf.data.TFRecordDataset(names, "GZIP")')
    facts = files_of(
        "s0", "tfrecord", 8, 1e8, record_bytes=1e5, compression=compression, payload_compresses=3.0, inflate_bytes_per_s=rate
    )
    return Scene(stages=(reader,), files=(facts,)).but(**numbers)


def check(given: Scene, **params: float) -> list[Finding]:
    return list(CompressedCpuBound().check(given.analysis(), CompressedParameters(**params)))


def outcome_of(given: Scene) -> str:
    return next(item.outcome for item in judge(given.analysis()).outcomes if item.code == "PP703")


def test_inflating_that_training_waits_for_fires_at_the_reader() -> None:
    (finding,) = check(scene())

    assert (finding.code, finding.stage_id, finding.severity) == ("PP703", "s0", Severity.HIGH)
    assert finding.message == (
        'train.py:12 .TFRecordDataset(names, "GZIP") inflates GZIP files (8 files of 100 MB on average): 30 ms of '
        "its 36 ms for each 40 ms step. Training waits 75 % (71–79 %) of each step. Write them without "
        "compression: they would take 2.4 GB in place of 800 MB, and storage would have to give at most 900 MB a "
        "second."
    )
    assert number(finding, "inflating_s_per_step") == pytest.approx(0.03)


def test_it_leads_to_writing_the_files_again_by_hand() -> None:
    given = scene()

    (made,) = recommend(given.analysis(), check(given))

    assert (made.change.kind, made.title) == ("recompress", "Write the files again without compression")
    assert made.trial.reason == "it rewrites files: pipeprof does not do that yet"


def test_the_cured_twin_without_compression_is_silent() -> None:
    assert check(scene("", None, busy_s=0.012)) == []


def test_it_fires_just_over_its_share() -> None:
    assert len(check(scene(rate=9e6 / 0.0021))) == 1  # 2.1 of 40 ms


def test_just_under_its_share_it_is_silent() -> None:
    assert check(scene(rate=9e6 / 0.0019)) == []


def test_a_rate_that_was_not_measured_decides_nothing() -> None:
    assert check(scene(rate=None)) == []


def test_a_reader_that_waits_for_storage_is_left_alone() -> None:
    assert check(scene(cpu_s_per_step=0.01)) == []


def test_it_is_judged_against_the_one_file_that_has_one_reader_by_what_they_save() -> None:
    (facts,) = scene().files
    given = scene(files=(replace(facts, files=1, bytes=10**9),))

    assert [item.code for item in judge(given.analysis(), select=["PP702", "PP703"]).findings] == ["PP702"]


def test_it_does_not_apply_without_files() -> None:
    assert outcome_of(scene(files=())) == NOT_APPLICABLE
