"""Arguments of one call: whether one is given, and how one more is laid out behind the last."""

from __future__ import annotations

import libcst as cst

from pipeprof.advise.edits.chains import described
from pipeprof.advise.edits.document import Document
from pipeprof.advise.edits.source_text import NEWLINE, RefusalError, Splice


def require_visible_arguments(document: Document, call: cst.Call, wanted: str) -> None:
    """Make sure that a call has arguments, and that they stand there.

    Raises:
        RefusalError: it has none, or takes ``*args`` or ``**kwargs``.
    """
    if not call.args:
        raise RefusalError(f"{described(call)} has no arguments")
    for argument in call.args:
        if argument.star:
            raise RefusalError(f"{described(call)} takes {document.code(argument)}, so its {wanted} cannot be seen")


def given_argument(call: cst.Call, name: str, position: int) -> int | None:
    """Return the index of the argument that is given under this name or at this position."""
    for index, argument in enumerate(call.args):
        if argument.keyword is None:
            if index == position:
                return index
        elif argument.keyword.value == name:
            return index
    return None


def required_argument(document: Document, call: cst.Call, name: str, position: int = 0) -> cst.Arg:
    """Return the argument that is given under this name or at this position.

    Raises:
        RefusalError: there is none, or it cannot be seen.
    """
    require_visible_arguments(document, call, name)
    index = given_argument(call, name, position)
    if index is None:
        raise RefusalError(f"{described(call)} has no {name}")
    return call.args[index]


def added_argument(document: Document, call: cst.Call, argument: str) -> tuple[Splice, ...]:
    """Return the splices that add an argument behind the last one: on its own line where the last one has its own."""
    last = call.args[-1]
    end = document.end(last)
    comma = last.comma if isinstance(last.comma, cst.Comma) else None
    line_start = document.lines.line_start(document.start(last))
    indent = document.text[line_start : document.start(last)]
    tail = document.text[end : document.end(call) - 1]
    if not indent.strip(" \t") and (NEWLINE.search(tail) or len(call.args) > 1):
        behind = end + len(tail.rstrip())
        line = f"{document.newline_at(line_start)}{indent}{argument}"
        if comma is not None:
            return (_insertion(behind, f"{line},"),)
        return (_insertion(end, f",{line}"),) if behind == end else (_insertion(end, ","), _insertion(behind, line))
    if comma is not None:
        return (_insertion(document.end(comma), f" {argument},"),)
    return (_insertion(end, f", {argument}"),)


def _insertion(at: int, text: str) -> Splice:
    return Splice(start=at, end=at, text=text)
