"""Editor of ``parallel_calls``: sets ``num_parallel_calls`` of one map, interleave or batch call.

The argument is replaced where it is given, by keyword or by position, and added behind the last argument otherwise, in
the layout that the arguments have. Where it cannot be seen (``*args``, ``**kwargs``) nothing is written.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence

import libcst as cst

from pipeprof.advise.edits.arguments import added_argument, given_argument, require_visible_arguments
from pipeprof.advise.edits.chains import described, is_class, method
from pipeprof.advise.edits.document import Document
from pipeprof.advise.edits.names import AUTOTUNE, Place, meaning, spelling
from pipeprof.advise.edits.source_text import RefusalError, Splice
from pipeprof.advise.edits.verify import Rewrite, SyntaxTree, expression

_NAME = "num_parallel_calls"
_AUTOTUNE_VALUE = -1
_POSITIONS = {"map": 1, "batch": 2, "interleave": 3}  # of num_parallel_calls, TensorFlow 2.3 to 2.21


def rewrite(document: Document, calls: Sequence[cst.Call], params: Mapping[str, object]) -> Rewrite:
    """Return the text that sets ``num_parallel_calls`` of the one call to ``params``' value (-1: AUTOTUNE).

    Raises:
        RefusalError: the call is none that takes it, cannot be seen whole, or has the value already.
    """
    wanted = params.get(_NAME, _AUTOTUNE_VALUE)
    if not isinstance(wanted, int) or isinstance(wanted, bool) or (wanted < 1 and wanted != _AUTOTUNE_VALUE):
        raise RefusalError(f"{wanted!r} is no value for {_NAME}")
    (call,) = calls
    _check_call(document, call)
    value = (spelling(document, AUTOTUNE, Place.of(document, call)) or "-1") if wanted == _AUTOTUNE_VALUE else str(wanted)
    index = given_argument(call, _NAME, _POSITIONS[method(call)])
    if index is None:
        splices = added_argument(document, call, f"{_NAME}={value}")
    else:
        present = call.args[index].value
        if _value(document, present) == wanted:
            raise RefusalError(f"{described(call)} already has {_NAME}={document.code(present)}")
        splices = (Splice(start=document.start(present), end=document.end(present), text=value),)
    return Rewrite(splices=splices, expect=_expectation(document.end(call), call, index, value))


def _expectation(end: int, call: cst.Call, index: int | None, value: str) -> Callable[[SyntaxTree], None]:
    def expect(tree: SyntaxTree) -> None:
        node = tree.call(end)
        if index is None:
            node.keywords.append(ast.keyword(arg=_NAME, value=expression(value)))
        elif call.args[index].keyword is None:
            node.args[index] = expression(value)
        else:
            next(item for item in node.keywords if item.arg == _NAME).value = expression(value)

    return expect


def _check_call(document: Document, call: cst.Call) -> None:
    name = method(call)
    if name not in _POSITIONS or not isinstance(call.func, cst.Attribute):
        raise RefusalError(f"{described(call)} takes no {_NAME}")
    if is_class(document, call.func.value):
        raise RefusalError(f"{described(call)} is called on the class, not on a dataset")
    require_visible_arguments(document, call, _NAME)
    for argument in call.args:
        is_true = isinstance(argument.value, cst.Name) and argument.value.value == "True"
        if argument.keyword is not None and argument.keyword.value == "synchronous" and is_true:
            raise RefusalError(f"{described(call)} has synchronous=True, which excludes {_NAME}")


def _value(document: Document, node: cst.BaseExpression) -> int | None:
    """Return the value that an expression surely has."""
    if isinstance(node, cst.Integer):
        return node.evaluated_value
    if isinstance(node, cst.UnaryOperation) and isinstance(node.operator, cst.Minus):
        inner = _value(document, node.expression)
        return None if inner is None else -inner
    name = meaning(document, node, Place.of(document, node)) or ""
    return _AUTOTUNE_VALUE if name.endswith(".AUTOTUNE") else None  # TensorFlow's own, or one passed on by another module
