"""The calls from one stage to a later one, where nothing but them can see what the stages between hand on.

The one idea: they are one chain, or statements on one name that directly follow each other. What the calls do is not looked at.
"""

from __future__ import annotations

import libcst as cst

from pipeprof.advise.edits.assignments import Step, step_of
from pipeprof.advise.edits.chains import chain_down, chain_top, described, next_call
from pipeprof.advise.edits.code_parts import names_in, only_part
from pipeprof.advise.edits.document import Document
from pipeprof.advise.edits.source_text import RefusalError


def calls_between(document: Document, first: cst.Call, last: cst.Call) -> list[cst.Call]:
    """Return the calls behind ``first``, up to and with ``last``.

    Raises:
        RefusalError: ``last`` is not reached, or something else may read what is handed on.
    """
    found: list[cst.Call] = []
    current = first
    while current is not last:
        following = next_call(document, current) or _continued(document, current, last)
        if following is None:
            raise RefusalError(f"{described(first)} and {described(last)} do not stand in one chain, or in steps on one name")
        found.append(following)
        current = following
    return found


def _continued(document: Document, call: cst.Call, last: cst.Call) -> cst.Call | None:
    """Return the call that goes on with a step's name in the next statement, None where anything else may read it."""
    step = step_of(document, call)
    if step is None or step.value is not call or call.lpar:
        return None
    if any(isinstance(node, cst.Try | cst.TryStar | cst.ClassDef) for node in document.ancestors(call)):
        return None
    _, after = document.siblings(step.statement)
    value = None if after is None else _value(document, after, step.target, last)
    if not isinstance(value, cst.Call):
        return None
    lowest = list(chain_down(value))[-1]
    receiver = lowest.func.value if isinstance(lowest.func, cst.Attribute) else None
    readers = [node for node in names_in([value]) if node.value == step.target and not document.is_label(node)]
    return lowest if len(readers) == 1 and readers[0] is receiver else None


def _value(document: Document, statement: cst.CSTNode, name: str, last: cst.Call) -> cst.BaseExpression | None:
    """Return the value of a step on ``name``, or what is returned, where ``last`` is in it."""
    small = only_part(statement)
    if isinstance(small, cst.Return):
        is_last = isinstance(small.value, cst.Call) and any(call is last for call in chain_down(small.value))
        return small.value if is_last else None
    step = Step.read(statement) if isinstance(statement, cst.SimpleStatementLine) else None
    if step is None or step.target != name or not isinstance(step.value, cst.Call):
        return None
    return step.value if chain_top(document, step.value) is step.value else None
