"""Says how a run ended, from what the script said of itself and what the kernel says of its process.

Pure. The script's own status wins over a death that happened in, or because of, the trials; in every other case the
process's status is the script's. It must not guess: where the two differ, the reason says so.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass

from pipeprof import units
from pipeprof.launch.watch import trials_ended
from pipeprof.store import REFUSED, ProcessEnd, ScriptEnd, TrialEvent

_CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL)


@dataclass(frozen=True, kw_only=True, slots=True)
class Death:
    """What the supervisor saw of the process.

    Attributes:
        wait_status: as ``waitpid`` returns it.
        killed_for: why the supervisor killed it, empty where it did not.
        had_trials: the trial phase had begun.
        oom_kills: how many processes the out-of-memory killer ended meanwhile.
    """

    wait_status: int
    wall_s: float
    killed_for: str = ""
    had_trials: bool = False
    oom_kills: int = 0


def process_end(death: Death, script: ScriptEnd | None, events: Sequence[TrialEvent]) -> ProcessEnd:
    """Return how the process ended and the status to end with; ``reason`` is a phrase for the report, or empty."""
    status = os.waitstatus_to_exitcode(death.wait_status)
    if script is None:
        return ProcessEnd(exit_status=status, wall_s=death.wall_s, reason=_own_death(status, death))
    if script.ended == REFUSED:
        return ProcessEnd(exit_status=status, wall_s=death.wall_s, reason="python could not compile the script")
    if death.killed_for:
        return ProcessEnd(
            exit_status=script.exit_status,
            wall_s=death.wall_s,
            killed_in_trial=True,
            reason=death.killed_for,
            problems=(f"the trials were ended by force: {death.killed_for}",),
        )
    if not death.had_trials or status == script.exit_status:
        return ProcessEnd(exit_status=status, wall_s=death.wall_s)
    if trials_ended(events) is None or (status < 0 and -status in _CRASHES):
        how = f"{_how(status)} {'while it shut down after the trials' if trials_ended(events) else 'in a trial'}"
        return ProcessEnd(
            exit_status=script.exit_status,
            wall_s=death.wall_s,
            killed_in_trial=True,
            reason=how,
            problems=(f"the process {how}",),
        )
    return ProcessEnd(exit_status=status, wall_s=death.wall_s)


def signal_name(number: int) -> str:
    """Return ``SIGKILL`` for 9, ``signal 99`` for one without a name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _how(status: int) -> str:
    return f"was killed by {signal_name(-status)}" if status < 0 else f"exited with status {status}"


def _own_death(status: int, death: Death) -> str:
    after = f"after {units.duration(death.wall_s)}"
    if status == -signal.SIGKILL and death.oom_kills:
        return f"killed by the out-of-memory killer (SIGKILL) {after}"
    if status < 0:
        return f"killed by {signal_name(-status)} {after}"
    return f"ended with status {status} and without python's shutdown, as os._exit does, {after}"
