"""Editor of ``bucket``: ``.padded_batch(n, ...)`` becomes ``.bucket_by_sequence_length(...)``.

The arguments that both methods take stay as they are written; the batch size becomes that of every bucket.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence

import libcst as cst

from pipeprof.advise.edits.arguments import given_argument, required_argument
from pipeprof.advise.edits.chains import described, method
from pipeprof.advise.edits.document import Document
from pipeprof.advise.edits.names import Place, spelling
from pipeprof.advise.edits.source_text import RefusalError, Splice
from pipeprof.advise.edits.verify import Rewrite, SyntaxTree, expression

_PADDED, _BUCKETS = "padded_batch", "bucket_by_sequence_length"
_SHAPE = "tensorflow.shape"
_SIZE = "batch_size"
_SHARED = ("padded_shapes", "padding_values", "drop_remainder", "name")  # in the order in which padded_batch takes them
_PATH = re.compile(r"row(\[(\d+|'[^'\\\n]*'|\"[^\"\\\n]*\")\])*\Z")


def rewrite(document: Document, calls: Sequence[cst.Call], params: Mapping[str, object]) -> Rewrite:
    """Return the text in which the one call makes buckets.

    ``params``: ``boundaries`` ("17 32"), ``path`` of the component whose length counts ("row[0]"), ``unpacks``.

    Raises:
        RefusalError: the call is none of a padded batch, cannot be seen whole, or the lengths were not measured.
    """
    boundaries, path, unpacks = params.get("boundaries"), params.get("path"), params.get("unpacks")
    if not isinstance(boundaries, str) or not boundaries or not isinstance(path, str) or not _PATH.match(path):
        raise RefusalError("the lengths of the rows were not measured")
    (call,) = calls
    if method(call) == _BUCKETS:
        raise RefusalError(f"{described(call)} already makes buckets")
    if method(call) != _PADDED or not isinstance(call.func, cst.Attribute):
        raise RefusalError(f"{described(call)} is not a .{_PADDED}(...) of a dataset")
    size = required_argument(document, call, _SIZE)
    _refuse_shapes(call)
    shape = spelling(document, _SHAPE, Place.of(document, call))
    if shape is None:
        raise RefusalError("TensorFlow has no name in the file here")
    row = document.fresh_name("row")
    written = path.replace("row", row, 1)
    length = f"lambda {'*' if unpacks else ''}{row}: {shape}({written})[0]"
    limits = ", ".join(boundaries.split())
    count = len(boundaries.split()) + 1
    made = [f"element_length_func={length}", f"bucket_boundaries=[{limits}]"]
    made.append(f"bucket_batch_sizes=[{document.code(size.value)}] * {count}")
    name = call.func.attr
    splices = [
        Splice(start=document.start(name), end=document.end(name), text=_BUCKETS),
        Splice(
            start=document.start(size),
            end=document.end(size),
            text=f",{_joint(document, size)}".join(made),
        ),
        *_named(document, call),
    ]
    end = document.end(call)

    def expect(tree: SyntaxTree) -> None:
        _exchange(tree.call(end), (length, limits, count))

    return Rewrite(splices=tuple(splices), expect=expect)


def _refuse_shapes(call: cst.Call) -> None:
    """Refuse shapes that the new method does not read as the old one does: it takes lists of sizes and None only."""
    index = given_argument(call, "padded_shapes", 1)
    shapes = None if index is None else call.args[index].value
    if shapes is not None and not _is_none(shapes) and not _are_shapes(shapes):
        raise RefusalError("padded_shapes is not written in lists of sizes and None, as buckets need it")


def _are_shapes(expression: cst.BaseExpression) -> bool:
    if isinstance(expression, cst.Tuple):
        return bool(expression.elements) and all(_are_shapes(element.value) for element in expression.elements)
    if isinstance(expression, cst.Dict):
        return all(isinstance(element, cst.DictElement) and _are_shapes(element.value) for element in expression.elements)
    if not isinstance(expression, cst.List):
        return False
    sizes = [element.value for element in expression.elements]
    return all(isinstance(size, cst.Integer) or _is_none(size) for size in sizes)


def _is_none(expression: cst.BaseExpression) -> bool:
    return isinstance(expression, cst.Name) and expression.value == "None"


def _joint(document: Document, argument: cst.Arg) -> str:
    """Return what stands between arguments: a new line where this one has a line of its own."""
    start = document.start(argument)
    line_start = document.lines.line_start(start)
    indent = document.text[line_start:start]
    return " " if indent.strip() else f"{document.newline_at(start)}{indent}"


def _named(document: Document, call: cst.Call) -> list[Splice]:
    """Return the names of arguments that were given by their place, which is another in the new method."""
    names = iter((_SIZE, *_SHARED))
    found = []
    for argument, name in zip(call.args, names, strict=False):
        if argument.keyword is not None:
            break
        if name != _SIZE:
            start = document.start(argument)
            found.append(Splice(start=start, end=start, text=f"{name}="))
    return found


def _exchange(call: ast.Call, made: tuple[str, str, int]) -> None:
    """Make the same change in the syntax tree."""
    length, limits, count = made
    given = dict(zip((_SIZE, *_SHARED), call.args, strict=False))
    order = [*given, *(item.arg for item in call.keywords)]
    given |= {str(item.arg): item.value for item in call.keywords}
    sizes = expression(f"[0] * {count}")
    sizes.left.elts = [given[_SIZE]]  # type: ignore[attr-defined]  # a product of our own making
    first = {
        "element_length_func": expression(length),
        "bucket_boundaries": expression(f"[{limits}]"),
        "bucket_batch_sizes": sizes,
    }
    call.func.attr = _BUCKETS  # type: ignore[attr-defined]  # a method call, or the trees differ
    call.args, call.keywords = [], []
    for name in order:
        for key, value in first.items() if name == _SIZE else [(str(name), given[str(name)])]:
            call.keywords.append(ast.keyword(arg=key, value=value))
