"""Editor of ``parse_together``: ``parse_single_example`` becomes ``parse_example``, which takes one record or many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import libcst as cst

from pipeprof.advise.edits.chains import described, method
from pipeprof.advise.edits.document import Document
from pipeprof.advise.edits.source_text import RefusalError, Splice
from pipeprof.advise.edits.verify import Rewrite, SyntaxTree

_ONE, _MANY = "parse_single_example", "parse_example"


def rewrite(document: Document, calls: Sequence[cst.Call], params: Mapping[str, object]) -> Rewrite:
    """Return the text in which the one call parses any number of records.

    Raises:
        RefusalError: it is no call of ``parse_single_example``.
    """
    del params  # it has none
    (call,) = calls
    if method(call) == _MANY:
        raise RefusalError(f"{described(call)} already takes many records")
    if method(call) != _ONE or not isinstance(call.func, cst.Attribute):
        raise RefusalError(f"{described(call)} does not parse a single example")
    name, end = call.func.attr, document.end(call)

    def expect(tree: SyntaxTree) -> None:
        tree.call(end).func.attr = _MANY  # type: ignore[attr-defined]  # it is a method call, or the trees differ

    return Rewrite(splices=(Splice(start=document.start(name), end=document.end(name), text=_MANY),), expect=expect)
