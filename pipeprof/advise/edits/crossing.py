"""What the first statements of a function hand to the others, and whether each of it can stand in a dataset's element.

The one idea: a value may cross where the code shows that it is a tensor, or a part of the element as it came; what is the same
whenever the function is traced is made again on the other side. Anything else is refused: in an element it could become
something else.
"""

from __future__ import annotations

import keyword
from collections.abc import Sequence
from dataclasses import dataclass

import libcst as cst

from pipeprof.advise.edits.code_parts import (
    bound_in,
    changes_in_place,
    literal_key,
    names_in,
    nodes_in,
    plain_assignment,
)
from pipeprof.advise.edits.document import Document
from pipeprof.advise.edits.source_text import RefusalError
from pipeprof.advise.edits.value_kinds import Kind, Values

_ALONE = frozenset({Kind.RECORD, Kind.TENSOR})  # a tuple would be several arguments of the second part


@dataclass(frozen=True, kw_only=True, slots=True)
class Crossing:
    """What the statements of the first part hand over."""

    handed: tuple[str, ...]  # expressions, as the first part writes them
    names: tuple[str, ...]  # of these in the second part, in the same order
    replaced: tuple[tuple[cst.BaseExpression, str], ...]  # ``example["label"]`` in the second part, and its name there
    repeated: tuple[cst.SimpleStatementLine, ...]  # static ones, which the second part begins with


def cut_early(document: Document, function: cst.FunctionDef, statements: Sequence[cst.CSTNode], index: int) -> int:
    """Return where to cut before ``index``, so that shapes and casts directly before it are the second part's.

    What they make is cheap to make again, and would lose its static value, or take more memory, in an element.

    Raises:
        RefusalError: a statement before it may draw.
    """
    values = Values.of(document, function)
    is_late = []
    for statement in statements[:index]:
        assigned = plain_assignment(statement)
        value = assigned[1] if assigned is not None and isinstance(assigned[0], cst.Name) else None
        is_late.append(value is not None and (values.kind(value) is Kind.STATIC or values.is_light(value)))
        values.take(statement)
    early = index
    while early and is_late[early - 1]:
        early -= 1
    return early


def find_crossing(
    document: Document, function: cst.FunctionDef, first: Sequence[cst.CSTNode], second: Sequence[cst.CSTNode]
) -> Crossing:
    """Return what the statements ``second`` of a function read of its parameters and of its statements ``first``.

    Raises:
        RefusalError: something of it is not known to fit into an element.
    """
    values = Values.of(document, function)
    for statement in first:
        values.take(statement)
    _refuse_two_ways(values, second)
    read = _read_before_bound(document, second)
    repeated = _repeated(document, values, first, read)
    whole = {node.value for statement in repeated for node in names_in([statement]) if not document.is_label(node)}
    taken = {node.value for node in names_in([function])}
    handed: dict[str, str] = {}
    kinds: list[Kind] = []
    replaced: list[tuple[cst.Subscript, str]] = []
    for name, kind in values.kinds.items():
        uses = read.get(name, [])
        if kind is Kind.STATIC or not (uses or name in whole):
            continue
        if kind is Kind.UNKNOWN:
            raise RefusalError(f"what {name} holds where {function.name.value} first draws is not known to be one tensor")
        keys = None if kind is Kind.TENSOR or name in whole else _keys(document, function, uses)
        parts: dict[str, str] = {}
        for use, key in keys or ():
            if key not in parts:
                parts[key] = _name_for(name, key, taken)
                taken.add(parts[key])
                handed[document.code(use)] = parts[key]
                kinds.append(Kind.TENSOR if kind is Kind.RECORD else kind)
            replaced.append((use, parts[key]))
        if keys is None:
            handed[name] = name
            kinds.append(kind)
    made = {name for name in values.made if values.kinds[name] is not Kind.STATIC}
    if made.isdisjoint(read.keys() | whole):
        raise RefusalError(f"nothing that {function.name.value} makes before its first draw is used behind it")
    if len(handed) == 1 and kinds[0] not in _ALONE:
        raise RefusalError(f"{next(iter(handed))} alone is not known to be one tensor")
    return Crossing(handed=tuple(handed), names=tuple(handed.values()), replaced=tuple(replaced), repeated=tuple(repeated))


def _refuse_two_ways(values: Values, second: Sequence[cst.CSTNode]) -> None:
    """Refuse a dictionary that may have two names, and is changed behind the first draw: each name would have its own.

    Raises:
        RefusalError: there may be one.
    """
    calls = (node for node in nodes_in(second) if isinstance(node, cst.Call))
    if values.is_aliased and (changes_in_place(second) or not all(map(values.leaves_alone, calls))):
        raise RefusalError("a dictionary that may have two names may be changed behind the first draw")


