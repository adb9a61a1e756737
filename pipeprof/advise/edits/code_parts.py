"""Pieces of code, looked at without knowing what they mean: names that are read or bound, calls, keys, plain assignments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import libcst as cst

_STATIC_PARTS = frozenset({"dtype", "shape"})  # of a tensor


def is_shape(part: cst.Attribute) -> bool:
    """Whether an attribute is the shape or the type of a value that has a name, or is a part of one."""
    return part.attr.value in _STATIC_PARTS and not has_calls([part])


def has_calls(nodes: Sequence[cst.CSTNode]) -> bool:
    """Whether anything is called in pieces of code."""
    return any(isinstance(node, cst.Call | cst.BaseComp) for node in nodes_in(nodes))


def changes_in_place(nodes: Sequence[cst.CSTNode]) -> bool:
    """Whether a piece of code sets or deletes an item or an attribute of something."""
    for node in nodes_in(nodes):
        target = node.target if isinstance(node, cst.AssignTarget | cst.AugAssign | cst.AnnAssign | cst.Del) else None
        if target is not None and any(isinstance(part, cst.Subscript | cst.Attribute) for part in nodes_in([target])):
            return True
    return False


def only_part(statement: cst.CSTNode) -> cst.BaseSmallStatement | None:
    """Return the one statement of a line, None where there are several, or a block."""
    return statement.body[0] if isinstance(statement, cst.SimpleStatementLine) and len(statement.body) == 1 else None


def plain_assignment(statement: cst.CSTNode) -> tuple[cst.Name | cst.Tuple | cst.List, cst.BaseExpression] | None:
    """Return target and value of ``name = value`` or ``a, b = value``, None for every other statement."""
    small = only_part(statement)
    if not isinstance(small, cst.Assign) or len(small.targets) != 1:
        return None
    target = small.targets[0].target
    if isinstance(target, cst.Name):
        return target, small.value
    are_names = isinstance(target, cst.Tuple | cst.List) and all(isinstance(item.value, cst.Name) for item in target.elements)
    return (target, small.value) if isinstance(target, cst.Tuple | cst.List) and are_names else None


def literal_key(value: cst.Subscript) -> str | None:
    """Return the key of ``value["key"]``, None where it is none that is written out."""
    item = value.slice[0].slice if len(value.slice) == 1 else None
    if not isinstance(item, cst.Index) or not isinstance(item.value, cst.SimpleString):
        return None
    key = item.value.evaluated_value
    return key if isinstance(key, str) else None


def names_in(nodes: Sequence[cst.CSTNode]) -> Iterator[cst.Name]:
    """Yield all names in pieces of code, those of attributes and of arguments among them."""
    return (node for node in nodes_in(nodes) if isinstance(node, cst.Name))


def nodes_in(nodes: Sequence[cst.CSTNode]) -> Iterator[cst.CSTNode]:
    """Yield pieces of code and all that is in them, in the order of the text."""
    pending = list(reversed(nodes))
    while pending:
        yield (node := pending.pop())
        pending.extend(reversed(node.children))


def bound_in(node: cst.CSTNode) -> Iterator[str]:
    """Yield all names that a piece of code may bind; more than it does is no harm."""
    if isinstance(node, cst.Name | cst.Tuple | cst.List | cst.Element):
        yield from (name.value for name in names_in([node]))
        return
    for current in nodes_in([node]):
        targets: list[cst.CSTNode] = []
        if isinstance(
            current,
            cst.AssignTarget | cst.AugAssign | cst.AnnAssign | cst.For | cst.CompFor | cst.NamedExpr | cst.Del,
        ):
            targets = [current.target]
        elif isinstance(current, cst.AsName | cst.FunctionDef | cst.ClassDef | cst.ImportAlias):
            targets = [current.name]
        for target in targets:
            yield from (name.value for name in names_in([target]))
