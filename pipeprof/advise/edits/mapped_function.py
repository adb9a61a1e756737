"""The function that a map is given: its definition in the file, and the map's call with another one in its place."""

from __future__ import annotations

import ast

import libcst as cst

from pipeprof.advise.edits.document import Document
from pipeprof.advise.edits.source_text import RefusalError, Splice

FUNCTION = "map_func"


def definition_of(document: Document, value: cst.BaseExpression) -> cst.FunctionDef:
    """Return the definition that a map's argument names.

    Raises:
        RefusalError: it is no name, or not that of one function in this file.
    """
    if not isinstance(value, cst.Name):
        raise RefusalError("the function has no name of its own")
    scope = document.scope(value)
    found = [getattr(binding, "node", None) for binding in scope[value.value]] if scope is not None else []
    if len(found) != 1 or not isinstance(found[0], cst.FunctionDef):
        raise RefusalError(f"{value.value} is not the name of one function in this file")
    return found[0]


def called(document: Document, call: cst.Call, changed: Splice | None = None) -> str:
    """Return a method call without its receiver, as it is written but for one change."""
    start = document.start(call.func.attr) if isinstance(call.func, cst.Attribute) else document.start(call)
    text = document.text[start : document.end(call)]
    if changed is None:
        return text
    return text[: changed.start - start] + changed.text + text[changed.end - start :]


def name_function(mapped: ast.Call, name: str) -> None:
    """Give a map's call another function in its syntax tree."""
    if mapped.args:
        mapped.args[0] = ast.Name(id=name, ctx=ast.Load())
        return
    next(item for item in mapped.keywords if item.arg == FUNCTION).value = ast.Name(id=name, ctx=ast.Load())
