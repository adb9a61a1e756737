"""Redirected descriptors come back, whatever state they were in."""

from __future__ import annotations

import os
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
