"""Files are looked at where they are local, a few of them, and never touched where they are not."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from pipeprof.capture import file_facts
from pipeprof.capture.file_book import FileBook
from pipeprof.capture.file_facts import MOST_FILES, describe_files, filesystem_of, read_mounts
from pipeprof.capture.source_files import NamedFiles

MOUNTS = (("/", "ext4"), ("/data", "nfs4"), ("/data/fast", "xfs"), ("/bucket", "fuse.gcsfuse"), ("/home/me", "fuse.encfs"))


class Names:
    """Stands for an eager tensor of names."""

    def __init__(self, *names: str) -> None:
        self._values = np.array([name.encode() for name in names], dtype=object)
        self.shape = self._values.shape

    def numpy(self) -> np.ndarray:
        return self._values

    def __getitem__(self, item: slice) -> Names:
        return Names(*(value.decode() for value in self._values[item]))


def named(*tensors: Names, kind: str = "text") -> NamedFiles:
    return NamedFiles("s0", kind, "", tensors)


def written(folder: Path, *sizes: int) -> list[str]:
    paths = [folder / f"{number}.txt" for number in range(len(sizes))]
    for path, size in zip(paths, sizes, strict=True):
        path.write_bytes(b"x" * size)
    return [str(path) for path in paths]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("gs://bucket/a", "gs"),
        ("s3://bucket/a", "s3"),
        ("hdfs://host/a", "hdfs"),
        ("/home/a", "local"),
        ("file:///home/a", "local"),
        ("/data/a", "nfs4"),
        ("/data/fast/a", "local"),
        ("/database/a", "local"),
        ("/bucket/a", "fuse.gcsfuse"),
        ("/home/me/a", "local"),
    ],
)
def test_a_file_lies_where_its_scheme_or_the_nearest_mount_says(name: str, kind: str) -> None:
    assert filesystem_of(name, MOUNTS) == kind


def test_the_table_of_mounts_is_read_and_may_be_missing(tmp_path: Path) -> None:
    table = tmp_path / "mounts"
    table.write_text("host:/x /my\\040data nfs4 rw 0 0\nodd\n")

    assert read_mounts(table) == (("/my data", "nfs4"),)
    assert read_mounts(tmp_path / "none") == ()


def test_sizes_of_local_files_are_read(tmp_path: Path) -> None:
    (facts,) = describe_files([named(Names(*written(tmp_path, 100, 300)))])

    assert (facts.files, facts.looked_at, facts.bytes) == (2, 2, 400)
    assert (facts.smallest_bytes, facts.largest_bytes, facts.mean_bytes) == (100, 300, 200)
    assert facts.filesystem == "local"
    assert facts.payload_compresses is not None


def test_of_many_files_some_are_looked_at_and_the_rest_is_extrapolated(tmp_path: Path) -> None:
    paths = written(tmp_path, *[10] * 20)

    (facts,) = describe_files([named(Names(*paths * 500))])

    assert facts.files == 10_000
    assert facts.looked_at <= MOST_FILES
    assert facts.bytes == 100_000


def test_labels_beside_the_names_are_passed_over(tmp_path: Path) -> None:
    (facts,) = describe_files([named(Names("cat", "dog"), Names(*written(tmp_path, 5, 5)))])

    assert facts.bytes == 10


def test_texts_that_are_no_files_and_things_that_are_no_regular_ones_give_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    assert (
        describe_files([named(Names("cat", "dog")), named(Names(str(tmp_path), str(tmp_path / "pipe"))), named(Names())]) == ()
    )


def test_nothing_remote_is_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_facts, "read_mounts", lambda: MOUNTS)
    monkeypatch.setattr(Path, "stat", lambda *_args, **_kept: pytest.fail("a remote file was touched"))
    monkeypatch.setattr(Path, "open", lambda *_args, **_kept: pytest.fail("a remote file was touched"))

    found = describe_files([named(Names("gs://bucket/a", "gs://bucket/b"), kind="tfrecord"), named(Names("/data/a"))])

    assert [(facts.filesystem, facts.files, facts.bytes) for facts in found] == [("gs", 2, None), ("nfs4", 1, None)]


def test_a_failure_is_a_problem_of_the_capture_and_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    book = FileBook()

    book.find(object())
    assert book.describe() == ()
    assert book.problem.startswith("its files could not be looked at: AttributeError")
