"""Redirected descriptors come back, whatever state they were in."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeprof.launch import streams


def test_terminal_is_there_only_while_redirected(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert streams.terminal() is None

    with streams.redirected(tmp_path / "log"):
        terminal = streams.terminal()
        assert terminal is not None
        terminal.write("progress\n")
        os.write(1, b"one\n")
        os.write(2, b"two\n")
    os.write(1, b"after\n")

    assert streams.terminal() is None
    assert capfd.readouterr() == ("after\n", "progress\n")
    assert (tmp_path / "log").read_text() == "one\ntwo\n"


def test_files_that_are_printed_into_are_known_and_nothing_else_is_one(tmp_path: Path) -> None:
    ask = "from pipeprof.launch import streams; import sys; sys.stderr.write(repr(streams.files_behind()))"
    with (tmp_path / "log").open("w") as log:
        command = [sys.executable, "-c", ask]
        one = subprocess.run(command, stdout=log, stderr=subprocess.PIPE, text=True, check=True)
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=log, check=True)
        subprocess.run(command, stdout=log, stderr=log, check=True)
        closed = subprocess.run(["sh", "-c", '"$@" >&-', "sh", *command], stderr=subprocess.PIPE, text=True, check=True)

    assert one.stderr == f"('{tmp_path}/log',)"
    assert (tmp_path / "log").read_text() == 2 * f"('{tmp_path}/log',)"
    assert closed.stderr == "()"


def test_descriptors_come_back_after_an_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = os.fstat(1)

    with pytest.raises(ValueError, match="inside"), streams.redirected(tmp_path / "log"):
        raise ValueError("inside")

    assert os.path.sameopenfile(1, 1)
    assert (os.fstat(1).st_ino, os.fstat(1).st_dev) == (before.st_ino, before.st_dev)
    assert streams.terminal() is None


def test_nothing_is_redirected_where_the_log_cannot_be_written(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(FileNotFoundError), streams.redirected(tmp_path / "none" / "log"):
        os.write(1, b"inside\n")
    os.write(1, b"after\n")

    assert capfd.readouterr().out == "after\n"
