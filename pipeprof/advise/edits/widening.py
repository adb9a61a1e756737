"""Which last lines of a function only make its results wider, and what they are made of: casts, and constants applied to them.

The one idea: what is cast, and all other results, are worked out before these lines, which then mean the same on a batch.
Whether a constant has no more axes than what it is applied to can be seen of numbers only; of others the caller must know.
"""

from __future__ import annotations

import keyword
from collections.abc import Sequence
from dataclasses import dataclass, field

import libcst as cst

from pipeprof.advise.edits.code_parts import bound_in, literal_key, names_in, nodes_in, only_part, plain_assignment
from pipeprof.advise.edits.crossing import Crossing
from pipeprof.advise.edits.document import Document
from pipeprof.advise.edits.function_parts import is_docstring, require_plain, statements_of
from pipeprof.advise.edits.names import Place, meaning
from pipeprof.advise.edits.source_text import RefusalError
from pipeprof.advise.edits.value_kinds import Kind, Values

_CASTS = {"tensorflow.cast": "x", "tensorflow.image.convert_image_dtype": "image"}  # and the name of what is cast
_CONSTANT = "tensorflow.constant"
_ARITHMETIC = cst.Add | cst.Subtract | cst.Multiply | cst.Divide
_IN_PLACE = cst.AddAssign | cst.SubtractAssign | cst.MultiplyAssign | cst.DivideAssign
_ONE_VALUE = frozenset({Kind.ELEMENT, Kind.TENSOR})  # of which a cast makes a tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Widening:
    """The end of a function that makes its results wider."""

    index: int  # of its first statement; of a lambda 0
    crossing: Crossing  # what it is made of
    is_whole: bool  # the function does nothing else
    constants: tuple[str, ...]  # of these the number of axes cannot be seen


def find_widening(document: Document, function: cst.FunctionDef | cst.Lambda) -> Widening:
    """Return the longest end of a function that only makes its results wider.

    Raises:
        RefusalError: it has none, or it is no plain function.
    """
    parameters = [item.name.value for item in function.params.params]
    kinds = dict.fromkeys(parameters, Kind.ELEMENT)
    taken = frozenset(node.value for node in names_in([function]) if not document.is_label(node))
    if isinstance(function, cst.Lambda):
        _require_plain_lambda(function)
        end = _End(document, Values(document, kinds, may_draw=True), frozenset(parameters), taken)
        end.take_result(function.body)
        return end.widening(0, 0, parameters)
    require_plain(document, function)
    statements, values = statements_of(function), Values(document, kinds, may_draw=True)
    local = frozenset({*parameters, *bound_in(function.body)})
    first = int(is_docstring(statements[0]))
    for index in range(first, len(statements)):
        end = _End(document, values, local, taken)
        try:
            end.take_all(statements[index:])
            return end.widening(index, first, parameters)
        except RefusalError:
            if index == len(statements) - 1:
                raise
        values.take(statements[index])
        if any(isinstance(node, cst.Return) for node in nodes_in([statements[index]])):
            raise RefusalError(f"{function.name.value} can return before its casts")
    raise RefusalError(f"{function.name.value} does not return")


