"""The stages of one pipeline as lines of a terminal: names give way, numbers never do.

One idea: the columns of numbers take what they need, the names share the rest and are cut in their middle. A pipeline of
many stages shows the bottleneck and its busiest ones, and says how many were left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len, chop_cells
from rich.text import Text

from pipeprof import units
from pipeprof.report.stages import PipelineTable, StageRow
from pipeprof.report.terminal_layout import Block, hanging, padded, plain

_MAX_ROWS = 12
_GAP = 2
_MARK = "▶ "
_LEAST_NAME = 12
_LEAST_NODE = 12
_WIDE_ENOUGH = 72
_SLOTS_FROM = 52
_SMALL_SHARE = 0.01


@dataclass(frozen=True, slots=True)
class _Columns:
    name: int
    node: int  # 0: there is no room for it
    numbers: tuple[int, ...]


def stage_lines(table: PipelineTable, width: int) -> Block:
    """Return the table of one pipeline with its bottleneck's limit, and TensorFlow's own chain where the table has no room."""
    rows = _chosen(table.rows)
    slots = ("slots",) if width >= _SLOTS_FROM else ()
    header = ("busy", "share", *slots, "max steps/s" if width >= _WIDE_ENOUGH else "max/s")
    cells = [_numbers(row, width) for row in rows]
    columns = _measure(rows, [header, *cells], width)
    block = [Text(_line("  ", "written", "ran as", header, columns), style="dim")]
    for row, numbers in zip(rows, cells, strict=True):
        mark = _MARK if row.is_bottleneck else "  "
        block.append(Text(_line(mark, _name(row, columns.name), _node(row), numbers, columns), style=_style(row)))
    for line in block:
        line.rstrip()
    hidden = len(table.rows) - len(rows)
    if hidden:
        block.append(Text(f"  … {units.count_of(hidden, 'quicker stage')} in the full report", "dim"))
    if table.bottleneck:
        mark_text = Text(f"{_MARK}bottleneck: ", "bold red")
        block += hanging(Text(table.bottleneck_limit, "bold red"), width, "  ", first=mark_text)
    if table.inside:
        block += hanging(Text(table.inside), width, "  ")
    if table.bound:
        block += hanging(Text(table.bound), width, "  ")
    if table.source:
        block += hanging(Text(table.source, "dim"), width, "  ")
    if table.executed and not columns.node:
        block += hanging(Text(table.executed, "dim"), width, "    ", first=Text("  TensorFlow ran  ", "dim"))
    return block


def _chosen(rows: Sequence[StageRow]) -> list[StageRow]:
    rows = [row for row in rows if row.is_bottleneck or not row.injected or (row.share_value or 0.0) >= _SMALL_SHARE]
    rows = [row for row in rows if not row.is_minor]
    if len(rows) <= _MAX_ROWS:
        return rows
    ranked = sorted(rows, key=lambda row: (not row.is_bottleneck, not row.unattributed, -(row.share_value or 0.0)))
    kept = {id(row) for row in ranked[:_MAX_ROWS]}
    return [row for row in rows if id(row) in kept]


def _full_name(row: StageRow) -> str:
    return f"{row.where}  {row.call}" if row.where else row.call


def _name(row: StageRow, width: int) -> str:
    """Return ``train.py:42  .map(decode)``; where it is too long, first the arguments give way, then the middle of the path."""
    name = _full_name(row)
    called = name.find("(", len(row.where)) + 1
    if cell_len(name) <= width or not called or not name.endswith(")") or cell_len(name[:called]) + 2 > width:
        return plain(name, width)
    return chop_cells(name, width - 2)[0] + "…)"


def _node(row: StageRow) -> str:
    if row.fused_with:
        return f"with {row.fused_with}"
    return "(added)" if row.injected else "(removed)" if row.removed else row.executed


def _numbers(row: StageRow, width: int) -> tuple[str, ...]:
    return row.busy, row.share, *((row.slots,) if width >= _SLOTS_FROM else ()), row.max_rate


def _style(row: StageRow) -> str:
    if row.is_bottleneck:
        return "bold red"
    return "dim" if row.injected or row.removed or row.unattributed else ""


def _measure(rows: Sequence[StageRow], cells: Sequence[tuple[str, ...]], width: int) -> _Columns:
    numbers = tuple(max(cell_len(line[index]) for line in cells) for index in range(len(cells[0])))
    room = width - len(_MARK) - sum(numbers) - _GAP * len(numbers)
    name = max(cell_len(_full_name(row)) for row in rows)
    node = max(_LEAST_NODE, *(cell_len(_node(row)) for row in rows))
    if name + _GAP + node > room:
        node = min(node, max(room - _GAP - name, room // 3))
    if node < _LEAST_NODE or room - _GAP - node < _LEAST_NAME:
        return _Columns(max(_LEAST_NAME, min(name, room)), 0, numbers)
    return _Columns(min(name, room - _GAP - node), node, numbers)


def _line(mark: str, name: str, node: str, numbers: Sequence[str], columns: _Columns) -> str:
    gap = " " * _GAP
    parts = [padded(name, columns.name)]
    if columns.node:
        parts.append(padded(node, columns.node))
    parts += [padded(cell, size, right=True) for cell, size in zip(numbers, columns.numbers, strict=True)]
    return mark + gap.join(parts)
