"""Pipelines written as one assignment per stage: ``ds = ds.map(f)``, then ``ds = ds.batch(8)``.

A step is such a statement alone on its line. Whether two steps belong to one pipeline is read off the names, in the order of
the text; where that could be wrong the answer is no.
"""

from __future__ import annotations

from dataclasses import dataclass

import libcst as cst
from libcst.metadata import Assignment

from pipeprof.advise.edits.chains import chain_down, chain_root, method, next_call
from pipeprof.advise.edits.code_parts import only_part
from pipeprof.advise.edits.document import Document, Statement


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One statement ``target = value``."""

    statement: cst.SimpleStatementLine
    target: str
    value: cst.BaseExpression

    @classmethod
    def read(cls, statement: Statement) -> Step | None:
        """Return the step that a statement is, None where it is something else or shares its line."""
        small = only_part(statement)
        if not isinstance(statement, cst.SimpleStatementLine):
            return None
        if isinstance(small, cst.Assign) and len(small.targets) == 1:
            target, value = small.targets[0].target, small.value
        elif isinstance(small, cst.AnnAssign) and small.value is not None:
            target, value = small.target, small.value
        else:
            return None
        return cls(statement=statement, target=target.value, value=value) if isinstance(target, cst.Name) else None

    @property
    def root(self) -> str | None:
        """The name that the value's chain starts from."""
        return chain_root(self.value)


def step_of(document: Document, node: cst.CSTNode) -> Step | None:
    """Return the step that ``node`` is in."""
    return Step.read(document.statement(node))


def whole_step(document: Document, call: cst.Call) -> Step | None:
    """Return the statement ``ds = ds.method(...)`` that the call is all of."""
    step = step_of(document, call)
    if step is None or step.value is not call or step.root != step.target or call.lpar:
        return None
    is_plain = isinstance(call.func, cst.Attribute) and isinstance(call.func.value, cst.Name)
    small = step.statement.body[0]
    is_alone = isinstance(small, cst.Assign) and not isinstance(small.semicolon, cst.Semicolon)
    return step if is_plain and is_alone else None


def is_passed_on(document: Document, name: str, start: Statement, end: Statement) -> bool:
    """Whether ``name`` means the same pipeline, perhaps with more stages, from one statement up to a later one.

    True if every binding of the name between the two is a step from that name to itself, and the later statement, or the
    earlier one, is in a block around the other (not in another branch).
    """
    first, last = document.start(start), document.start(end)
    scope = document.scope(start)
    if first >= last or scope is None or scope is not document.scope(end):
        return False
    if not (_is_around(document, start, end) or _is_around(document, end, start)):
        return False
    for binding in scope[name]:
        if not isinstance(binding, Assignment) or binding.scope is not scope:
            return False
        if first < document.start(binding.node) < last and document.statement(binding.node) not in (start, end):
            step = step_of(document, binding.node)
            if step is None or step.target != name or step.root != name:
                return False
    return True


def is_followed_by(document: Document, call: cst.Call, name: str) -> bool:
    """Whether the next stage is made by this method: in the chain, or in the next statement on the same name."""
    following = next_call(document, call)
    if following is not None:
        return method(following) == name
    step = step_of(document, call)
    if step is None or step.value is not call:
        return False
    _, after = document.siblings(step.statement)
    next_step = None if after is None else Step.read(after)
    if next_step is None or next_step.root != step.target or not isinstance(next_step.value, cst.Call):
        return False
    return method(list(chain_down(next_step.value))[-1]) == name


def _is_around(document: Document, outer: Statement, inner: Statement) -> bool:
    block = document.parent(outer)
    return any(node is block for node in document.ancestors(inner))
