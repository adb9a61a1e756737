"""What the variables of a function are known to be, statement by statement: tensors, parts of the element, or anything.

The one idea: a value counts as a tensor where the code shows it: TensorFlow's own functions that give one, and arithmetic with
what is one. What the user's functions give, and what may be changed in place behind another name, is not known.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from enum import Enum, auto

import libcst as cst
from libcst.metadata import Assignment

from pipeprof.advise.edits.code_parts import (
    bound_in,
    has_calls,
    is_shape,
    literal_key,
    names_in,
    nodes_in,
    only_part,
    plain_assignment,
)
from pipeprof.advise.edits.document import Document
from pipeprof.advise.edits.names import Place, meaning
from pipeprof.advise.edits.source_text import RefusalError


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_DRAWS = "random"  # a name with this in it is not kept, whatever TensorFlow recorded
_DRAWS_NOTHING = "stateless_"  # but what its seed says, which is an argument
_TENSORFLOW = "tensorflow."
_MODULES = (
    "tensorflow.image.",
    "tensorflow.math.",
    "tensorflow.random.stateless_",
    "tensorflow.signal.",
    "tensorflow.strings.",
)
_FUNCTIONS = _words(
    "abs add argmax argmin bitcast boolean_mask broadcast_to cast clip_by_value concat convert_to_tensor cumsum divide "
    "ensure_shape equal exp expand_dims eye fill floor gather gather_nd greater greater_equal identity "
    "io.decode_and_crop_jpeg io.decode_base64 io.decode_bmp io.decode_compressed io.decode_gif io.decode_image "
    "io.decode_jpeg io.decode_png io.decode_raw io.decode_webp io.encode_jpeg io.encode_png io.extract_jpeg_shape "
    "io.is_jpeg io.parse_tensor io.read_file less less_equal linalg.matmul linalg.norm linspace logical_and logical_not "
    "logical_or matmul maximum minimum multiply negative nn.l2_normalize nn.relu nn.softmax norm not_equal one_hot ones "
    "ones_like pad pow range rank reduce_all reduce_any reduce_max reduce_mean reduce_min reduce_prod reduce_sum repeat "
    "reshape reverse roll round searchsorted shape sigmoid sign size slice sort sparse.to_dense sqrt square squeeze stack "
    "strided_slice subtract tensordot tile transpose where zeros zeros_like"
)  # which give one tensor, as all of the modules above do, but for these:
_SEVERAL = _words(
    "image.combined_non_max_suppression image.generate_bounding_box_proposals image.image_gradients "
    "image.non_max_suppression_padded image.non_max_suppression_with_scores image.sample_distorted_bounding_box "
    "image.stateless_sample_distorted_bounding_box math.approx_max_k math.approx_min_k math.top_k "
    "signal.inverse_stft_window_fn strings.unicode_decode_with_offsets strings.unicode_split_with_offsets"
)
_TUPLES = frozenset({"audio.decode_wav", "math.top_k", "nn.moments", "unique"})  # of tensors
_CASTS = frozenset({"cast", "image.convert_image_dtype"})
_OF_SHAPES = frozenset({"rank", "shape", "size"})
_PURE = frozenset({"abs", "float", "int", "len", "max", "min", "range", "round", "str", "tuple"})  # of Python's own
_TENSORS_ONLY = cst.Divide | cst.FloorDivide | cst.Subtract | cst.Power | cst.MatrixMultiply  # no tuple or dictionary has them
_RECORDS = frozenset({"io.parse_single_example", "io.parse_example"})


class Kind(Enum):
    """What a value is known to be."""

    ELEMENT = auto()  # a part of the element as it came, or made of it: what stood in an element can stand in one again
    RECORD = auto()  # a dictionary of tensors
    TENSOR = auto()
    STATIC = auto()  # the same whenever the function is traced: written out, global, or a shape; it would not be behind a map
    UNKNOWN = auto()


_MUTABLE = frozenset({Kind.ELEMENT, Kind.RECORD})


@dataclass(slots=True)
class Values:
    """What is known of the variables of a function, statement by statement."""

    document: Document
    kinds: dict[str, Kind]
    made_by: dict[str, cst.SimpleStatementLine] = field(default_factory=dict)  # of the static ones
    made: set[str] = field(default_factory=set)  # what was assigned, or changed
    is_aliased: bool = False  # whether a dictionary may have two names
    may_draw: bool = False  # whether statements may draw, or be there for their effect: they stay where they are

    @classmethod
    def of(cls, document: Document, function: cst.FunctionDef) -> Values:
        """Return what is known where a function begins: its parameters are the element."""
        return cls(document, {item.name.value: Kind.ELEMENT for item in function.params.params})

    def take(self, statement: cst.CSTNode) -> None:
        """Follow one statement; what is assigned in an unusual way is unknown from then on.

        Raises:
            RefusalError: it may draw, or is there for its effect.
        """
        self._refuse_effects(statement)
        self._look_for_changes(statement)
        assigned = plain_assignment(statement)
        if assigned is None:
            self._take_other(statement)
        elif isinstance(assigned[0], cst.Name):
            kind = self.kind(assigned[1])
            self._assign(assigned[0].value, kind)
            self.is_aliased |= kind in _MUTABLE and not isinstance(assigned[1], cst.Call)
            if self.kinds[assigned[0].value] is Kind.STATIC and isinstance(statement, cst.SimpleStatementLine):
                self.made_by[assigned[0].value] = statement
        else:
            self._assign_parts(*assigned)

    def kind(self, value: cst.BaseExpression) -> Kind:
        """Return what an expression gives."""
        found = Kind.UNKNOWN
        match value:
            case cst.Name():
                found = self.kinds.get(value.value, Kind.STATIC)
            case cst.Integer() | cst.Float() | cst.SimpleString():
                found = Kind.STATIC
            case cst.Attribute() if self.kind(value.value) is Kind.STATIC or is_shape(value):
                found = Kind.STATIC
            case cst.Subscript():
                found = self._item(value)
            case cst.Call():
                found = self._called(value)
            case cst.Dict():
                found = self._mapping(value)
            case cst.Tuple() if {self.kind(item.value) for item in value.elements} <= {Kind.STATIC}:
                found = Kind.STATIC
            case cst.UnaryOperation() if not isinstance(value.operator, cst.Not):
                found = self._computed(value.operator, value.expression)
            case cst.BinaryOperation():
                found = self._computed(value.operator, value.left, value.right)
        return found

    # --- statements ---------------------------------------------------------------------------------------------------

    def _assign(self, name: str, kind: Kind) -> None:
        self.kinds[name] = kind
        self.made.add(name)
        self.made_by.pop(name, None)

    def _assign_parts(self, target: cst.Name | cst.Tuple | cst.List, value: cst.BaseExpression) -> None:
        """Follow ``a, b = value``; the parts of an element may be dictionaries that are reached by either name."""
        targets = list(target.elements) if isinstance(target, cst.Tuple | cst.List) else []
        parts = list(value.elements) if isinstance(value, cst.Tuple) else []
        whole = Kind.UNKNOWN
        if isinstance(value, cst.Call) and self._meaning(value) in _TUPLES:
            whole = Kind.TENSOR
        elif self.kind(value) is Kind.ELEMENT:
            whole, self.is_aliased = Kind.ELEMENT, True
        kinds = [self.kind(part.value) for part in parts] if len(parts) == len(targets) else [whole] * len(targets)
        self.is_aliased |= not _MUTABLE.isdisjoint(kinds)
        for element, kind in zip(targets, kinds, strict=True):
            (name,) = names_in([element])
            is_one = isinstance(element, cst.Element) and kind is not Kind.STATIC
            self._assign(name.value, kind if is_one else Kind.UNKNOWN)

    def is_light(self, value: cst.BaseExpression) -> bool:
        """Whether an expression makes a tensor wider that is one already: a cast or a division, and arithmetic around it."""
        match value:
            case cst.Call() if self._meaning(value) in _CASTS and value.args:
                return self.kind(value.args[0].value) is Kind.TENSOR
            case cst.BinaryOperation() if self.kind(value.right) is Kind.STATIC:
                is_division = isinstance(value.operator, cst.Divide) and self.kind(value.left) is Kind.TENSOR
                return self.is_light(value.left) or (is_division and isinstance(value.left, cst.Name))
        return False

    def _take_other(self, statement: cst.CSTNode) -> None:
        """Follow what is no plain assignment: a tensor stays one where all that it becomes are tensors."""
        if self._sets_a_tensor(statement):
            self.made.update(bound_in(statement))
            return
        bound = Counter(bound_in(statement))
        small = only_part(statement)
        becomes: dict[str, list[Kind]] = {name: [] for name in bound}
        if isinstance(small, cst.AugAssign) and isinstance(small.target, cst.Name):
            operator = cst.Subtract() if isinstance(small.operator, cst.SubtractAssign | cst.DivideAssign) else cst.Add()
            becomes[small.target.value] = [self._computed(operator, small.target, small.value)]
        elif isinstance(statement, cst.If | cst.For | cst.While | cst.With):
            becomes = self._follow_block(statement)
        for name, times in bound.items():
            found = becomes.get(name, [])
            before = self.kinds.get(name, Kind.UNKNOWN)
            is_tensor = set(found) == {Kind.TENSOR} and len(found) == times
            if is_tensor and small is not None:
                self._assign(name, Kind.TENSOR)
            else:  # of a block perhaps no line runs
                self._assign(name, before if is_tensor and before in {Kind.ELEMENT, Kind.TENSOR} else Kind.UNKNOWN)

    def _follow_block(self, statement: cst.CSTNode) -> dict[str, list[Kind]]:
        """Return what the names become that are bound on the lines of a block, whichever of them run, in whatever order.

        What was no tensor before, or is none behind one of the lines, is unknown on all of them.
        """
        becomes: dict[str, list[Kind]] = {}
        lost = {name for name in bound_in(statement) if self.kinds.get(name) not in {Kind.ELEMENT, Kind.TENSOR}}
        known = -1
        while known < len(lost):
            known, becomes = len(lost), {}
            inside = replace(self, kinds=self.kinds | dict.fromkeys(lost, Kind.UNKNOWN), made_by={}, made=set())
            for line in (node for node in nodes_in([statement]) if isinstance(node, cst.SimpleStatementLine)):
                inside.take(line)
                for name in bound_in(line):
                    found = inside.kinds.get(name, Kind.UNKNOWN)
                    becomes.setdefault(name, []).append(found)
                    if found is not Kind.TENSOR:
                        lost.add(name)
                    inside.kinds[name] = Kind.UNKNOWN if name in lost else self.kinds[name]
        for name, kind in inside.kinds.items():
            if kind is Kind.UNKNOWN and self.kinds.get(name) in _MUTABLE:
                self._assign(name, Kind.UNKNOWN)
        self.is_aliased |= inside.is_aliased
        return becomes

    def _refuse_effects(self, statement: cst.CSTNode) -> None:
        """Refuse what may draw, what binds a name inside of an expression, and calls of which only the effect counts."""
        for node in nodes_in([statement]):
            if isinstance(node, cst.NamedExpr):
                raise RefusalError(f"an expression before the {'casts' if self.may_draw else 'first draw'} assigns a name")
            if self.may_draw:
                continue
            if isinstance(node, cst.Name) and _DRAWS in node.value.lower():
                parts = [part for part in self.document.ancestors(node) if isinstance(part, cst.Attribute)]
                if not any(part.attr.value.startswith(_DRAWS_NOTHING) for part in parts):
                    raise RefusalError(f"{node.value}, before the first draw, may draw, too")
            is_kept = isinstance(node, cst.Call) and self._may_keep(node)
            call = node.value if isinstance(node, cst.Expr) else None
            if is_kept or (isinstance(call, cst.Call) and not self._is_harmless(call)):
                called = call if isinstance(call, cst.Call) else node
                name = self.document.code(called.func) if isinstance(called, cst.Call) else ""
                raise RefusalError(f"{name}, before the first draw, is called for its effect")

    def _may_keep(self, call: cst.Call) -> bool:
        """Whether a method of something outside the function gets a value of it (``seen.append(x)``)."""
        if not isinstance(call.func, cst.Attribute) or self._meaning(call) or self.kind(call.func.value) is not Kind.STATIC:
            return False
        return any(self._given(argument.value) is not Kind.STATIC for argument in call.args)

    def _is_harmless(self, call: cst.Call) -> bool:
        """Whether a call by itself leaves nothing behind but a check, a line of output or a shape."""
        if self._meaning(call) or (isinstance(call.func, cst.Name) and call.func.value == "print"):
            return True
        is_method = isinstance(call.func, cst.Attribute) and call.func.attr.value == "set_shape"
        return is_method and isinstance(call.func, cst.Attribute) and self.kind(call.func.value) is Kind.TENSOR

    def _look_for_changes(self, statement: cst.CSTNode) -> None:
        """Forget what dictionaries hold where one may be changed in place, but by a tensor for a key of one with one name."""
        for node in nodes_in([statement]):
            if isinstance(node, cst.Call) and not self.leaves_alone(node):
                self._forget_dictionaries()
            is_item = isinstance(node, cst.AssignTarget | cst.AugAssign) and isinstance(node.target, cst.Subscript)
            if is_item and not self._sets_a_tensor(statement):
                self._forget_dictionaries()
            if isinstance(node, cst.Del):
                self._forget_dictionaries()

    def is_known(self, call: cst.Call) -> bool:
        """Whether a call is of TensorFlow, or of Python's own functions."""
        return bool(self._meaning(call)) or self._is_pure(call, frozenset({"print"}))

    def leaves_alone(self, call: cst.Call) -> bool:
        """Whether a call cannot change a dictionary: it is TensorFlow's, or gets none and is no method of one."""
        if self.is_known(call):
            return True
        receiver = call.func.value if isinstance(call.func, cst.Attribute) else None
        given = [argument.value for argument in call.args] + ([receiver] if receiver is not None else [])
        return all(self.kind(value) in {Kind.TENSOR, Kind.STATIC} for value in given)

    def _sets_a_tensor(self, statement: cst.CSTNode) -> bool:
        """Whether a statement is ``record["key"] = tensor``, of a dictionary that has no other name."""
        small = only_part(statement)
        if self.is_aliased or not isinstance(small, cst.Assign) or len(small.targets) != 1:
            return False
        part = small.targets[0].target
        if not isinstance(part, cst.Subscript) or not isinstance(part.value, cst.Name) or literal_key(part) is None:
            return False
        return self.kind(part.value) in _MUTABLE and self.kind(small.value) is Kind.TENSOR

    def _forget_dictionaries(self) -> None:
        for name, kind in self.kinds.items():
            if kind in _MUTABLE:
                self.kinds[name] = Kind.UNKNOWN

    # --- expressions --------------------------------------------------------------------------------------------------

    def _computed(self, operator: cst.CSTNode, *operands: cst.BaseExpression) -> Kind:
        kinds = {self.kind(operand) for operand in operands}
        if Kind.UNKNOWN in kinds or Kind.RECORD in kinds:
            return Kind.UNKNOWN
        if Kind.TENSOR in kinds:
            is_format = isinstance(operator, cst.Modulo) and self.kind(operands[0]) is not Kind.TENSOR
            return Kind.UNKNOWN if is_format else Kind.TENSOR
        if kinds == {Kind.STATIC}:
            return Kind.STATIC
        is_tensor = isinstance(operator, _TENSORS_ONLY) or any(isinstance(one, cst.Float) for one in operands)
        return Kind.TENSOR if is_tensor else Kind.UNKNOWN

    def _mapping(self, value: cst.Dict) -> Kind:
        elements = [item for item in value.elements if isinstance(item, cst.DictElement)]
        kinds = {self.kind(item.value) for item in elements if isinstance(item.key, cst.SimpleString)}
        is_whole = len(elements) == len(value.elements) and all(isinstance(item.key, cst.SimpleString) for item in elements)
        if not is_whole or not kinds or not kinds <= {Kind.ELEMENT, Kind.TENSOR}:
            return Kind.UNKNOWN
        self.is_aliased |= Kind.ELEMENT in kinds
        return Kind.ELEMENT if Kind.ELEMENT in kinds else Kind.RECORD

    def _item(self, value: cst.Subscript) -> Kind:
        base, key = self.kind(value.value), literal_key(value)
        if base in {Kind.TENSOR, Kind.STATIC}:
            return base
        if key is None:
            return Kind.UNKNOWN
        return {Kind.RECORD: Kind.TENSOR, Kind.ELEMENT: Kind.ELEMENT}.get(base, Kind.UNKNOWN)

    def _called(self, call: cst.Call) -> Kind:
        name = self._meaning(call)
        if name in _RECORDS:
            return Kind.RECORD
        kinds = {self._given(argument.value) for argument in call.args}
        if self._is_pure(call):
            return Kind.STATIC if kinds <= {Kind.STATIC} else Kind.UNKNOWN
        is_tensor = name in _FUNCTIONS or (f"{_TENSORFLOW}{name}".startswith(_MODULES) and name not in _SEVERAL)
        if not is_tensor:
            return Kind.UNKNOWN
        is_static = (name in _OF_SHAPES and not has_calls(call.args)) or (kinds <= {Kind.STATIC} and not name.startswith("io."))
        return Kind.STATIC if is_static else Kind.TENSOR

    def _given(self, value: cst.BaseExpression) -> Kind:
        """Return what an argument is: a list that is written there cannot be changed elsewhere."""
        if isinstance(value, cst.List):
            return Kind.STATIC if {self._given(item.value) for item in value.elements} <= {Kind.STATIC} else Kind.UNKNOWN
        return self.kind(value)

    def _is_pure(self, call: cst.Call, also: frozenset[str] = frozenset()) -> bool:
        """Whether a call is of one of Python's own functions, whose name the file gives to nothing else."""
        if not isinstance(call.func, cst.Name) or call.func.value not in _PURE | also:
            return False
        scope = self.document.scope(call)
        return scope is not None and not any(isinstance(binding, Assignment) for binding in scope[call.func.value])

    def _meaning(self, call: cst.Call) -> str:
        """Return the name in TensorFlow of what is called, empty where it is something else."""
        name = meaning(self.document, call.func, Place.of(self.document, call)) or ""
        return name.removeprefix(_TENSORFLOW) if name.startswith(_TENSORFLOW) else ""
