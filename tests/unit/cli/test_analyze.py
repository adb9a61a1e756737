"""``pipeprof analyze`` keeps a profile as a run and reports on it; mistakes are one line and status 2."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from pipeprof.cli.main import USER_MISTAKE, main
from tests.support.traces import CALL, PROCESS, Loop, event, space, to_bytes

if find_spec("tensorflow") is None:
    pytest.skip("TensorFlow's xplane_pb2.py is not installed", allow_module_level=True)


def slow_map(count: int = 40, wait_ms: float = 8) -> bytes:
    """A sequential map that calls Python and takes 7 of each 10 ms."""
    loop = Loop(count=count, wait_ms=wait_ms)
    calls = [event(CALL, at + 0.2, 7, id=100 + index) for index, at in enumerate(loop.starts())]
    pool = [event(PROCESS, at + 0.3, 6.9, id=100 + index) for index, at in enumerate(loop.starts())]
    ops = [event("EagerPyFunc:EagerPyFunc", at + 0.4, 6.7) for at in loop.starts()]
    names = [*loop.inside("Map", name="MapDataset:1"), *loop.inside("Map::Range", 0.01)]
    return to_bytes(space(python=[*loop.waits(), *names, *calls], tf_data_private_threadpool__1=[*pool, *ops]))


def write_run(logdir: Path, **hosts: bytes) -> Path:
    folder = logdir / "plugins" / "profile" / "2026_01_01_00_00_00"
    folder.mkdir(parents=True)
    for name, content in hosts.items():
        (folder / f"{name}.xplane.pb").write_bytes(content)
    return logdir


def test_a_report_is_printed_and_the_run_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logdir = write_run(tmp_path / "logs", host=slow_map())

    status = main(["analyze", str(logdir), "--output", str(tmp_path / "reports"), "--html"])

    text = capsys.readouterr().out
    (run,) = (tmp_path / "reports").iterdir()
    assert status == 0
    assert "Training waits for its input 80 % of the time" in text
    assert "▶ .map(…)" in text
    assert "PP201" in text
    assert "pipeprof run train.py" in text
    assert "None" not in text
    assert max(len(line) for line in text.splitlines()) <= 80
    assert {path.name for path in run.iterdir()} == {"profile.json", "diagnosis.json", "report.html"}
    assert main(["report", str(run)]) == 0


def test_json_goes_where_it_is_wanted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logdir = write_run(tmp_path / "logs", host=slow_map())
    common = ["analyze", str(logdir), "--output", str(tmp_path / "reports"), "--json"]

    assert main([*common, "-"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert main([*common, str(tmp_path / "out.json")]) == 0
    written = json.loads((tmp_path / "out.json").read_text())

    assert printed["verdict"] == written["verdict"]
    assert printed["pipelines"][0]["counters"] == "trace window of 1.0 s"
    assert printed["steps"]["method"] == "trace"
    assert all(item["diff"] is None for item in printed["recommendations"])


def test_of_several_hosts_the_one_with_the_longest_loop_is_shown_and_the_others_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logdir = write_run(tmp_path / "logs", alpha=slow_map(10), beta=slow_map(60), gamma=slow_map(20))

    main(["analyze", str(logdir), "--output", str(tmp_path / "reports"), "--json", "-"])

    found = json.loads(capsys.readouterr().out)
    assert found["steps"]["count"] == 59
    assert any("this is beta" in problem and "alpha, gamma" in problem for problem in found["run"]["problems"])


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", "is empty — profile again"),
        (slow_map()[:5000], "is cut short, damaged or no profile — name a profile"),
        (b"hello, world, this is text", "is cut short, damaged or no profile — name a profile"),
        (to_bytes(space(python=[event("EagerExecute", 1, 2)])), "no tf.data pipeline was at work in"),
        (slow_map(1), "no whole step of a tf.data pipeline in"),
    ],
    ids=["empty", "truncated", "foreign", "without tf.data", "one step"],
)
def test_bad_files_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, line: str) -> None:
    logdir = write_run(tmp_path / "logs", host=content)

    assert main(["analyze", str(logdir), "--output", str(tmp_path / "reports")]) == USER_MISTAKE

    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert line in err
    assert not (tmp_path / "reports").exists()


def test_bad_directories_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()

    assert main(["analyze", str(tmp_path / "empty")]) == USER_MISTAKE
    assert "is empty — name a TensorBoard log directory" in capsys.readouterr().err
    assert main(["analyze", str(tmp_path / "missing")]) == USER_MISTAKE
    assert capsys.readouterr().err.startswith("pipeprof: no such file or directory")


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logdir = write_run(tmp_path / "logs", host=slow_map())

    status = main(["analyze", str(logdir), "--output", str(tmp_path / "r"), "--json", str(tmp_path / "no" / "out.json")])

    assert status == USER_MISTAKE
    assert "--json PATH" in capsys.readouterr().err
