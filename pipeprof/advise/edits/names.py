"""How the file itself spells TensorFlow's names at a place: ``tf.data``, ``tensorflow.data``, ``AUTOTUNE``.

A name counts only if all its bindings that are visible at the place mean the same thing and one of them has surely run
by then. Nothing is imported on the user's behalf.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import libcst as cst
from libcst.metadata import Assignment, BaseAssignment, ImportAssignment, Scope

from pipeprof.advise.edits.document import Document

AUTOTUNE = "tensorflow.data.AUTOTUNE"
OPTIONS = "tensorflow.data.Options"
DATASET = "tensorflow.data.Dataset"

_COMPAT = re.compile(r"^tensorflow\.compat\.v[12](?=\.|$)")
_MAX_ALIASES = 8  # of aliases of aliases; also ends circles


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a name is used."""

    node: cst.CSTNode
    offset: int  # of the text that uses it

    @classmethod
    def of(cls, document: Document, node: cst.CSTNode) -> Place:
        """Return the place of ``node`` itself."""
        return cls(node=node, offset=document.start(node))


def meaning(document: Document, expression: cst.BaseExpression, place: Place, depth: int = 0) -> str | None:
    """Return the full name of a dotted expression (``tf.data.AUTOTUNE`` -> ``tensorflow.data.AUTOTUNE``), where it is known."""
    if isinstance(expression, cst.Attribute):
        owner = meaning(document, expression.value, place, depth)
        return None if owner is None else _canonical(f"{owner}.{expression.attr.value}")
    if isinstance(expression, cst.Name):
        return _name_meaning(document, expression.value, place, depth)
    return None


def spelling(document: Document, wanted: str, place: Place) -> str | None:
    """Return the shortest way to write the full name ``wanted`` at ``place``, None where the file has no name for it."""
    found: list[tuple[int, str]] = []
    for name in _visible_names(document, place):
        known = _name_meaning(document, name, place, 0)
        if known is not None and f"{wanted}.".startswith(f"{known}."):
            rest = wanted[len(known) :]
            found.append((rest.count("."), name + rest))
    return min(found)[1] if found else None


def _visible_names(document: Document, place: Place) -> set[str]:
    names: set[str] = set()
    scope = document.scope(place.node)
    while scope is not None:
        names.update(item.name for item in scope.assignments if item.name.isidentifier() and isinstance(item, Assignment))
        scope = None if scope.parent is scope else scope.parent
    return names


def _name_meaning(document: Document, name: str, place: Place, depth: int) -> str | None:
    scope = document.scope(place.node)
    if scope is None or depth > _MAX_ALIASES:
        return None
    bindings = [item for item in _bindings(scope, name) if not _binds_none(document, item)]
    meanings = {_binding_meaning(document, item, name, depth) for item in bindings}
    if len(meanings) != 1 or not any(_has_run(document, item, place) for item in bindings):
        return None
    return meanings.pop()


def _bindings(scope: Scope, name: str) -> set[BaseAssignment]:
    return set(scope[name])


def _binding_meaning(document: Document, binding: BaseAssignment, name: str, depth: int) -> str | None:
    if isinstance(binding, ImportAssignment):
        return _import_meaning(binding.node, name)
    value = assigned_value(document, binding)
    if value is None or not isinstance(binding, Assignment):
        return None
    return meaning(document, value, Place.of(document, binding.node), depth + 1)


def _import_meaning(node: cst.CSTNode, name: str) -> str | None:
    if not isinstance(node, cst.Import | cst.ImportFrom) or isinstance(node.names, cst.ImportStar):
        return None
    prefix = ""
    if isinstance(node, cst.ImportFrom):
        if node.module is None or node.relative:
            return None
        prefix = f"{_dotted(node.module)}."
    for alias in node.names:
        full = _dotted(alias.name)
        if alias.asname is not None:
            bound = alias.asname.name.value if isinstance(alias.asname.name, cst.Name) else None
        else:
            bound = full = full.partition(".")[0]
        if bound == name:
            return _canonical(prefix + full)
    return None


def _dotted(node: cst.BaseExpression) -> str:
    if isinstance(node, cst.Attribute):
        return f"{_dotted(node.value)}.{node.attr.value}"
    return node.value if isinstance(node, cst.Name) else "?"


def _canonical(name: str) -> str:
    name = _COMPAT.sub("tensorflow", name)
    return AUTOTUNE if name == "tensorflow.data.experimental.AUTOTUNE" else name


def assigned_value(document: Document, binding: BaseAssignment) -> cst.BaseExpression | None:
    """Return the value of ``name = value``; None for every other kind of binding."""
    if not isinstance(binding, Assignment) or not isinstance(binding.node, cst.Name):
        return None
    target = document.parent(binding.node)
    if isinstance(target, cst.AnnAssign):
        return target.value if target.target is binding.node else None
    if not isinstance(target, cst.AssignTarget):
        return None
    statement = document.parent(target)
    return statement.value if isinstance(statement, cst.Assign) else None


def _binds_none(document: Document, binding: BaseAssignment) -> bool:
    """Whether a binding is the ``tf = None`` of a guarded import: code that reached a pipeline did not take it."""
    value = assigned_value(document, binding)
    return isinstance(value, cst.Name) and value.value == "None"


def _has_run(document: Document, binding: BaseAssignment, place: Place) -> bool:
    """Whether a binding stands before ``place`` and in no branch that ``place`` is not in itself."""
    if not isinstance(binding, Assignment) or document.start(binding.node) >= place.offset:
        return False
    around = {id(node) for node in (place.node, *document.ancestors(place.node))}
    for node in (binding.node, *document.ancestors(binding.node)):
        if not isinstance(node, cst.IndentedBlock | cst.SimpleStatementSuite):
            continue
        if id(node) in around:
            return True
        owner = document.parent(node)
        if not isinstance(owner, cst.Try | cst.TryStar | cst.With):
            return False
    return True
