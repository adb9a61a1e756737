"""A program at a real terminal: a pseudo-terminal whose foreground program is driven by what it prints."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

LIMIT_S = 60.0
LEAD = """
import fcntl, os, signal, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
os.execvp(sys.argv[1], sys.argv[1:])
"""


class TerminalSession:
    """Starts a program as leader of a session with a controlling terminal of its own."""

    def __init__(self, words: Sequence[str], directory: Path, environment: Mapping[str, str]) -> None:
        self.seen = ""
        self._read_to = 0
        self._master, terminal = os.openpty()
        self._process = subprocess.Popen(  # not a fork of ours: other tests may have left threads, and what they hold is lost
            [sys.executable, "-I", "-c", LEAD, *words],
            cwd=directory,
            env=environment,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
        )
        self.pid = self._process.pid
        os.close(terminal)

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def expect(self, text: str) -> str:
        """Wait until ``text`` is printed after what was expected before; return everything up to it."""
        until = time.monotonic() + LIMIT_S
        while text not in self.seen[self._read_to :]:
            assert time.monotonic() < until, f"{text!r} was not printed, but: {self.seen!r}"
            assert self._read(until), f"ended, or silent, without {text!r}: {self.seen!r}"
        found = self.seen.index(text, self._read_to) + len(text)
        before, self._read_to = self.seen[self._read_to : found], found
        return before

    def status(self) -> int:
        """Wait for the end of the program and return its status, -N for signal N."""
        until = time.monotonic() + LIMIT_S
        while time.monotonic() < until:
            self._read(time.monotonic() + 0.05)
            status = self._process.poll()
            if status is not None:
                while self._read(time.monotonic() + 0.05):
                    pass
                return status
        raise AssertionError(f"did not end: {self.seen!r}")

    def hang_up(self) -> None:
        """Take the terminal away."""
        os.close(self._master)
        self._master = os.open(os.devnull, os.O_RDWR)

    def close(self) -> None:
        os.close(self._master)
        self._process.kill()
        self._process.wait()

    def _read(self, until: float) -> bool:
        if not select.select([self._master], [], [], max(0.0, until - time.monotonic()))[0]:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:  # the other side is closed
            return False
        self.seen += data.decode(errors="replace")
        return bool(data)
