"""What a script wrote while it ran, and the copy of its directory that it may write into."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeprof import rerun_place
from pipeprof.errors import UserError
from pipeprof.model.plan import ApplyPlan, PlannedChange, PlannedStage
from pipeprof.model.profile import Change, RunInfo
from pipeprof.rerun_place import copy_directory, moved, moved_word, written_files
from tests.support.builders import Scene, stage

START = 1_700_000_000


def a_run(directory: Path) -> RunInfo:
    info = Scene(stages=(stage("range"),)).profile().run
    started = datetime.fromtimestamp(START, UTC).isoformat()
    return replace(info, started_at=started, wall_s=10.0, working_directory=str(directory), command=("train.py",), sources=())


def put(path: Path, at_s: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(path.name)
    os.utime(path, (at_s, at_s))


def test_files_of_the_time_of_the_run_are_found_and_nothing_else(tmp_path: Path) -> None:
    for name in ("train.py", "out/ckpt", "__pycache__/x.pyc", "reports/r/profile.json", "model.h5", "log.txt"):
        put(tmp_path / name, START + 5)
    put(tmp_path / "data.csv", START - 1)
    put(tmp_path / "later.txt", START + 12)

    run = replace(a_run(tmp_path), printed_into=(str(tmp_path / "log.txt"),))

    assert written_files(run, tmp_path / "reports") == [Path("model.h5"), Path("out/ckpt")]


def test_a_directory_with_too_many_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rerun_place, "_MOST_FILES", 2)
    for number in range(3):
        put(tmp_path / str(number), START - 9)

    with pytest.raises(UserError, match="more than 2 files"):
        written_files(a_run(tmp_path), tmp_path / "reports")


def test_a_copy_has_everything_but_caches_and_runs_and_links_never_lead_back(tmp_path: Path) -> None:
    source, target, outside = tmp_path / "work", tmp_path / "copy", tmp_path / "data"
    put(outside, START)
    for name in ("train.py", "sub/a", "__pycache__/x.pyc", "reports/r"):
        put(source / name, START)
    (source / "newest").symlink_to("sub/a")
    (source / "data").symlink_to("../data")
    put(target / "left over", START)

    copy_directory(source, target, source / "reports")

    assert sorted(path.name for path in target.iterdir()) == ["data", "newest", "sub", "train.py"]
    assert (target / "newest").resolve() == target / "sub" / "a"
    assert (target / "data").resolve() == outside


def test_a_directory_that_is_too_large_is_not_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rerun_place, "MOST_BYTES", 5)
    put(tmp_path / "work" / "train.py", START)

    with pytest.raises(UserError, match="it is not copied"):
        copy_directory(tmp_path / "work", tmp_path / "copy", tmp_path)
    assert not (tmp_path / "copy").exists()


def test_calls_and_words_move_into_the_copy(tmp_path: Path) -> None:
    here, there = tmp_path / "a", tmp_path / "b"
    stages = tuple(
        PlannedStage(class_name="_MapDataset", site=(name, 1, 2, 3, 4)) for name in (str(here / "t.py"), "/lib/x.py")
    )
    change = PlannedChange(id="c", phrase="cache", change=Change(kind="cache"), trees=(stages,))

    plan = moved(ApplyPlan(run_id="r", changes=(change,)), here, there)

    assert [item.site for item in plan.changes[0].trees[0]] == [(str(there / "t.py"), 1, 2, 3, 4), ("/lib/x.py", 1, 2, 3, 4)]
    assert [moved_word(word, here, there) for word in ("t.py", "--n", str(here / "d"), "/else")] == [
        "t.py", "--n", str(there / "d"), "/else",
    ]  # fmt: skip
