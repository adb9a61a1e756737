"""Call sites: which line of the user's source made a dataset.

When a dataset is made, only the code object and the instruction are kept (a microsecond); the exact range is worked out
when it is asked for. Never looks at values of the user's variables.
"""

from __future__ import annotations

import ast
import hashlib
import sys
import sysconfig
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import CodeType, FrameType

from pipeprof.model.profile import CallSite, SourceFile

_OWN_ROOT = str(Path(__file__).resolve().parents[1])
_STDLIB_ROOTS = tuple({sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")})
_TRANSPARENT = frozenset({"tensorflow", "keras", "tf_keras", "wrapt"})  # between the user's line and the dataset
_MAX_CODE = 2000
_MAX_STACK = 8

_Range = tuple[int, int, int, int]  # line, column, end line, end column

_KERAS_LOOPS = frozenset({"fit", "evaluate", "predict", "adapt"})


@dataclass(frozen=True, slots=True)
class Spot:
    """One instruction of one code object."""

    code: CodeType
    instruction: int


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a dataset was made."""

    user: Spot | None  # the innermost frame of the user's own code
    library: Spot | None  # the innermost frame of an installed package, where that called TensorFlow
    stack: tuple[
        tuple[str, int], ...
    ]  # (file, instruction) of the user's frames, innermost first: tells two uses of a helper apart
    keras_role: str = ""  # "fit", "evaluate", "predict", "adapt" where Keras made it

    @property
    def direct(self) -> bool:
        """Whether the user's own line called TensorFlow."""
        return self.user is not None and self.library is None


def capture_origin(skip: int = 1) -> Origin:
    """Walk up the calling thread's stack and note where the user's code stands.

    Args:
        skip: frames to leave out, counted from the caller of this function.
    """
    user = library = None
    stack: list[tuple[str, int]] = []
    frame: FrameType | None = sys._getframe(skip)
    while frame is not None and len(stack) < _MAX_STACK:
        kind = kind_of_file(frame.f_code.co_filename)
        if kind == "user":
            if user is None:
                user = Spot(frame.f_code, frame.f_lasti)
            stack.append((frame.f_code.co_filename, frame.f_lasti))
        elif kind == "library" and user is None and library is None:
            library = Spot(frame.f_code, frame.f_lasti)
        frame = frame.f_back
    return Origin(user, library, tuple(stack))


def keras_role(skip: int = 1) -> str:
    """Return which of Keras' loops is on the stack: the innermost of fit, evaluate, predict, adapt; empty outside Keras."""
    frame: FrameType | None = sys._getframe(skip)
    innermost = ""
    inside_fit = False
    while frame is not None:
        code = frame.f_code
        if code.co_name in _KERAS_LOOPS and _is_keras(code.co_filename):
            innermost = innermost or code.co_name
            inside_fit = inside_fit or code.co_name == "fit"
        frame = frame.f_back
    return "validation" if innermost == "evaluate" and inside_fit else innermost


@lru_cache(maxsize=4096)
def kind_of_file(filename: str) -> str:
    """Tell the user's files from TensorFlow's, from other packages' and from generated code."""
    if filename.startswith("<frozen") or _in_package(filename, _OWN_ROOT):
        return "internal"
    parts = Path(filename).parts
    if "site-packages" in parts or "dist-packages" in parts:
        package = parts[max(i for i, part in enumerate(parts) if part in {"site-packages", "dist-packages"}) + 1]
        return "internal" if package in _TRANSPARENT else "library"
    if "__autograph_generated_file" in filename or any(_in_package(filename, root) for root in _STDLIB_ROOTS):
        return "internal"
    return "user"


def _is_keras(filename: str) -> bool:
    return "/keras/" in filename or "/tf_keras/" in filename


def _in_package(filename: str, root: str) -> bool:
    return filename.startswith(root + "/")


def resolve(origin: Origin) -> tuple[CallSite | None, CallSite | None]:
    """Return the user's and the library's exact call ranges."""
    user = None if origin.user is None else _site(origin.user, editable=origin.direct)
    library = None if origin.library is None else _site(origin.library, editable=False)
    return user, library


def source_digest(path: str) -> SourceFile | None:
    """Return a file's digest, None where there is no such file (exec'd code, a prompt)."""
    try:
        content = Path(path).read_bytes()
    except OSError:
        return None
    return SourceFile(path=path, sha256=hashlib.sha256(content).hexdigest())


def call_on_line(path: str, line: int, method: str, inside: CallSite | None = None) -> CallSite | None:
    """Return the one call of a method in the statement of a line, None where there is none or several.

    AutoGraph keeps of a statement over several lines one line or another, so that the line tells the statement alone. A call
    that says how many run in parallel makes no sequential stage, and is none of those that are looked for.

    Args:
        path: the file.
        line: any line of the statement.
        method: its name.
        inside: a call whose arguments hold the one that is looked for, where there are several.
    """
    source = _source(path)
    if source is None:
        return None
    lines, calls = source
    found = {
        call.range: call
        for call in calls.values()
        if call.method == method and not call.is_parallel and call.statement[0] <= line <= call.statement[1]
    }
    if len(found) > 1 and inside is not None and inside.file == path:
        found = {key: call for key, call in found.items() if _is_argument(key, inside)}
    if len(found) != 1:
        return None
    ((first, column, last, end_column), call), *_ = found.items()
    return CallSite(
        file=path,
        line=first,
        column=column,
        end_line=last,
        end_column=end_column,
        function="",
        code=_cut(lines, first, column, last, end_column)[:_MAX_CODE],
        editable=True,
        method_line=call.method_line,
    )


def _is_argument(key: _Range, outer: CallSite) -> bool:
    """Tell whether a range lies within a call, and is not of the chain before it."""
    starts_after = (outer.line, outer.column) < key[:2]
    return starts_after and key[2:] < (outer.end_line, outer.end_column)


@lru_cache(maxsize=1024)
def _site(spot: Spot, editable: bool) -> CallSite | None:
    position = _position(spot)
    if position is None:
        return None
    line, end_line, column, end_column = position
    path = spot.code.co_filename
    source = _source(path)
    if source is None:
        return CallSite(
            file=path,
            line=line,
            column=column,
            end_line=end_line,
            end_column=end_column,
            function=spot.code.co_qualname,
            code="",
            editable=False,
        )
    lines, calls = source
    seen = (line, _characters(lines, line, column), end_line, _characters(lines, end_line, end_column))
    call = calls.get(seen)
    line, column, end_line, end_column = seen if call is None else call.range
    return CallSite(
        file=path,
        line=line,
        column=column,
        end_line=end_line,
        end_column=end_column,
        function=spot.code.co_qualname,
        code=_cut(lines, line, column, end_line, end_column)[:_MAX_CODE],
        editable=editable and call is not None,
        method_line=None if call is None else call.method_line,
    )


def _position(spot: Spot) -> tuple[int, int, int, int] | None:
    for index, position in enumerate(spot.code.co_positions()):
        if index == spot.instruction // 2:
            line, end_line, column, end_column = position
            if line is None:
                return None
            return line, end_line or line, column or 0, end_column or 0
    return None


@dataclass(frozen=True, slots=True)
class _Call:
    """A call in a source file: its whole range, the line of the function's name, and what it is a call of."""

    range: _Range
    method_line: int
    method: str  # empty for a plain function
    statement: tuple[int, int]  # first and last line of the innermost statement around it
    is_parallel: bool  # it has the argument num_parallel_calls


@lru_cache(maxsize=256)
def _source(path: str) -> tuple[tuple[str, ...], dict[_Range, _Call]] | None:
    """Return a file's lines and its calls by the ranges that Python gives them (columns in characters)."""
    try:
        with tokenize.open(path) as stream:
            text = stream.read()
        tree = ast.parse(text)
    except (OSError, SyntaxError, ValueError):
        return None
    lines = tuple(text.split("\n"))
    return lines, dict(_calls(tree, lines))


def _calls(tree: ast.AST, lines: tuple[str, ...]) -> Iterator[tuple[_Range, _Call]]:
    """Yield every call under its range; a chain over several lines also under the range that begins at its method's name.

    That shorter range is what CPython's instructions carry when the name stands on a later line than the chain's start.
    """
    for node, statement in _with_statements(tree):
        if not isinstance(node, ast.Call) or node.end_lineno is None or node.end_col_offset is None:
            continue
        end = (node.end_lineno, _characters(lines, node.end_lineno, node.end_col_offset))
        name_line = node.func.end_lineno or node.lineno
        call = _Call(
            range=(node.lineno, _characters(lines, node.lineno, node.col_offset), *end),
            method_line=name_line,
            method=getattr(node.func, "attr", ""),
            statement=statement,
            is_parallel=any(item.arg == "num_parallel_calls" for item in node.keywords),
        )
        yield call.range, call
        if isinstance(node.func, ast.Attribute) and node.func.end_col_offset is not None:
            name_end = _characters(lines, name_line, node.func.end_col_offset)
            yield (name_line, name_end - len(node.func.attr), *end), call


def _with_statements(tree: ast.AST) -> Iterator[tuple[ast.AST, tuple[int, int]]]:
    """Yield every node with the first and the last line of the innermost statement around it."""
    pending = [(tree, (0, 0))]
    while pending:
        node, statement = pending.pop()
        if isinstance(node, ast.stmt):
            statement = (node.lineno, node.end_lineno or node.lineno)
        yield node, statement
        pending.extend((child, statement) for child in ast.iter_child_nodes(node))


def _characters(lines: tuple[str, ...], line: int, offset: int) -> int:
    """Turn a byte offset in UTF-8 into a character offset."""
    if line > len(lines) or lines[line - 1].isascii():
        return offset
    return len(lines[line - 1].encode()[:offset].decode(errors="ignore"))


def _cut(lines: tuple[str, ...], line: int, column: int, end_line: int, end_column: int) -> str:
    if line == end_line:
        return lines[line - 1][column:end_column]
    return "\n".join([lines[line - 1][column:], *lines[line : end_line - 1], lines[end_line - 1][:end_column]])
