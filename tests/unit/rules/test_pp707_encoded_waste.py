"""PP707: bytes that are kept as numbers or text."""

from __future__ import annotations

import pytest

from pipeprof.advise.recommend import recommend
from pipeprof.model.diagnosis import Finding, Severity
from pipeprof.model.profile import FeatureWaste
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp707_encoded_waste import EncodedWaste, EncodedWasteParameters
from tests.support.builders import Scene, files_of, function, number, stage


def scene(
    record: int = 40_000, raw: int = 10_000, *, whole: float = 50_000, kind: str = "float-list", **numbers: object
) -> Scene:
    """Make a reader, batches, and a map that parses Examples with one wasteful feature."""
    waste = (FeatureWaste(feature="pixels", kind=kind, record_bytes=record, raw_bytes=raw),)
    reader = stage("TFRecordDataset", 0.001, visits=64, line=12, code="tf.data.TFRecordDataset(names)")
    parse = stage("map", 0.036, segment=2, line=14, code="ds.map(parse)", function=function("ParseExampleV2"))
    facts = files_of("s0", "tfrecord", 8, 1e8, record_bytes=whole, waste=waste if kind else ())
    return Scene(stages=(reader, stage("batch"), parse), files=(facts,)).but(**numbers)


def check(given: Scene, **params: float) -> list[Finding]:
    return list(EncodedWaste().check(given.analysis(), EncodedWasteParameters(**params)))


def outcome_of(given: Scene) -> str:
    return next(item.outcome for item in judge(given.analysis()).outcomes if item.code == "PP707")


def test_pixels_kept_as_floats_fires_at_the_reader_of_the_records() -> None:
    (finding,) = check(scene())

    assert (finding.code, finding.stage_id, finding.severity) == ("PP707", "s0", Severity.HIGH)
    assert finding.message == (
        "The records of train.py:12 .TFRecordDataset(names) hold 'pixels' as floats: 40 kB in place of 10 kB, 60 %"
        " of each record is waste. train.py:14 .map(parse) parses them, 36 ms for each step. Keep it in a "
        "BytesList, pictures as JPEG or PNG."
    )
    assert number(finding, "wasted_share") == pytest.approx(0.6)


def test_it_leads_to_a_change_by_hand() -> None:
    given = scene()

    (made,) = recommend(given.analysis(), check(given))

    assert (made.change.kind, made.title) == ("convert_format", "Write these features as bytes")


def test_the_cured_twin_with_bytes_is_silent() -> None:
    assert check(scene(kind="")) == []


def test_it_fires_just_over_its_share_of_the_record() -> None:
    assert len(check(scene(22_501, 10_000))) == 1


def test_just_under_its_share_of_the_record_it_is_silent() -> None:
    assert check(scene(22_499, 10_000)) == []


def test_where_nobody_waits_it_is_of_low_severity() -> None:
    (finding,) = check(scene(gap_s=0.0395))

    assert finding.severity is Severity.LOW


def test_it_does_not_apply_without_files() -> None:
    assert outcome_of(scene().but(files=())) == NOT_APPLICABLE