def _repeated(
    document: Document, values: Values, first: Sequence[cst.CSTNode], read: dict[str, list[cst.Name]]
) -> list[cst.SimpleStatementLine]:
    """Return the statements of static values that the second part reads, in their order.

    Raises:
        RefusalError: what one of them reads is another value at the end of the first part.
    """
    is_changing = any(_may_change(values, statement) for statement in first)
    bound = {name: index for index, statement in enumerate(first) for name in _touched(statement)}
    found: dict[int, cst.SimpleStatementLine] = {}
    waiting = [name for name in read if values.kinds.get(name) is Kind.STATIC]
    while waiting:
        name = waiting.pop()
        statement = values.made_by.get(name)
        if statement is None:
            raise RefusalError(f"where {name} is made is not known")
        index = next(number for number, item in enumerate(first) if item is statement)
        assigned = plain_assignment(statement)
        inputs = {node.value for node in names_in([assigned[1]] if assigned else []) if not document.is_label(node)}
        local = inputs & values.kinds.keys()
        is_fixed = inputs <= values.kinds.keys() and all(values.kinds[one] in {Kind.STATIC, Kind.TENSOR} for one in inputs)
        if (is_changing and not is_fixed) or bound[name] > index or any(bound.get(one, -1) >= index for one in local):
            raise RefusalError(f"what {name} is made of is another value where the second part begins")
        if index not in found:
            found[index] = statement
            waiting += [one for one in local if values.kinds[one] is Kind.STATIC]
    return [found[index] for index in sorted(found)]


def _may_change(values: Values, statement: cst.CSTNode) -> bool:
    """Whether a statement may change what has a name outside the function, or a dictionary, in place."""
    calls = [node for node in nodes_in([statement]) if isinstance(node, cst.Call)]
    is_set_shape = any(isinstance(call.func, cst.Attribute) and call.func.attr.value == "set_shape" for call in calls)
    return changes_in_place([statement]) or is_set_shape or not all(map(values.is_known, calls))


def _touched(statement: cst.CSTNode) -> set[str]:
    """Return the names that a statement binds, or whose values it may change."""
    is_expression = isinstance(statement, cst.SimpleStatementLine) and isinstance(statement.body[0], cst.Expr)
    return {node.value for node in names_in([statement])} if is_expression else set(bound_in(statement))


def _read_before_bound(document: Document, statements: Sequence[cst.CSTNode]) -> dict[str, list[cst.Name]]:
    """Return where each name is read in statements, but for names that these bind for certain before they read them."""
    found: dict[str, list[cst.Name]] = {}
    bound: set[str] = set()
    for statement in statements:
        assigned = plain_assignment(statement)
        targets = set(bound_in(assigned[0])) if assigned is not None else set()
        for node in names_in([assigned[1] if assigned is not None else statement]):
            if node.value not in bound and not document.is_label(node):
                found.setdefault(node.value, []).append(node)
        bound |= targets
    return found


def _keys(document: Document, function: cst.FunctionDef, uses: Sequence[cst.Name]) -> list[tuple[cst.Subscript, str]] | None:
    """Return the parts of a dictionary that are read for certain, with their keys; None where the whole of it has to cross."""
    found = []
    for use in uses:
        around = document.parent(use)
        key = literal_key(around) if isinstance(around, cst.Subscript) and around.value is use else None
        if key is None or not isinstance(around, cst.Subscript) or around.lpar or "\n" in document.code(around):
            return None
        if _is_set(document, around) or not _is_certain(document, function, around):
            return None
        found.append((around, key))
    return found


def _is_set(document: Document, part: cst.Subscript) -> bool:
    around = document.parent(part)
    if isinstance(around, cst.AugAssign | cst.AnnAssign):
        return around.target is part
    return any(isinstance(node, cst.AssignTarget | cst.Del) for node in document.ancestors(part))


def _is_certain(document: Document, function: cst.FunctionDef, part: cst.Subscript) -> bool:
    """Whether an expression is evaluated whenever the function runs: a key that is read in a branch may not be there else."""
    branches = (cst.Assert, cst.BaseComp, cst.BaseCompoundStatement, cst.BooleanOperation, cst.IfExp, cst.Lambda)
    for node in document.ancestors(part):
        if node is function:
            return True
        is_chain = isinstance(node, cst.Comparison) and len(node.comparisons) > 1
        if is_chain or isinstance(node, branches):
            return False
    return False


def _name_for(name: str, key: str, taken: set[str]) -> str:
    """Return a name for a part of a dictionary: its key where that is a name and free."""
    for wanted in (key, f"{name}_{key}"):
        if wanted.isidentifier() and not keyword.iskeyword(wanted) and wanted not in taken:
            return wanted
    number = 1
    while (made := f"{name}_{number}") in taken:
        number += 1
    return made
