"""Files that real pipelines read are found under the stage that reads them, and the pipeline gives what it gave."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeprof.capture.profile_maker import RunFacts
from pipeprof.capture.session import CaptureSession
from pipeprof.model.profile import SourceFiles
from pipeprof.settings import Settings

pytestmark = pytest.mark.tf

tf = pytest.importorskip("tensorflow")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(3):
        (tmp_path / f"{number}.csv").write_text("1,2\n" * 10)
        with tf.io.TFRecordWriter(str(tmp_path / f"{number}.tfrecord"), "GZIP") as writer:
            for _ in range(20):
                writer.write(b"abcd" * 100)
        (tmp_path / f"{number}.png").write_bytes(tf.io.encode_png(tf.zeros([4, 4, 3], tf.uint8)).numpy())
    return tmp_path


def read(dataset: tf.data.Dataset) -> tuple[int, list[tuple[str, SourceFiles]]]:
    """Iterate under a session; return the elements, and what was found with the operation of its stage."""
    session = CaptureSession(Settings(), RunFacts(id="test", command=("test",), started_at="", working_directory=""))
    session.start()
    try:
        count = sum(1 for _ in dataset)
    finally:
        profile = session.stop()
    (record,) = profile.pipelines
    ops = {stage.id: stage.op for stage in record.written}
    assert not any("files could not" in line for line in profile.run.problems)
    return count, [(ops[item.stage_id], item) for item in record.files]


def test_files_of_a_reader_are_found_with_their_compression(folder: Path) -> None:
    names = sorted(map(str, folder.glob("*.tfrecord")))

    count, ((op, files),) = read(tf.data.TFRecordDataset(names, compression_type="GZIP").map(tf.strings.length).batch(4))

    assert (count, op) == (15, "TFRecordDataset")
    assert (files.format, files.files, files.compression, files.record_bytes) == ("tfrecord", 3, "GZIP", 400)
    assert files.bytes == sum(path.stat().st_size for path in folder.glob("*.tfrecord"))


def test_files_that_are_read_inside_an_interleave_are_found_below_list_files(folder: Path) -> None:
    listed = tf.data.Dataset.list_files(str(folder / "*.tfrecord"))
    inner = lambda name: tf.data.TFRecordDataset(name, compression_type="GZIP").map(tf.strings.length)  # noqa: E731

    count, ((op, files),) = read(listed.interleave(inner, num_parallel_calls=2))

    assert (count, op) == (60, "interleave")
    assert (files.format, files.files, files.compression) == ("tfrecord", 3, "GZIP")


def test_whole_files_are_found_at_the_map_that_reads_them(folder: Path) -> None:
    names = sorted(map(str, folder.glob("*.png")))
    dataset = tf.data.Dataset.from_tensor_slices((["a", "b", "c"], names)).shuffle(3)

    count, ((op, files),) = read(dataset.map(lambda _label, name: tf.io.decode_png(tf.io.read_file(name))))

    assert (count, op, files.format, files.files) == (3, "map", "image", 3)


def test_lines_and_tables_are_told_apart(folder: Path) -> None:
    names = sorted(map(str, folder.glob("*.csv")))

    _, ((_, lines),) = read(tf.data.TextLineDataset(names))
    _, ((_, table),) = read(tf.data.experimental.CsvDataset(names, [0.0, 0.0]))

    assert (lines.format, lines.bytes, table.format, table.bytes) == ("text", 120, "csv", 120)


def test_a_pipeline_without_files_has_none() -> None:
    assert read(tf.data.Dataset.from_tensor_slices(["a", "b"]).map(tf.strings.length)) == (2, [])
