"""A program at a real terminal: a pseudo-terminal whose foreground program is driven by what it prints."""

from __future__ import annotations

import os
import pty
import select
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

LIMIT_S = 60.0


class TerminalSession:
    """Starts a program as leader of a session with a controlling terminal of its own."""

    def __init__(self, words: Sequence[str], directory: Path, environment: Mapping[str, str]) -> None:
        self.seen = ""
        self._read_to = 0
        self.pid, self._master = pty.fork()
        if self.pid == 0:
            os.chdir(directory)
            os.execvpe(words[0], list(words), dict(environment))

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
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                while self._read(time.monotonic() + 0.05):
                    pass
                return os.waitstatus_to_exitcode(status)
        raise AssertionError(f"did not end: {self.seen!r}")

    def hang_up(self) -> None:
        """Take the terminal away."""
        os.close(self._master)
        self._master = os.open(os.devnull, os.O_RDWR)

    def close(self) -> None:
        os.close(self._master)
        try:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass

    def _read(self, until: float) -> bool:
        if not select.select([self._master], [], [], max(0.0, until - time.monotonic()))[0]:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:  # the other side is closed
            return False
        self.seen += data.decode(errors="replace")
        return bool(data)