@dataclass(slots=True)
class _End:
    """Statements that are looked at as the end of a function."""

    document: Document
    values: Values  # of the statements before
    local: frozenset[str]  # names that the function binds
    named: frozenset[str]  # all names in the function
    wide: set[str] = field(default_factory=set)  # names that the end itself binds
    handed: dict[str, str] = field(default_factory=dict)  # code of what it is made of -> name there
    replaced: list[tuple[cst.BaseExpression, str]] = field(default_factory=list)
    constants: list[str] = field(default_factory=list)
    has_casts: bool = False

    def widening(self, index: int, first: int, parameters: Sequence[str]) -> Widening:
        """Return what was found.

        Raises:
            RefusalError: nothing is cast.
        """
        if not self.has_casts:
            raise RefusalError("none of its results is a cast, with constants at most behind it, where it returns")
        crossing = Crossing(
            handed=tuple(self.handed), names=tuple(self.handed.values()), replaced=tuple(self.replaced), repeated=()
        )
        is_whole = index == first and list(self.handed) == list(parameters) and not self.replaced
        return Widening(index=index, crossing=crossing, is_whole=is_whole, constants=tuple(self.constants))

    # --- statements ---------------------------------------------------------------------------------------------------

    def take_all(self, statements: Sequence[cst.CSTNode]) -> None:
        """Follow the statements of the end: names that are cast, and then what is returned.

        Raises:
            RefusalError: they do more.
        """
        for statement in statements[:-1]:
            self._take_assignment(statement)
        last = only_part(statements[-1])
        if not isinstance(last, cst.Return) or last.value is None:
            raise RefusalError("the last statement of its function does not return a value")
        self.take_result(last.value)

    def _take_assignment(self, statement: cst.CSTNode) -> None:
        small, assigned = only_part(statement), plain_assignment(statement)
        if isinstance(small, cst.AugAssign) and isinstance(small.target, cst.Name) and small.target.value in self.wide:
            if isinstance(small.operator, _IN_PLACE) and self._is_constant(small.value):
                self._note(small.value)
                return
        elif assigned is not None and isinstance(assigned[0], cst.Name) and self._take_wide(assigned[1]):
            self.wide.add(assigned[0].value)
            return
        raise RefusalError(f"{self.document.code(statement).splitlines()[0]} is more than a cast, and constants applied to it")

    def take_result(self, value: cst.BaseExpression) -> None:
        """Follow what is returned: each part is wide, or is handed on as it is.

        Raises:
            RefusalError: a part is made of a wide one.
        """
        if isinstance(value, cst.Tuple | cst.Dict):
            for item in value.elements:
                key = _key(item)
                if key is None:
                    raise RefusalError("what it returns is not written part by part")
                self._take_part(item.value, key)
            return
        self._take_part(value, "")

    def _take_part(self, value: cst.BaseExpression, key: str) -> None:
        if isinstance(value, cst.Tuple | cst.Dict):
            self.take_result(value)
        elif not self._take_wide(value, key):
            self._hand(value, key)

    # --- expressions --------------------------------------------------------------------------------------------------

    def _take_wide(self, value: cst.BaseExpression, key: str = "") -> bool:
        """Follow an expression that is cast, and say whether it is one."""
        if isinstance(value, cst.Name):
            return value.value in self.wide
        if isinstance(value, cst.Call):
            return self._take_cast(value, key)
        if isinstance(value, cst.UnaryOperation):
            return isinstance(value.operator, cst.Minus) and self._take_wide(value.expression, key)
        if not isinstance(value, cst.BinaryOperation) or not isinstance(value.operator, _ARITHMETIC):
            return False
        for one, other in ((value.left, value.right), (value.right, value.left)):
            if self._is_constant(other) and self._take_wide(one, key):
                self._note(other)
                return True
        is_division = isinstance(value.operator, cst.Divide) and self._is_constant(value.right)
        calls = [node for node in nodes_in([value.left]) if isinstance(node, cst.Call)]
        if not is_division or self.values.kind(value.left) not in _ONE_VALUE or any(map(self._is_cast, calls)):
            return False
        self._note(value.right)
        self._hand(value.left, key)
        self.has_casts = True
        return True

    def _take_cast(self, call: cst.Call, key: str) -> bool:
        name = _CASTS.get(self._meaning(call))
        given = [item.value for index, item in enumerate(call.args) if _is_given(item, index, name)]
        others = [item for item in call.args if item.value not in given]
        if name is None or len(given) != 1 or not self._is_constant(call.func):
            return False
        if any(item.star or not self._is_constant(item.value) for item in others):
            return False
        (value,) = given
        if not self._take_wide(value, key):
            if self.values.kind(value) not in _ONE_VALUE:
                raise RefusalError(f"{self.document.code(value)}, which is cast, is not known to be one tensor")
            self._hand(value, key)
        self.has_casts = True
        return True

    def _hand(self, value: cst.BaseExpression, key: str) -> None:
        """Let the lines before the end work an expression out, and give it a name."""
        if any(isinstance(node, cst.NamedExpr) for node in nodes_in([value])):
            raise RefusalError("an expression in what it returns assigns a name")
        read = [node.value for node in names_in([value]) if not self.document.is_label(node)]
        again = next((name for name in read if name in self.wide), None)
        if again is not None:
            raise RefusalError(f"{again} is read once more after it is cast")
        code = self.document.code(value)
        if value.lpar:
            code = f"({code})"
        if isinstance(value, cst.Name):
            self.handed[value.value] = value.value
            return
        if code in self.handed and any(isinstance(node, cst.Call) for node in nodes_in([value])):
            raise RefusalError(f"{code} stands twice in what it returns")
        if code not in self.handed:
            self.handed[code] = self._name_for(value, key)
        self.replaced.append((value, self.handed[code]))

    def _name_for(self, value: cst.BaseExpression, key: str) -> str:
        """Return a name for an expression: its key where that is a name and free."""
        taken = self.named.union(self.handed.values())
        own = literal_key(value) if isinstance(value, cst.Subscript) else None
        for wanted in (key, own or ""):
            if wanted.isidentifier() and not keyword.iskeyword(wanted) and wanted not in taken:
                return wanted
        number = 1
        while (made := "value" if number == 1 else f"value_{number}") in taken:
            number += 1
        return made

    def _is_constant(self, value: cst.BaseExpression) -> bool:
        """Whether an expression is the same whenever the function is traced, and holds nothing of the element."""
        match value:
            case cst.Integer() | cst.Float() | cst.SimpleString():
                return True
            case cst.Name():
                return value.value not in self.local
            case cst.Attribute() | cst.UnaryOperation(operator=cst.Minus()):
                return self._is_constant(value.value if isinstance(value, cst.Attribute) else value.expression)
            case cst.BinaryOperation():
                return self._is_constant(value.left) and self._is_constant(value.right)
            case cst.List() | cst.Tuple():
                return all(isinstance(item, cst.Element) and self._is_constant(item.value) for item in value.elements)
            case cst.Call():
                is_made = self._meaning(value) == _CONSTANT and self._is_constant(value.func)
                return is_made and all(not item.star and self._is_constant(item.value) for item in value.args)
        return False

    def _note(self, value: cst.BaseExpression) -> None:
        """Keep a constant whose number of axes cannot be seen."""
        if any(isinstance(node, cst.Name | cst.List | cst.Tuple) for node in nodes_in([value])):
            self.constants.append(self.document.code(value))

    def _is_cast(self, call: cst.Call) -> bool:
        return self._meaning(call) in _CASTS

    def _meaning(self, call: cst.Call) -> str:
        return meaning(self.document, call.func, Place.of(self.document, call)) or ""


def _require_plain_lambda(function: cst.Lambda) -> None:
    given = function.params
    unusual = given.kwonly_params or given.posonly_params or given.star_kwarg or isinstance(given.star_arg, cst.Param)
    if unusual or any(item.default is not None for item in given.params):
        raise RefusalError("the lambda takes more than plain arguments")


def _is_given(item: cst.Arg, index: int, name: str | None) -> bool:
    """Whether an argument is the first of a function, by its place or its name."""
    if item.star:
        return False
    return index == 0 if item.keyword is None else item.keyword.value == name


def _key(item: cst.BaseElement | cst.BaseDictElement) -> str | None:
    """Return the key of a part of a dictionary, "" of a tuple's; None of one that is not written so."""
    if isinstance(item, cst.DictElement) and isinstance(item.key, cst.SimpleString):
        return str(item.key.evaluated_value)
    return "" if isinstance(item, cst.Element) else None
