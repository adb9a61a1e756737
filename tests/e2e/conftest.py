"""Runs little scripts natively and under pipeprof, and interactive programs at a real terminal.

Python's settings in the environment of whoever runs the tests stay out: PYTHONUNBUFFERED alone makes one print several writes,
and what a shell prints at the same terminal comes in between.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

LIMIT_S = 120
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Seen:
    """What a program showed to the outside."""

    stdout: bytes
    stderr: bytes
    status: int


class Runner:
    """Runs scripts in one directory, in one environment."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.output = directory.parent / "runs"
        own = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        self.environment = {**own, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
        self.environment.pop("PYTEST_CURRENT_TEST", None)

    def native(self, command: Sequence[str], flags: Sequence[str] = (), **options: object) -> Seen:
        return self.run([sys.executable, *flags, *command], **options)

    def profiled(self, command: Sequence[str], flags: Sequence[str] = (), **options: object) -> Seen:
        return self.run(self.profiled_words(command, flags), **options)

    def profiled_words(self, command: Sequence[str], flags: Sequence[str] = (), own: Sequence[str] = ("--quiet",)) -> list[str]:
        words = [sys.executable, *flags, "-m", "pipeprof", "run", *own, "--output", str(self.output), "--no-html"]
        return [*words, *command]

    def as_command(self) -> Path:
        """Return a file such as an installer writes for the console command."""
        path = self.directory.parent / "bin" / "pipeprof"
        path.parent.mkdir(exist_ok=True)
        lines = [
            "import sys",
            f"sys.path.append({str(ROOT)!r})",
            "from pipeprof.cli.main import run_and_exit",
            "run_and_exit()",
        ]
        path.write_text("\n".join(lines))
        return path

    def run(
        self, words: Sequence[str], stdin: bytes = b"", environment: Mapping[str, str] | None = None, **options: object
    ) -> Seen:
        done = subprocess.run(
            words,
            cwd=self.directory,
            env={**self.environment, **(environment or {})},
            input=stdin,
            capture_output=True,
            timeout=LIMIT_S,
            check=False,
            **options,  # type: ignore[call-overload]
        )
        return Seen(_settled(done.stdout), _settled(done.stderr), done.returncode)

    def runs(self) -> list[Path]:
        return sorted(self.output.iterdir())


def _settled(output: bytes) -> bytes:
    """Take out what differs from one run of python to the next: addresses and thread identities."""
    return re.sub(rb"(?<=0x)[0-9a-f]{6,}|(?<=started )\d{9,}", b"...", output)


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    directory = tmp_path / "work"
    directory.mkdir()
    return Runner(directory)


@pytest.fixture
def write(runner: Runner) -> Callable[[str, str], Path]:
    def _write(name: str, text: str) -> Path:
        path = runner.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return _write


@pytest.fixture
def piped(runner: Runner) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    processes: list[subprocess.Popen[bytes]] = []

    def _piped(words: Sequence[str], **options: object) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            words,
            cwd=runner.directory,
            env=runner.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            **options,  # type: ignore[call-overload]
        )
        processes.append(process)
        return process

    yield _piped
    for process in processes:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()


def wait_until(holds: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < until, what
        time.sleep(0.02)
