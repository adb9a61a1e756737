"""The interpreter's lock, asked for by a thread that wakes: with planted clocks, and with threads that really hold it."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from pipeprof.capture.gil import GilProbe, own_run_delay


class Wake(threading.Event):
    """Sleeps on a planted clock, and comes back late."""

    def __init__(self, late_s: float, run_delay_s: float = 0.0, *, is_woken: bool = False) -> None:
        super().__init__()
        self.now_s, self.delay_s = 100.0, 7.0
        self._late, self._woken = (late_s, run_delay_s), is_woken

    def wait(self, timeout: float | None = None) -> bool:
        late_s, delay_s = self._late
        self.now_s += (timeout or 0.0) + late_s
        self.delay_s += delay_s
        return self._woken


def probed(wake: Wake) -> tuple[int, int]:
    probe = GilProbe(lambda: wake.now_s, lambda: wake.delay_s)
    probe.sleep(wake, 0.05)
    return probe.take()


@pytest.mark.parametrize(
    ("wake", "expected"),
    [
        (Wake(0.0002), (1, 0)),  # what waking takes
        (Wake(0.005), (1, 1)),  # a holder that computes gives it up after 5 ms
        (Wake(0.005, run_delay_s=0.0049), (1, 0)),  # it waited for a core, not for the lock
        (Wake(0.012, run_delay_s=0.006), (1, 1)),
        (Wake(0.005, is_woken=True), (0, 0)),  # woken by somebody: no moment of its own choosing
    ],
)
def test_a_waking_that_is_late_without_waiting_for_a_core_found_the_lock_held(wake: Wake, expected: tuple[int, int]) -> None:
    assert probed(wake) == expected


def test_without_the_kernels_run_delay_nothing_is_counted() -> None:
    wake = Wake(0.005)
    probe = GilProbe(lambda: wake.now_s, lambda: None)

    probe.sleep(wake, 0.05)

    assert probe.take() == (0, 0)


def test_what_was_taken_is_not_counted_again() -> None:
    wake = Wake(0.005)
    probe = GilProbe(lambda: wake.now_s, lambda: wake.delay_s)
    probe.sleep(wake, 0.05)
    probe.take()

    assert probe.take() == (0, 0)


def test_a_kernel_without_the_counter_leaves_the_run_delay_unknown(tmp_path: Path) -> None:
    (tmp_path / "thread-self").mkdir()
    (tmp_path / "thread-self" / "schedstat").write_text("nothing\n")

    assert own_run_delay(tmp_path) is None
    assert own_run_delay(tmp_path / "nowhere") is None


@pytest.mark.skipif(own_run_delay() is None, reason="this kernel counts no run delay")
def test_a_thread_that_computes_in_python_holds_the_lock_and_one_that_sleeps_does_not() -> None:
    shares = {}
    for name, work in (("computes", lambda: sum(range(1000))), ("sleeps", lambda: time.sleep(0.01))):
        probe, wake, done = GilProbe(), threading.Event(), threading.Event()

        def other(work=work, done=done) -> None:
            while not done.is_set():
                work()

        thread = threading.Thread(target=other)
        thread.start()
        for _ in range(20):
            probe.sleep(wake, 0.01)
        done.set()
        thread.join()
        checks, held = probe.take()
        shares[name] = held / checks

    assert shares["computes"] > 0.5
    assert shares["sleeps"] < shares["computes"] - 0.3
