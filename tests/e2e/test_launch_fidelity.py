"""A script under pipeprof behaves as under python: same standard output, same standard error, same status."""

from __future__ import annotations

import compileall
import json
import os
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import Runner
from tests.e2e.launch_scripts import PROBE, SCRIPTS

Write = Callable[[str, str], Path]
STDIN = b"first line\nsecond line\n"
FLAGS = {
    "none": [],
    "warnings as errors": ["-W", "error"],
    "several filters": ["-Werror::UserWarning", "-W", "ignore::DeprecationWarning"],
    "optimised": ["-OO"],
    "utf8": ["-X", "utf8"],
    "unbuffered": ["-u"],
    "safe path": ["-P"],
    "no user site": ["-s", "-B"],
    "development mode": ["-X", "dev"],
    "bytes warnings": ["-bb"],
}


def assert_same(runner: Runner, command: list[str], flags: list[str] | None = None, stdin: bytes = STDIN) -> None:
    native = runner.native(command, flags or (), stdin=stdin)
    profiled = runner.profiled(command, flags or (), stdin=stdin)

    assert profiled.stdout == native.stdout
    assert profiled.stderr == native.stderr
    assert profiled.status == native.status


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_behaves_as_under_python(name: str, runner: Runner, write: Write) -> None:
    write("s.py", SCRIPTS[name])

    assert_same(runner, ["s.py", "--quiet", "-m", "x", "--"])


@pytest.mark.parametrize("flags", FLAGS.values(), ids=FLAGS)
def test_python_flags_reach_the_script(flags: list[str], runner: Runner, write: Write) -> None:
    write("s.py", PROBE + "import warnings\nwarnings.warn('w')\nassert False\n")

    assert_same(runner, ["s.py"], flags)


@pytest.mark.parametrize("flags", [["-I"], ["-E"], []])
def test_console_command_runs_a_script_as_under_python(flags: list[str], runner: Runner, write: Write) -> None:
    write("s.py", PROBE)

    native = runner.native(["s.py"], flags)
    words = [sys.executable, *flags, str(runner.as_command()), "run", "--quiet", "--output", str(runner.output), "s.py"]

    assert runner.run(words) == native


def test_files_beside_the_script_hide_what_pipeprof_has_imported(runner: Runner, write: Write) -> None:
    write("s.py", "import queue, msgspec, shlex\nprint(queue.mine, msgspec.mine, shlex.quote('a b'))")
    write("queue.py", "mine = 1")
    write("msgspec/__init__.py", "mine = 2")

    native = runner.native(["s.py"])
    seen = runner.run([sys.executable, str(runner.as_command()), "run", "--quiet", "--output", str(runner.output), "s.py"])

    assert native.stdout == b"1 2 'a b'\n"
    assert seen == native
    (run,) = runner.runs()
    assert json.loads((run / "script.json").read_bytes())["ended"] == "returned"


@pytest.mark.parametrize(
    "name", ["probe", "exception", "exit with a text", "keyboard interrupt raised", "pool by spawn", "syntax error"]
)
def test_module_behaves_as_under_python(name: str, runner: Runner, write: Write) -> None:
    write("pkg/__init__.py", "")
    write("pkg/train.py", SCRIPTS[name])

    assert_same(runner, ["-m", "pkg.train", "a", "--quiet"])


@pytest.mark.parametrize(
    "command", [["-m", "absent"], ["-m", "pkg"], ["-m", "pkg.absent"], ["-mpkg.train"], ["-m", "main"], ["-m", "broken"]]
)
def test_modules_that_are_odd_behave_as_under_python(command: list[str], runner: Runner, write: Write) -> None:
    write("pkg/__init__.py", "")
    write("pkg/train.py", "print(__spec__.name)")
    write("main/__main__.py", "import sys\nprint(__spec__, sys.argv)")
    write("broken/__init__.py", "import absent_too")
    write("broken/__main__.py", "")

    assert_same(runner, command)


@pytest.mark.parametrize("name", ["./s.py", "sub/../s.py", "link.py", "sub/s.py", "no_suffix"])
def test_path_of_the_script_is_as_under_python(name: str, runner: Runner, write: Write) -> None:
    write("s.py", PROBE)
    write("sub/s.py", PROBE)
    write("no_suffix", PROBE)
    (runner.directory / "link.py").symlink_to(runner.directory / "sub" / "s.py")

    assert_same(runner, [name, "x"])


@pytest.mark.parametrize("name", ["probe", "exception", "exit 3"])
def test_directories_and_archives_run_as_under_python(name: str, runner: Runner, write: Write) -> None:
    write("app/__main__.py", SCRIPTS[name].replace("__loader__.path", "0"))
    with zipfile.ZipFile(runner.directory / "app.pyz", "w") as archive:
        archive.write(runner.directory / "app" / "__main__.py", "__main__.py")

    assert_same(runner, ["app", "x"])
    assert_same(runner, ["app.pyz", "x"])


def test_bytecode_runs_as_under_python(runner: Runner, write: Write) -> None:
    write("s.py", PROBE + "1 / 0")
    compileall.compile_file(runner.directory / "s.py", legacy=True, quiet=1)

    assert_same(runner, ["s.pyc"])


@pytest.mark.parametrize(
    "content", [b'x = "\xe9"\n', b"x = 1\0\n", b"# coding: nonsense\n", b"\xef\xbb\xbfprint('bom')\r\n", b""]
)
def test_unusual_files_are_judged_by_python_itself(content: bytes, runner: Runner) -> None:
    (runner.directory / "s.py").write_bytes(content)

    assert_same(runner, ["s.py"])


