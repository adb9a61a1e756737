"""Proof that an edit did what it says and nothing else: the new text's syntax tree against the one that must come out.

The expected tree is the old text's tree with the change made on its nodes, without any text; the new text is parsed from
the very bytes that would be written. This module never looks at how an editor made its text.
"""

from __future__ import annotations

import ast
import tokenize
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pipeprof.advise.edits.source_text import Encoding, LineTable, RefusalError, Splice

_STRINGS_WITH_CODE = frozenset({"JoinedStr", "TemplateStr"})  # TemplateStr: Python 3.14


@dataclass(frozen=True, kw_only=True, slots=True)
class Rewrite:
    """What an editor wants: text to replace, and the same change on the syntax tree (in place)."""

    splices: tuple[Splice, ...]
    expect: Callable[[SyntaxTree], None]


class SyntaxTree:
    """Python's own syntax tree of a text, whose nodes are found by offsets."""

    def __init__(self, text: str) -> None:
        """Parse ``text``.

        Raises:
            RefusalError: it is not Python.
        """
        self._lines = LineTable(text)
        self.module = parse(text)

    def call(self, end: int) -> ast.Call:
        """Return the call whose closing parenthesis ends at ``end``; there is at most one.

        Raises:
            RefusalError: there is none, or it is inside an f-string.
        """
        for node in _walk_outside_strings(self.module):
            if isinstance(node, ast.Call) and self._end(node) == end:
                return node
        raise RefusalError("the recorded range is not a call in the file")

    def insert_statements(self, at: int, code: str, *, after: bool) -> None:
        """Insert the statements of ``code`` before or after the statement that starts at ``at``.

        Raises:
            RefusalError: no statement starts there.
        """
        body, index = self.statement_slot(at)
        body[index + after : index + after] = parse(code).body

    def statement_slot(self, start: int) -> tuple[list[ast.stmt], int]:
        """Return the list of statements and the index in it at which a statement starts at offset ``start``.

        Raises:
            RefusalError: no statement starts there.
        """
        for node in _walk_outside_strings(self.module):
            for _, value in ast.iter_fields(node):
                if not isinstance(value, list):
                    continue
                for index, item in enumerate(value):
                    if isinstance(item, ast.stmt) and self._start(item) == start:
                        return value, index
        raise RefusalError("the statement around the call cannot be found")

    def _start(self, node: ast.stmt) -> int:
        return self._lines.byte_offset(node.lineno, node.col_offset)

    def _end(self, node: ast.expr) -> int:
        if node.end_lineno is None or node.end_col_offset is None:
            return -1
        return self._lines.byte_offset(node.end_lineno, node.end_col_offset)


def parse(source: str | bytes) -> ast.Module:
    """Parse Python source; warnings of the compiler are the user's own and stay silent here.

    Raises:
        RefusalError: it is not Python, or too deeply nested to check.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise RefusalError("the text does not parse as Python") from None


def expression(code: str) -> ast.expr:
    """Return the syntax tree of one expression of our own making."""
    return ast.parse(code, mode="eval").body


def wrap_call(call: ast.Call, method: str, arguments: str = "") -> None:
    """Turn ``call`` in place into ``call.method(arguments)``."""
    inner = ast.Call(func=call.func, args=call.args, keywords=call.keywords)
    template = expression(f"_.{method}({arguments})")
    if not isinstance(template, ast.Call) or not isinstance(template.func, ast.Attribute):
        raise TypeError(method)
    template.func.value = inner
    call.func, call.args, call.keywords = template.func, template.args, template.keywords


def check_rewrite(text: str, rewrite: Rewrite, new_text: str, encoding: Encoding) -> None:
    """Make sure that ``new_text`` is ``text`` with the announced change and no other.

    Raises:
        RefusalError: it is not.
    """
    expected = SyntaxTree(text)
    rewrite.expect(expected)
    content = encoding.encode(new_text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(content, "<patched>", "exec", dont_inherit=True)
        same = ast.dump(parse(content)) == ast.dump(expected.module)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise RefusalError("the changed text would not be valid Python") from None
    if not same:
        raise RefusalError("the changed text would not mean what it should")
    if _comments(text) != _comments(new_text):
        raise RefusalError("a comment would be lost")


def _comments(text: str) -> list[str]:
    """Return all comments, sorted: an edit may move them and must not lose one."""
    lines = iter([line + "\n" for line, _ in LineTable(text).lines()])
    try:
        tokens = tokenize.generate_tokens(lambda: next(lines, ""))
        return sorted(token.string for token in tokens if token.type == tokenize.COMMENT)
    except (tokenize.TokenError, SyntaxError):
        raise RefusalError("the file's comments cannot be read") from None


def _walk_outside_strings(node: ast.AST) -> Iterator[ast.AST]:
    """Yield all nodes but those inside f-strings, whose positions Python below 3.12 does not know."""
    pending = [node]
    while pending:
        current = pending.pop()
        yield current
        if type(current).__name__ not in _STRINGS_WITH_CODE:
            pending.extend(ast.iter_child_nodes(current))
