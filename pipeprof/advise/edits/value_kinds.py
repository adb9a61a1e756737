"""What the variables of a function are known to be, statement by statement: tensors, parts of the element, or anything.

The one idea: a value counts as a tensor where the code shows it: TensorFlow's own functions that give one, and arithmetic with
what is one. Values of the user's functions, lists and shapes are not known.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

import libcst as cst

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
    "strings.unicode_decode_with_offsets strings.unicode_split_with_offsets"
)
_TUPLES = frozenset({"audio.decode_wav", "math.top_k", "nn.moments", "unique"})  # of tensors
_RECORDS = frozenset({"io.parse_single_example", "io.parse_example"})


class Kind(Enum):
    """What a value is known to be."""

    ELEMENT = auto()  # a part of the element as it came: whatever stood there can stand there again
    RECORD = auto()  # a dictionary of tensors
    TENSOR = auto()
    LITERAL = auto()
    UNKNOWN = auto()


@dataclass(slots=True)
class Values:
    """What is known of the variables of a function, statement by statement."""

    document: Document
    kinds: dict[str, Kind]
    literals: dict[str, cst.SimpleStatementLine] = field(default_factory=dict)

    def take(self, statement: cst.CSTNode) -> None:
        """Follow one statement; what is assigned in an unusual way is unknown from then on.

        Raises:
            RefusalError: it may draw.
        """
        self._refuse_draws(statement)
        assigned = plain_assignment(statement)
        if assigned is None:
            self._take_other(statement)
            return
        target, value = assigned
        if isinstance(target, cst.Name):
            self.kinds[target.value] = self.kind(value)
            if self.kinds[target.value] is Kind.LITERAL and isinstance(statement, cst.SimpleStatementLine):
                self.literals[target.value] = statement
            return
        kind = self._part_of(value)
        parts = list(value.elements) if isinstance(value, cst.Tuple) else []
        targets = list(target.elements)
        kinds = [self.kind(part.value) for part in parts] if len(parts) == len(targets) else [kind] * len(targets)
        for element, one in zip(targets, kinds, strict=True):
            (name,) = names_in([element])
            is_one = isinstance(element, cst.Element) and one is not Kind.LITERAL
            self.kinds[name.value] = one if is_one else Kind.UNKNOWN

    def _refuse_draws(self, statement: cst.CSTNode) -> None:
        for node in nodes_in([statement]):
            if isinstance(node, cst.Name) and _DRAWS in node.value.lower():
                parts = [part for part in self.document.ancestors(node) if isinstance(part, cst.Attribute)]
                if not any(part.attr.value.startswith(_DRAWS_NOTHING) for part in parts):
                    raise RefusalError(f"{node.value}, before the first draw, may draw, too")

    def _take_other(self, statement: cst.CSTNode) -> None:
        """Follow what is no plain assignment: a tensor stays one where all that it becomes are tensors."""
        bound = set(bound_in(statement))
        becomes: dict[str, set[Kind]] = {name: set() for name in bound}
        small = statement.body[0] if isinstance(statement, cst.SimpleStatementLine) and len(statement.body) == 1 else None
        if isinstance(small, cst.AugAssign) and isinstance(small.target, cst.Name):
            becomes[small.target.value] = {self._computed(small.target, small.value)}
        elif isinstance(statement, cst.If | cst.For | cst.While | cst.With):
            inside = Values(self.document, dict(self.kinds))
            for line in (node for node in nodes_in([statement]) if isinstance(node, cst.SimpleStatementLine)):
                inside.take(line)
                for name in bound_in(line):
                    becomes[name].add(inside.kinds[name])
        changed = dict.fromkeys(self._asked_to_change(statement), Kind.UNKNOWN)
        for name in bound:
            stays = becomes[name] == {Kind.TENSOR} and self.kinds.get(name) in {Kind.ELEMENT, Kind.TENSOR}
            changed[name] = Kind.TENSOR if stays else Kind.UNKNOWN
        self.kinds.update(changed)

    def _asked_to_change(self, statement: cst.CSTNode) -> Iterator[str]:
        """Yield what is no single tensor, and has a method of its own called in a statement (``example.update(...)``)."""
        for node in nodes_in([statement]):
            if isinstance(node, cst.Call) and isinstance(node.func, cst.Attribute) and isinstance(node.func.value, cst.Name):
                name = node.func.value.value
                if self.kinds.get(name) in {Kind.ELEMENT, Kind.RECORD}:
                    yield name

    def _part_of(self, value: cst.BaseExpression) -> Kind:
        """Return what each part of a value is that is assigned to several names."""
        if isinstance(value, cst.Call) and self._meaning(value) in _TUPLES:
            return Kind.TENSOR
        return Kind.ELEMENT if self.kind(value) is Kind.ELEMENT else Kind.UNKNOWN

    def kind(self, value: cst.BaseExpression) -> Kind:
        """Return what an expression gives."""
        if isinstance(value, cst.Name):
            return self.kinds.get(value.value, Kind.UNKNOWN)
        if isinstance(value, cst.Integer | cst.Float | cst.SimpleString):
            return Kind.LITERAL
        if isinstance(value, cst.Subscript):
            return self._item(value)
        if isinstance(value, cst.Call):
            return self._called(value)
        if isinstance(value, cst.Dict):
            return self._mapping(value)
        if isinstance(value, cst.UnaryOperation) and not isinstance(value.operator, cst.Not):
            return self._computed(value.expression)
        if isinstance(value, cst.BinaryOperation) and not isinstance(value.left, cst.SimpleString):
            return self._computed(value.left, value.right)
        return Kind.UNKNOWN

    def _computed(self, *operands: cst.BaseExpression) -> Kind:
        kinds = {self.kind(operand) for operand in operands}
        is_tensor = Kind.TENSOR in kinds or (Kind.ELEMENT in kinds and Kind.UNKNOWN not in kinds)
        return Kind.TENSOR if is_tensor else Kind.UNKNOWN

    def _mapping(self, value: cst.Dict) -> Kind:
        elements = [item for item in value.elements if isinstance(item, cst.DictElement)]
        kinds = {self.kind(item.value) for item in elements if isinstance(item.key, cst.SimpleString)}
        is_whole = len(elements) == len(value.elements) and all(isinstance(item.key, cst.SimpleString) for item in elements)
        return Kind.RECORD if is_whole and kinds and kinds <= {Kind.ELEMENT, Kind.TENSOR} else Kind.UNKNOWN

    def _item(self, value: cst.Subscript) -> Kind:
        base = self.kind(value.value)
        if base is Kind.TENSOR:
            return Kind.TENSOR
        key = literal_key(value)
        if base is Kind.RECORD and key is not None:
            return Kind.TENSOR
        return Kind.ELEMENT if base is Kind.ELEMENT and key is not None else Kind.UNKNOWN

    def _called(self, call: cst.Call) -> Kind:
        name = self._meaning(call)
        if name in _RECORDS:
            return Kind.RECORD
        is_tensor = name in _FUNCTIONS or (f"{_TENSORFLOW}{name}".startswith(_MODULES) and name not in _SEVERAL)
        return Kind.TENSOR if is_tensor else Kind.UNKNOWN

    def _meaning(self, call: cst.Call) -> str:
        """Return the name in TensorFlow of what is called, empty where it is something else."""
        name = meaning(self.document, call.func, Place.of(self.document, call)) or ""
        return name.removeprefix(_TENSORFLOW) if name.startswith(_TENSORFLOW) else ""


def plain_assignment(statement: cst.CSTNode) -> tuple[cst.Name | cst.Tuple | cst.List, cst.BaseExpression] | None:
    """Return target and value of ``name = value`` or ``a, b = value``, None for every other statement."""
    if not isinstance(statement, cst.SimpleStatementLine) or len(statement.body) != 1:
        return None
    small = statement.body[0]
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
        if isinstance(current, cst.AssignTarget | cst.AugAssign | cst.AnnAssign | cst.For | cst.CompFor | cst.NamedExpr):
            targets = [current.target]
        elif isinstance(current, cst.AsName | cst.FunctionDef | cst.ClassDef | cst.ImportAlias):
            targets = [current.name]
        for target in targets:
            yield from (name.value for name in names_in([target]))
