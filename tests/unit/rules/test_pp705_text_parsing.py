"""PP705: numbers that are parsed out of text."""

from __future__ import annotations

from pipeprof.advise.recommend import recommend
from pipeprof.model.diagnosis import Confidence, Finding, Severity
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp705_text_parsing import TextParsing, TextParsingParameters
from tests.support.builders import Scene, files_of, function, stage


def scene(*ops: str, busy_s: float = 0.036, kind: str = "text", **numbers: object) -> Scene:
    """Make lines of text, batches of them, and a map of these ops."""
    parse = stage("map", busy_s, slots=1, tuned=True, segment=2, line=14, code="ds.map(parse)", function=function(*ops))
    reader = stage("TextLineDataset", 0.001, visits=64, segment=1)
    return Scene(stages=(reader, stage("batch", 0.001), parse), files=(files_of("s0", kind, 2, 3e8),)).but(**numbers)


def check(given: Scene, **params: float) -> list[Finding]:
    return list(TextParsing().check(given.analysis(), TextParsingParameters(**params)))


def outcome_of(given: Scene) -> str:
    return next(item.outcome for item in judge(given.analysis()).outcomes if item.code == "PP705")


def test_parsing_that_training_waits_for_fires_at_the_map() -> None:
    (finding,) = check(scene("DecodeCSV", "Pack"))

    assert (finding.code, finding.stage_id, finding.severity) == ("PP705", "s2", Severity.HIGH)
    assert finding.message == (
        "train.py:14 .map(parse) parses CSV in every epoch of every run, 36 ms for each 40 ms step, from 2 files "
        "of 300 MB on average. Training waits 75 % (71–79 %) of each step. Convert the files once to TFRecord or "
        "to arrays of fixed size, several rows in a record."
    )


def test_it_leads_to_converting_by_hand() -> None:
    given = scene("DecodeCSV")

    (made,) = recommend(given.analysis(), check(given))

    assert (made.change.kind, made.title) == ("convert_format", "Convert the files once, to TFRecord files of 100 to 200 MB")


def test_the_cured_twin_that_reads_bytes_is_silent() -> None:
    assert check(scene("DecodeRaw", busy_s=0.012, kind="fixed")) == []


def test_it_fires_just_over_its_share() -> None:
    assert len(check(scene("DecodeCSV", busy_s=0.0141))) == 1  # 4.1 of 40 ms beyond the step's own 10


def test_just_under_its_share_it_is_silent() -> None:
    assert check(scene("DecodeCSV", busy_s=0.0139)) == []


def test_other_work_beside_parsing_lowers_the_confidence() -> None:
    (mixed,) = check(scene("DecodeCSV", "MatMul"))
    (plain,) = check(scene("DecodeCSV", "Pack"))

    assert (mixed.confidence, plain.confidence) == (Confidence.LOW, Confidence.MEDIUM)


def test_a_reader_that_parses_by_itself_is_named() -> None:
    table = stage("CsvDataset", 0.036, visits=64)

    (finding,) = check(Scene(stages=(table, stage("batch")), files=(files_of("s0", "csv", 1, 3e8),)))

    assert finding.stage_id == "s0"


def test_words_that_are_split_are_no_numbers() -> None:
    assert check(scene("StringSplitV2")) == []


def test_a_map_that_could_run_in_parallel_is_left_to_that_cure() -> None:
    lines = stage("TextLineDataset", 0.001, visits=64)
    sequential = stage("map", 0.036, function=function("DecodeCSV", stateful_ops=("Print",)))
    given = scene().but(stages=(lines, sequential, stage("batch")))

    judged = judge(given.analysis(), select=["PP201", "PP705"])

    assert [item.code for item in judged.findings] == ["PP201"]
    assert (
        next(item.reason for item in judged.outcomes if item.code == "PP705") == "PP201 has a cheaper cure for the same stage"
    )


def test_it_does_not_apply_without_files() -> None:
    assert outcome_of(scene("DecodeCSV").but(files=())) == NOT_APPLICABLE
