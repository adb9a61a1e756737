"""Lets two calls that follow each other directly change places: what the editors of such changes share.

Calls move with their arguments and comments; what joins them stays. Only two neighbours in one chain, or two neighbouring
statements on one name, are moved. Whether they may change places is not decided here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import libcst as cst

from pipeprof.advise.edits.assignments import whole_step
from pipeprof.advise.edits.chains import Link, described, is_class, link, method, next_attribute
from pipeprof.advise.edits.code_parts import nodes_in
from pipeprof.advise.edits.document import Document
from pipeprof.advise.edits.source_text import NEWLINE, RefusalError, Splice, apply_splices
from pipeprof.advise.edits.verify import Rewrite, SyntaxTree


@dataclass(frozen=True, kw_only=True, slots=True)
class _Piece:
    """A call or statement that moves: its comment lines above, itself, the comment behind it."""

    start: int
    end: int  # without the comment behind
    comment_end: int  # with it


def exchange(
    document: Document,
    calls: Sequence[cst.Call],
    first: frozenset[str],
    second: frozenset[str],
    inside: Sequence[Splice] = (),
) -> Rewrite:
    """Return the text in which the second call comes before the first.

    Args:
        document: the file.
        calls: the two calls, in the order in which they stand.
        first: the methods that the first call may be of.
        second: likewise for the second.
        inside: changes within the second call, which move with it; the tree that is expected does not know them.

    Raises:
        RefusalError: they are not neighbours, or in that order already.
    """
    before, behind = calls
    links = _method_link(document, before, first), _method_link(document, behind, second)
    if any(isinstance(node, cst.NamedExpr) for call in calls for node in nodes_in(call.args)):
        raise RefusalError("an argument assigns a name, so the calls cannot change places")
    if _is_receiver(document, behind, before):
        raise RefusalError(f"{described(behind)} already comes before {described(before)}")
    if _is_receiver(document, before, behind):
        return _swap_calls(document, (before, links[0]), (behind, links[1]), inside)
    steps = whole_step(document, before), whole_step(document, behind)
    if steps[0] is None or steps[1] is None or steps[0].target != steps[1].target:
        raise RefusalError(f"{described(before)} and {described(behind)} do not follow each other directly")
    if document.siblings(steps[0].statement)[0] is steps[1].statement:
        raise RefusalError(f"{described(behind)} already comes before {described(before)}")
    if document.siblings(steps[0].statement)[1] is not steps[1].statement:
        raise RefusalError(f"{described(before)} and {described(behind)} do not follow each other directly")
    return _swap_statements(document, steps[0].statement, steps[1].statement, inside)


def _method_link(document: Document, call: cst.Call, names: frozenset[str]) -> Link:
    if method(call) not in names or not isinstance(call.func, cst.Attribute) or is_class(document, call.func.value):
        wanted = " or ".join(f".{name}(...)" for name in sorted(names))
        raise RefusalError(f"{described(call)} is not a {wanted} of a dataset")
    return link(document, call.func)


def _is_receiver(document: Document, inner: cst.Call, outer: cst.Call) -> bool:
    return next_attribute(document, inner) is outer.func and not inner.lpar


def _swap_calls(
    document: Document, first: tuple[cst.Call, Link], second: tuple[cst.Call, Link], inside: Sequence[Splice]
) -> Rewrite:
    pieces = _call_pieces(document, first, second)
    end = document.end(second[0])

    def expect(tree: SyntaxTree) -> None:
        outer = tree.call(end)
        inner = tree.call(document.end(first[0]))
        outer.args, inner.args = inner.args, outer.args
        outer.keywords, inner.keywords = inner.keywords, outer.keywords
        for node, name in ((outer, method(first[0])), (inner, method(second[0]))):
            node.func.attr = name  # type: ignore[attr-defined]  # both are method calls, or the trees differ

    return Rewrite(splices=(_swap(document, *pieces, inside),), expect=expect)


def _call_pieces(document: Document, first: tuple[cst.Call, Link], second: tuple[cst.Call, Link]) -> tuple[_Piece, _Piece]:
    (first_call, first_link), (second_call, second_link) = first, second
    if second_link.trails:
        if "#" in second_link.text:
            raise RefusalError("a comment between the calls cannot be moved with them")
        ends = document.end(first_call), document.end(second_call)
        return (
            _Piece(start=first_link.end, end=ends[0], comment_end=ends[0]),
            _Piece(start=second_link.end, end=ends[1], comment_end=ends[1]),
        )
    has_lines = second_link.leads and not second_link.continues
    return _line_piece(document, first_call, first_link, has_lines), _line_piece(document, second_call, second_link, has_lines)


def _line_piece(document: Document, call: cst.Call, joint: Link, has_lines: bool) -> _Piece:
    end = document.end(call)
    rest = document.rest_of_line(end) if has_lines else None
    start = _with_comments(joint) if has_lines else joint.dot
    return _Piece(start=start, end=end, comment_end=end if rest is None else rest[0])


def _with_comments(joint: Link) -> int:
    """Return where a call starts with the comment lines directly above it."""
    lines = NEWLINE.split(joint.before)
    ends = [match.end() for match in NEWLINE.finditer(joint.before)]
    start = joint.dot
    for line, line_start in zip(reversed(lines[1:-1]), reversed(ends[:-1]), strict=True):
        if not line.lstrip().startswith("#"):
            break
        start = joint.start + line_start + len(line) - len(line.lstrip())
    return start


def _swap_statements(
    document: Document, first: cst.SimpleStatementLine, second: cst.SimpleStatementLine, inside: Sequence[Splice]
) -> Rewrite:
    pieces = _statement_piece(document, first), _statement_piece(document, second)
    starts = document.start(first), document.start(second)

    def expect(tree: SyntaxTree) -> None:
        body, index = tree.statement_slot(starts[0])
        other, behind = tree.statement_slot(starts[1])
        body[index], other[behind] = other[behind], body[index]

    return Rewrite(splices=(_swap(document, *pieces, inside),), expect=expect)


def _statement_piece(document: Document, statement: cst.SimpleStatementLine) -> _Piece:
    _, indent = document.first_line(statement)
    end = document.end(statement)
    rest = document.rest_of_line(end)
    if rest is None:
        raise RefusalError("the statement does not end its line")
    return _Piece(start=document.attached_start(statement) + len(indent), end=end, comment_end=rest[0])


def _swap(document: Document, first: _Piece, second: _Piece, inside: Sequence[Splice]) -> Splice:
    """Let two pieces change places. A comment that would swallow what follows it goes on a line above its call."""
    text = document.text
    joint = text[first.comment_end : second.start]
    rest = document.rest_of_line(second.comment_end)
    moved = text[first.start : first.comment_end]
    comment = text[first.end : first.comment_end].strip()
    if comment and rest is None:
        newline = document.newline_at(first.comment_end)
        moved = f"{comment}{newline}{NEWLINE.split(joint)[-1]}{text[first.start : first.end]}"
    within = [replace(item, start=item.start - second.start, end=item.end - second.start) for item in inside]
    ahead = apply_splices(text[second.start : second.comment_end], within)
    return Splice(start=first.start, end=second.comment_end, text=f"{ahead}{joint}{moved}")
