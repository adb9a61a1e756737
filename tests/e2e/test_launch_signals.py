"""A signal reaches the script as often as it was sent, also where the supervisor or its witness is late."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.e2e.conftest import Runner, wait_until
from tests.e2e.signal_scripts import COUNTS
from tests.e2e.terminal_session import TerminalSession

Write = Callable[[str, str], Path]
Piped = Callable[..., subprocess.Popen[bytes]]

STOPS_TWICE = """
import os, signal
for word in ("once", "twice", "over"):
    print(word, flush=True)
    if word != "over":
        os.kill(os.getpid(), signal.SIGSTOP)
"""
SIGNALLED_AT_THE_START = """
import os, signal, sys
from pipeprof.cli.main import run_and_exit
from pipeprof.launch import supervisor

words = supervisor.command_line
def signal_first(order):  # what is called last before the script's process is started
    os.killpg(0, signal.SIGTERM)
    return words(order)

supervisor.command_line = signal_first
run_and_exit()
"""


class Counting:
    """A script that counts signals, under a supervisor that leads a process group."""

    def __init__(self, words: Sequence[str], piped: Piped) -> None:
        self._process = piped(words, process_group=0)
        self.supervisor = self._process.pid
        self.heard("ready")

    def heard(self, line: str) -> None:
        assert self._process.stdout is not None
        assert self._process.stdout.readline().decode().strip() == line

    def children(self) -> list[int]:
        """Return the witness and the script: the order in which they were started."""
        return sorted(map(int, Path(f"/proc/{self.supervisor}/task/{self.supervisor}/children").read_text().split()))

    def end(self) -> int:
        """Return how many signals have reached the script, those before this call and one more."""
        os.kill(self.supervisor, signal.SIGTERM)  # the highest number of all: it is dealt with last
        self.heard("got SIGTERM 1")
        assert self._process.stdin is not None
        self._process.stdin.write(b"end\n")
        self._process.stdin.close()
        return self._process.wait(60) - 1


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def has_taken(pid: int, number: int) -> bool:
    """Say whether no such signal is pending for a process that blocks it."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("ShdPnd:"))
    return not int(line.split()[1], 16) >> (number - 1) & 1


def test_witness_that_is_late_makes_no_second_signal(runner: Runner, write: Write, piped: Piped) -> None:
    write("s.py", COUNTS)
    job = Counting(runner.profiled_words(["s.py"]), piped)
    witness, _ = job.children()
    os.kill(witness, signal.SIGSTOP)  # as a busy machine would keep it waiting

    os.killpg(job.supervisor, signal.SIGUSR1)
    job.heard("got SIGUSR1 1")
    time.sleep(0.5)
    os.kill(witness, signal.SIGCONT)

    assert job.end() == 1


def test_signals_that_the_witness_met_in_another_order_are_not_sent_twice(runner: Runner, write: Write, piped: Piped) -> None:
    write("s.py", COUNTS)
    job = Counting(runner.profiled_words(["s.py"]), piped)
    witness, _ = job.children()
    os.kill(witness, signal.SIGSTOP)

    os.killpg(job.supervisor, signal.SIGUSR1)
    job.heard("got SIGUSR1 1")
    wait_until(lambda: has_taken(job.supervisor, signal.SIGUSR1), "the supervisor is stuck")
    os.killpg(job.supervisor, signal.SIGINT)
    job.heard("got SIGINT 1")
    os.kill(witness, signal.SIGCONT)  # it takes both, the lower number first

    assert job.end() == 2


def test_two_signals_that_the_witness_gets_as_one_are_not_sent_twice(runner: Runner, write: Write, piped: Piped) -> None:
    write("s.py", COUNTS)
    job = Counting(runner.profiled_words(["s.py"]), piped)
    witness, _ = job.children()
    os.kill(witness, signal.SIGSTOP)

    for number in (1, 2):
        os.killpg(job.supervisor, signal.SIGUSR1)
        job.heard(f"got SIGUSR1 {number}")
        if number == 1:
            wait_until(lambda: has_taken(job.supervisor, signal.SIGUSR1), "the supervisor is stuck")
    os.kill(witness, signal.SIGCONT)

    assert job.end() == 2


def test_signal_sent_to_a_stopped_job_is_not_sent_twice(runner: Runner, write: Write, piped: Piped) -> None:
    write("s.py", COUNTS)
    job = Counting(runner.profiled_words(["s.py"]), piped)
    _, script = job.children()
    os.killpg(job.supervisor, signal.SIGTSTP)
    wait_until(lambda: state(job.supervisor) == state(script) == "T", "the job is not stopped")

    os.killpg(job.supervisor, signal.SIGUSR1)
    time.sleep(1)  # somebody thinks about it
    os.killpg(job.supervisor, signal.SIGCONT)
    job.heard("got SIGUSR1 1")

    assert job.end() == 1


def test_signal_that_follows_ctrl_c_is_passed_on(runner: Runner, write: Write) -> None:
    write("s.py", COUNTS)
    session = TerminalSession(runner.profiled_words(["s.py"]), runner.directory, runner.environment)
    session.expect("ready")

    session.type("\x03")
    session.expect("got SIGINT 1")
    wait_until(lambda: has_taken(session.pid, signal.SIGINT), "the supervisor is stuck")
    os.kill(session.pid, signal.SIGINT)  # the supervisor's alone

    session.expect("got SIGINT 2")
    session.close()


@pytest.mark.parametrize("send", [os.killpg, os.kill], ids=["the group", "the supervisor"])
def test_script_that_stops_again_at_once_stops_the_job_again(
    send: Callable[[int, int], None], runner: Runner, write: Write, piped: Piped
) -> None:
    write("s.py", STOPS_TWICE)
    process = piped(runner.profiled_words(["s.py"]), process_group=0)
    assert process.stdout is not None

    for word in (b"once\n", b"twice\n"):
        assert process.stdout.readline() == word
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        send(process.pid, signal.SIGCONT)

    assert process.stdout.readline() == b"over\n"
    assert process.wait(60) == 0


def test_signal_that_comes_before_the_script_is_started_reaches_it(runner: Runner, write: Write, piped: Piped) -> None:
    write("s.py", "print('started')")
    write("main.py", SIGNALLED_AT_THE_START)
    process = piped([sys.executable, "main.py", *runner.profiled_words(["s.py"])[3:]], process_group=0)

    assert process.wait(60) == -signal.SIGTERM
