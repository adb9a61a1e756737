"""At a terminal, and among processes, pipeprof and the script behave as if they were one process."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.e2e.conftest import Runner, wait_until
from tests.e2e.signal_scripts import COUNTS, LINES
from tests.e2e.terminal_session import LIMIT_S, TerminalSession

Write = Callable[[str, str], Path]
Start = Callable[[Sequence[str]], TerminalSession]

SLEEPS = "import time\nprint('ready', flush=True)\nfor _ in range(600):\n    time.sleep(0.1)\n"


@pytest.fixture
def start(runner: Runner) -> Iterator[Start]:
    sessions: list[TerminalSession] = []

    def _start(words: Sequence[str]) -> TerminalSession:
        sessions.append(TerminalSession(words, runner.directory, {**runner.environment, "PS1": "prompt> ", "TERM": "dumb"}))
        return sessions[-1]

    yield _start
    for session in sessions:
        session.close()


def is_alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def group_exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_ctrl_c_ends_the_script_once_and_the_command_by_sigint(runner: Runner, write: Write, start: Start) -> None:
    write("s.py", SLEEPS)
    session = start(runner.profiled_words(["s.py"], own=()))
    session.expect("ready")

    session.type("\x03")

    assert session.status() == -signal.SIGINT
    assert session.seen.count("KeyboardInterrupt") == 1
    after = session.seen.partition("KeyboardInterrupt")[2].split("\r\n")
    assert [line.partition(" ")[0] for line in after if line] == ["pipeprof:"] * (len([line for line in after if line]))
    assert len([line for line in after if line]) in {1, 2}


def test_ctrl_c_reaches_a_handler_exactly_once_each_time(runner: Runner, write: Write, start: Start) -> None:
    write("s.py", COUNTS)
    session = start(runner.profiled_words(["s.py"]))
    session.expect("ready")

    for number in (1, 2, 3):
        session.type("\x03")
        session.expect(f"got SIGINT {number}")
    session.type("end\n")

    session.expect("read end 3")
    assert session.status() == 3


def test_input_at_the_terminal_is_read_by_the_script(runner: Runner, write: Write, start: Start) -> None:
    write("s.py", "import sys\nname = input('name? ')\nprint('hello', name, sys.stdin.isatty(), sys.stdout.isatty())")
    session = start(runner.profiled_words(["s.py"]))

    session.expect("name? ")
    session.type("Ada\n")

    session.expect("hello Ada True True")
    assert session.status() == 0


def test_ctrl_z_stops_the_job_and_fg_continues_it(runner: Runner, write: Write, start: Start) -> None:
    write("s.py", COUNTS)
    session = start(["bash", "--norc", "--noprofile", "-i"])
    session.expect("prompt> ")
    session.type(" ".join(runner.profiled_words(["s.py"])) + "\n")
    session.expect("ready")

    session.type("\x1a")
    session.expect("Stopped")
    session.expect("prompt> ")
    session.type("echo in the $((1 + 1)) shell\n")
    session.expect("in the 2 shell")
    session.type("fg\n")
    session.expect("s.py")
    session.type("hello\n")
    session.expect("read hello 0")
    session.type("\x03")
    session.expect("got SIGINT 1")
    session.type("end\n")
    session.expect("read end 1")
    session.expect("prompt> ")
    session.type("echo status $?\n")
    session.expect("status 1")


def test_script_that_ignores_ctrl_z_is_not_stopped(runner: Runner, write: Write, start: Start) -> None:
    write(
        "s.py",
        LINES + "signal.signal(signal.SIGTSTP, lambda *_: say('not now'))\nsay('ready')\nsay('got', next(lines()))",
    )
    session = start(["bash", "--norc", "--noprofile", "-i"])
    session.expect("prompt> ")
    session.type(" ".join(runner.profiled_words(["s.py"])) + "\n")
    session.expect("ready")

    session.type("\x1a")
    session.expect("not now")
    session.type("line\n")

    session.expect("got line")


def test_script_that_stops_itself_stops_the_job(runner: Runner, write: Write, start: Start) -> None:
    write("s.py", "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)\nprint('go', 'on')")
    session = start(["bash", "--norc", "--noprofile", "-i"])
    session.expect("prompt> ")
    session.type(" ".join(runner.profiled_words(["s.py"])) + "\n")

    session.expect("Stopped")
    session.expect("prompt> ")
    session.type("job=$(jobs -p); kill -CONT $job\n")  # the supervisor alone is continued

    session.expect("go on")
    session.type("wait $job; echo status $?\n")  # not before: bash does not wait for what it still takes for stopped
    session.expect("status 0")


def test_kill_of_the_whole_job_reaches_the_script_once(runner: Runner, write: Write, start: Start) -> None:
    write("s.py", COUNTS)
    session = start(["bash", "--norc", "--noprofile", "-i"])
    session.expect("prompt> ")
    session.type("mkfifo p; exec 9<>p; " + " ".join(runner.profiled_words(["s.py"])) + " <&9 &\n")
    session.expect("ready")

    session.type("kill -USR1 %1\n")
    session.expect("got SIGUSR1 1")
    session.type("kill -TERM %1\n")
    session.expect("got SIGTERM 1")
    session.type("echo end >&9\n")

    session.expect("read end 2")


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1"])
def test_signal_sent_to_the_supervisor_alone_is_passed_on_once(
    name: str, runner: Runner, write: Write, piped: Callable[..., subprocess.Popen[bytes]]
) -> None:
    write("s.py", COUNTS)
    process = piped(runner.profiled_words(["s.py"]), process_group=0)
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == b"ready\n"

    for number in (1, 2):
        process.send_signal(getattr(signal, name))
        assert process.stdout.readline() == f"got {name} {number}\n".encode()
    process.stdin.write(b"end\n")
    process.stdin.close()

    assert process.wait(LIMIT_S) == 2


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGUSR1"])
def test_signal_sent_to_the_group_is_not_sent_twice(
    name: str, runner: Runner, write: Write, piped: Callable[..., subprocess.Popen[bytes]]
) -> None:
    write("s.py", COUNTS)
    process = piped(runner.profiled_words(["s.py"]), process_group=0)
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == b"ready\n"

    for number in (1, 2, 3):
        os.killpg(process.pid, getattr(signal, name))
        assert process.stdout.readline() == f"got {name} {number}\n".encode()
    process.stdin.write(b"end\n")
    process.stdin.close()

    assert process.wait(LIMIT_S) == 3


def test_terminating_the_supervisor_ends_both_by_that_signal(
    runner: Runner, write: Write, piped: Callable[..., subprocess.Popen[bytes]]
) -> None:
    write("s.py", "import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(60)")
    process = piped(runner.profiled_words(["s.py"]))
    assert process.stdout is not None
    script = int(process.stdout.readline())

    process.terminate()

    assert process.wait(LIMIT_S) == -signal.SIGTERM
    assert not is_alive(script)


def test_killing_the_supervisor_kills_the_script(
    runner: Runner, write: Write, piped: Callable[..., subprocess.Popen[bytes]]
) -> None:
    write("s.py", "import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(600)")
    process = piped(runner.profiled_words(["s.py"]), process_group=0)
    assert process.stdout is not None
    script = int(process.stdout.readline())

    process.kill()
    process.wait(LIMIT_S)

    wait_until(lambda: not is_alive(script), "the script lives on")
    wait_until(lambda: not group_exists(process.pid), "the witness lives on")


def test_process_left_behind_is_not_waited_for(
    runner: Runner, write: Write, piped: Callable[..., subprocess.Popen[bytes]]
) -> None:
    write(
        "s.py",
        "import subprocess\nchild = subprocess.Popen(['sleep', '600'])\nprint(child.pid, flush=True)\nimport os\nos._exit(3)",
    )
    process = piped(runner.profiled_words(["s.py"]))
    assert process.stdout is not None
    left = int(process.stdout.readline())

    assert process.wait(LIMIT_S) == 3
    assert is_alive(left)
    os.kill(left, signal.SIGKILL)


def test_nohup_keeps_the_script_alive(runner: Runner, write: Write, piped: Callable[..., subprocess.Popen[bytes]]) -> None:
    write(
        "s.py",
        "import signal, sys\nprint(signal.getsignal(signal.SIGHUP), flush=True)\nprint(sys.stdin.readline(), flush=True)",
    )
    process = piped(["sh", "-c", 'trap "" HUP; exec "$@"', "sh", *runner.profiled_words(["s.py"])], process_group=0)
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == b"1\n"

    os.killpg(process.pid, signal.SIGHUP)
    process.stdin.write(b"alive\n")
    process.stdin.close()

    assert process.stdout.read() == b"alive\n\n"
    assert process.wait(LIMIT_S) == 0


def test_ignored_end_of_children_does_not_lose_the_status(runner: Runner, write: Write) -> None:
    write("s.py", "raise SystemExit(7)")

    seen = runner.run(["sh", "-c", 'trap "" CHLD; exec "$@"', "sh", *runner.profiled_words(["s.py"])])

    assert seen.status == 7


def test_reader_that_leaves_is_met_as_under_python(runner: Runner, write: Write) -> None:
    write("s.py", "for i in range(100000):\n    print(i)")
    pipe = ["bash", "-c", '"$@" | head -1; echo ${PIPESTATUS[0]}', "bash"]

    native, profiled = (runner.run([*pipe, *words]) for words in ([sys.executable, "s.py"], runner.profiled_words(["s.py"])))

    assert native.stdout == b"0\n1\n"
    assert profiled == native


def test_terminal_that_hangs_up_ends_both(runner: Runner, write: Write, start: Start) -> None:
    write("s.py", "import os, time\nprint('pid', os.getpid(), 'ready', flush=True)\ntime.sleep(600)")
    session = start(runner.profiled_words(["s.py"]))
    script = int(session.expect("ready\r\n").split()[1])

    session.hang_up()

    wait_until(lambda: not is_alive(script), "the script lives on")
    assert session.status() == -signal.SIGHUP
