"""The script's process: makes the script ready and puts the capture's hooks around it.

It wires two things which do not know each other, the launcher and the capture. A capture that cannot be set up leaves its
traceback in the run's directory and the script runs without it. It must not run the script itself.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from typing import Any

from pipeprof.launch.ending import Plan
from pipeprof.launch.handover import Order, keep_problem
from pipeprof.launch.hooks import Hooks
from pipeprof.launch.script import Script
from pipeprof.store import REFUSED, ScriptEnd


def prepare(order: Order, namespace: Mapping[str, Any], native_modules: frozenset[str]) -> Plan:
    """Return the plan for the script that was ordered; the capture has begun when it returns."""
    hooks = _hooks(order)
    script = Script(order.command, order.flags, refused=lambda: _say_refused(order))
    hooks.before()  # here, where what it imports cannot be a file of the script's
    return Plan(script.enter(namespace, native_modules), order.run, hooks, try_changes=order.settings.try_changes)


def _say_refused(order: Order) -> None:
    """Say that the script never began: python itself takes this process over, and prints why."""
    with contextlib.suppress(OSError):
        order.run.write_script_end(ScriptEnd(exit_status=1, ended=REFUSED))


def _hooks(order: Order) -> Hooks:
    command = tuple(os.fsencode(word).decode("utf-8", "replace") for word in order.command)
    try:
        from pipeprof.api import script_hooks

        return script_hooks(order.run, order.settings, command)
    except Exception:  # noqa: BLE001 - the user's program comes first: it runs, unobserved
        keep_problem(order.run)
        return Hooks()
