"""Lines that fit: wrapping with a hanging indent, and shortening in the middle, by the cells that a terminal shows.

Widths are cells, not characters (a Chinese character takes two). Nothing here knows what a report says.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TypeAlias

from rich.cells import cell_len, chop_cells
from rich.console import Console
from rich.text import Text

from pipeprof.report.text import keep_together

Block: TypeAlias = list[Text]  # lines that belong together

_ELLIPSIS = "…"
_GLUE = "\ue000"  # stands for a space between a number and its unit while lines are broken; harmless text never holds it
_ANY_WIDTH = 80  # every call states its own
_LEAST_ROOM = 12


def hanging(text: Text, width: int, indent: str, first: Text | None = None) -> Block:
    """Wrap ``text`` to ``width`` cells.

    Args:
        text: what to wrap; line breaks in it are kept, over-long words are folded.
        width: cells of a whole line.
        indent: stands before every line but the first.
        first: stands before the first line; ``indent`` where it is not given.
    """
    lead = Text(indent) if first is None else first
    room = max(_LEAST_ROOM, width - max(cell_len(indent), lead.cell_len))
    glued = text.copy()
    glued.plain = keep_together(text.plain, _GLUE)
    lines = []
    for index, line in enumerate(glued.wrap(_console(), room, overflow="fold") or [Text()]):
        line.plain = line.plain.replace(_GLUE, " ")
        line.rstrip()
        lines.append(Text.assemble(lead if index == 0 else indent, line))
    return lines


@lru_cache(maxsize=1)
def _console() -> Console:
    return Console(width=_ANY_WIDTH, legacy_windows=False)


def plain(text: str, width: int) -> str:
    """Return ``text`` cut in its middle to at most ``width`` cells: ``pipelines/…/train.py``."""
    if cell_len(text) <= width:
        return text
    if width <= 1:
        return _ELLIPSIS[:width]
    left = (width - 1) // 2
    right = width - 1 - left
    head = chop_cells(text, left)[0] if left else ""
    tail = _last_cells(text, right)
    return f"{head}{_ELLIPSIS}{tail}"


def _last_cells(text: str, width: int) -> str:
    taken = len(text)
    while taken and cell_len(text[taken - 1 :]) <= width:
        taken -= 1
    return text[taken:]


def padded(text: str, width: int, *, right: bool = False) -> str:
    """Return ``text`` filled with spaces to ``width`` cells, shortened in the middle where it is longer."""
    shown = plain(text, width)
    space = " " * (width - cell_len(shown))
    return space + shown if right else shown + space
