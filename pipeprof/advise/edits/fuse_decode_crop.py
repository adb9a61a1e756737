"""Editor of ``fuse_decode_crop``: a map's function decodes the window that it crops, by a small function before it.

The window is two pixels wider on each side and cropped once more, as the trial does it (``function_crop``): else its outermost
pixels would differ. Where a function decodes and crops is ``decoded_crop``'s.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence

import libcst as cst

from pipeprof.advise.edits.arguments import required_argument
from pipeprof.advise.edits.chains import described, method, require_dataset
from pipeprof.advise.edits.decoded_crop import DecodedCrop, find_crop
from pipeprof.advise.edits.document import Document
from pipeprof.advise.edits.mapped_function import FUNCTION, definition_of
from pipeprof.advise.edits.names import Place, spelling
from pipeprof.advise.edits.source_text import RefusalError, Splice
from pipeprof.advise.edits.verify import Rewrite, SyntaxTree, expression, parse

_PARTS = 2  # of a function that was cut
_HELPER = "decode_crop"
_NAMED = ("row", "column")
_DRAWN = "{uniform}([3], maxval={int32}.max, dtype={int32})[:2] % (whole - [rows, columns] + 1)"
_GIVEN = "{cast}({stack}([row, column]), {int32})"
_WORDS = '"""Decode a window of a JPEG, with 2 pixels more on each side: the outermost ones would differ."""'
_LINES = (
    "first = {maximum}(place - 2, 0)",
    "last = {minimum}(place + [rows, columns] + 2, whole)",
    "window = {concat}([first, last - first], 0)",
    "image = {decode}(data, window, channels={channels})",
    "return {slice}(image, {concat}([place - first, [0]], 0), [rows, columns, {channels}])",
)
_NAMES = {
    "uniform": "random.uniform",
    "int32": "int32",
    "shape": "io.extract_jpeg_shape",
    "cast": "cast",
    "stack": "stack",
    "maximum": "maximum",
    "minimum": "minimum",
    "concat": "concat",
    "decode": "io.decode_and_crop_jpeg",
    "slice": "slice",
}


def rewrite(document: Document, calls: Sequence[cst.Call], params: Mapping[str, object]) -> Rewrite:
    """Return the text in which the one map's function decodes only what it crops.

    ``params``: ``seeded``, whether the program sets seeds, by which other numbers would be drawn.

    Raises:
        RefusalError: the function is no name of a def in this file, does not decode and crop in one go, or draws by seeds.
    """
    (mapped,) = calls
    if method(mapped) != "map" or not isinstance(mapped.func, cst.Attribute):
        raise RefusalError(f"{described(mapped)} is not a .map(...) of a dataset")
    require_dataset(document, mapped)
    value = required_argument(document, mapped, FUNCTION).value
    whole = document.with_whole(definition_of(document, value))
    (call,) = (whole.call(document.start(item), document.end(item)) for item in calls)
    function = definition_of(whole, required_argument(whole, call, FUNCTION).value)
    _require_own(whole, function)
    found = find_crop(whole, function)
    if not found.place and params.get("seeded"):
        raise RefusalError("seeds are set, and its crop would draw other places than before")
    return _written(whole, function, found)


def _require_own(document: Document, function: cst.FunctionDef) -> None:
    """Make sure that the map alone uses a function: what is no JPEG could be decoded by another use of it.

    Raises:
        RefusalError: something else may use it.
    """
    name, tree = function.name.value, parse(document.text)
    given_up = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and _is_left_of_a_cut(tree, node, name)]
    if _uses(tree, name) != 1 + len(given_up):
        raise RefusalError(f"{name} is used by more than this map, and a file that is no JPEG would fail there")


def _uses(tree: ast.AST, name: str) -> int:
    return sum(isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Load) for node in ast.walk(tree))


def _is_left_of_a_cut(tree: ast.AST, function: ast.FunctionDef, name: str) -> bool:
    """Whether a function is what another edit kept of one that it cut: both parts in turn, and nothing uses it any more."""
    called = [node.func.id for node in ast.walk(function) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    is_whole = len(function.body) == 1 and len(called) == _PARTS and all(one.startswith(f"{function.name}_") for one in called)
    return is_whole and name in called and not _uses(tree, function.name)


def _written(document: Document, function: cst.FunctionDef, found: DecodedCrop) -> Rewrite:
    name = document.fresh_name(_HELPER)
    helper = _helper(document, function, name, found)
    given = [document.code(item) for item in (found.data, *found.place, *found.size)]
    made = f"{name}({', '.join(given)})"
    start, end = document.start(found.crop), document.end(found.crop)
    splices = [Splice(start=start, end=end, text=made)]
    gone = None if found.statement is None else document.start(found.statement)
    if found.statement is not None:
        rest = document.rest_of_line(document.end(found.statement))
        if rest is None:
            raise RefusalError("the statement that decodes shares its line")
        splices.append(Splice(start=document.first_line(found.statement)[0], end=rest[1], text=""))
    (_, indent), newline = document.first_line(function), document.newline_at(document.start(function))
    gap = newline * (2 if indent else 3)
    text = newline.join(f"{indent}{code}" for code in helper)
    at = document.attached_start(function)
    splices.append(Splice(start=at, end=at, text=f"{text}{gap}"))
    place = document.start(function)

    def expect(tree: SyntaxTree) -> None:
        _exchange(tree.call(end), made)
        if gone is not None:
            body, index = tree.statement_slot(gone)
            del body[index]
        body, index = tree.statement_slot(place)
        body[index:index] = parse("\n".join(helper)).body

    return Rewrite(splices=tuple(splices), expect=expect)


def _helper(document: Document, function: cst.FunctionDef, name: str, found: DecodedCrop) -> list[str]:
    """Return the lines of the function that decodes a window.

    Raises:
        RefusalError: TensorFlow has no name there.
    """
    place, lines = Place.of(document, function), list(_LINES)
    lines[:0] = ["whole = {shape}(data)[:2]", f"place = {_GIVEN if found.place else _DRAWN}"]
    spelled: dict[str, object] = {"channels": found.channels}
    for key, wanted in _NAMES.items():
        spelled[key] = spelling(document, f"tensorflow.{wanted}", place)
        if spelled[key] is None and any(f"{{{key}}}" in line for line in lines):
            raise RefusalError(f"tensorflow.{wanted} has no name here")
    taken = ("data", *(_NAMED if found.place else ()), "rows", "columns")
    head = f"def {name}({', '.join(taken)}):"
    return [head, f"    {_WORDS}", *(f"    {line.format(**spelled)}" for line in lines)]


def _exchange(call: ast.Call, code: str) -> None:
    """Turn a call into another one in place."""
    made = expression(code)
    call.func, call.args, call.keywords = made.func, made.args, made.keywords  # type: ignore[attr-defined]  # a call of our making
