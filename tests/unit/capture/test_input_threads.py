"""Threads of the input, from a folder like the kernel's: whose they are, and what they used."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from pipeprof.capture.input_threads import InputThreads

OWN = str(threading.get_native_id())


class Proc:
    """A folder of threads."""

    def __init__(self, folder: Path) -> None:
        self.tasks = folder / "self" / "task"
        self.run(OWN, 1.0)

    def run(self, thread: str, cpu_s: float, name: str = "python") -> None:
        (self.tasks / thread).mkdir(parents=True, exist_ok=True)
        (self.tasks / thread / "comm").write_text(f"{name}\n")
        (self.tasks / thread / "schedstat").write_text(f"{int(cpu_s * 1e9)} 5 7\n")

    def end(self, thread: str) -> None:
        for path in (self.tasks / thread).iterdir():
            path.unlink()
        (self.tasks / thread).rmdir()


@pytest.fixture
def proc(tmp_path: Path) -> Proc:
    return Proc(tmp_path)


@pytest.fixture
def threads(proc: Proc, tmp_path: Path) -> InputThreads:
    return InputThreads(tmp_path)


def test_what_is_made_with_an_iterator_and_its_first_element_is_the_inputs(proc: Proc, threads: InputThreads) -> None:
    threads.iterator_begins()
    proc.run("pool", 0.5)
    threads.iterator_made(1, "p1")
    proc.run("prefetch", 0.25)
    threads.stepped(1)
    proc.run("later", 9.0)
    threads.stepped(1)

    assert threads.sample() == {"p1": 0.75}


def test_named_pools_and_threads_of_python_are_not_the_inputs(proc: Proc, threads: InputThreads) -> None:
    native = str(threading.current_thread().native_id)
    (proc.tasks / native / "schedstat").unlink()
    (proc.tasks / native / "comm").unlink()
    (proc.tasks / native).rmdir()
    threads.iterator_begins()
    proc.run("compute", 3.0, name="tf_Compute")
    proc.run(native, 2.0)
    threads.iterator_made(1, "p1")

    assert threads.sample() == {"p1": 0.0}


def test_a_thread_that_ends_keeps_what_it_was_last_seen_to_use(proc: Proc, threads: InputThreads) -> None:
    threads.iterator_begins()
    proc.run("pool", 0.5)
    threads.iterator_made(1, "p1")
    proc.run("pool", 0.8)
    threads.iterator_goes(1)
    proc.end("pool")

    assert threads.sample() == {"p1": pytest.approx(0.8)}
    assert threads.sample() == {"p1": pytest.approx(0.8)}


def test_each_pipeline_has_its_own(proc: Proc, threads: InputThreads) -> None:
    for number, (thread, pipeline) in enumerate([("a", "p1"), ("b", "p2"), ("c", "p1")]):
        threads.iterator_begins()
        proc.run(thread, 1.0 + number)
        threads.iterator_made(number, pipeline)

    assert threads.sample() == {"p1": 4.0, "p2": 2.0}


def test_a_system_without_such_files_has_no_threads_to_tell(tmp_path: Path) -> None:
    threads = InputThreads(tmp_path / "nowhere")
    threads.iterator_begins()
    threads.iterator_made(1, "p1")

    assert threads.sample() == {}