def test_arguments_that_are_no_text_arrive(runner: Runner, write: Write) -> None:
    write("s.py", "import sys\nprint(ascii(sys.argv))")

    assert_same(runner, ["s.py", os.fsdecode(b"\xff\xfe"), "", "é\n"])


def test_descriptors_that_the_caller_opened_arrive(runner: Runner, write: Write) -> None:
    write("s.py", "import os\nprint(os.read(int(__import__('sys').argv[1]), 9))")
    seen = []
    for words in ([sys.executable], runner.profiled_words([])):
        reader, writer = os.pipe()
        os.write(writer, b"hello")
        os.close(writer)
        seen.append(runner.run([*words, "s.py", str(reader)], pass_fds=[reader]))
        os.close(reader)

    assert seen[0].stdout == b"b'hello'\n"
    assert seen[1] == seen[0]


def test_closed_standard_streams_stay_closed(runner: Runner, write: Write) -> None:
    write(
        "s.py", "import sys, os\nos.write(os.open('out.txt', os.O_CREAT | os.O_WRONLY), repr((sys.stdin, sys.stderr)).encode())"
    )

    for words in ([sys.executable], runner.profiled_words([]), runner.profiled_words([], own=())):
        seen = runner.run(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *words, "s.py"])

        assert (seen.status, (runner.directory / "out.txt").read_bytes()) == (0, b"(None, None)")
        (runner.directory / "out.txt").unlink()


@pytest.mark.parametrize(
    ("name", "status", "ended"),
    [
        ("exit 3", 3, "exited"),
        ("exception", 1, "raised"),
        ("asyncio", 1, "raised"),
        ("keyboard interrupt raised", -2, "killed"),
        ("atexit order", 0, "returned"),
    ],
)
def test_status_is_in_the_run_directory(name: str, status: int, ended: str, runner: Runner, write: Write) -> None:
    write("s.py", SCRIPTS[name])

    runner.profiled(["s.py"])

    (run,) = runner.runs()
    script = json.loads((run / "script.json").read_bytes())
    assert (script["exit_status"], script["ended"]) == (status, ended)
    assert json.loads((run / "end.json").read_bytes())["exit_status"] == status


def test_death_without_a_word_is_described(runner: Runner, write: Write) -> None:
    write("s.py", SCRIPTS["killed"])

    runner.profiled(["s.py"])

    (run,) = runner.runs()
    assert not (run / "script.json").exists()
    end = json.loads((run / "end.json").read_bytes())
    assert end["exit_status"] == -9
    assert end["reason"].startswith("killed by SIGKILL after ")


def test_failed_script_gets_two_lines_after_its_own(runner: Runner, write: Write) -> None:
    write("s.py", SCRIPTS["exception"])

    native = runner.native(["s.py"])
    profiled = runner.run(runner.profiled_words(["s.py"], own=()))

    assert profiled.stdout == native.stdout
    assert profiled.stderr.startswith(native.stderr)
    added = profiled.stderr.removeprefix(native.stderr).decode().splitlines()
    assert [line.partition(" ")[0] for line in added] == ["pipeprof:", "pipeprof:"]
    assert added[1].startswith("pipeprof: view it with: pipeprof report ")
    assert profiled.status == 1


def test_script_without_a_pipeline_is_told_what_was_looked_for(runner: Runner, write: Write) -> None:
    write("s.py", "print('no data')")

    seen = runner.run(runner.profiled_words(["s.py"], own=()))

    (line,) = seen.stderr.decode().splitlines()
    assert line.startswith("pipeprof: no tf.data pipeline was consumed (looked for ")
    assert (seen.stdout, seen.status) == (b"no data\n", 0)


def test_script_that_imports_nothing_sees_nothing_heavy_imported(runner: Runner, write: Write) -> None:
    write(
        "s.py",
        "import sys, atexit, time\ntime.sleep(1.5)\n"  # a checkpoint or two of the capture
        "print({'tensorflow', 'keras', 'numpy', 'scipy', 'rich'} & set(sys.modules))\n"
        "atexit.register(lambda: print('tensorflow' in sys.modules))",
    )

    assert runner.profiled(["s.py"]).stdout == b"set()\nFalse\n"


@pytest.mark.parametrize(
    "words",
    [
        ["absent.py"],
        ["folder"],
        [],
        ["-m"],
        ["-"],
        ["--budget", "soon", "s.py"],
        ["--nonsense", "s.py"],
        ["--sample-hz", "0", "s.py"],
    ],
)
def test_mistakes_are_one_line_with_a_hint_and_status_2(words: list[str], runner: Runner, write: Write) -> None:
    write("s.py", "print('never')")
    (runner.directory / "folder").mkdir()

    seen = runner.run([sys.executable, "-m", "pipeprof", "run", "--output", str(runner.output), *words])

    assert (seen.stdout, seen.status) == (b"", 2)
    (line,) = seen.stderr.decode().splitlines()
    assert line.startswith("pipeprof: ")
    assert " — " in line
    assert not runner.output.exists()


def test_script_that_may_not_be_read_is_one_line(runner: Runner, write: Write) -> None:
    (runner.directory / "s.py").symlink_to("s.py")  # as unreadable for root as for anyone

    seen = runner.profiled(["s.py"])

    assert seen.status == 2
    assert seen.stderr.startswith(b"pipeprof: cannot open s.py: Too many levels of symbolic links")


def test_run_directory_that_cannot_be_made_is_one_line(runner: Runner, write: Write) -> None:
    write("s.py", "print('never')")
    write("taken", "")

    seen = runner.run([sys.executable, "-m", "pipeprof", "run", "--output", "taken/runs", "s.py"])

    assert (seen.stdout, seen.status) == (b"", 2)
    assert len(seen.stderr.splitlines()) == 1
