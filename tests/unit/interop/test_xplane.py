"""Files of the profiler become plain data, and anything else one clear line."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import pytest

from pipeprof.errors import UserError
from pipeprof.interop import xplane
from pipeprof.interop.trace_events import detail_of
from pipeprof.interop.xplane import Detail, read_space
from tests.support.traces import Loop, event, space, stage, to_bytes

pytestmark = pytest.mark.usefixtures("messages")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    loop = Loop(count=4)
    path = tmp_path / "worker-3.xplane.pb"
    path.write_bytes(to_bytes(space(python=[*loop.waits(), *loop.inside("BatchV2", batch_size=8), event("Noise", 2, 1)])))
    return path


def test_events_come_back_with_names_times_and_stats(file: Path) -> None:
    read = read_space(file)

    (line,) = read.lines
    assert (read.host, read.window_s, read.event_count, line.name) == ("worker-3", 1.0, 13, "python")
    batch = next(item for item in line.events if item.name.endswith("BatchV2"))
    assert (batch.start_ps, batch.end_ps) == (stage("BatchV2", 1.1, 3.8).start_ps, stage("BatchV2", 1.1, 3.8).end_ps)
    assert batch.stats["batch_size"] == 8
    root = next(item for item in line.events if item.name == "Iterator::Root")
    assert root.stats["algorithm"] == "DEFAULT"


def test_enclosing_events_come_before_what_they_enclose(file: Path) -> None:
    names = [item.name for item in read_space(file, detail_of).lines[0].events[:3]]

    assert names == ["IteratorGetNextOp::DoCompute", "Iterator::Root", "Iterator::Root::BatchV2"]


def test_only_what_is_asked_for_is_read(file: Path) -> None:
    read = read_space(file, lambda name: Detail.TIMES if name == "Noise" else Detail.SKIP)

    assert [(item.name, dict(item.stats)) for item in read.lines[0].events] == [("Noise", {})]
    assert read.event_count == 13


def test_a_compressed_file_reads_the_same(file: Path, tmp_path: Path) -> None:
    packed = tmp_path / "worker-3.xplane.pb.gz"
    packed.write_bytes(gzip.compress(file.read_bytes()))

    assert read_space(packed).lines == read_space(file).lines
    assert read_space(packed).host == "worker-3"


def test_bad_files_say_what_is_wrong(file: Path, tmp_path: Path) -> None:
    whole = file.read_bytes()
    bad = {
        "empty": (b"", "is empty"),
        "cut": (whole[: len(whole) // 2], "is cut short, damaged or no profile"),
        "foreign": (b'{"traceEvents": []}', "is cut short, damaged or no profile"),
        "binary": (bytes(range(256)) * 4, "is cut short, damaged or no profile"),
        "packed-cut": (gzip.compress(whole)[:-20], "it cannot be uncompressed"),
        "other-proto": (b"\x0a\x03abc", "no profile"),
    }
    for name, (content, message) in bad.items():
        path = tmp_path / f"{name}.xplane.pb"
        path.write_bytes(content)

        with pytest.raises(UserError) as caught:
            read_space(path)

        assert message in caught.value.what, name
        assert caught.value.hint, name


def test_without_tensorflows_messages_the_user_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xplane, "_MODULE", "tensorflow_that_is_not_there.xplane_pb2")
    xplane.xplane_messages.cache_clear()

    with pytest.raises(UserError, match=r"xplane_pb2\.py") as caught:
        xplane.xplane_messages()

    assert "install TensorFlow" in caught.value.hint
    xplane.xplane_messages.cache_clear()


def test_reading_imports_neither_tensorflow_nor_xprof(file: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from pipeprof.interop.xplane import read_space;"
        f"read_space(Path({str(file)!r}));"
        "sys.exit(','.join({name.partition('.')[0] for name in sys.modules} & {'tensorflow', 'xprof', 'keras'}) or 0)"
    )

    seen = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, cwd=Path(__file__).parents[3], check=False, timeout=60
    )

    assert seen.returncode == 0, seen.stderr
