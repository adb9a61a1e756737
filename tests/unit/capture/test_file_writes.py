"""Which files outside of the working directory are seen to be written, and that whoever looks changes nothing."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeprof.capture import file_writes
from pipeprof.capture.file_writes import FileWrites


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a working directory, a run's directory, one for temporary files, a cache and one outside of all of them."""
    for name in ("work", "run", "temporary", "home/.cache", "out"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    return tmp_path


@pytest.fixture
def writes(places: Path) -> Iterator[FileWrites]:
    """Return what sees the writes of this test."""
    found = FileWrites(str(places / "work"), str(places / "run"), {"HOME": str(places / "home")})
    found.start()
    yield found
    found.stop()


def told(writes: FileWrites, places: Path) -> list[str]:
    return [path.removeprefix(f"{places}/") for path in writes.paths()]


def test_a_file_that_is_written_outside_is_told_and_one_that_is_read_is_not(writes: FileWrites, places: Path) -> None:
    (places / "out" / "read.txt").write_text("x")
    writes.stop()
    writes = FileWrites(str(places / "work"))
    writes.start()
    (places / "out" / "read.txt").read_text()
    for name, mode in (("written", "w"), ("appended", "ab"), ("made", "x")):
        with (places / "out" / name).open(mode):
            pass
    os.close(os.open(places / "out" / "by number", os.O_WRONLY | os.O_CREAT))

    assert told(writes, places) == ["out/appended", "out/by number", "out/made", "out/written"]


@pytest.mark.parametrize("place", ["work/a", "run/profile.json", "temporary/a", "home/.cache/fonts/a", "out/__pycache__/a.pyc"])
def test_what_is_found_in_other_ways_or_is_nobodys_result_is_not_told(writes: FileWrites, places: Path, place: str) -> None:
    (places / place).parent.mkdir(exist_ok=True)
    (places / place).write_text("x")
    Path(os.devnull).write_text("x")

    assert not any(place in path for path in writes.paths())
    assert os.devnull not in writes.paths()


def _rename(out: Path) -> None:
    (out / "old").rename(out / "new")


def _link(out: Path) -> None:
    (out / "symbolic").symlink_to("old")
    (out / "hard").hardlink_to(out / "old")


def _fill_tree(out: Path) -> None:
    (out / "tree" / "deep").mkdir(parents=True)
    (out / "tree" / "deep" / "leaf").write_text("x")


def _connect(out: Path) -> None:
    connection = sqlite3.connect(out / "base.db")
    connection.execute("create table t (x)")
    connection.commit()
    connection.close()


def _replace_atomically(out: Path) -> None:
    (out / "half").write_text("whole")
    (out / "half").replace(out / "whole")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda out: (out / "old").unlink(), ["out/old"]),
        (lambda out: os.truncate(out / "old", 0), ["out/old"]),
        (lambda out: shutil.copy(out / "old", out / "copy"), ["out/copy"]),
        (lambda out: shutil.rmtree(out / "full"), ["out/full"]),
        (lambda out: (out / "empty").mkdir(), ["out/empty"]),
        (_rename, ["out/new", "out/old"]),
        (_link, ["out/hard", "out/symbolic"]),
        (_fill_tree, ["out/tree/deep/leaf"]),
        (_connect, ["out/base.db"]),
        (_replace_atomically, ["out/whole"]),
    ],
    ids=["remove", "truncate", "copy", "rmtree", "mkdir", "rename", "link", "tree", "sqlite", "atomic"],
)
def test_every_way_to_change_a_file_is_seen(places: Path, change: Callable[[Path], object], expected: list[str]) -> None:
    (places / "out" / "old").write_text("old")
    (places / "out" / "full").mkdir()
    (places / "out" / "full" / "leaf").write_text("x")
    writes = FileWrites(str(places / "work"))
    writes.start()

    change(places / "out")
    writes.stop()

    assert told(writes, places) == expected


def test_what_is_as_it_was_is_not_told(places: Path, writes: FileWrites) -> None:
    (places / "out").mkdir(exist_ok=True)
    (places / "out" / "came and went").write_text("x")
    (places / "out" / "came and went").unlink()
    with pytest.raises(FileNotFoundError):
        (places / "nowhere" / "a").write_text("x")

    assert writes.paths() == ()


def test_a_link_in_the_working_directory_leads_out_of_it(places: Path, writes: FileWrites) -> None:
    Path("results").symlink_to(places / "out")
    Path("log").symlink_to(places / "out" / "log.txt")
    Path("results/a").write_text("x")
    Path("log").write_text("x")

    assert told(writes, places) == ["out/a", "out/log.txt"]


