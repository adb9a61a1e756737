"""A text without the functions that an edit does not concern, so that a long file costs no more than a short one.

Each function or class that holds no call of interest becomes an empty one on its first line, and its other lines become
empty: what is left has every position where it was and binds the same names. Only the parsed copy is cut, never the text.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from pipeprof.advise.edits.source_text import LineTable
from pipeprof.advise.edits.verify import parse

_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(slots=True)
class Outline:
    """A shortened text and the variables that only what was left out names."""

    text: str
    hidden_names: set[str] = field(default_factory=set)


def outline(text: str, spans: Sequence[tuple[int, int]]) -> Outline:
    """Return ``text`` with all definitions emptied that hold none of ``spans``.

    Raises:
        RefusalError: it is not Python.
    """
    table = LineTable(text)
    lines = table.lines()
    result = Outline(text=text)
    for node in _unconcerned(parse(text).body, table, spans):
        if any(isinstance(inner, ast.Global) for inner in ast.walk(node)):
            continue  # it binds names of the module
        first = min([node.lineno, *(item.lineno for item in node.decorator_list)])
        keyword = "class" if isinstance(node, ast.ClassDef) else "def"
        _, newline = lines[first - 1]
        lines[first - 1] = f"{_indent(lines[node.lineno - 1][0])}{keyword} {_header(node)}: ...", newline
        for number in range(first, node.end_lineno or first):
            lines[number] = "", lines[number][1]
        result.hidden_names.update(_names(node))
    result.text = "".join(line + newline for line, newline in lines)
    return result


def _unconcerned(body: Sequence[ast.AST], table: LineTable, spans: Sequence[tuple[int, int]]) -> Iterator[_Definition]:
    """Yield the outermost definitions that hold none of ``spans``; functions that hold one are left whole."""
    for node in body:
        if isinstance(node, _Definition):
            first = min([node.lineno, *(item.lineno for item in node.decorator_list)])
            start = table.offset(first, 0) or 0
            end = table.byte_offset(node.end_lineno or node.lineno, node.end_col_offset or 0)
            if not any(start <= span[0] < end for span in spans):
                yield node
            elif isinstance(node, ast.ClassDef):
                yield from _unconcerned(node.body, table, spans)
        elif not isinstance(node, ast.expr):
            yield from _unconcerned(list(ast.iter_child_nodes(node)), table, spans)


def _header(node: _Definition) -> str:
    return node.name if isinstance(node, ast.ClassDef) else f"{node.name}()"


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip(" \t\f"))]


def _names(node: ast.AST) -> Iterator[str]:
    """Yield everything in ``node`` that may be a variable's name."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Constant | ast.Attribute | ast.keyword):
            continue
        for _, value in ast.iter_fields(inner):
            values = value if isinstance(value, list) else [value]
            yield from (item for item in values if isinstance(item, str))
