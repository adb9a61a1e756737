"""TensorFlow's own log, silenced for a moment: what TensorFlow says of our windows is no part of the user's output.

TensorFlow writes through Abseil's log (2.21), whose least level is a variable of the process: it is set with the library's
own function, found under the names that Abseil's releases give it, and set back. Only INFO lines are held back, of all
threads, for as long as one call into the profiler lasts. Where the log is not Abseil's it cannot be done, and that is said.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_LIBRARY = "libtensorflow_framework.so.2"
_RELEASES = ("20250814", "20250512", "20250127", "20240722", "20240116", "20230802", "20260107", "20260526")
_OWN_LOG = "_ZN3tsl8internal18MinLogLevelFromEnvEv"  # versions with a log of their own read their level once
_NOT_LOOKED_INTO = (
    "what the time inside functions goes to is not measured: this TensorFlow would write lines into your log for it; "
    "TF_CPP_MIN_LOG_LEVEL=1 keeps them out"
)
_WARNING = 1


@dataclass(frozen=True, slots=True)
class _Level:
    """The log's least level."""

    get: Callable[[], int]
    set: Callable[[int], None]


def is_quiet(tell: Callable[[str], None] = lambda _text: None) -> bool:
    """Say whether nothing is heard of what is done under ``silenced``: by that, or since the user wants no INFO lines.

    Where something is, ``tell`` hears what is not measured for it.
    """
    wanted = os.environ.get("TF_CPP_MIN_LOG_LEVEL", "0")
    if _level() is not None or (wanted.isdigit() and int(wanted) >= _WARNING):
        return True
    tell(_NOT_LOOKED_INTO)
    return False


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Hold back TensorFlow's INFO lines; where that cannot be done, do nothing."""
    level = _level()
    before = _WARNING if level is None else level.get()
    if level is None or before >= _WARNING:
        yield
        return
    level.set(_WARNING)
    try:
        yield
    finally:
        level.set(before)


@cache
def _level() -> _Level | None:
    tensorflow = sys.modules.get("tensorflow")
    file = getattr(tensorflow, "__file__", None)
    if file is None:
        return None
    try:
        library = ctypes.CDLL(str(Path(file).parent / _LIBRARY))
    except OSError:
        return None
    if hasattr(library, _OWN_LOG):
        return None
    for release in _RELEASES:
        get = getattr(library, f"_ZN4absl12lts_{release}11MinLogLevelEv", None)
        put = getattr(library, f"_ZN4absl12lts_{release}14SetMinLogLevelENS0_18LogSeverityAtLeastE", None)
        if get is not None and put is not None:
            get.restype, get.argtypes = ctypes.c_int, []
            put.restype, put.argtypes = None, [ctypes.c_int]
            return _Level(get, put)
    return None
