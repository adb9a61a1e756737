"""Editor of ``split_map``: ``.map(f)`` becomes ``.map(f_fixed).cache().map(f_drawn)``, and ``f`` is cut in two.

A shuffle directly before the map goes behind the cache, which would keep its first order else. How a function is cut is
``function_parts``'s.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Mapping, Sequence

import libcst as cst
from libcst.metadata import GlobalScope

from pipeprof.advise.edits.arguments import given_argument, required_argument
from pipeprof.advise.edits.assignments import Step, step_of, whole_step
from pipeprof.advise.edits.chains import append_call, chain_down, described, link, method, require_dataset
from pipeprof.advise.edits.code_parts import names_in, nodes_in
from pipeprof.advise.edits.document import Document
from pipeprof.advise.edits.function_parts import CutFunction, cut_function
from pipeprof.advise.edits.mapped_function import FUNCTION, called, definition_of, name_function
from pipeprof.advise.edits.source_text import RefusalError, Splice
from pipeprof.advise.edits.verify import Rewrite, SyntaxTree, expression


def rewrite(document: Document, calls: Sequence[cst.Call], params: Mapping[str, object]) -> Rewrite:
    """Return the text in which the map's function is cut, with a cache between its parts.

    Args:
        document: the file.
        calls: the map, or the shuffle that it follows and the map.
        params: ``lines``, offsets of the starts of two lines: the function's def, and the one in it that first draws.

    Raises:
        RefusalError: the function is no name of a def in this file, it cannot be cut, or the shuffle cannot be moved.
    """
    *shuffles, mapped = calls
    for call, name in zip(calls, ["shuffle"] * len(shuffles) + ["map"], strict=True):
        if method(call) != name or not isinstance(call.func, cst.Attribute):
            raise RefusalError(f"{described(call)} is not a .{name}(...) of a dataset")
        require_dataset(document, call)
    argument = required_argument(document, mapped, FUNCTION)
    _require_order(document, mapped)
    function, cut = _definition(document, argument.value, params)
    parts = cut_function(document, function, cut)
    start, end = document.start(argument.value), document.end(argument.value)
    added = ["cache()", *(called(document, call) for call in shuffles)]
    added.append(called(document, mapped, Splice(start=start, end=end, text=parts.second)))
    step = whole_step(document, mapped)
    removals = [_removal(document, shuffle, mapped) for shuffle in shuffles]
    splices = [*parts.splices, Splice(start=start, end=end, text=parts.first), *removals]
    splices += _as_statements(document, step, added) if step else _in_chain(document, mapped, added)
    places = [(document.end(call), _statement_of(document, call)) for call in calls]

    def expect(tree: SyntaxTree) -> None:
        _extend(tree, places, parts, is_step=step is not None)
        parts.expect(tree)

    return Rewrite(splices=tuple(splices), expect=expect)


def _require_order(document: Document, mapped: cst.Call) -> None:
    """Refuse a map that may give its elements in any order: a cache behind it would keep the first.

    Raises:
        RefusalError: it is one.
    """
    index = given_argument(mapped, "deterministic", 2)
    if index is not None and document.code(mapped.args[index].value) not in {"None", "True"}:
        raise RefusalError(f"{described(mapped)} may give its elements in any order, and a cache would keep the first")


def _definition(document: Document, value: cst.BaseExpression, params: Mapping[str, object]) -> tuple[cst.FunctionDef, int]:
    """Return the definition that a map's argument names, and where it is cut."""
    match params.get("lines"):
        case (int(defined), int(cut)):
            pass
        case _:
            raise RefusalError("where the function first draws was not recorded")
    function = definition_of(document, value)
    if document.lines.line_start(document.start(function)) != defined:
        raise RefusalError(f"{function.name.value} is not the function that was traced")
    return function, cut


# --- the shuffle -------------------------------------------------------------------------------------------------------


def _removal(document: Document, shuffle: cst.Call, mapped: cst.Call) -> Splice:
    """Return the splice that takes the shuffle out from before the map.

    Raises:
        RefusalError: they do not follow each other directly, or something else could read what is shuffled.
    """
    if any(isinstance(node, cst.NamedExpr) for node in nodes_in(shuffle.args)):
        raise RefusalError("an argument of the shuffle assigns a name")
    if not isinstance(shuffle.func, cst.Attribute) or shuffle.lpar:
        raise RefusalError(f"{described(shuffle)} is in parentheses")
    joint = link(document, shuffle.func)
    stripped = Splice(start=joint.start, end=document.end(shuffle), text="")
    if isinstance(mapped.func, cst.Attribute) and mapped.func.value is shuffle:
        return stripped
    before, behind = step_of(document, shuffle), document.statement(mapped)
    if before is not None and not isinstance(before.statement.body[0], cst.Assign):
        raise RefusalError("the statement of the shuffle says the type of its name")
    if before is not None and any(isinstance(node, cst.Try | cst.TryStar) for node in document.ancestors(shuffle)):
        raise RefusalError("where the shuffle fails something else may read its name")
    if before is not None:
        _require_own_name(document, before, shuffle)
    follows = before is not None and document.siblings(before.statement)[1] is behind
    if before is None or not follows or before.value is not shuffle or not _takes_all(document, mapped, before.target):
        raise RefusalError(f"{described(shuffle)} and {described(mapped)} do not follow each other directly")
    if not _is_whole(shuffle, before):
        return stripped
    start, _ = document.first_line(before.statement)
    rest = document.rest_of_line(document.end(before.statement))
    if rest is None or any(line.comment is not None for line in before.statement.leading_lines):
        raise RefusalError("the statement of the shuffle shares its line, or has a comment of its own")
    return Splice(start=start, end=rest[1], text="")


