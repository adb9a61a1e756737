"""Command ``history``, on runs written as a run writes them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pipeprof.cli.main import USER_MISTAKE, main
from pipeprof.model.profile import PROFILE_SCHEMA, Change, ElementsState, LoopBin, Profile, TrialRecord, TrialState
from pipeprof.store import PROFILE_FILE, RunDirectory, ScriptEnd, TrialEvent
from tests.support.builders import Scene, stage

CALLS = Change(kind="parallel_calls", params={"num_parallel_calls": -1})


def profile(*command: str) -> Profile:
    """Make a run that waits three quarters of its time for a map."""
    scene = Scene(stages=(stage("from_tensor_slices"), stage("map", 0.036), stage("prefetch", segment=0)))
    whole = scene.profile()
    (record,) = whole.pipelines
    bins = tuple(
        LoopBin(
            start_s=at * 1.0, end_s=at + 1.0, steps=25, wait_s=0.75, gap_s=0.25, wait_max_s=0.03, step_max_s=0.04,
            step_min_s=0.04,
        )
        for at in range(24)
    )  # fmt: skip
    nodes = record.executed
    chain = tuple(
        replace(node, id="0" + ".0" * (at + 1), inputs=("0" + ".0" * (at + 2),) if at + 1 < len(nodes) else ())
        for at, node in enumerate(reversed(nodes))
    )
    root = replace(chain[0], id="0", node="Root", inputs=("0.0",), busy_s=0.0, parallelism=None)
    loop = replace(record.loop, bins=bins, steps_in_bins=600, elements=600, wall_s=24.0, cpu_s=24.0)
    record = replace(record, executed=(root, *chain), loop=loop)
    return replace(whole, run=replace(whole.run, command=command or ("jobs/train.py",)), pipelines=(record,))


def trial(kind: str = "parallel_calls", speedup: float = 1.8, **facts: object) -> TrialRecord:
    planted = {
        "id": f"{kind}-p0-s1", "pipeline_id": "p0", "stage_id": "s1", "change": replace(CALLS, kind=kind),
        "state": TrialState.CONFIRMED, "speedup": speedup, "low": speedup - 0.1, "high": speedup + 0.1,
        "elements": ElementsState.IDENTICAL,
    }  # fmt: skip
    return TrialRecord(**(planted | facts))


@pytest.fixture
def keep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., RunDirectory]:
    """Return a function that keeps a run in reports/ as a run of a script does."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def keep(name: str, *trials: TrialRecord, content: Profile | None = None) -> RunDirectory:
        directory = RunDirectory(tmp_path / "reports" / name)
        directory.path.mkdir(parents=True)
        directory.write_profile(content or profile())
        directory.write_script_end(ScriptEnd(exit_status=0, ended="returned", wall_s=24.0))
        for record in trials:
            directory.append_event(TrialEvent.now("result", trial=record))
        return directory

    return keep


def test_runs_are_listed_newest_last_with_what_was_confirmed(keep, capsys: pytest.CaptureFixture[str]) -> None:
    keep("20260302-090000-train-2", trial(), trial("cache", 1.31, on_top_of=("parallel_calls-p0-s1",)))
    keep("20260301-101500-train-1", trial(state=TrialState.NO_DIFFERENCE))
    keep("20260303-090000-mod-3", content=profile("-m", "pkg.fit", "x"))

    assert main(["history"]) == 0

    assert capsys.readouterr().out.splitlines() == [
        "RUN                      SCRIPT    INPUT-BOUND  WAIT   CONFIRMED",
        "20260301-101500-train-1  train.py  highly       75 %   –",
        "20260302-090000-train-2  train.py  highly       75 %   parallel_calls 1.80×,",
        "                                                       then cache 1.31×",
        "20260303-090000-mod-3    pkg.fit   highly       75 %   –",
    ]


def test_a_long_name_is_never_cut(keep, capsys: pytest.CaptureFixture[str]) -> None:
    name = "20260301-101500-a_script_with_quite_a_long_name.py-4711"
    keep(name, trial(), content=profile("a_script_with_quite_a_long_name.py"))

    main(["history"])

    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == name
    assert "a_scr…ame.py" in lines[2]
    assert max(map(len, lines)) <= 80


