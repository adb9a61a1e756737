"""Editor of ``interleave``: reads several files at a time.

``TFRecordDataset(files)`` gets ``num_parallel_reads``; ``.flat_map(f)`` becomes ``.interleave(f)`` with
``num_parallel_calls``. Nothing else is changed.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence

import libcst as cst

from pipeprof.advise.edits.arguments import added_argument, given_argument, require_visible_arguments
from pipeprof.advise.edits.chains import described, is_class, method
from pipeprof.advise.edits.document import Document
from pipeprof.advise.edits.names import AUTOTUNE, Place, spelling
from pipeprof.advise.edits.source_text import RefusalError, Splice
from pipeprof.advise.edits.verify import Rewrite, SyntaxTree, expression

_READS = "num_parallel_reads"
_READERS = {"TFRecordDataset": 3, "TextLineDataset": 3, "FixedLengthRecordDataset": 6}  # the position of num_parallel_reads
_FLAT_MAP, _INTERLEAVE = "flat_map", "interleave"


def rewrite(document: Document, calls: Sequence[cst.Call], params: Mapping[str, object]) -> Rewrite:
    """Return the text in which the one call reads ``cycle_length`` files at a time, as many as AUTOTUNE says without it.

    Raises:
        RefusalError: the call reads no files, cannot be seen whole, or reads several at a time already.
    """
    cycle = params.get("cycle_length")
    if cycle is not None and (not isinstance(cycle, int) or isinstance(cycle, bool) or cycle < 1):
        raise RefusalError(f"{cycle!r} is no value for cycle_length")
    (call,) = calls
    if method(call) == _INTERLEAVE:
        raise RefusalError(f"{described(call)} already reads several at a time")
    autotune = spelling(document, AUTOTUNE, Place.of(document, call)) or "-1"
    if method(call) in _READERS:
        return _read_in_parallel(document, call, autotune if cycle is None else str(cycle))
    return _interleave(document, call, cycle, autotune)


def _read_in_parallel(document: Document, call: cst.Call, reads: str) -> Rewrite:
    require_visible_arguments(document, call, _READS)
    if given_argument(call, _READS, _READERS[method(call)]) is not None:
        raise RefusalError(f"{described(call)} already has {_READS}")
    splices = added_argument(document, call, f"{_READS}={reads}")
    return Rewrite(splices=splices, expect=_expectation(document.end(call), {_READS: reads}))


def _interleave(document: Document, call: cst.Call, cycle: int | None, autotune: str) -> Rewrite:
    if method(call) != _FLAT_MAP or not isinstance(call.func, cst.Attribute) or is_class(document, call.func.value):
        raise RefusalError(f"{described(call)} is not a .{_FLAT_MAP}(...) of a dataset, nor a reader of files")
    require_visible_arguments(document, call, "function")
    if sum(argument.keyword is None for argument in call.args) > 1:
        raise RefusalError(f"{described(call)} has a second argument that .{_INTERLEAVE}(...) takes for another")
    arguments = ({} if cycle is None else {"cycle_length": str(cycle)}) | {"num_parallel_calls": autotune}
    attribute = call.func.attr
    name = Splice(start=document.start(attribute), end=document.end(attribute), text=_INTERLEAVE)
    added = added_argument(document, call, ", ".join(f"{key}={value}" for key, value in arguments.items()))
    return Rewrite(splices=(name, *added), expect=_expectation(document.end(call), arguments, _INTERLEAVE))


def _expectation(end: int, arguments: Mapping[str, str], name: str = "") -> Callable[[SyntaxTree], None]:
    def expect(tree: SyntaxTree) -> None:
        node = tree.call(end)
        node.keywords.extend(ast.keyword(arg=key, value=expression(value)) for key, value in arguments.items())
        if name:
            node.func.attr = name  # type: ignore[attr-defined]  # a method call, or the trees differ

    return expect
