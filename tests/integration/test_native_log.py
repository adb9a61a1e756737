"""What TensorFlow says of our trace windows does not reach the user's log, and what it says otherwise does."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("tensorflow")

import tensorflow as tf

from pipeprof.capture.profile_maker import RunFacts
from pipeprof.capture.session import CaptureSession
from pipeprof.settings import Settings

pytestmark = pytest.mark.tf

_WINDOWS = """
import os, sys, time
import tensorflow as tf
from pipeprof.capture import native_log
from pipeprof.capture.windows import take_window

def say(text):
    os.write(2, f"--- {text} {native_log.is_quiet()}\\n".encode())

say("window")
assert take_window(0.05)
say("session")
session_folder = sys.argv[1]
tf.profiler.experimental.start(session_folder)
tf.profiler.experimental.stop()
say("end")
"""


def sections(tmp_path: Path, **environment: str) -> dict[str, str]:
    script = tmp_path / "windows.py"
    script.write_text(_WINDOWS)
    inherited = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "logs")],
        env={**inherited, "PYTHONPATH": root, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    parts = done.stderr.split("--- ")[1:]
    return {part.split(maxsplit=2)[0]: part.split("\n", 1)[1] for part in parts} | {"quiet": parts[0].split()[1]}


def test_a_window_leaves_no_line_in_tensorflows_log_and_a_session_of_the_users_its_own(tmp_path: Path) -> None:
    seen = sections(tmp_path)

    if seen["quiet"] == "False":
        pytest.skip("this TensorFlow writes a log of its own, whose level is read once: no look inside is taken")
    assert seen["window"] == ""
    assert "Profiler session" in seen["session"]


def test_a_user_who_wants_no_info_lines_gets_none(tmp_path: Path) -> None:
    seen = sections(tmp_path, TF_CPP_MIN_LOG_LEVEL="1")

    assert (seen["quiet"], seen["window"], seen["session"]) == ("True", "", "")


def test_a_log_that_cannot_be_kept_quiet_is_a_reason_that_is_told(monkeypatch):
    monkeypatch.setattr("pipeprof.capture.native_log._level", lambda: None)  # as where it is read once
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    session = CaptureSession(Settings(), RunFacts(id="t", command=("t",), started_at="", working_directory=""))
    session.start()
    try:
        for _ in tf.data.Dataset.range(40).map(lambda x: tf.numpy_function(lambda n: (time.sleep(0.02), n)[1], [x], tf.int64)):
            pass
    finally:
        profile = session.stop()

    assert any("TF_CPP_MIN_LOG_LEVEL=1" in text for text in profile.run.problems)
    assert profile.pipelines[0].windows == ""
