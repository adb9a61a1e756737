"""Diagnoses a run that is over, writes its files and speaks: what ``run`` does after the script.

A failure in here never becomes the user's: it is one line on standard error, with the traceback kept beside the profile. It
must not change the exit status, and must not raise.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from pathlib import Path

from pipeprof.errors import UserError
from pipeprof.launch.handover import PROBLEM_FILE, keep_problem
from pipeprof.model.diagnosis import Diagnosis
from pipeprof.settings import Settings
from pipeprof.store import DIAGNOSIS_FILE, HTML_FILE, PROFILE_FILE, ProcessEnd, RunDirectory

LOOKED_FOR = "for loops and iterators over tf.data datasets, Keras fit/evaluate/predict, tf.distribute iterators"


def after_run(run: RunDirectory, end: ProcessEnd, settings: Settings, directory: Path, *, json_to_stdout: bool = False) -> None:
    """Diagnose ``run``, write its files and print what the user is to see: a report, two lines, or nothing.

    Args:
        run: the run's directory.
        end: how its process ended.
        settings: what was asked for.
        directory: where the user is, for short paths.
        json_to_stdout: print the diagnosis as JSON on standard output.
    """
    shown = short_path(run.path, directory)
    try:
        if not (run.path / PROFILE_FILE).exists():
            _print(_nothing_captured(run, end, shown), settings)
            return
        diagnosis = _diagnose_and_write(run, settings, json_to_stdout=json_to_stdout)
        _speak(diagnosis, end, settings, shown)
        _print(_applied(run, settings), settings)
    except OSError as error:  # standard error is closed, or the disk is full
        _print([f"pipeprof: cannot write the report: {error.strerror}; the profile is in {shown}"], settings)
    except Exception as error:  # noqa: BLE001 - the script's status comes first
        keep_problem(run)
        what = error.what if isinstance(error, UserError) else f"the report failed ({type(error).__name__}: {error})"
        _print([f"pipeprof: {what}; the profile is in {shown}, the traceback in {shown}/{PROBLEM_FILE}"], settings)


def write_html(run: RunDirectory, diagnosis: Diagnosis) -> Path:
    """Write the HTML page into the run's directory and return its path."""
    from pipeprof.report.html_page import render

    return run.write_document(HTML_FILE, render(diagnosis).encode())


def short_path(path: Path, directory: Path) -> Path:
    """Return ``path`` as seen from ``directory`` where it lies below it."""
    return path.relative_to(directory) if path.is_relative_to(directory) else path


def _diagnose_and_write(run: RunDirectory, settings: Settings, *, json_to_stdout: bool) -> Diagnosis:
    from pipeprof.diagnose import diagnose
    from pipeprof.report.machine import to_json

    diagnosis = diagnose(run.load(), settings.choice)
    document = to_json(diagnosis)
    run.write_document(DIAGNOSIS_FILE, document)
    if settings.json_path is not None:
        settings.json_path.write_bytes(document)
    if json_to_stdout:
        sys.stdout.buffer.write(document)
    if settings.html:
        write_html(run, diagnosis)
    return diagnosis


def _speak(diagnosis: Diagnosis, end: ProcessEnd, settings: Settings, shown: Path) -> None:
    if settings.quiet or sys.stderr is None:
        return
    was_killed = end.exit_status < 0 and end.exit_status != -signal.SIGINT
    if was_killed and diagnosis.pipelines:
        from pipeprof.report.terminal import print_report

        _print([f"pipeprof: {end.reason or f'killed by signal {-end.exit_status}'}; what was captured until then:"], settings)
        print_report(diagnosis, sys.stderr, shown)
    elif end.exit_status != 0:
        _print(_two_lines(end, shown), settings)
    elif not diagnosis.pipelines:
        _print([f"pipeprof: {_nothing_consumed(diagnosis)}; the profile is in {shown}"], settings)
    else:
        from pipeprof.report.terminal import print_report

        print_report(diagnosis, sys.stderr, shown)


def _applied(run: RunDirectory, settings: Settings) -> list[str]:
    """Say what of an earlier run was applied to this one, and what was not."""
    if settings.plan is None:
        return []
    info = run.load().run
    left = [text for text in info.problems if text.startswith("not applied")]
    return [
        *(f"pipeprof: applied from {settings.plan.run_id}: {text}" for text in info.applied),
        *(f"pipeprof: {text}" for text in left),
    ]


def _nothing_consumed(diagnosis: Diagnosis) -> str:
    if diagnosis.run.gave_nothing:
        return " ".join(diagnosis.run.gave_nothing).rstrip(".")
    return f"no tf.data pipeline was consumed (looked for {LOOKED_FOR})"


def _two_lines(end: ProcessEnd, shown: Path) -> list[str]:
    failed = f"the script failed with status {end.exit_status}"
    how = end.reason or ("interrupted (Ctrl-C)" if end.exit_status == -signal.SIGINT else failed)
    if end.killed_in_trial:
        how = f"{failed}, and its trials ended early ({end.reason})"
    return [f"pipeprof: {how}; its profile is in {shown}", f"pipeprof: view it with: pipeprof report {shown}"]


def _nothing_captured(run: RunDirectory, end: ProcessEnd, shown: Path) -> list[str]:
    has_failed = (run.path / PROBLEM_FILE).exists()
    why = (
        f"the capture failed, see {shown}/{PROBLEM_FILE}" if has_failed else (end.reason or "the script ended before it began")
    )
    return [f"pipeprof: nothing was captured: {why}"]


def _print(lines: list[str], settings: Settings) -> None:
    if settings.quiet or sys.stderr is None:
        return
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write("".join(f"{line}\n" for line in lines))
        sys.stderr.flush()
