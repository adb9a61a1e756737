"""The stages measured alone as lines of a terminal: names give way, numbers never do.

One idea: one line a stage, in the order in which they were written, so that the rate can be seen to fall along the chain.
Words come from ``isolated``; nothing here decides what a number means.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.text import Text

from pipeprof.report.isolated import NOTE, IsolatedRow
from pipeprof.report.terminal_layout import Block, hanging, padded

_GAP = 2
_MARGIN = "  "
_LEAST_NAME = 12
_INTERVAL_FROM = 76


def isolated_lines(rows: Sequence[IsolatedRow], width: int) -> Block:
    """Return the table and what its columns mean."""
    is_wide = width >= _INTERVAL_FROM
    header = ("elements/s", "CPU", *(("90 %",) if is_wide else ()), "wall", "its time is")
    lines = [(row.rate, row.cpu, *((row.cpu_interval,) if is_wide else ()), row.wall, row.work) for row in rows]
    sizes = [max(cell_len(line[column]) for line in (header, *lines)) for column in range(len(header))]
    room = width - len(_MARGIN) - sum(sizes) - _GAP * len(sizes)
    names = [f"{row.where} {row.call}".strip() for row in rows]
    name_width = max(_LEAST_NAME, min(room, max(cell_len(name) for name in names)))
    block = [Text(_line("up to", header, sizes, name_width), style="dim")]
    block += [Text(_line(name, line, sizes, name_width)) for name, line in zip(names, lines, strict=True)]
    for line in block:
        line.rstrip()
    return block + hanging(Text(NOTE, "dim"), width, "  ")


def _line(name: str, cells: Sequence[str], sizes: Sequence[int], name_width: int) -> str:
    last = len(cells) - 1
    shown = [padded(cell, size, right=index < last) for index, (cell, size) in enumerate(zip(cells, sizes, strict=True))]
    return _MARGIN + (" " * _GAP).join([padded(name, name_width), *shown])
