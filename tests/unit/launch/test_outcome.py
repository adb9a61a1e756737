"""How a run ended follows from the script's word and the kernel's."""

from __future__ import annotations

import signal

from pipeprof.launch.outcome import Death, process_end, signal_name
from pipeprof.store import REFUSED, ScriptEnd, TrialEvent

EXITED_3 = ScriptEnd(exit_status=3, ended="exited")
START = TrialEvent(event="start", at_s=0.0)
END = TrialEvent(event="end", at_s=0.0)


def exited(status: int) -> int:
    return status << 8


def test_process_that_says_nothing_is_described_by_its_death() -> None:
    assert process_end(Death(wait_status=9, wall_s=240.0), None, ()).reason == "killed by SIGKILL after 4.0 min"
    assert process_end(Death(wait_status=9, wall_s=9.0, oom_kills=1), None, ()).reason == (
        "killed by the out-of-memory killer (SIGKILL) after 9.0 s"
    )
    assert process_end(Death(wait_status=exited(4), wall_s=1.0), None, ()).reason == (
        "ended with status 4 and without python's shutdown, as os._exit does, after 1.0 s"
    )


def test_a_script_that_python_could_not_compile_did_not_end_by_itself() -> None:
    end = process_end(Death(wait_status=exited(1), wall_s=0.3), ScriptEnd(exit_status=1, ended=REFUSED), ())

    assert (end.exit_status, end.reason) == (1, "python could not compile the script")


def test_ordinary_end_has_no_reason() -> None:
    end = process_end(Death(wait_status=exited(3), wall_s=1.0, had_trials=True), EXITED_3, (START, END))

    assert (end.exit_status, end.killed_in_trial, end.reason, end.problems) == (3, False, "", ())


def test_shutdown_may_change_the_status() -> None:
    assert process_end(Death(wait_status=exited(120), wall_s=1.0), EXITED_3, ()).exit_status == 120
    assert process_end(Death(wait_status=exited(120), wall_s=1.0, had_trials=True), EXITED_3, (END,)).exit_status == 120
    assert process_end(Death(wait_status=15, wall_s=1.0, had_trials=True), EXITED_3, (END,)).exit_status == -15


def test_crash_in_the_shutdown_counts_only_where_nothing_was_tried() -> None:
    untried = process_end(Death(wait_status=11, wall_s=1.0), EXITED_3, ())
    tried = process_end(Death(wait_status=11, wall_s=1.0, had_trials=True), EXITED_3, (END,))

    assert untried.exit_status == -signal.SIGSEGV
    assert tried.exit_status == 3
    assert tried.problems == ("the process was killed by SIGSEGV while it shut down after the trials",)


def test_death_in_a_trial_keeps_the_scripts_status() -> None:
    end = process_end(Death(wait_status=15, wall_s=1.0, had_trials=True), EXITED_3, (START,))

    assert (end.exit_status, end.killed_in_trial, end.reason) == (3, True, "was killed by SIGTERM in a trial")


def test_forced_end_is_a_problem_of_the_run() -> None:
    end = process_end(Death(wait_status=9, wall_s=1.0, killed_for="hung", had_trials=True), EXITED_3, (START,))

    assert (end.exit_status, end.reason, end.problems) == (3, "hung", ("the trials were ended by force: hung",))


def test_signals_without_a_name_have_a_number() -> None:
    assert (signal_name(11), signal_name(63)) == ("SIGSEGV", "signal 63")
