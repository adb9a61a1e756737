"""The report in a terminal: what a user sees at several widths, with and without colour, and with text made to do harm."""

from __future__ import annotations

import io
import re
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.cells import cell_len

from pipeprof.model.diagnosis import Diagnosis, Finding, Severity
from pipeprof.model.profile import TrialState
from pipeprof.report.terminal import print_report
from tests.support.diagnoses import all_diagnoses, healthy, hostile, input_bound, many_findings, one_cause
from tests.support.diagnosis_parts import parallel_calls, stages, train_pipeline

ESCAPE = "\x1b["
PrintAt = Callable[[Diagnosis, int], str]
each_diagnosis = pytest.mark.parametrize("diagnosis", all_diagnoses().values(), ids=all_diagnoses().keys())


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Ascii(io.StringIO):
    """A stream that can only hold ASCII."""

    encoding = "ascii"  # type: ignore[assignment]


class GonePipe(io.StringIO):
    """A pipe whose reader went away."""

    def write(self, text: str) -> int:
        raise BrokenPipeError


def printed(diagnosis: Diagnosis, stream: io.StringIO, run_path: Path | None = None) -> str:
    print_report(diagnosis, stream, run_path)
    return stream.getvalue()


@pytest.mark.parametrize("width", [80, 120])
@each_diagnosis
def test_the_report_reads_as_its_golden_file(
    diagnosis: Diagnosis,
    width: int,
    request: pytest.FixtureRequest,
    print_at: PrintAt,
    check_golden: Callable[[str, str], None],
) -> None:
    name = request.node.callspec.id.split("-")[0]

    check_golden(f"{name}_{width}.txt", print_at(diagnosis, width))


@pytest.mark.parametrize("width", [40, 60, 80, 120])
@each_diagnosis
def test_no_line_is_wider_than_the_terminal(diagnosis: Diagnosis, width: int, print_at: PrintAt) -> None:
    text = print_at(diagnosis, width)

    assert [line for line in text.splitlines() if cell_len(line) > width] == []


@pytest.mark.parametrize("width", [60, 80, 120])
def test_numbers_are_whole_at_every_width(width: int, print_at: PrintAt) -> None:
    words = print_at(input_bound(), width).replace("\n", " ")
    words = re.sub(r" +", " ", words)

    for number in ("180 ms", "96 %", "<0.1 %", "3,200", "2.40× (2.20–2.70×)", "2.14× (2.05–2.22×)", "58–66 %", "6.4 GB"):
        assert number in words


def test_the_first_words_are_the_verdict(print_at: PrintAt) -> None:
    assert print_at(input_bound(), 120).lstrip().startswith("✗ " + input_bound().verdict.sentence)


def test_at_most_three_findings_are_told_and_the_rest_is_counted(print_at: PrintAt) -> None:
    text = print_at(many_findings(), 80)

    assert re.findall(r"PP3\d\d", text.split("Next")[0]) == ["PP302", "PP306", "PP310"]
    assert "Findings  8 more in the full report" in text


def test_a_finding_that_repeats_the_verdict_is_left_out(print_at: PrintAt) -> None:
    echo = Finding(
        code="PP101", name="input-bound", severity=Severity.HIGH, confidence=input_bound().verdict.confidence, message="Again."
    )

    text = print_at(replace(input_bound(), findings=(echo, *input_bound().findings)), 80)

    assert "PP101" not in text
    assert "PP201" in text


def test_nothing_to_fix_is_said_once_and_only_by_the_verdict(print_at: PrintAt) -> None:
    text = print_at(healthy(), 120)
    other = replace(healthy(), verdict=replace(healthy().verdict, sentence="So it is.", nothing_to_fix=False))

    assert text.count("Nothing to fix") == 1
    assert "✓ Nothing to fix in the training input" in text
    assert "Findings" not in text
    assert "Nothing to fix" not in print_at(other, 80)


def test_a_harmful_change_is_refused_and_has_no_patch(print_at: PrintAt) -> None:
    text = print_at(input_bound(), 120)
    refused = text[text.index("REFUSED") : text.index("Not measured")]

    assert "0.81×" in refused
    assert "memory grew past 80 % of the limit" in refused
    assert "+++" not in refused


def test_the_patch_is_shown_line_by_line(print_at: PrintAt) -> None:
    text = print_at(input_bound(), 80)

    assert "\n    -    ds = ds.map(decode)\n    +    ds = ds.map(decode, num_parallel_calls=tf.data.AUTOTUNE)\n" in text


def test_what_is_to_be_done_by_hand_is_sketched_with_its_indents(print_at: PrintAt) -> None:
    text = print_at(many_findings(), 80)

    assert "\n    by hand    for instance\n      def decode(records):  # <32> records at once\n          return tf.io" in text


