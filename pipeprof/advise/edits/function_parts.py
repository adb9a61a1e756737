"""Cuts the text of a function in two before one of its statements, and keeps the whole, by its name, as both in turn.

Statements stay as they are written, in their order; what the first part makes and the second reads is handed over. Only plain
functions are cut, whose last statement returns.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import libcst as cst

from pipeprof.advise.edits.code_parts import nodes_in
from pipeprof.advise.edits.crossing import Crossing, cut_early, find_crossing
from pipeprof.advise.edits.document import Document, Statement
from pipeprof.advise.edits.source_text import RefusalError, Splice
from pipeprof.advise.edits.verify import SyntaxTree, expression, parse

_FIRST, _SECOND = "fixed", "drawn"
_LOOKS_AT_NAMES = frozenset({"dir", "eval", "exec", "locals", "vars"})


@dataclass(frozen=True, kw_only=True, slots=True)
class CutFunction:
    """A function in two parts, in the same place."""

    first: str  # names of the parts
    second: str
    handed: tuple[str, ...]  # expressions that the first returns
    taken: tuple[str, ...]  # the second's parameters for them
    repeated: tuple[str, ...]  # statements of the first that the second begins with, too
    replaced: tuple[tuple[str, str], ...]  # code in the second part, and the parameter that stands for it
    start: int  # offset of the def
    index: int  # of the first statement of the second part
    splices: tuple[Splice, ...] = ()

    @property
    def first_ends(self) -> str:
        """The statement that the first part ends with."""
        return f"return {', '.join(self.handed)}"

    @property
    def second_begins(self) -> str:
        """The head of the second part."""
        return f"def {self.second}({', '.join(self.taken)}):"

    def composed(self, parameters: Sequence[str]) -> str:
        """Return the one statement of the whole."""
        star = "*" if len(self.handed) > 1 else ""
        return f"return {self.second}({star}{self.first}({', '.join(parameters)}))"

    def expect(self, tree: SyntaxTree) -> None:
        """Make the same change in the syntax tree.

        Raises:
            RefusalError: no function stands there.
        """
        body, place = tree.statement_slot(self.start)
        whole = body[place]
        if not isinstance(whole, ast.FunctionDef):
            raise RefusalError("the function cannot be found")
        first, both = copy.deepcopy(whole), copy.deepcopy(whole)
        first.name, first.returns = self.first, None
        first.body = [*first.body[: self.index], *_body(self.first_ends)]
        (second,) = parse(f"{self.second_begins} ...").body
        second.body = [item for code in self.repeated for item in parse(code).body]  # type: ignore[attr-defined]  # a def
        second.body += whole.body[self.index :]  # type: ignore[attr-defined]
        _Exchange(dict(self.replaced)).visit(second)
        both.body = _body(self.composed([item.arg for item in whole.args.args]))
        body[place : place + 1] = [first, second, both]


def cut_function(document: Document, function: cst.FunctionDef, cut: int) -> CutFunction:
    """Return a function's two parts.

    Args:
        document: the file.
        function: a definition in it.
        cut: offset of the start of a line in the first statement of the second part.

    Raises:
        RefusalError: it cannot be cut there, or what would cross is not known to fit into an element.
    """
    statements = statements_of(function)
    starts = [document.lines.line_start(document.start(item)) for item in statements]
    index = max((number for number, start in enumerate(starts) if start <= cut), default=0)
    require_plain(document, function)
    _require_parts(function, statements, index)
    early = cut_early(document, function, statements, index)
    if early > is_docstring(statements[0]):
        index = early
    crossing = find_crossing(document, function, statements[:index], statements[index:])
    return put_together(document, function, index, crossing, (_FIRST, _SECOND))


def put_together(
    document: Document, function: cst.FunctionDef, index: int, crossing: Crossing, endings: tuple[str, str]
) -> CutFunction:
    """Return the two parts of a function that is cut before its statement ``index``, their names with these endings.

    Raises:
        RefusalError: its last statement shares its line.
    """
    statements = statements_of(function)
    first, second = (document.fresh_name(f"{function.name.value}_{ending}") for ending in endings)
    made = CutFunction(
        first=first,
        second=second,
        handed=crossing.handed,
        taken=crossing.names,
        repeated=tuple(document.code(item) for item in crossing.repeated),
        replaced=tuple((document.code(part), name) for part, name in crossing.replaced),
        start=document.start(function),
        index=index,
    )
    exchanged = [Splice(start=document.start(part), end=document.end(part), text=name) for part, name in crossing.replaced]
    return replace(made, splices=(*_splices(document, function, statements, made), *exchanged))


def _splices(
    document: Document, function: cst.FunctionDef, statements: Sequence[Statement], made: CutFunction
) -> Iterator[Splice]:
    """Yield the first part's name and end, the second's head, and the whole behind them."""
    text, name, parameters = document.text, function.name, function.params.params
    yield Splice(start=document.start(name), end=document.end(name), text=made.first)
    closed = text.index(")", document.end(parameters[-1] if parameters else name)) + 1
    header_end = closed if function.returns is None else document.end(function.returns.annotation)
    if header_end > closed:
        yield Splice(start=closed, end=header_end, text="")
    (_, outer), (_, inner) = document.first_line(function), document.first_line(statements[0])
    newline = document.newline_at(document.start(function))
    gap = newline * (2 if outer else 3)
    at = document.attached_start(statements[made.index])
    begun = [f"{outer}{made.second_begins}", *(f"{inner}{code}" for code in made.repeated)]
    yield Splice(start=at, end=at, text=f"{inner}{made.first_ends}{gap}{newline.join(begun)}{newline}")
    rest = document.rest_of_line(document.end(statements[-1]))
    if rest is None:
        raise RefusalError(f"the last statement of {name.value} shares its line")
    header = text[document.start(function) : text.index(":", header_end) + 1]
    whole = f"{outer}{header}{newline}{inner}{made.composed([item.name.value for item in parameters])}"
    yield Splice(start=rest[0], end=rest[0], text=f"{gap}{whole}")


def statements_of(function: cst.FunctionDef) -> list[Statement]:
    """Return the statements of a function.

    Raises:
        RefusalError: they have no lines of their own.
    """
    if not isinstance(function.body, cst.IndentedBlock):
        raise RefusalError(f"{function.name.value} is written on one line")
    return [item for item in function.body.body if isinstance(item, cst.SimpleStatementLine | cst.BaseCompoundStatement)]


def require_plain(document: Document, function: cst.FunctionDef) -> None:
    """Make sure that a function is no more than its statements.

    Raises:
        RefusalError: it is.
    """
    name, given = function.name.value, function.params
    if function.decorators or function.asynchronous is not None or function.type_parameters is not None:
        raise RefusalError(f"{name} is decorated, generic or asynchronous")
    block = document.parent(function)
    if not isinstance(block, cst.Module) and not isinstance(document.parent(block) if block else None, cst.FunctionDef):
        raise RefusalError(f"{name} is a method, or defined in a branch")
    unusual = given.kwonly_params or given.posonly_params or given.star_kwarg or isinstance(given.star_arg, cst.Param)
    if unusual or any(item.default is not None for item in given.params):
        raise RefusalError(f"{name} takes more than plain arguments")
    inside = [node for node in nodes_in([function]) if node is not function.name]
    if any(isinstance(node, cst.Global | cst.Nonlocal | cst.Yield | cst.Await | cst.Match | cst.TypeAlias) for node in inside):
        raise RefusalError(f"{name} is more than a plain function of its arguments")
    named = {node.value for node in inside if isinstance(node, cst.Name) and not document.is_label(node)}
    if name in named or not _LOOKS_AT_NAMES.isdisjoint(named):
        raise RefusalError(f"{name} names itself, or looks its variables up by their names")


def _require_parts(function: cst.FunctionDef, statements: Sequence[Statement], index: int) -> None:
    """Make sure that there is a first part, which runs to its end, and a second, which returns.

    Raises:
        RefusalError: there is not.
    """
    name = function.name.value
    if index <= is_docstring(statements[0]):
        raise RefusalError(f"{name} draws in its first statement")
    if any(isinstance(node, cst.Return) for node in nodes_in(statements[:index])):
        raise RefusalError(f"{name} can return before it first draws")
    last = statements[-1]
    if not isinstance(last, cst.SimpleStatementLine) or not isinstance(last.body[-1], cst.Return):
        raise RefusalError(f"the last statement of {name} does not return")


def is_docstring(statement: Statement) -> bool:
    """Whether a statement is a string alone."""
    small = statement.body[0] if isinstance(statement, cst.SimpleStatementLine) else None
    return isinstance(small, cst.Expr) and isinstance(small.value, cst.SimpleString | cst.ConcatenatedString)


def _body(statement: str) -> list[ast.stmt]:
    (made,) = parse(f"def f():\n    {statement}").body
    return list(made.body)  # type: ignore[attr-defined]  # a def of our own making


class _Exchange(ast.NodeTransformer):
    """Puts parameters in the place of the expressions that the first part works out for the second."""

    def __init__(self, names: dict[str, str]) -> None:
        self._names = {ast.dump(expression(f"({code}\n)")): name for code, name in names.items()}

    def visit(self, node: ast.AST) -> ast.AST:
        """Exchange one expression, or what of it is exchanged."""
        name = self._names.get(ast.dump(node))
        return self.generic_visit(node) if name is None else ast.Name(id=name, ctx=ast.Load())
