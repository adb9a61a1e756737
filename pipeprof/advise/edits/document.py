"""One version of a user's text with everything an editor asks of it: nodes by position, parents, scopes, layout.

libcst's tree keeps every comment and blank, so an editor can see where a comma or a comment stands; texts are changed by
splices at offsets, never by printing the tree. A document is never changed: an edit makes the next one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TypeVar

import libcst as cst
from libcst.metadata import CodeRange, MetadataWrapper, PositionProvider, Scope, ScopeProvider

from pipeprof.advise.edits.outline import outline
from pipeprof.advise.edits.source_text import NEWLINE, LineTable, RefusalError

_BLANKS = " \t\f\r\n"
_LONE_RETURN = re.compile(r"\r(?!\n)")
_REST_OF_LINE = re.compile(r"([ \t\f]*(#[^\r\n]*)?)(\r\n|\r|\n|\Z)")

_Node = TypeVar("_Node", bound=cst.CSTNode)
Statement = cst.SimpleStatementLine | cst.BaseCompoundStatement


class Document:
    """A parsed text, but for the definitions that hold none of the calls of interest. Offsets count characters."""

    def __init__(self, text: str, spans: Sequence[tuple[int, int]]) -> None:
        """Parse what of ``text`` concerns the calls at ``spans`` (offsets of their starts and ends).

        Raises:
            RefusalError: libcst cannot read it, or would not give the same text back.
        """
        self.text = text
        self._spans = tuple(spans)
        self.lines = LineTable(text)
        outlined = outline(text, spans)
        self.hidden_names = outlined.hidden_names
        # libcst 1.9 knows no lone carriage return, and loses some blank lines at the end; positions stay the same
        readable = _LONE_RETURN.sub("\n", outlined.text.rstrip(_BLANKS) + "\n")
        try:
            module = cst.parse_module(readable)
            code = module.code
            self._wrapper = MetadataWrapper(module, unsafe_skip_copy=True)
            self._ranges: Mapping[cst.CSTNode, CodeRange] = self._wrapper.resolve(PositionProvider)
        except (cst.ParserSyntaxError, RecursionError):
            raise RefusalError("the file cannot be parsed") from None
        if code != readable:
            raise RefusalError("the file's layout cannot be kept (form feeds or mixed line ends inside an indentation)")
        self._parents = {child: node for node in self._ranges for child in _children(node)}

    @cached_property
    def _scopes(self) -> Mapping[cst.CSTNode, Scope | None]:
        return self._wrapper.resolve(ScopeProvider)

    @cached_property
    def _calls_by_end(self) -> dict[int, cst.Call]:
        return {self.end(call): call for call in self.nodes(cst.Call)}

    def with_whole(self, definition: cst.FunctionDef) -> Document:
        """Return the same text, with a definition that may have been left out as it is written."""
        start = self.start(definition)
        return Document(self.text, [*self._spans, (start, start)])

    def nodes(self, kind: type[_Node]) -> Iterator[_Node]:
        """Yield all nodes of a kind, in no promised order."""
        return (node for node in self._ranges if isinstance(node, kind))

    def start(self, node: cst.CSTNode) -> int:
        """Return where a node starts, without its own parentheses, decorators and leading blanks."""
        position = self._ranges[node].start
        return self._known(self.lines.offset(position.line, position.column))

    def end(self, node: cst.CSTNode) -> int:
        """Return where a node ends, without its own parentheses and trailing blanks."""
        position = self._ranges[node].end
        return self._known(self.lines.offset(position.line, position.column))

    def outer_end(self, node: cst.BaseExpression) -> int:
        """Return where an expression ends, its own parentheses included."""
        return self.end(node.rpar[-1]) if node.rpar else self.end(node)

    def code(self, node: cst.CSTNode) -> str:
        """Return a node's text."""
        return self.text[self.start(node) : self.end(node)]

    def parent(self, node: cst.CSTNode) -> cst.CSTNode | None:
        """Return the node around ``node``."""
        return self._parents.get(node)

    def ancestors(self, node: cst.CSTNode) -> Iterator[cst.CSTNode]:
        """Yield the nodes around ``node``, innermost first."""
        current = self.parent(node)
        while current is not None:
            yield current
            current = self.parent(current)

    def scope(self, node: cst.CSTNode) -> Scope | None:
        """Return the scope in which the names of ``node`` are looked up."""
        for candidate in (node, *self.ancestors(node)):
            scope = self._scopes.get(candidate)
            if scope is not None:
                return scope
        return None

    def call(self, start: int, end: int) -> cst.Call:
        """Return the call of a recorded range.

        A call ends with its own closing parenthesis, so the end names it; the start must be the expression's or, as
        CPython records a method call that spans lines, the method name's.

        Raises:
            RefusalError: the range is not a call, or one inside an f-string.
        """
        call = self._calls_by_end.get(end)
        if call is None or start not in self._starts(call):
            raise RefusalError("the recorded range is not a call in the file")
        strings = (cst.FormattedString, getattr(cst, "TemplatedString", cst.FormattedString))
        if any(isinstance(node, strings) for node in self.ancestors(call)):
            raise RefusalError("the call is inside an f-string")
        return call

    def statement(self, node: cst.CSTNode) -> Statement:
        """Return the innermost statement around ``node`` that stands on lines of its own.

        Raises:
            RefusalError: there is none.
        """
        for candidate in (node, *self.ancestors(node)):
            if isinstance(self.parent(candidate), cst.Module | cst.IndentedBlock):
                if isinstance(candidate, cst.SimpleStatementLine | cst.BaseCompoundStatement):
                    return candidate
                break
        raise RefusalError("the statement around the call cannot be found")

    def siblings(self, statement: Statement) -> tuple[Statement | None, Statement | None]:
        """Return the statements directly before and after ``statement`` in its block."""
        block = self.parent(statement)
        if not isinstance(block, cst.Module | cst.IndentedBlock):
            return None, None
        index = next(number for number, item in enumerate(block.body) if item is statement)
        before = block.body[index - 1] if index else None
        after = block.body[index + 1] if index + 1 < len(block.body) else None
        return _as_statement(before), _as_statement(after)

    def first_line(self, statement: Statement) -> tuple[int, str]:
        """Return where the statement's first line starts (a decorator's, where there is one) and its indentation.

        Raises:
            RefusalError: something else stands before it on that line.
        """
        start = self.start(statement)
        if isinstance(statement, cst.FunctionDef | cst.ClassDef) and statement.decorators:
            start = min(start, self.start(statement.decorators[0]))
        line_start = self.lines.line_start(start)
        indent = self.text[line_start:start]
        if indent.strip(" \t\f"):
            raise RefusalError("the statement does not start on a line of its own")
        return line_start, indent.rpartition("\f")[2]

    def attached_start(self, statement: Statement) -> int:
        """Return where the statement starts with the comment lines directly above it: the offset of a line's start.

        Raises:
            RefusalError: something else stands before it on its first line.
        """
        line_start, _ = self.first_line(statement)
        for line in reversed(statement.leading_lines):
            if line.comment is None or not line.indent:
                break
            line_start = self.lines.line_start(self.start(line.comment))
        return line_start

    def rest_of_line(self, offset: int) -> tuple[int, int] | None:
        """Return where the comment behind ``offset`` ends (``offset`` itself without one) and where its line ends.

        None where something else follows on the line.
        """
        match = _REST_OF_LINE.match(self.text, offset)
        if match is None:
            return None
        return (match.end(2) if match.group(2) else offset), match.end(3)

    def newline_at(self, offset: int) -> str:
        """Return the line end in use at ``offset``: the next one, or the last one where there is none."""
        found = NEWLINE.search(self.text, offset)
        if found is None:
            return next((match.group() for match in NEWLINE.finditer(self.text)), "\n")
        return found.group()

    def is_label(self, name: cst.Name) -> bool:
        """Whether a name is an attribute's or a keyword argument's, which cannot clash with a variable."""
        parent = self.parent(name)
        if isinstance(parent, cst.Attribute):
            return parent.attr is name
        return isinstance(parent, cst.Arg) and parent.keyword is name

    def fresh_name(self, wanted: str) -> str:
        """Return ``wanted`` or ``wanted_2``, ``wanted_3``…: one that is no variable's name anywhere in the file."""
        taken = {node.value for node in self.nodes(cst.Name) if not self.is_label(node)} | self.hidden_names
        number = 1
        while (name := wanted if number == 1 else f"{wanted}_{number}") in taken:
            number += 1
        return name

    def _starts(self, call: cst.Call) -> tuple[int, ...]:
        start = self.start(call)
        return (start, self.start(call.func.attr)) if isinstance(call.func, cst.Attribute) else (start,)

    @staticmethod
    def _known(offset: int | None) -> int:
        if offset is None:
            raise RefusalError("the file's layout cannot be kept")
        return offset


def _children(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    """Yield the nodes directly inside ``node``: libcst's own way costs a visitor for each."""
    for name in node.__dataclass_fields__:
        value = getattr(node, name)
        if isinstance(value, cst.CSTNode):
            yield value
        elif isinstance(value, list | tuple):
            yield from (item for item in value if isinstance(item, cst.CSTNode))


def _as_statement(node: cst.CSTNode | None) -> Statement | None:
    return node if isinstance(node, cst.SimpleStatementLine | cst.BaseCompoundStatement) else None
