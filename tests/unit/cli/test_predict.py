"""Command ``predict``: one screen, JSON where asked, and one line for a mistake."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeprof.cli.main import USER_MISTAKE, main
from pipeprof.model.profile import Loop, LoopBin
from pipeprof.store import RunDirectory
from tests.support.builders import Scene, stage


@pytest.fixture
def run_path(tmp_path: Path) -> Path:
    """A run of 600 steps of 34 ms: 64 ms of a parallel map before a step of 10 ms."""
    from dataclasses import replace

    scene = Scene(
        stages=(
            stage("range"),
            stage("map", 0.064, visits=16.0, slots=2.0, tuned=True, node="ParallelMapV2"),
            stage("batch", 0.002),
        ),
        cores=2,
    )
    profile = scene.profile()
    bins = tuple(
        LoopBin(
            start_s=number * 0.34, end_s=(number + 1) * 0.34, steps=10, wait_s=0.24, gap_s=0.10, wait_max_s=0.024,
            step_max_s=0.034, step_min_s=0.034,
        )
        for number in range(60)
    )  # fmt: skip
    chain = list(profile.pipelines[0].executed)
    ids = ["0", "0.0", "0.0.0", "0.0.0.0"]
    executed = tuple(
        replace(node, id=ids[index + 1], inputs=(ids[index + 2],) if index + 2 < len(ids) else ())
        for index, node in enumerate(reversed(chain))
    )
    root = replace(executed[0], id="0", node="Root", inputs=("0.0",), busy_s=0.0, parallelism=None)
    record = replace(
        profile.pipelines[0],
        executed=(root, *executed),
        loop=Loop(method="next", elements=600, wall_s=20.4, steps_in_bins=600, bins=bins, cpu_s=39.6, epoch_count=1),
    )
    directory = RunDirectory(tmp_path / "run")
    directory.path.mkdir()
    directory.write_profile(replace(profile, pipelines=(record,)))
    return directory.path


def test_the_answer_fits_on_one_screen_of_80_columns(
    run_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")

    status = main(["predict", str(run_path), "--cores", "8", "--step-ms", "5"])

    lines = capsys.readouterr().out.splitlines()
    assert status == 0
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert "would not keep up" in lines[0]
    assert any("breaks first" in line and "train.py:11" in line for line in lines)


def test_json_goes_to_a_file_or_to_standard_output(run_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "outlook.json"

    assert main(["predict", str(run_path), "--json", str(path)]) == 0
    capsys.readouterr()
    assert main(["predict", str(run_path), "--json", "-"]) == 0

    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads(path.read_bytes())
    assert printed["schema"] == "pipeprof.outlook/1"
    assert printed["wait_share_low"] <= printed["wait_share"] <= printed["wait_share_high"]


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["--cores", "0"], "--cores 0"),
        (["--cores", "many"], "--cores many"),
        (["--step-ms", "-3"], "--step-ms -3"),
        (["--step-ms", "nan"], "--step-ms nan"),
        (["--workers", "0"], "--workers 0"),
    ],
)
def test_a_number_that_makes_no_sense_is_one_line_with_a_hint(
    words: list[str], what: str, run_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(run_path), *words]) == USER_MISTAKE

    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert what in said
    assert "\N{EM DASH}" in said


def test_a_run_that_does_not_exist_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "nowhere", "--output", str(tmp_path)]) == USER_MISTAKE

    assert capsys.readouterr().err.startswith("pipeprof: no such run: nowhere")


def test_a_run_without_a_pipeline_is_one_line(run_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from dataclasses import replace

    directory = RunDirectory(run_path)
    directory.write_profile(replace(directory.load(), pipelines=()))

    assert main(["predict", str(run_path)]) == USER_MISTAKE
    assert "no tf.data pipeline" in capsys.readouterr().err


def test_a_file_that_cannot_be_written_is_one_line(run_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(run_path), "--json", "/nowhere/outlook.json"]) == USER_MISTAKE

    assert "cannot write /nowhere/outlook.json" in capsys.readouterr().err
