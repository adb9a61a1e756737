"""Editor of ``filter_earlier``: ``.map(f).filter(p)`` becomes ``.filter(lambda *row: p(*f(*row))).map(f)``.

TensorFlow leaves out of the new predicate what it does not need of ``f``, as long as that holds no state; whether it does is
not decided here.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Mapping, Sequence

import libcst as cst
from libcst.metadata import ClassScope

from pipeprof.advise.edits.arguments import required_argument
from pipeprof.advise.edits.chains import described
from pipeprof.advise.edits.document import Document
from pipeprof.advise.edits.exchange import exchange
from pipeprof.advise.edits.source_text import RefusalError, Splice
from pipeprof.advise.edits.verify import Rewrite, SyntaxTree, expression

_BEFORE = frozenset({"map"})
_BEHIND = frozenset({"filter"})
_FUNCTION, _PREDICATE = "map_func", "predicate"
_ROW = "row"


def rewrite(document: Document, calls: Sequence[cst.Call], params: Mapping[str, object]) -> Rewrite:
    """Return the text in which the filter comes before the map, and asks the map's function for what it reads.

    ``params``: ``unpacks``, whether what the map gives is handed on as several arguments.

    Raises:
        RefusalError: they are not neighbours, or a function is not given by a name (the predicate: or a lambda).
    """
    unpacks = params.get("unpacks")
    if not isinstance(unpacks, bool):
        raise RefusalError("whether the map gives one value or several was not recorded")
    mapped, kept = calls
    function = required_argument(document, mapped, _FUNCTION).value
    predicate = required_argument(document, kept, _PREDICATE).value
    if not _is_name(function):
        raise RefusalError(f"the function of {described(mapped)} would stand twice, and has no name")
    if not _is_name(predicate) and not isinstance(predicate, cst.Lambda):
        raise RefusalError(f"the predicate of {described(kept)} is neither a name nor a lambda")
    given = {argument for call in calls for argument in call.args}
    names = (node for node in document.nodes(cst.Name) if _is_private(node))
    if any(not given.isdisjoint(document.ancestors(node)) for node in names):
        raise RefusalError("AutoGraph does not follow private names (two underscores) into a lambda")
    if isinstance(document.scope(kept), ClassScope):
        raise RefusalError("in the body of a class a lambda does not see its names")
    row, star = document.fresh_name(_ROW), "*" if unpacks else ""
    is_lambda = isinstance(predicate, cst.Lambda)
    start, end = document.start(predicate), document.end(predicate)
    inside = (
        Splice(start=start, end=start, text=f"lambda *{row}: {'(' if is_lambda else ''}"),
        Splice(start=end, end=end, text=f"{')' if is_lambda else ''}({star}{document.code(function)}(*{row}))"),
    )
    swapped = exchange(document, calls, _BEFORE, _BEHIND, inside)
    ends = document.end(mapped), document.end(kept)

    def expect(tree: SyntaxTree) -> None:
        before, behind = (tree.call(place) for place in ends)
        _compose(before, behind, row, star)
        swapped.expect(tree)

    return Rewrite(splices=swapped.splices, expect=expect)


def _is_name(expression: cst.BaseExpression) -> bool:
    """Whether it is a name, or an attribute of one, which can be looked up twice."""
    current = expression
    while isinstance(current, cst.Attribute) and not current.lpar:
        current = current.value
    return isinstance(current, cst.Name) and not current.lpar


def _is_private(name: cst.Name) -> bool:
    return name.value.startswith("__") and not name.value.endswith("__")


def _compose(mapped: ast.Call, kept: ast.Call, row: str, star: str) -> None:
    """Put the composed predicate into the filter's syntax tree."""
    made = expression(f"lambda *{row}: predicate({star}function(*{row}))")
    asked = made.body  # type: ignore[attr-defined]  # a lambda of our own making
    given = asked.args[0].value if star else asked.args[0]
    given.func, asked.func = copy.deepcopy(_value(mapped, _FUNCTION)), _value(kept, _PREDICATE)
    if kept.args:
        kept.args[0] = made
    else:
        next(item for item in kept.keywords if item.arg == _PREDICATE).value = made


def _value(call: ast.Call, name: str) -> ast.expr:
    return call.args[0] if call.args else next(item.value for item in call.keywords if item.arg == name)
