"""Where the body of a map's function first draws at random, and what of its settled work stands behind that line.

The one idea: TensorFlow keeps of every op the stack that made it, and makes ops in the order of the function's statements; so
the first op that draws names the statement before which everything is the same at the next call. Reads graphs, runs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import Any  # TensorFlow's graphs carry no types

from pipeprof.capture.call_sites import kind_of_file
from pipeprof.capture.data_flow import WITHOUT_COST, drawing_and_settled
from pipeprof.model.profile import FirstDraw


def first_draw(wrapper: Any, draws: frozenset[str]) -> FirstDraw | None:  # Any: TensorFlow's wrapper of a function
    """Return the line of a function's own body that makes its first op of the types ``draws``.

    None where there is none, or the function is a lambda, a method, a built-in, or not in a file of the user's.
    """
    function, graph = getattr(wrapper, "_func", None), wrapper.function.graph
    if not isinstance(function, FunctionType) or function.__name__ == "<lambda>":
        return None
    code = function.__code__
    if kind_of_file(code.co_filename) != "user":
        return None
    seeds, settled = drawing_and_settled(graph, draws)
    body = range(code.co_firstlineno + 1, max(_lines(code)) + 1)
    lines = [_line_in(op, code.co_filename, body) for op in seeds]
    known = [line for line in lines if line is not None]
    if not known or len(known) < len(lines):
        return None
    line = min(known)
    last = {op.type: op for op in settled if op.type not in WITHOUT_COST}  # of each type
    behind = [name for name, op in last.items() if (_line_in(op, code.co_filename, body) or line) >= line]
    return FirstDraw(file=code.co_filename, defined=code.co_firstlineno, line=line, behind=tuple(sorted(behind)))


def _line_in(op: Any, file: str, body: range) -> int | None:
    """Return the line of a function's body at which an op was made, by itself or by what it calls."""
    return next((int(frame.lineno) for frame in op.traceback or () if frame.filename == file and frame.lineno in body), None)


def _lines(code: CodeType) -> Iterator[int]:
    yield code.co_firstlineno
    yield from (line for _, _, line in code.co_lines() if line)
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _lines(inner)
