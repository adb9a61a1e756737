"""What the supervisor tells the script's process: one JSON argument before the script's own words.

An argument, and not the environment: nothing of ours is to reach the processes which the script starts. The receiving
side dies with the supervisor from its first moment on. It must not know what the hooks are for.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from pipeprof.launch.deathsignal import die_with_parent
from pipeprof.settings import Settings
from pipeprof.store import RunDirectory

if TYPE_CHECKING:
    from pipeprof.launch.ending import Plan

PROBLEM_FILE = "problem.log"  # in the run's directory: tracebacks of ours
BOOT_FILE = Path(__file__).with_name("importlib_bootstrap.py")


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """How one script is to be run.

    Attributes:
        command: the script (or ``-m`` and the module) and its arguments, as typed.
        flags: python's own flags (``-W error -O``).
        entry: module whose ``prepare(order, namespace, native_modules)`` returns the plan.
    """

    run_path: Path
    command: tuple[str, ...]
    settings: Settings
    flags: tuple[str, ...] = ()
    entry: str = "pipeprof.child"

    @property
    def run(self) -> RunDirectory:
        """The run's directory."""
        return RunDirectory(self.run_path)


def command_line(order: Order) -> list[str]:
    """Return the command line of the script's process. Words that are no valid text (PEP 383) pass unharmed."""
    message = {
        "run": str(order.run_path),
        "entry": order.entry,
        "flags": order.flags,
        "supervisor": os.getpid(),
        "settings": {name: _plain(value) for name, value in dataclasses.asdict(order.settings).items()},
    }
    return [sys.executable, *order.flags, str(BOOT_FILE), json.dumps(message), *order.command]


def receive(namespace: Mapping[str, Any], native_modules: frozenset[str]) -> Plan:
    """Read the order from this process's command line and return what the entry makes of it."""
    message = json.loads(sys.argv[1])
    if not die_with_parent(message["supervisor"], signal.SIGKILL):
        os.kill(os.getpid(), signal.SIGKILL)
    order = Order(
        run_path=Path(message["run"]),
        command=tuple(sys.argv[2:]),
        flags=tuple(message["flags"]),
        settings=_settings(message["settings"]),
        entry=message["entry"],
    )
    try:
        plan: Plan = import_module(order.entry).prepare(order, namespace, native_modules)
    except SyntaxError:  # of a script that cannot be read a second time
        raise
    except Exception:  # noqa: BLE001 - a fault of ours: the script runs all the same, without us
        keep_problem(order.run)
        os.execv(sys.executable, [sys.executable, *order.flags, *order.command])  # noqa: S606
    return plan


def keep_problem(run: RunDirectory) -> None:
    """Append the current exception's traceback to the run's ``problem.log``; called where an error of ours is held back."""
    with contextlib.suppress(OSError), (run.path / PROBLEM_FILE).open("a", errors="backslashreplace") as stream:
        traceback.print_exc(file=stream)


def _plain(value: Any) -> Any:  # Any: JSON in, JSON out
    return str(value) if isinstance(value, Path) else value


def _settings(plain: Mapping[str, Any]) -> Settings:
    return msgspec.convert(plain, Settings, dec_hook=lambda kind, value: kind(value))  # of a Path
