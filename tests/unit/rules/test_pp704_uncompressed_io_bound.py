"""PP704: storage is the limit, and the data could be smaller."""

from __future__ import annotations

from pipeprof.advise.recommend import recommend
from pipeprof.model.diagnosis import Finding, Severity
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp704_uncompressed_io_bound import UncompressedIoBound
from pipeprof.rules.storage_parameters import StorageParameters
from tests.support.builders import Scene, files_of, stage


def scene(compresses: float | None = 4.0, read_share: float = 1.0, cpu_s: float = 0.012, **numbers: object) -> Scene:
    """Make a reader of 9 MB for a step that waits for its bytes, given by storage for so much of them."""
    reader = stage("TFRecordDataset", 0.036, visits=90, line=12, code="tf.data.TFRecordDataset(names)")
    facts = files_of("s0", "tfrecord", 8, 7e8, record_bytes=1e5, payload_compresses=compresses)
    given = Scene(stages=(reader,), files=(facts,), cpu_s_per_step=cpu_s, read_bytes=round(9e6 * 600 * read_share))
    return given.but(**numbers)


def check(given: Scene, **params: float) -> list[Finding]:
    return list(UncompressedIoBound().check(given.analysis(), StorageParameters(**params)))


def outcome_of(given: Scene) -> str:
    return next(item.outcome for item in judge(given.analysis()).outcomes if item.code == "PP704")


def test_plain_data_that_would_shrink_and_storage_that_is_the_limit_fires_at_the_reader() -> None:
    (finding,) = check(scene())

    assert (finding.code, finding.stage_id, finding.severity) == ("PP704", "s0", Severity.HIGH)
    assert finding.message == (
        "train.py:12 .TFRecordDataset(names) waits for storage, which gives 9.0 MB for each 40 ms step, from 8 "
        "files of 700 MB on average without compression. GZIP makes the start of one 4.00× smaller. Training waits"
        ' 75 % (71–79 %) of each step. Write them with compression_type="GZIP", and read several at once.'
    )


def test_it_leads_to_writing_the_files_again_by_hand() -> None:
    given = scene()

    (made,) = recommend(given.analysis(), check(given))

    assert (made.change.kind, made.title) == ("recompress", "Write the files again with GZIP")


def test_the_cured_twin_whose_files_are_compressed_is_silent() -> None:
    facts = files_of("s0", "tfrecord", 8, 2e8, record_bytes=1e5, payload_compresses=4.0, compression="GZIP")

    assert check(scene(files=(facts,))) == []


def test_it_fires_just_over_its_thresholds() -> None:
    assert len(check(scene(2.0))) == 1
    assert len(check(scene(read_share=0.51))) == 1
    assert len(check(scene(cpu_s=0.0179))) == 1


def test_just_under_its_thresholds_it_is_silent() -> None:
    assert check(scene(1.99)) == []
    assert check(scene(read_share=0.49)) == []
    assert check(scene(cpu_s=0.0181)) == []


def test_what_nobody_tried_to_compress_decides_nothing() -> None:
    assert check(scene(None)) == []


def test_it_does_not_apply_where_the_bytes_of_storage_were_not_counted() -> None:
    assert outcome_of(scene().but(read_bytes=None)) == NOT_APPLICABLE