def _takes_all(document: Document, mapped: cst.Call, name: str) -> bool:
    """Whether the map reads a name first, and nothing can read it as it was behind that."""
    receiver = mapped.func.value if isinstance(mapped.func, cst.Attribute) else None
    statement = document.statement(mapped)
    step = Step.read(statement)
    value: cst.CSTNode | None = None
    if step is not None:
        is_in_chain = isinstance(step.value, cst.Call) and any(call is mapped for call in chain_down(step.value))
        value = step.value if step.target == name and is_in_chain else None
    elif isinstance(statement, cst.SimpleStatementLine) and isinstance(statement.body[0], cst.Return):
        value = statement
    readers = (
        [] if value is None else [node for node in names_in([value]) if node.value == name and not document.is_label(node)]
    )
    return len(readers) == 1 and readers[0] is receiver


def _require_own_name(document: Document, step: Step, shuffle: cst.Call) -> None:
    """Make sure that the name of what is shuffled is read by nothing else: other functions, or the shuffle's own arguments.

    Raises:
        RefusalError: it may be.
    """
    name, scope = step.target, document.scope(step.statement.body[0])
    if any(node.value == name and not document.is_label(node) for node in names_in(shuffle.args)):
        raise RefusalError(f"the shuffle's arguments read {name}, which would be another dataset there")
    declared = [node for kind in (cst.Global, cst.Nonlocal) for item in document.nodes(kind) for node in names_in([item])]
    inner = [access for binding in (scope[name] if scope else ()) for access in binding.references if access.scope is not scope]
    is_global = isinstance(scope, GlobalScope) and name in document.hidden_names
    if inner or is_global or any(node.value == name for node in declared):
        raise RefusalError(f"{name} may be read by another function")


def _is_whole(shuffle: cst.Call, step: Step) -> bool:
    """Whether a step is a shuffle alone: ``ds = ds.shuffle(n)``."""
    receiver = shuffle.func.value if isinstance(shuffle.func, cst.Attribute) else None
    return isinstance(receiver, cst.Name) and receiver.value == step.target


# --- what is added -----------------------------------------------------------------------------------------------------


def _as_statements(document: Document, step: Step, added: Sequence[str]) -> list[Splice]:
    """Return the splice that puts what is added into two statements more."""
    rest = document.rest_of_line(document.end(step.statement))
    if rest is None:
        raise RefusalError("the statement of the map shares its line")
    _, indent = document.first_line(step.statement)
    newline = document.newline_at(document.start(step.statement))
    head = f"{newline}{indent}{step.target} = {step.target}."
    return [Splice(start=rest[0], end=rest[0], text=f"{head}{'.'.join(added[:-1])}{head}{added[-1]}")]


def _in_chain(document: Document, mapped: cst.Call, added: Sequence[str]) -> list[Splice]:
    pieces = [append_call(document, mapped, code) for code in added]
    return [Splice(start=pieces[0].start, end=pieces[0].end, text="".join(piece.text for piece in pieces))]


# --- the syntax tree ---------------------------------------------------------------------------------------------------


def _statement_of(document: Document, call: cst.Call) -> int:
    return document.start(document.statement(call))


def _extend(tree: SyntaxTree, places: Sequence[tuple[int, int]], parts: CutFunction, *, is_step: bool) -> None:
    """Make the same change in the syntax tree: of the calls at ``places`` (ends, and starts of their statements)."""
    (end, at), before = places[-1], places[:-1]
    mapped = tree.call(end)
    second = copy.deepcopy(mapped)
    shuffles = [(tree.call(place), copy.deepcopy(tree.call(place)), statement) for place, statement in before]
    name_function(mapped, parts.first)
    name_function(second, parts.second)
    for shuffle, _, statement in shuffles:
        _take_out(tree, shuffle, mapped, statement)
    if not is_step:
        inner: ast.expr = ast.Call(func=mapped.func, args=mapped.args, keywords=mapped.keywords)
        mapped.func, mapped.args, mapped.keywords = second.func, second.args, second.keywords
        _on(mapped, _chained(inner, shuffles))
        return
    body, index = tree.statement_slot(at)
    step = body[index]
    name = step.targets[0].id  # type: ignore[attr-defined]  # ``name = name.map(...)``, or the trees differ
    cached, drawn = copy.deepcopy(step), copy.deepcopy(step)
    cached.value = _chained(expression(name), shuffles)  # type: ignore[attr-defined]
    drawn.value = second  # type: ignore[attr-defined]
    body[index + 1 : index + 1] = [cached, drawn]


def _chained(receiver: ast.expr, shuffles: Sequence[tuple[ast.Call, ast.Call, int]]) -> ast.expr:
    """Return the calls of the cache and of the shuffles on a receiver."""
    made = expression("_.cache()")
    _on(made, receiver)
    for _, shuffled, _ in shuffles:
        _on(shuffled, made)
        made = shuffled
    return made


def _on(call: ast.expr, receiver: ast.expr) -> None:
    call.func.value = receiver  # type: ignore[attr-defined]  # a method call, or the trees differ


def _take_out(tree: SyntaxTree, shuffle: ast.Call, mapped: ast.Call, statement: int) -> None:
    receiver = shuffle.func.value  # type: ignore[attr-defined]  # a method call, or the trees differ
    if mapped.func.value is shuffle:  # type: ignore[attr-defined]
        _on(mapped, receiver)
        return
    body, index = tree.statement_slot(statement)
    step = body[index]
    if ast.dump(receiver) == ast.dump(expression(step.targets[0].id)):  # type: ignore[attr-defined]
        del body[index]
    else:
        step.value = receiver  # type: ignore[attr-defined]
