"""Editor of ``synchronous``: ``.map(f, num_parallel_calls=4)`` becomes ``.map(f, synchronous=True)``.

TensorFlow takes the two arguments only one without the other; whether it knows the second is not decided here.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence

import libcst as cst

from pipeprof.advise.edits.arguments import added_argument, given_argument, require_visible_arguments
from pipeprof.advise.edits.chains import described, is_class, method
from pipeprof.advise.edits.code_parts import has_calls, nodes_in
from pipeprof.advise.edits.document import Document
from pipeprof.advise.edits.source_text import RefusalError, Splice
from pipeprof.advise.edits.verify import Rewrite, SyntaxTree, expression

_CALLS, _ORDER, _NAME = "num_parallel_calls", "deterministic", "synchronous"
_POSITIONS = {_CALLS: 1, _ORDER: 2, _NAME: 3}
_GIVEN = f"{_NAME}=True"


def rewrite(document: Document, calls: Sequence[cst.Call], params: Mapping[str, object]) -> Rewrite:
    """Return the text in which the one map is synchronous.

    Raises:
        RefusalError: the call is no map, says how it orders its elements, is synchronous already, or cannot be seen whole.
    """
    del params  # it has none
    (call,) = calls
    if method(call) != "map" or not isinstance(call.func, cst.Attribute) or is_class(document, call.func.value):
        raise RefusalError(f"{described(call)} is not a .map(...) of a dataset")
    require_visible_arguments(document, call, _CALLS)
    where = {name: given_argument(call, name, position) for name, position in _POSITIONS.items()}
    synchronous, order, index = where[_NAME], where[_ORDER], where[_CALLS]
    if synchronous is not None:
        raise RefusalError(f"{described(call)} already has {_NAME}={document.code(call.args[synchronous].value)}")
    if order is not None:
        raise RefusalError(f"{described(call)} says whether its elements keep their order, as only a parallel map can")
    splices = added_argument(document, call, _GIVEN) if index is None else _replacement(document, call, call.args[index])
    end, is_keyword = document.end(call), index is not None and call.args[index].keyword is not None

    def expect(tree: SyntaxTree) -> None:
        node, made = tree.call(end), ast.keyword(arg=_NAME, value=expression("True"))
        if is_keyword:
            node.keywords = [made if item.arg == _CALLS else item for item in node.keywords]
            return
        if index is not None:
            del node.args[index]
        node.keywords.insert(0 if index is not None else len(node.keywords), made)

    return Rewrite(splices=splices, expect=expect)


def _replacement(document: Document, call: cst.Call, argument: cst.Arg) -> tuple[Splice, ...]:
    """Return the splices that put the one argument in the place of the other.

    Raises:
        RefusalError: something is worked out in it.
    """
    if has_calls([argument]) or any(isinstance(node, cst.NamedExpr) for node in nodes_in([argument])):
        raise RefusalError(f"{_CALLS} of {described(call)} is worked out where it stands")
    return (Splice(start=document.start(argument), end=document.end(argument), text=_GIVEN),)
