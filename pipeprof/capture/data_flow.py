"""Follows values through a function's traced graph: what it hands on as it got it, what it reads, what it casts and crops.

The one idea: whether two stages may change places hangs on what the one makes and the other reads. Only what the graph proves
is said; a call of another function is taken to read all that it is given and to make all that it gives. Nothing here judges.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any  # TensorFlow's graphs carry no types

WITHOUT_COST = frozenset({"Const", "Identity", "Placeholder", "NoOp", "StopGradient"})
_SAME = frozenset({"Identity", "StopGradient", "PreventGradient", "EnsureShape", "Snapshot"})
_SCALES = _SAME | {"Add", "AddV2", "Div", "ExpandDims", "Mul", "Neg", "RealDiv", "Reshape", "Squeeze", "Sub", "Transpose"}
_PICTURES = frozenset({"DecodeBmp", "DecodeImage", "DecodeJpeg", "DecodePng", "DecodeWebP"})
_SHRINKS = frozenset(
    {"CropAndResize", "ResizeArea", "ResizeBicubic", "ResizeBilinear", "ResizeNearestNeighbor", "ScaleAndTranslate", "Slice"}
)
_ROWS_AND_COLUMNS = 0b11


@dataclass(frozen=True, slots=True)
class DataFlow:
    """What one function does with its arguments, all flattened as TensorFlow flattens structures."""

    passes: tuple[int, ...] = ()  # for each output the argument that it is, -1 where the function makes it
    reads: tuple[int, ...] = ()  # arguments that its outputs depend on
    widened_from: str = ""  # integer type of which its largest cast output is a wider copy, scaled at most
    narrow_bytes: int | None = None  # bytes of its outputs had those not been cast, where all shapes are known
    after_decode: tuple[str, ...] = ()  # ops that take the pixels of a decoded picture and give fewer
    before_draws: tuple[str, ...] = ()  # ops that hang on the arguments alone, every one of their type, where others draw
    drawn_from_bytes: int | None = None  # bytes of what those hand to the rest, where all shapes are known


def follow(graph: Any, draws: frozenset[str] = frozenset()) -> DataFlow:  # Any: a FuncGraph
    """Follow the values through one function.

    Args:
        graph: of the function.
        draws: types of ops that may give something else at the next call with the same arguments.
    """
    arguments = _arguments(graph)
    outputs = list(graph.outputs)
    depending = _after(graph, arguments)
    narrow = [_narrow_type(tensor, depending) for tensor in outputs]
    widened = [(_bytes(tensor) or 0, dtype) for tensor, dtype in zip(outputs, narrow, strict=True) if dtype is not None]
    sizes = [_bytes(tensor, dtype) for tensor, dtype in zip(outputs, narrow, strict=True)]
    known = [size for size in sizes if size is not None]
    return DataFlow(
        passes=tuple(arguments.get(_origin(tensor).name, -1) for tensor in outputs),
        reads=tuple(sorted({arguments[name] for name in _before(outputs) if name in arguments})),
        widened_from=max(widened, key=lambda item: item[0])[1].name if widened else "",
        narrow_bytes=sum(known) if widened and len(known) == len(sizes) else None,
        after_decode=tuple(sorted(set(_shrinking(graph)))),
        **_settled(graph, depending, draws),
    )


def _settled(graph: Any, depending: set[str], draws: frozenset[str]) -> dict[str, Any]:
    """Return which ops hang on the arguments alone, and the bytes of what they hand on to those that do not."""
    seeds, drawn = _drawing(graph, draws)
    if not seeds:
        return {}
    operations = graph.get_operations()
    settled = _settled_ops(operations, depending, drawn)
    unsettled = {op.type for op in operations if any(tensor.name in drawn for tensor in op.outputs)}
    ends = {id(tensor) for tensor in graph.outputs}
    handed = [
        tensor
        for op in settled
        for tensor in op.outputs
        if id(tensor) in ends or any(output.name in drawn for user in tensor.consumers() for output in user.outputs)
    ]
    sizes = [_bytes(tensor) for tensor in handed]
    known = [size for size in sizes if size is not None]
    return {
        "before_draws": tuple(sorted({op.type for op in settled} - unsettled - _SAME - {"Placeholder"})),
        "drawn_from_bytes": sum(known) if handed and len(known) == len(sizes) else None,
    }


def drawing_and_settled(graph: Any, draws: frozenset[str]) -> tuple[list[Any], list[Any]]:
    """Return the ops that draw, and those that hang on the function's arguments and on no draw, as they were made."""
    seeds, drawn = _drawing(graph, draws)
    return seeds, _settled_ops(graph.get_operations(), _after(graph, _arguments(graph)), drawn)


