"""What the supervisor says is what the script's process hears."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

from pipeprof.choice import Choice
from pipeprof.launch import handover
from pipeprof.launch.handover import BOOT_FILE, Order, command_line, receive
from pipeprof.model.diagnosis import Safety
from pipeprof.settings import Settings


def test_order_survives_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[Order] = []
    entry = ModuleType("entry_of_the_test")
    entry.prepare = lambda order, *_rest: heard.append(order)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "entry_of_the_test", entry)
    monkeypatch.setattr(handover, "die_with_parent", lambda _parent, _number: True)
    settings = Settings(
        output_root=Path("a b"),
        json_path=Path("/x/\udcff"),
        choice=Choice(select=("PP201",)),
        allow=(Safety.REORDERS,),
        budget_s=1.5,
        quiet=True,
    )
    order = Order(
        run_path=Path("/runs/1"),
        command=("s.py", "--quiet", os.fsdecode(b"\xff")),
        settings=settings,
        flags=("-u", "-W", "error"),
        entry="entry_of_the_test",
    )

    words = command_line(order)
    monkeypatch.setattr(sys, "argv", words[len(order.flags) + 1 :])
    receive({}, frozenset())

    assert heard == [order]
    assert words[: len(order.flags) + 2] == [sys.executable, "-u", "-W", "error", str(BOOT_FILE)]
    assert json.loads(words[5])["supervisor"] == os.getpid()
