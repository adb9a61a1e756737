"""What the first statements of a function hand to the others, and whether each of it can stand in a dataset's element.

The one idea: a value may cross where the code shows that it is a tensor, or a part of the element as it came; a number that is
written out is written again on the other side. Anything else is refused: in an element it could become something else.
"""

from __future__ import annotations

import keyword
from collections.abc import Sequence
from dataclasses import dataclass

import libcst as cst

from pipeprof.advise.edits.document import Document
from pipeprof.advise.edits.source_text import RefusalError
from pipeprof.advise.edits.value_kinds import Kind, Values, bound_in, literal_key, names_in, plain_assignment


@dataclass(frozen=True, kw_only=True, slots=True)
class Crossing:
    """What the statements of the first part hand over."""

    handed: tuple[str, ...]  # expressions, as the first part writes them
    names: tuple[str, ...]  # of these in the second part, in the same order
    replaced: tuple[tuple[cst.Subscript, str], ...]  # ``example["label"]`` in the second part, and its name there
    repeated: tuple[cst.SimpleStatementLine, ...]  # literals, which the second part assigns itself


def find_crossing(
    document: Document, function: cst.FunctionDef, first: Sequence[cst.CSTNode], second: Sequence[cst.CSTNode]
) -> Crossing:
    """Return what the statements ``second`` of a function read of its parameters and of its statements ``first``.

    Raises:
        RefusalError: something of it is not known to fit into an element.
    """
    parameters = [item.name.value for item in function.params.params]
    values = Values(document, dict.fromkeys(parameters, Kind.ELEMENT))
    for statement in first:
        values.take(statement)
    handed: dict[str, str] = {}
    replaced: list[tuple[cst.Subscript, str]] = []
    repeated: list[cst.SimpleStatementLine] = []
    read = _read_before_bound(document, second)
    taken = {node.value for node in names_in([function])}
    for name in values.kinds:
        uses = read.get(name, [])
        if not uses:
            continue
        kind = values.kinds[name]
        if kind is Kind.LITERAL:
            repeated.append(values.literals[name])
        elif kind is Kind.UNKNOWN:
            raise RefusalError(f"what {name} holds where {function.name.value} first draws is not known to be one tensor")
        elif kind in {Kind.ELEMENT, Kind.RECORD} and (keys := _keys(document, uses)) is not None:
            for use, key in keys:
                code = document.code(use)
                if code not in handed:
                    handed[code] = _name_for(name, key, taken)
                    taken.add(handed[code])
                replaced.append((use, handed[code]))
        else:
            handed[name] = name
    if all(values.kinds.get(code) is Kind.ELEMENT for code in handed):
        raise RefusalError(f"nothing that {function.name.value} makes before its first draw is used behind it")
    return Crossing(handed=tuple(handed), names=tuple(handed.values()), replaced=tuple(replaced), repeated=tuple(repeated))


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


def _keys(document: Document, uses: Sequence[cst.Name]) -> list[tuple[cst.Subscript, str]] | None:
    """Return the parts of a dictionary that are read, with their keys, None where the whole of it is, or a part is set."""
    found = []
    for use in uses:
        around = document.parent(use)
        key = literal_key(around) if isinstance(around, cst.Subscript) and around.value is use else None
        if key is None or not isinstance(around, cst.Subscript) or around.lpar or _is_set(document, around):
            return None
        found.append((around, key))
    return found


def _is_set(document: Document, part: cst.Subscript) -> bool:
    around = document.parent(part)
    if isinstance(around, cst.AugAssign | cst.AnnAssign):
        return around.target is part
    return any(isinstance(node, cst.AssignTarget | cst.Del) for node in document.ancestors(part))


def _name_for(name: str, key: str, taken: set[str]) -> str:
    """Return a name for a part of a dictionary: its key where that is a name and free."""
    for wanted in (key, f"{name}_{key}"):
        if wanted.isidentifier() and not keyword.iskeyword(wanted) and wanted not in taken:
            return wanted
    number = 1
    while (made := f"{name}_{number}") in taken:
        number += 1
    return made