def _arguments(graph: Any) -> dict[str, int]:
    """Return the names of a function's arguments, without what it captured, and their places."""
    captured = {id(inner) for _, inner in getattr(graph, "captures", ())}
    return {tensor.name: index for index, tensor in enumerate(graph.inputs) if id(tensor) not in captured}


def _settled_ops(operations: list[Any], depending: set[str], drawn: set[str]) -> list[Any]:
    return [op for op in operations if op.outputs and op.outputs[0].name in depending and op.outputs[0].name not in drawn]


def _drawing(graph: Any, draws: frozenset[str]) -> tuple[list[Any], set[str]]:
    """Return the ops that draw, those that call a function which draws among them, and the names of all that hangs on them."""
    seeds: list[Any] = []
    drawn: set[str] = set()
    calls_drawing = any(node.op in draws for function in graph.as_graph_def().library.function for node in function.node_def)
    for op in graph.get_operations():
        is_seed = op.type in draws or (calls_drawing and _calls(op))
        if is_seed:
            seeds.append(op)
        if is_seed or any(tensor.name in drawn for tensor in op.inputs):
            drawn.update(tensor.name for tensor in op.outputs)
    return seeds, drawn


def _calls(op: Any) -> bool:
    """Tell whether an op calls another function of the graph."""
    return any(item.type in {"func", "list(func)"} for item in op.op_def.attr)


def _origin(tensor: Any) -> Any:
    while tensor.op.type in _SAME:
        tensor = tensor.op.inputs[0]
    return tensor


def _before(tensors: list[Any]) -> set[str]:
    """Return the names of the tensors and of all that they are made of."""
    found: set[str] = set()
    waiting = list(tensors)
    while waiting:
        tensor = waiting.pop()
        if tensor.name not in found:
            found.add(tensor.name)
            waiting.extend(tensor.op.inputs)
    return found


def _after(graph: Any, arguments: Iterable[str]) -> set[str]:
    """Return the names of the arguments and of all that is made of them."""
    found = set(arguments)
    for op in graph.get_operations():  # in the order in which they were made
        if any(tensor.name in found for tensor in op.inputs):
            found.update(tensor.name for tensor in op.outputs)
    return found


def _narrow_type(tensor: Any, depending: set[str]) -> Any:
    """Return the integer type of which a tensor is a wider copy, None where it is none: a cast, and constants applied to it."""
    size = tensor.dtype.size
    while tensor.op.type in _SCALES:
        made_of = [item for item in tensor.op.inputs if item.name in depending]
        if len(made_of) != 1:
            return None
        tensor = made_of[0]
    if tensor.op.type != "Cast":
        return None
    source = tensor.op.inputs[0].dtype
    return source if source.is_integer and source.size < size else None


def _bytes(tensor: Any, dtype: Any = None) -> int | None:
    count = tensor.shape.num_elements()
    kind = dtype or tensor.dtype
    return None if count is None or kind.name in {"string", "variant", "resource"} else int(count * kind.size)


def _shrinking(graph: Any) -> Iterator[str]:
    """Yield the first ops after a decoding that leave pixels out."""
    waiting = [output for op in graph.get_operations() if op.type in _PICTURES for output in op.outputs[:1]]
    seen: set[str] = set()
    while waiting:
        tensor = waiting.pop()
        if tensor.name in seen:
            continue
        seen.add(tensor.name)
        for op in tensor.consumers():
            if op.type in _SHRINKS or _is_crop(op, tensor):
                yield op.type
            elif op.type in _SCALES or op.type == "Cast":
                waiting.extend(op.outputs)


def _is_crop(op: Any, tensor: Any) -> bool:
    """Say whether a slice of a picture (rows, columns, channels) leaves out rows or columns."""
    if op.type != "StridedSlice" or op.inputs[0].name != tensor.name or op.get_attr("ellipsis_mask"):
        return False
    whole = op.get_attr("begin_mask") & op.get_attr("end_mask")
    return bool(whole & _ROWS_AND_COLUMNS != _ROWS_AND_COLUMNS)
