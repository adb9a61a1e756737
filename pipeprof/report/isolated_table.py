"""The stages measured alone as lines of a terminal: names give way, numbers never do.

One idea: one line a stage, in the order in which they were written, so that the rate can be seen to fall along the chain.
Words come from ``isolated``; nothing here decides what a number means.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.cells import cell_len
from rich.text import Text

from pipeprof.report.isolated import IsolatedRow
from pipeprof.report.terminal_layout import Block, hanging, padded

_GAP = 2
_MARGIN = "  "
_LEAST_NAME = 14
_NARROW_NAME = 8  # where even the fewest columns leave no more room
_COLUMNS = ("elements/s", "CPU", "± (90 %)", "wall", "its time is")
_FIRST_TO_GO = ("± (90 %)", "elements/s", "wall")


def isolated_lines(rows: Sequence[IsolatedRow], note: str, width: int) -> Block:
    """Return the table, with as many columns as there is room for, and what they mean."""
    cells = [dict(zip(_COLUMNS, (row.rate, row.cpu, row.cpu_interval, row.wall, row.work), strict=True)) for row in rows]
    sizes = {name: max(cell_len(name), *(cell_len(line[name]) for line in cells)) for name in _COLUMNS}
    for name in _FIRST_TO_GO:
        if _room(sizes, width) < _LEAST_NAME:
            del sizes[name]
    names = [f"{row.where} {row.call}".strip() for row in rows]
    name_width = max(_NARROW_NAME, min(_room(sizes, width), max(cell_len(name) for name in names)))
    block = [Text(_line("up to", dict(zip(_COLUMNS, _COLUMNS, strict=True)), sizes, name_width), style="dim")]
    block += [Text(_line(name, line, sizes, name_width)) for name, line in zip(names, cells, strict=True)]
    for line in block:
        line.rstrip()
    return block + hanging(Text(note, "dim"), width, _MARGIN)


def _room(sizes: Mapping[str, int], width: int) -> int:
    return width - len(_MARGIN) - sum(sizes.values()) - _GAP * len(sizes)


def _line(name: str, cells: Mapping[str, str], sizes: Mapping[str, int], name_width: int) -> str:
    shown = [padded(cells[column], size, right=column != _COLUMNS[-1]) for column, size in sizes.items()]
    return _MARGIN + (" " * _GAP).join([padded(name, name_width), *shown])