def test_a_path_is_relative_to_where_the_program_is_then(places: Path, writes: FileWrites) -> None:
    os.chdir(places / "out")
    Path("a").write_text("x")
    os.chdir(places / "work")
    Path("a").write_text("x")
    Path("../out/b").write_text("x")

    assert told(writes, places) == ["out/a", "out/b"]


def test_files_whose_names_begin_so_are_told_where_there_are_new_ones(places: Path, writes: FileWrites) -> None:
    (places / "out" / "old-1.index").write_text("x")
    os.utime(places / "out" / "old-1.index", (1_000, 1_000))
    writes.begin(places / "out" / "old-1")
    writes.begin(str(places / "out" / "new-1").encode())
    assert not any(path.endswith("*") for path in writes.paths())

    (places / "out" / "new-1.index").write_text("x")

    assert "out/new-1*" in told(writes, places)
    assert "out/old-1*" not in told(writes, places)


def test_a_bucket_is_told_as_it_is_named_and_memory_is_no_place(places: Path, writes: FileWrites) -> None:
    writes.touch("gs://bucket/model")
    writes.begin("s3://bucket/ckpt-1")
    writes.touch("ram://model")

    assert writes.paths() == ("gs://bucket/model", "s3://bucket/ckpt-1")


def test_only_so_many_paths_are_kept(places: Path, writes: FileWrites, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_writes, "MOST_PATHS", 3)
    for number in range(3):
        (places / "out" / str(number)).write_text("x")
    assert not writes.is_full
    (places / "out" / "0").write_text("again")
    assert not writes.is_full

    (places / "out" / "3").write_text("x")

    assert writes.is_full
    assert told(writes, places) == ["out/0", "out/1", "out/2"]


def test_a_name_that_is_no_text_can_be_written_down(places: Path, writes: FileWrites) -> None:
    with open(os.fsencode(places / "out") + b"/\xff", "w"):  # noqa: PTH123 - bytes
        pass

    assert told(writes, places) == ["out/\N{REPLACEMENT CHARACTER}"]
    assert json.dumps(writes.paths()).encode()


def test_threads_are_seen_and_a_forked_child_is_left_alone(places: Path, writes: FileWrites) -> None:
    threads = [threading.Thread(target=(places / "out" / str(number)).write_text, args=("x",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    child = os.fork()
    if not child:
        (places / "out" / "by the child").write_text("x")
        os._exit(len(writes.paths()))

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 8
    assert told(writes, places) == [f"out/{number}" for number in range(8)]


@pytest.mark.parametrize(
    "event",
    [
        ("open",),
        ("open", "/x", None, None),
        ("open", object(), "w", 1),
        ("os.rename", 1),
        ("os.mkdir", None, 0, -1),
        ("os.remove",),
    ],
)
def test_an_event_of_another_form_raises_nothing(writes: FileWrites, event: tuple[object, ...]) -> None:
    sys.audit(*event)  # type: ignore[arg-type]

    assert writes.paths() == ()


def test_between_captures_the_hook_does_nothing_and_there_is_one(
    places: Path, writes: FileWrites, monkeypatch: pytest.MonkeyPatch
) -> None:
    added: list[object] = []
    monkeypatch.setattr(sys, "addaudithook", added.append)
    writes.stop()
    (places / "out" / "between").write_text("x")
    second = FileWrites(str(places / "work"))
    second.start()
    (places / "out" / "in the second").write_text("x")
    second.stop()
    (places / "out" / "after").write_text("x")

    assert added == []
    assert writes.paths() == ()
    assert told(second, places) == ["out/in the second"]


def test_a_program_that_forbids_hooks_goes_on_and_that_is_a_problem(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbid(_hook: object) -> None:
        raise RuntimeError("no hooks")

    monkeypatch.setattr(file_writes, "_is_hooked", False)
    monkeypatch.setattr(sys, "addaudithook", forbid)
    writes = FileWrites(str(places / "work"))

    writes.start()
    writes.stop()

    assert writes.problems == ("which files were written elsewhere is not known: RuntimeError: no hooks",)


def test_without_a_working_directory_nothing_is_seen(places: Path) -> None:
    writes = FileWrites("")
    writes.start()
    (places / "out" / "a").write_text("x")
    writes.stop()

    assert writes.paths() == ()


def test_where_temporary_files_are_is_not_asked_of_tempfile(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)

    found = file_writes._temporary_directory({"TMPDIR": str(places / "missing"), "TMP": str(places / "out")})

    assert found == str(places / "out")
    assert tempfile.tempdir is None
