"""Editor of ``cast_later``: ``.map(f).batch(n)`` becomes ``.map(f_narrow).batch(n).map(f_cast)``, and ``f`` is cut in two.

A function that does nothing but cast moves as it is. Which of its lines are casts is ``widening``'s, how it is cut is
``function_parts``'s.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import libcst as cst

from pipeprof.advise.edits.arguments import given_argument, required_argument
from pipeprof.advise.edits.assignments import whole_step
from pipeprof.advise.edits.chains import append_call, described, link, method, require_dataset
from pipeprof.advise.edits.code_parts import has_calls, nodes_in
from pipeprof.advise.edits.document import Document
from pipeprof.advise.edits.function_parts import CutFunction, put_together
from pipeprof.advise.edits.mapped_function import FUNCTION, called, definition_of, name_function
from pipeprof.advise.edits.passage import calls_between
from pipeprof.advise.edits.source_text import RefusalError, Splice
from pipeprof.advise.edits.verify import Rewrite, SyntaxTree
from pipeprof.advise.edits.widening import Widening, find_widening

_ENDINGS = ("narrow", "cast")
_HOLDING = frozenset({"batch", "cache", "shuffle"})
_BETWEEN = _HOLDING | {"prefetch", "repeat", "shard", "skip", "take", "with_options"}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Move:
    """What becomes of the map."""

    taken: Splice  # the map where it stands: another function, or nothing
    code: str  # of the map behind the last call
    parts: CutFunction | None  # None where the function moves as it is


def rewrite(document: Document, calls: Sequence[cst.Call], params: Mapping[str, object]) -> Rewrite:
    """Return the text in which the map's casts come behind the last stage that holds its elements.

    Args:
        document: the file.
        calls: the map, and the last of these stages.
        params: ``compared``, whether it is known by their elements that all constants fit a batch.

    Raises:
        RefusalError: the function's casts are not its last lines, or something could see the elements before them.
    """
    if method(calls[0]) != "map" or not isinstance(calls[0].func, cst.Attribute):
        raise RefusalError(f"{described(calls[0])} is not a .map(...) of a dataset")
    require_dataset(document, calls[0])
    _check_calls(document, *calls)
    document, (mapped, last) = _with_function(document, calls)
    argument = required_argument(document, mapped, FUNCTION)
    function = argument.value if isinstance(argument.value, cst.Lambda) else definition_of(document, argument.value)
    found = find_widening(document, function)
    if found.constants and not params.get("compared"):
        raise RefusalError(f"whether {found.constants[0]} fits a batch, too, is known once the change was tried")
    move = _move(document, mapped, argument.value, function, found)
    added = append_call(document, last, move.code)
    ends = document.end(mapped), document.end(last)
    step = whole_step(document, mapped) if move.parts is None else None
    gone = None if step is None else document.start(step.statement)

    def expect(tree: SyntaxTree) -> None:
        _change_calls(tree, ends, move.parts)
        if move.parts is not None:
            move.parts.expect(tree)
        elif gone is not None:
            body, index = tree.statement_slot(gone)
            del body[index]

    return Rewrite(splices=(*(move.parts.splices if move.parts else ()), move.taken, added), expect=expect)


def _with_function(document: Document, calls: Sequence[cst.Call]) -> tuple[Document, list[cst.Call]]:
    """Return the document with the map's function as a whole, and the calls in it."""
    value = required_argument(document, calls[0], FUNCTION).value
    if isinstance(value, cst.Lambda):
        return document, list(calls)
    whole = document.with_whole(definition_of(document, value))
    return whole, [whole.call(document.start(call), document.end(call)) for call in calls]


def _check_calls(document: Document, mapped: cst.Call, last: cst.Call) -> None:
    """Make sure that the map can come behind the last call, and that what stands between takes narrow elements as well.

    Raises:
        RefusalError: it cannot.
    """
    for call in calls_between(document, mapped, last):
        if method(call) not in _BETWEEN:
            raise RefusalError(f"{described(call)} stands between, and may need what is cast")
        if method(call) == "cache" and call.args:
            raise RefusalError(f"the file of {described(call)} may hold elements that were cast before")
    if method(last) not in _HOLDING:
        raise RefusalError(f"{described(last)} holds no elements")
    index = given_argument(mapped, "deterministic", 2)
    if index is not None and document.code(mapped.args[index].value) not in {"None", "True"}:
        raise RefusalError(f"{described(mapped)} may give its elements in any order, and so would the map of batches")
    function = required_argument(document, mapped, FUNCTION)
    others = [item for item in mapped.args if item is not function]
    if has_calls(others) or any(isinstance(node, cst.NamedExpr) for node in nodes_in(mapped.args)):
        raise RefusalError(f"an argument of {described(mapped)} is worked out where it stands")


def _move(
    document: Document, mapped: cst.Call, value: cst.BaseExpression, function: cst.FunctionDef | cst.Lambda, found: Widening
) -> _Move:
    start, end = document.start(value), document.end(value)
    if found.is_whole:
        return _Move(taken=_removal(document, mapped), code=called(document, mapped), parts=None)
    if isinstance(function, cst.Lambda):
        raise RefusalError("the lambda does more than cast: its first part and the cast need a name each")
    parts = put_together(document, function, found.index, found.crossing, _ENDINGS)
    taken = Splice(start=start, end=end, text=parts.first)
    return _Move(taken=taken, code=called(document, mapped, Splice(start=start, end=end, text=parts.second)), parts=parts)


def _removal(document: Document, mapped: cst.Call) -> Splice:
    """Return the splice that takes the map out of its chain, or its statement where that is all of it."""
    if not isinstance(mapped.func, cst.Attribute) or mapped.lpar:
        raise RefusalError(f"{described(mapped)} is in parentheses")
    step = whole_step(document, mapped)
    if step is not None:
        rest = document.rest_of_line(document.end(step.statement))
        if rest is None:
            raise RefusalError("the statement of the map shares its line")
        return Splice(start=document.first_line(step.statement)[0], end=rest[1], text="")
    return Splice(start=link(document, mapped.func).start, end=document.end(mapped), text="")


# --- the syntax tree ---------------------------------------------------------------------------------------------------


def _change_calls(tree: SyntaxTree, ends: tuple[int, int], parts: CutFunction | None) -> None:
    """Put a copy of the map behind the last call, and take the map out, or give it the first part."""
    mapped, last = (tree.call(end) for end in ends)
    second = copy.deepcopy(mapped)
    if parts is not None:
        name_function(mapped, parts.first)
        name_function(second, parts.second)
    inner = ast.Call(func=last.func, args=last.args, keywords=last.keywords)
    second.func.value = inner  # type: ignore[attr-defined]  # a method call, or the trees differ
    last.func, last.args, last.keywords = second.func, second.args, second.keywords
    if parts is None:
        _Removal(mapped).visit(tree.module)


class _Removal(ast.NodeTransformer):
    """Puts the receiver of one call in its place."""

    def __init__(self, call: ast.Call) -> None:
        self._call = call

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """Exchange the one call."""
        if node is self._call and isinstance(node.func, ast.Attribute):
            return node.func.value
        return self.generic_visit(node)
