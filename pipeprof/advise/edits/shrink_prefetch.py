"""Editor of ``shrink_prefetch``: ``.prefetch(500)`` becomes ``.prefetch(2)``, by position or by keyword as it is written.

Only a size that is read off a number or a name is replaced. That elements stay is not decided here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import libcst as cst

from pipeprof.advise.edits.arguments import required_argument
from pipeprof.advise.edits.chains import described, is_class, method
from pipeprof.advise.edits.code_parts import nodes_in
from pipeprof.advise.edits.document import Document
from pipeprof.advise.edits.names import AUTOTUNE, Place, meaning
from pipeprof.advise.edits.source_text import RefusalError, Splice
from pipeprof.advise.edits.verify import Rewrite, SyntaxTree, expression

_METHOD = "prefetch"
_SIZE = "buffer_size"
_ACTS = (cst.Await, cst.BaseComp, cst.Call, cst.NamedExpr, cst.Yield)


def rewrite(document: Document, calls: Sequence[cst.Call], params: Mapping[str, object]) -> Rewrite:
    """Return the text in which the one call holds ``params``' number of elements.

    Raises:
        RefusalError: the call is no prefetch, its size is worked out or AUTOTUNE's, or is as small already.
    """
    wanted = params.get(_SIZE)
    if not isinstance(wanted, int) or isinstance(wanted, bool) or wanted < 1:
        raise RefusalError(f"{wanted!r} is no value for {_SIZE}")
    (call,) = calls
    if method(call) != _METHOD or not isinstance(call.func, cst.Attribute) or is_class(document, call.func.value):
        raise RefusalError(f"{described(call)} is not a .{_METHOD}(...) of a dataset")
    argument = required_argument(document, call, _SIZE)
    _check_size(document, call, argument.value, wanted)
    end, is_keyword = document.end(call), argument.keyword is not None

    def expect(tree: SyntaxTree) -> None:
        node = tree.call(end)
        if is_keyword:
            next(item for item in node.keywords if item.arg == _SIZE).value = expression(str(wanted))
        else:
            node.args[0] = expression(str(wanted))

    start, behind = document.start(argument.value), document.end(argument.value)
    return Rewrite(splices=(Splice(start=start, end=behind, text=str(wanted)),), expect=expect)


def _check_size(document: Document, call: cst.Call, size: cst.BaseExpression, wanted: int) -> None:
    """Make sure that a size can be replaced by a smaller number, and nothing is lost with it.

    Raises:
        RefusalError: it cannot.
    """
    code = document.code(size)
    if isinstance(size, cst.Integer) and size.evaluated_value <= wanted:
        raise RefusalError(f"{described(call)} already holds no more than {code}")
    if isinstance(size, cst.UnaryOperation) or meaning(document, size, Place.of(document, size)) == AUTOTUNE:
        raise RefusalError(f"TensorFlow already sizes the buffer of {described(call)}")
    if any(isinstance(node, _ACTS) for node in nodes_in([size])):
        raise RefusalError(f"the size of {described(call)} is worked out where it stands ({code})")
