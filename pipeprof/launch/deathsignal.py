"""Lets a process die with its parent (``prctl(PR_SET_PDEATHSIG)``), so that no script outlives a killed supervisor.

The kernel clears the setting in what the process forks, so it does not reach the script's own children. Linux only;
elsewhere nothing is set.
"""

from __future__ import annotations

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int, signal_number: int) -> bool:
    """Ask for ``signal_number`` when the parent dies; return False where ``parent`` is gone already."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal_number), 0, 0, 0)
    return os.getppid() == parent
