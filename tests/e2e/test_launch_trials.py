"""What happens in the trial phase never changes how the script ends; the hooks here stand in for the capture's."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import Runner, Seen
from tests.e2e.terminal_session import TerminalSession

Write = Callable[[str, str], Path]

DRIVER = """
import sys
from pathlib import Path
from pipeprof.launch.supervisor import end_by_signal, supervise
from pipeprof.settings import Settings
run, end = supervise(sys.argv[2:], Settings(output_root=Path(sys.argv[1]), budget_s=5), entry="probe_child")
if end.exit_status < 0:
    end_by_signal(-end.exit_status)
sys.exit(end.exit_status)
"""
CHILD = """
import ctypes, os, sys, threading, time
from pipeprof.launch import streams
from pipeprof.launch.ending import Plan
from pipeprof.launch.hooks import Hooks
from pipeprof.launch.script import Script
from pipeprof.model.profile import Change, TrialRecord, TrialState
from pipeprof.store import TrialEvent

RECORD = TrialRecord(id="t1", pipeline_id="p", stage_id="s", change=Change(kind="cache"), state=TrialState.NOT_TRIED)

def prepare(order, namespace, native_modules):
    calls = order.run_path / "calls.txt"
    def note(what):
        with calls.open("a") as stream:
            stream.write(what + "\\n")
    def start(deadline_s):
        order.run.append_event(TrialEvent(event="start", at_s=time.time(), deadline_s=deadline_s, trial=RECORD))
    def trials():
        note("trials")
{trials}
    hooks = Hooks(before=lambda: note("before"), ended=lambda end: note(f"ended {{end.exit_status}}"), trials=trials,
                  forked=lambda: note("forked"))
    script = Script(order.command, order.flags)
    hooks.before()
    return Plan(script.enter(namespace, native_modules), order.run, hooks, try_changes=True)
