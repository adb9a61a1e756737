"""What goes wrong after the script is one line, and never an exception."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import pipeprof.diagnose
from pipeprof.cli.reporting import after_run, short_path
from pipeprof.model.profile import EmptyPipeline, Host, Profile, RunInfo, Versions
from pipeprof.settings import Settings
from pipeprof.store import ProcessEnd, RunDirectory
from tests.support.builders import call_site

FINE = ProcessEnd(exit_status=0, wall_s=1.0)
KILLED = ProcessEnd(exit_status=-9, wall_s=240.0, reason="killed by SIGKILL after 4.0 min")


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    run = RunDirectory.create(tmp_path / "reports", "train", pid=7)
    info = RunInfo(
        id=run.id,
        command=("train.py",),
        started_at="2024-01-01T00:00:00+00:00",
        versions=Versions(pipeprof="0", python="3.11"),
        host=Host(cores=2),
    )
    run.write_profile(Profile(run=info))
    return run


def test_run_without_a_pipeline_is_one_line(run: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    after_run(run, FINE, Settings(html=False), tmp_path)

    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("pipeprof: no tf.data pipeline was consumed (looked for ")
    assert line.endswith(f"the profile is in reports/{run.id}")


def test_failed_run_is_two_lines(run: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    after_run(run, KILLED, Settings(html=False), tmp_path)

    assert capsys.readouterr().err.splitlines() == [
        f"pipeprof: killed by SIGKILL after 4.0 min; its profile is in reports/{run.id}",
        f"pipeprof: view it with: pipeprof report reports/{run.id}",
    ]


def test_ctrl_c_is_said_in_words(run: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    after_run(run, ProcessEnd(exit_status=-2, wall_s=9.0), Settings(html=False), tmp_path)

    assert capsys.readouterr().err.startswith("pipeprof: interrupted (Ctrl-C); its profile is in ")


def test_a_pipeline_that_gave_nothing_is_named(run: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = EmptyPipeline(op="batch", passes=3, call_site=call_site(2, "ds.batch(4)"))
    run.write_profile(replace(run.load(), empty_pipelines=(empty,)))

    after_run(run, FINE, Settings(html=False), tmp_path)

    assert capsys.readouterr().err == (
        f"pipeprof: train.py:2 .batch was iterated 3 times and gave no element; the profile is in reports/{run.id}\n"
    )
    assert (
        "train.py:2 .batch was iterated 3 times"
        in json.loads((run.path / "diagnosis.json").read_bytes())["verdict"]["sentence"]
    )


def test_diagnosis_is_written_where_it_is_wanted(run: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = tmp_path / "out.json"

    after_run(run, FINE, Settings(html=False, quiet=True, json_path=wanted), tmp_path)

    assert json.loads(wanted.read_bytes())["run"]["id"] == run.id
    assert wanted.read_bytes() == (run.path / "diagnosis.json").read_bytes()
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("quiet", [True, False])
def test_fault_of_ours_is_one_line_and_keeps_its_traceback(
    quiet: bool, run: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_given: object) -> None:
        raise ZeroDivisionError("our fault")

    monkeypatch.setattr(pipeprof.diagnose, "diagnose", fail)

    after_run(run, FINE, Settings(html=False, quiet=quiet), tmp_path)

    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == (0 if quiet else 1)
    assert all("our fault" in line and f"the profile is in reports/{run.id}" in line for line in lines)
    assert "ZeroDivisionError: our fault" in (run.path / "problem.log").read_text()


def test_run_that_left_no_profile_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = RunDirectory.create(tmp_path, "train", pid=8)

    after_run(run, KILLED, Settings(), tmp_path)

    assert capsys.readouterr().err == "pipeprof: nothing was captured: killed by SIGKILL after 4.0 min\n"


def test_closed_standard_error_is_no_error(run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", (tmp_path / "gone").open("w"))
    sys.stderr.close()

    after_run(run, KILLED, Settings(html=False), tmp_path)

    assert (run.path / "diagnosis.json").exists()


def test_paths_are_shown_from_where_the_user_is(tmp_path: Path) -> None:
    assert short_path(tmp_path / "a" / "b", tmp_path) == Path("a/b")
    assert short_path(tmp_path, tmp_path / "elsewhere") == tmp_path