def test_a_pipeline_of_many_stages_keeps_the_bottleneck_and_counts_the_rest(print_at: PrintAt) -> None:
    quick = tuple(replace(stages()[2], id=f"q{index}", busy_s_per_step=1e-6) for index in range(40))
    long = replace(train_pipeline(), stages=(*quick[:20], stages()[1], *quick[20:]), unattributed_s_per_step=None)

    text = print_at(replace(input_bound(), pipelines=(long,)), 80)

    assert "▶ train.py:42  .map(decode)" in text
    assert "… 29 quicker stages in the full report" in text


def test_user_text_cannot_reach_the_terminal_as_a_control_character(print_at: PrintAt) -> None:
    text = print_at(hostile(), 80)

    assert [char for char in text if char != "\n" and unicodedata.category(char) in {"Cc", "Cf", "Cs"}] == []
    assert "\\x1b[31m" in text


def test_a_terminal_gets_colour_and_a_file_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")

    assert ESCAPE in printed(input_bound(), Terminal())
    assert ESCAPE not in printed(input_bound(), io.StringIO())


@pytest.mark.parametrize(
    "setting", [{"NO_COLOR": "1"}, {"NO_COLOR": "1", "FORCE_COLOR": "1"}, {"TERM": "dumb"}, {"FORCE_COLOR": "0"}]
)
def test_colour_can_be_refused(setting: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    for name, value in setting.items():
        monkeypatch.setenv(name, value)

    assert ESCAPE not in printed(input_bound(), Terminal())


def test_colour_can_be_demanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")

    assert ESCAPE in printed(input_bound(), io.StringIO())


def test_an_empty_no_color_forbids_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "")
    monkeypatch.setenv("TERM", "xterm")

    assert ESCAPE in printed(input_bound(), Terminal())


@each_diagnosis
def test_colour_adds_nothing_but_colour(diagnosis: Diagnosis, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = printed(diagnosis, io.StringIO())
    monkeypatch.setenv("FORCE_COLOR", "1")

    assert re.sub(r"\x1b\[[0-9;]*m", "", printed(diagnosis, io.StringIO())) == plain


def test_a_stream_without_unicode_gets_ascii_of_the_same_width() -> None:
    rich, poor = printed(input_bound(), io.StringIO()), printed(input_bound(), Ascii())

    assert poor.isascii()
    assert [len(line) for line in poor.splitlines()] == [cell_len(line) for line in rich.splitlines()]


def test_a_reader_that_goes_away_is_no_error() -> None:
    print_report(input_bound(), GonePipe(), None)


def test_without_a_run_directory_no_command_is_proposed() -> None:
    assert "pipeprof report" not in printed(input_bound(), io.StringIO())


def test_the_page_is_named_where_it_exists(tmp_path: Path) -> None:
    run = tmp_path / "reports" / "20260301-101500-train.py-4711"
    run.mkdir(parents=True)
    assert "--html" in printed(input_bound(), io.StringIO(), run)

    (run / "report.html").write_text("")

    text = printed(input_bound(), io.StringIO(), run)
    assert "reports/20260301-101500-train.py-4711/report.html" in text
    assert "--html" not in text


def test_commands_name_an_older_run_and_a_run_elsewhere_but_not_the_newest(tmp_path: Path) -> None:
    for name in ("20260301-old", "20260302-new"):
        (tmp_path / "reports" / name).mkdir(parents=True)
        (tmp_path / "reports" / name / "profile.json").write_text("{}")

    assert "pipeprof report 20260301-old --json" in printed(input_bound(), io.StringIO(), tmp_path / "reports" / "20260301-old")
    assert "pipeprof report --json" in printed(input_bound(), io.StringIO(), tmp_path / "reports" / "20260302-new")
    assert "pipeprof report 'my runs/x' --json" in printed(input_bound(), io.StringIO(), tmp_path / "my runs" / "x")


def test_the_patch_of_an_undecided_trial_is_shown(print_at: PrintAt) -> None:
    trial = replace(parallel_calls().trial, state=TrialState.NO_DIFFERENCE, speedup=1.68, low=0.74, high=3.84, undecided=True)
    text = print_at(replace(input_bound(), recommendations=(replace(parallel_calls(), trial=trial, accepted=False),)), 80)

    assert "? UNDECIDED" in text
    assert "NO DIFFERENCE" not in text
    assert "+    ds = ds.map(decode, num_parallel_calls=tf.data.AUTOTUNE)" in text


def test_what_has_the_same_cause_stands_in_short_under_its_finding(print_at: PrintAt) -> None:
    text = print_at(one_cause(), 120)

    assert "↳ brings about: PP106 bursty-input (train.py:57). 9 of 412 steps wait long: 87 % of all waiting.\n" in text
    assert "↳ another cure: PP407 cacheable-inside. train.py:42 .map(decode) makes the same picture" in text
    assert "↳ also told by PP602 parse-single and PP705 text-parsing\n" in text
    assert "Cache it there" not in text, "the cure is in the full report"
