"""Where a function decodes a JPEG only to crop it: the two calls, and what the crop keeps.

The one idea: the picture goes from the one call to the other, and nothing else can read it, so that both can become one call.
Only crops are known that name the place and the size of their window, or draw the place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import libcst as cst

from pipeprof.advise.edits.chains import method
from pipeprof.advise.edits.code_parts import bound_in, names_in, nodes_in, plain_assignment
from pipeprof.advise.edits.document import Document, Statement
from pipeprof.advise.edits.names import Place, assigned_value, meaning
from pipeprof.advise.edits.source_text import RefusalError

_DECODES = frozenset({"tensorflow.io.decode_jpeg", "tensorflow.image.decode_jpeg"})
_BOX = "tensorflow.image.crop_to_bounding_box"
_CROPS = {
    _BOX: ("image", "offset_height", "offset_width", "target_height", "target_width"),
    "tensorflow.slice": ("input_", "begin", "size"),
    "tensorflow.image.random_crop": ("value", "size"),
}  # and their arguments by position
_CHANNELS = (1, 3)  # what a file has by itself is told in two ways
_AXES = 3
_ONCE = (cst.BaseComp, cst.BooleanOperation, cst.IfExp, cst.Lambda)


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodedCrop:
    """A decoding and its crop."""

    statement: Statement | None  # of the decoding, None where it stands in the crop's call
    crop: cst.Call
    data: cst.BaseExpression  # what is decoded
    place: tuple[cst.BaseExpression, ...]  # row and column, none where they are drawn
    size: tuple[cst.BaseExpression, ...]  # rows and columns
    channels: int


def find_crop(document: Document, function: cst.FunctionDef) -> DecodedCrop:
    """Return the one decoding of a function that it only crops.

    Raises:
        RefusalError: there is none, there are several, or they are written in another way.
    """
    name = function.name.value
    decodes = [node for node in nodes_in([function]) if isinstance(node, cst.Call) and _meaning(document, node) in _DECODES]
    if len(decodes) != 1:
        raise RefusalError(f"{name} itself does not decode JPEGs by one call of decode_jpeg")
    if any(isinstance(node, cst.Global | cst.Nonlocal | cst.NamedExpr) for node in nodes_in([function])):
        raise RefusalError(f"{name} is more than a plain function of its arguments")
    (decode,) = decodes
    given = _arguments(document, decode, ("contents", "channels"))
    channels = given.get("channels")
    if given.keys() != {"contents", "channels"} or not isinstance(channels, cst.Integer):
        raise RefusalError(f"{method(decode)} is not called with the file's contents and a number of channels alone")
    if channels.evaluated_value not in _CHANNELS:
        raise RefusalError("how many channels a file has is told in two ways: ask for 1 or 3")
    statement, crop = _crop_of(document, function, decode)
    local = frozenset({*(item.name.value for item in function.params.params), *bound_in(function.body)})
    place, size = _Window(document, local, channels.evaluated_value).read(crop)
    return DecodedCrop(
        statement=statement,
        crop=crop,
        data=given["contents"],
        place=place,
        size=size,
        channels=channels.evaluated_value,
    )


def picture_of(document: Document, crop: cst.Call) -> cst.BaseExpression | None:
    """Return what a call crops, None where it is no crop that is known."""
    parameters = _CROPS.get(_meaning(document, crop))
    return None if parameters is None else _arguments(document, crop, parameters).get(parameters[0])


def _crop_of(document: Document, function: cst.FunctionDef, decode: cst.Call) -> tuple[Statement | None, cst.Call]:
    """Return the statement of a decoding that stands in one of its own, and the call that crops what it gives."""
    argument = document.parent(decode)
    around = document.parent(argument) if isinstance(argument, cst.Arg) else None
    if isinstance(around, cst.Call) and picture_of(document, around) is decode:
        return None, around
    statement = document.statement(decode)
    assigned = plain_assignment(statement)
    after = document.siblings(statement)[1]
    if assigned is None or assigned[1] is not decode or not isinstance(assigned[0], cst.Name) or after is None:
        raise RefusalError("what is decoded is not cropped in the next line")
    name = assigned[0].value
    read = [node for node in names_in([after]) if node.value == name and not document.is_label(node)]
    crops = [node for node in nodes_in([after]) if isinstance(node, cst.Call) and _is_named(picture_of(document, node), name)]
    if not isinstance(after, cst.SimpleStatementLine) or len(crops) != 1 or _inside(document, crops[0], after):
        raise RefusalError("what is decoded is not cropped in the next line")
    renewed = plain_assignment(after)
    is_renewed = renewed is not None and _is_named(renewed[0], name)
    everywhere = [node for node in names_in([function]) if node.value == name and not document.is_label(node)]
    if len(read) != 1 + is_renewed or not (is_renewed or len(everywhere) == 1 + len(read)):
        raise RefusalError(f"{name} is read by more than the crop")
    return statement, crops[0]


def _inside(document: Document, call: cst.Call, statement: cst.CSTNode) -> bool:
    """Whether a call may run never, or more than once, when its statement does."""
    for node in document.ancestors(call):
        if node is statement:
            return False
        if isinstance(node, _ONCE):
            return True
    return True


def _is_named(value: cst.CSTNode | None, name: str) -> bool:
    return isinstance(value, cst.Name) and value.value == name


@dataclass(frozen=True, slots=True)
class _Window:
    """What a crop's arguments say."""

    document: Document
    local: frozenset[str]  # names that the function binds
    channels: int

    def read(self, crop: cst.Call) -> tuple[tuple[cst.BaseExpression, ...], tuple[cst.BaseExpression, ...]]:
        """Return row and column, and rows and columns.

        Raises:
            RefusalError: they are not written part by part, or its size is not the same for all pictures.
        """
        name = _meaning(self.document, crop)
        given = _arguments(self.document, crop, _CROPS[name])
        if given.keys() != {*_CROPS[name]}:
            raise RefusalError(f"{method(crop)} is not called with a place and a size alone")
        _, *others = (given[parameter] for parameter in _CROPS[name])
        if name == _BOX:  # each number by itself
            place, size = tuple(others[:2]), tuple(others[2:])
        else:
            size = self._two_of(others[-1], self.channels, crop)
            place = self._two_of(others[0], 0, crop) if len(others) > 1 else ()
        if not all(map(self._is_number, size)):
            raise RefusalError(f"the size that {method(crop)} keeps is not written as numbers")
        return place, size

    def _two_of(self, value: cst.BaseExpression, last: int, crop: cst.Call) -> tuple[cst.BaseExpression, ...]:
        """Return the first two of three numbers, the last of which has a given value."""
        written = isinstance(value, cst.List | cst.Tuple) and all(isinstance(item, cst.Element) for item in value.elements)
        parts = [item.value for item in value.elements] if isinstance(value, cst.List | cst.Tuple) and written else []
        if len(parts) != _AXES or not isinstance(parts[2], cst.Integer) or parts[2].evaluated_value != last:
            raise RefusalError(f"{method(crop)} does not keep the {self.channels} channels by rows, columns and a last {last}")
        return tuple(parts[:2])

    def _is_number(self, value: cst.BaseExpression) -> bool:
        """Whether an expression is a whole number above zero, or a name that is given one and nothing else."""
        if isinstance(value, cst.Integer):
            return value.evaluated_value > 0
        scope = self.document.scope(value)
        if not isinstance(value, cst.Name) or scope is None or value.value in self.local:
            return False
        given = [assigned_value(self.document, binding) for binding in scope[value.value]]
        return len(given) == 1 and isinstance(given[0], cst.Integer) and given[0].evaluated_value > 0


def _arguments(document: Document, call: cst.Call, names: Sequence[str]) -> dict[str, cst.BaseExpression]:
    """Return a call's arguments by name; a key that is none of ``names`` stands for any other."""
    found: dict[str, cst.BaseExpression] = {}
    for index, argument in enumerate(call.args):
        if argument.star:
            found[document.code(argument)] = argument.value
        elif argument.keyword is not None:
            found[argument.keyword.value] = argument.value
        else:
            found[names[index] if index < len(names) else f"#{index}"] = argument.value
    return found


def _meaning(document: Document, call: cst.Call) -> str:
    return meaning(document, call.func, Place.of(document, call)) or ""
