"""Python's own flags are read from the command line as typed."""

from __future__ import annotations

import pytest

from pipeprof.launch.interpreter import interpreter_flags


@pytest.mark.parametrize(
    ("typed", "flags"),
    [
        ("python -m pipeprof run s.py -O", ""),
        ("python -W error -m pipeprof -X x", "-W error"),
        ("python -Werror::UserWarning -Xutf8 -X dev /bin/pipeprof -O", "-Werror::UserWarning -Xutf8 -X dev"),
        ("python -uOO -IP -mpipeprof -B", "-uOO -IP"),
        ("python -um pipeprof", "-u"),
        ("python -uW error script", "-uW error"),
        ("python -ix script", ""),
        ("python -uic code -O", "-u"),
        ("python --check-hash-based-pycs never -B script", "--check-hash-based-pycs never -B"),
        ("python", ""),
        ("python - -O", ""),
    ],
)
def test_flags_end_where_the_program_begins(typed: str, flags: str) -> None:
    assert interpreter_flags(typed.split()) == tuple(flags.split())
