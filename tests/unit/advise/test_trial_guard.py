"""A blocked or failing piece of work never takes its caller along."""

from __future__ import annotations

import threading

import pytest

from pipeprof.advise import guard
from pipeprof.advise.guard import HungError, Pulse, run_guarded


@pytest.fixture(autouse=True)
def _short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "_GRACE_S", 0.05)


def test_the_works_result_is_returned():
    assert run_guarded(lambda _pulse: 42, stop=threading.Event(), deadline_s=60, stall_s=60) == 42


def test_what_the_work_raises_is_raised_in_the_callers_thread():
    def work(_pulse: Pulse) -> None:
        raise ZeroDivisionError("planted")

    with pytest.raises(ZeroDivisionError, match="planted"):
        run_guarded(work, stop=threading.Event(), deadline_s=60, stall_s=60)


def test_progress_arrives_in_the_callers_thread():
    seen = []

    def work(pulse: Pulse) -> None:
        pulse.report("half", 0.5)

    def note(text: str, share: float) -> None:
        seen.append((text, share, threading.current_thread()))

    run_guarded(work, stop=threading.Event(), deadline_s=60, stall_s=60, on_progress=note)

    assert seen == [("half", 0.5, threading.current_thread())]


@pytest.mark.parametrize(("deadline_s", "stall_s"), [(0.0, 60.0), (60.0, 0.0)])
def test_work_that_never_returns_is_left_behind(deadline_s: float, stall_s: float):
    release = threading.Event()

    def work(pulse: Pulse) -> None:
        pulse.enter("the blocked call")
        release.wait()

    with pytest.raises(HungError) as caught:
        run_guarded(work, stop=threading.Event(), deadline_s=deadline_s, stall_s=stall_s)

    release.set()
    assert caught.value.phase == "the blocked call"


def test_work_that_obeys_the_stop_returns_its_result():
    stop = threading.Event()

    def work(pulse: Pulse) -> str:
        stop.set()
        return "stopped early" if pulse.halt.wait(30) else "never told"

    assert run_guarded(work, stop=stop, deadline_s=60, stall_s=60) == "stopped early"


def test_an_interrupt_of_the_caller_halts_the_work():
    halted = threading.Event()

    def work(pulse: Pulse) -> None:
        pulse.report("ready", 0.0)
        if pulse.halt.wait(30):
            halted.set()

    def interrupt(_text: str, _share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_guarded(work, stop=threading.Event(), deadline_s=60, stall_s=60, on_progress=interrupt)

    assert halted.wait(30)
