"""Keeps the script's standard output and standard error to the script: what trials print goes to a log.

Redirected are the file descriptors, so that TensorFlow's C++ log is caught as well as Python's print. The progress display
of the trials writes to ``terminal()``. It must restore the descriptors whatever happens in between.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

_FIRST_FREE = 10  # away from the descriptors that a script may have closed on purpose

_terminal: TextIO | None = None  # set by the one thread that runs the trial phase, for its length only


def terminal() -> TextIO | None:
    """Return the script's own standard error while trials run and are redirected; None at any other time."""
    return _terminal


def flush() -> bool:
    """Flush what the script has written; return False where that failed (a closed pipe), which python will say itself."""
    is_flushed = True
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        try:
            if stream is not None and not stream.closed:
                stream.flush()
        except Exception:  # noqa: BLE001 - the stream may be any object of the script's
            is_flushed = False
    _flush_c()
    return is_flushed


def files_behind() -> tuple[str, ...]:
    """Return the files that standard output and standard error were sent to, by a shell's ``>`` for instance."""
    found = []
    for number in (1, 2):
        with contextlib.suppress(OSError):
            if stat.S_ISREG(os.fstat(number).st_mode):
                found.append(os.path.realpath(f"/proc/self/fd/{number}"))
    return tuple(dict.fromkeys(found))


@contextlib.contextmanager
def redirected(log: Path) -> Iterator[None]:
    """Send descriptors 1 and 2 to ``log`` for the length of the block.

    Raises:
        OSError: the log cannot be opened; nothing was redirected then.
    """
    global _terminal  # noqa: PLW0603 - the one documented exception, see above
    with log.open("ab") as stream:
        saved = {number: _duplicate(number) for number in (1, 2)}
        try:
            for number in saved:
                os.dup2(stream.fileno(), number)
            _terminal = _open_terminal(saved[2])
            yield
        finally:
            flush()
            opened, _terminal = _terminal, None
            _restore(saved)
            if opened is not None:
                with contextlib.suppress(OSError):
                    opened.close()


def _duplicate(number: int) -> int | None:
    try:
        return fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE)
    except OSError:  # the script was started with it closed, or closed it
        return None


def _open_terminal(descriptor: int | None) -> TextIO | None:
    copy = None if descriptor is None else _duplicate(descriptor)
    return None if copy is None else os.fdopen(copy, "w", encoding="utf-8", errors="replace", buffering=1)


def _restore(saved: dict[int, int | None]) -> None:
    for number, copy in saved.items():
        if copy is None:
            os.close(number)
        else:
            os.dup2(copy, number)
            os.close(copy)


def _flush_c() -> None:
    ctypes.CDLL(None).fflush(None)