"""
HANG = "        start(0.1)\n        ctypes.CDLL(None).sleep(600)\n"


class Trials:
    """Runs scripts whose trial phase is the given code."""

    def __init__(self, runner: Runner, write: Write) -> None:
        self.runner = runner
        self.write = write

    def words(self, script: str, trials: str) -> list[str]:
        self.write("s.py", script)
        self.write("../bin/drive.py", DRIVER)
        self.write("../bin/probe_child.py", CHILD.format(trials=trials))
        self.runner.environment["PYTHONPATH"] += f":{self.runner.directory.parent / 'bin'}"
        return [sys.executable, "../bin/drive.py", str(self.runner.output), "s.py"]

    def run(self, script: str, trials: str = "        pass\n") -> Seen:
        return self.runner.run(self.words(script, trials))

    @property
    def path(self) -> Path:
        (path,) = self.runner.runs()
        return path

    def calls(self) -> list[str]:
        return (self.path / "calls.txt").read_text().splitlines()

    def events(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in (self.path / "trials.jsonl").read_text().splitlines()]

    def end(self) -> dict[str, object]:
        end: dict[str, object] = json.loads((self.path / "end.json").read_text())
        return end


@pytest.fixture
def trials(runner: Runner, write: Write) -> Trials:
    return Trials(runner, write)


@pytest.mark.parametrize(
    ("script", "status", "expected"),
    [
        ("x = 1", 0, ["before", "ended 0", "trials"]),
        ("1 / 0", 1, ["before", "ended 1", "trials"]),
        ("import sys\nsys.exit(3)", 3, ["before", "ended 3", "trials"]),
        ("raise KeyboardInterrupt", -2, ["before", "ended -2"]),
        ("import os\nos._exit(4)", 4, ["before"]),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGTERM)", -15, ["before"]),
        ("import os\nif os.fork():\n    os.wait()", 0, ["before", "forked", "ended 0", "trials"]),
        ("import threading, time\nthreading.Thread(target=time.sleep, args=(0.5,)).start()", 0, ["before", "ended 0"]),
        (
            "from concurrent.futures import ThreadPoolExecutor as P\nP(2).submit(int).result()",
            0,
            ["before", "ended 0", "trials"],
        ),
    ],
)
def test_hooks_are_called_in_order_and_trials_only_where_they_may_be(
    script: str, status: int, expected: list[str], trials: Trials
) -> None:
    seen = trials.run(script)

    assert seen.status == status
    assert trials.calls() == expected


def test_script_is_over_before_the_trials_begin_and_shuts_down_after_them(trials: Trials) -> None:
    script = "import atexit\natexit.register(print, 'atexit')\nprint('printed')\n1 / 0"
    code = "        import sys, os\n        note('last value ' + type(sys.last_value).__name__)\n"
    code += "        note('script.json' if (order.run_path / 'script.json').exists() else 'no status')\n"

    seen = trials.run(script, code)

    assert trials.calls() == ["before", "ended 1", "trials", "last value ZeroDivisionError", "script.json"]
    assert seen.stdout == b"printed\natexit\n"


def test_what_trials_print_goes_to_the_log_and_progress_to_the_terminal(trials: Trials) -> None:
    code = "        print('printed')\n        os.system('echo by a child')\n        os.write(2, b'raw\\n')\n"
    code += "        streams.terminal().write('progress\\n')\n"

    seen = trials.run("import sys\nsys.stdout.write('half a line')", code)

    assert (seen.stdout, seen.stderr, seen.status) == (b"half a line", b"progress\n", 0)
    assert sorted((trials.path / "trials.log").read_text().split("\n")) == ["", "by a child", "printed", "raw"]


def test_failing_trial_hook_leaves_a_traceback_in_the_log(trials: Trials) -> None:
    seen = trials.run("print('fine')", "        raise ValueError('ours')\n")

    assert (seen.stdout, seen.stderr, seen.status) == (b"fine\n", b"", 0)
    assert "ValueError: ours" in (trials.path / "trials.log").read_text()


def test_broken_excepthook_of_the_script_does_not_disturb(trials: Trials) -> None:
    seen = trials.run("import sys\ndel sys.excepthook\nprint('fine')")

    assert (seen.stdout, seen.stderr, seen.status) == (b"fine\n", b"", 0)


def test_hanging_trial_is_left_and_the_script_still_shuts_down(trials: Trials) -> None:
    seen = trials.run("import atexit, sys\natexit.register(print, 'atexit')\nsys.exit(3)", HANG)

    assert (seen.stdout, seen.stderr, seen.status) == (b"atexit\n", b"", 3)
    results = [event["trial"] for event in trials.events() if event["event"] == "result"]
    assert [(trial["state"], trial["reason"]) for trial in results] == [("worse", "hung")]
    assert [event["text"] for event in trials.events() if event["event"] == "end"] == ["abandoned"]


def test_trial_that_holds_the_interpreter_is_killed(trials: Trials) -> None:
    seen = trials.run("import sys\nsys.exit(3)", "        start(0.1)\n        ctypes.PyDLL(None).sleep(600)\n")

    assert seen.status == 3
    end = trials.end()
    assert (end["exit_status"], end["killed_in_trial"], end["reason"]) == (3, True, "hung")
    results = [event["trial"]["reason"] for event in trials.events() if event["event"] == "result"]
    assert set(results) == {"hung"}


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("os.kill(os.getpid(), 9)", "was killed by SIGKILL in a trial"),
        ("ctypes.string_at(0)", "was killed by SIGSEGV in a trial"),
        ("os._exit(77)", "exited with status 77 in a trial"),
    ],
)
def test_death_in_a_trial_keeps_the_status_and_is_recorded(how: str, reason: str, trials: Trials) -> None:
    seen = trials.run("print('fine')", f"        start(60)\n        {how}\n")

    assert (seen.stdout, seen.status) == (b"fine\n", 0)
    assert (trials.end()["killed_in_trial"], trials.end()["reason"]) == (True, reason)
    assert trials.events()[-1]["trial"]["reason"] == reason


def test_status_that_changes_in_the_shutdown_is_the_one_that_counts(trials: Trials) -> None:
    seen = trials.run("import atexit, os\natexit.register(os._exit, 9)")

    assert seen.status == 9


def test_ctrl_c_skips_the_trials_and_keeps_the_status(trials: Trials, runner: Runner) -> None:
    code = "        streams.terminal().write('trying\\n')\n        start(600)\n        ctypes.CDLL(None).sleep(600)\n"
    words = trials.words(
        "import atexit, signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\natexit.register(print, 'atexit')", code
    )
    session = TerminalSession(words, runner.directory, runner.environment)
    session.expect("trying")

    session.type("\x03")

    session.expect("atexit")
    assert session.status() == 0
    assert "Traceback" not in session.seen
    session.close()
    assert [event["text"] for event in trials.events() if event["event"] == "end"] == ["interrupted"]


def test_termination_in_a_trial_keeps_the_status(trials: Trials, runner: Runner) -> None:
    words = trials.words("import sys\nsys.exit(5)", "        start(600)\n        time.sleep(600)\n")
    process = subprocess.Popen(words, cwd=runner.directory, env=runner.environment)
    until = time.monotonic() + 60
    while not list(runner.output.glob("*/trials.jsonl")):
        assert time.monotonic() < until
        time.sleep(0.02)

    os.kill(process.pid, signal.SIGTERM)

    assert process.wait(60) == 5