def test_history_as_json_holds_all_numbers(keep, capsys: pytest.CaptureFixture[str]) -> None:
    keep("one", trial())

    assert main(["history", "--json"]) == 0

    document = json.loads(capsys.readouterr().out)
    (run,) = document["runs"]
    assert (document["schema"], document["unreadable"]) == ("pipeprof.history/1", [])
    assert (run["id"], run["command"], run["ended"], run["exit_status"]) == ("one", ["jobs/train.py"], "returned", 0)
    assert (run["input_bound"], run["wait_share"]) == ("highly", pytest.approx(0.75))
    (confirmed,) = run["confirmed"]
    assert (confirmed["kind"], confirmed["speedup"], confirmed["low"]) == ("parallel_calls", 1.8, pytest.approx(1.7))


def break_runs(keep: Callable[..., RunDirectory]) -> set[str]:
    """Keep a run for each way of being damaged, and return their names."""
    (keep("corrupt").path / PROFILE_FILE).write_bytes(b'{"schema": "pipe')
    (keep("newer").path / PROFILE_FILE).write_text(json.dumps({"schema": PROFILE_SCHEMA.rpartition("/")[0] + "/999"}))
    (keep("no_profile").path / PROFILE_FILE).unlink()
    whole = profile()
    keep("no_output", content=replace(whole, pipelines=(replace(whole.pipelines[0], output="gone"),)))
    return {"corrupt", "newer", "no_profile", "no_output"}


@pytest.mark.parametrize("options", [(), ("--calibration",)])
def test_broken_runs_are_counted_and_named_and_hide_nothing(
    options: tuple[str, ...], keep, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = break_runs(keep)
    keep("whole", trial())

    assert main(["history", *options]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert main(["history", "--json", *options]) == 0
    document = json.loads(capsys.readouterr().out)

    assert "4 runs left out, which cannot be read: corrupt, newer, no_output and no_profile (pipeprof report RUN" in text
    assert {item["id"] for item in document["unreadable"]} == broken
    assert all(item["reason"] for item in document["unreadable"])
    whole = document["scores"][0]["run"] if options else document["runs"][0]["id"]
    assert whole == "whole"


def test_calibration_compares_predictions_with_trials(keep, capsys: pytest.CaptureFixture[str]) -> None:
    keep("one", trial(), trial("cache", 1.3, on_top_of=("parallel_calls-p0-s1",)))
    keep("two", trial(state=TrialState.WORSE, speedup=0.9), trial("unheard_of", id="unheard_of-p0-s1"))

    assert main(["history", "--calibration", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert main(["history", "--calibration"]) == 0
    lines = capsys.readouterr().out.splitlines()

    one, two = document["scores"]
    assert (document["schema"], document["runs"], document["overall"]["count"]) == ("pipeprof.calibration/1", 2, 2)
    assert (one["run"], one["speedup"], two["run"], two["speedup"]) == ("one", 1.8, "two", 0.9)
    assert one["error"] == pytest.approx(one["predicted"]["speedup"] / 1.8 - 1)
    assert document["overall"]["median_error"] == pytest.approx((one["error"] + two["error"]) / 2)
    assert lines[0] == "Predictions against 2 trials of 2 runs"
    assert lines[2].split() == ["CHANGE", "TRIALS", "OFF", "BY", "TENDENCY", "HELD"]
    assert [line.split()[0] for line in lines[3:5]] == ["all", "parallel_calls"]
    assert "Left out: 1 trial on top of other changes; predictions are against the pipeline as it was." in " ".join(lines)
    assert "Left out: 1 trial of a change that nothing is predicted for." in lines
    assert max(map(len, lines)) <= 80


def test_without_a_trial_calibration_says_so(keep, capsys: pytest.CaptureFixture[str]) -> None:
    keep("one")

    assert main(["history", "--calibration"]) == 0

    assert capsys.readouterr().out.splitlines() == [
        "No prediction can be compared yet: no run has a finished trial of a change that",
        "was predicted.",
    ]


@pytest.mark.parametrize("options", [(), ("--calibration",), ("--json",)])
def test_an_empty_directory_is_one_line_with_a_hint(
    options: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["history", "--output", str(tmp_path), *options]) == USER_MISTAKE
    assert capsys.readouterr() == ("", f"pipeprof: no run in {tmp_path}/ — make one with: pipeprof run train.py\n")


def test_nothing_but_broken_runs_is_one_line_too(keep, capsys: pytest.CaptureFixture[str]) -> None:
    break_runs(keep)

    assert main(["history"]) == USER_MISTAKE
    line = "pipeprof: none of the 4 runs in reports/ can be read — pipeprof report RUN says why\n"
    assert capsys.readouterr() == ("", line)
