"""Proves from a function's traced graph that calling it on a batch gives the batch of its results.

Every tensor is followed from the arguments: one that depends on them gains a leading batch dimension when the function is
called on a batch; an op is let through only where that dimension passes through it untouched, by an explicit table. What
is not in the table is not proven. This reads graphs; elements are compared elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any  # TensorFlow's graphs carry no types

# One input with a batch dimension; all others do not depend on the element.
_UNARY = frozenset(
    {
        "Abs", "Acos", "Acosh", "AsString", "Asin", "Asinh", "Atan", "Atanh", "Bitcast", "Cast", "Ceil",
        "CheckNumerics", "Cos", "Cosh", "DecodeBase64", "DecodeRaw", "Digamma", "Elu", "EncodeBase64", "Erf", "Erfc",
        "Exp", "Expm1", "Floor", "Identity", "Invert", "IsFinite", "IsInf", "IsNan", "LeakyRelu", "Lgamma", "Log",
        "Log1p", "LogicalNot", "LogSoftmax", "Neg", "OnesLike", "PreventGradient", "Reciprocal", "RegexFullMatch",
        "RegexReplace", "Relu", "Relu6", "Rint", "Round", "Rsqrt", "Selu", "Sigmoid", "Sign", "Sin", "Sinh",
        "Snapshot", "Softplus", "Softsign", "Sqrt", "Square", "StaticRegexFullMatch", "StaticRegexReplace",
        "StopGradient", "StringLength", "StringLower", "StringStrip", "StringToHashBucket", "StringToHashBucketFast",
        "StringToHashBucketStrong", "StringToNumber", "StringUpper", "Tan", "Tanh", "ZerosLike",
    }
)  # fmt: skip
_BROADCASTING = frozenset(
    {
        "Add", "AddV2", "Atan2", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Div", "DivNoNan", "Equal",
        "FloorDiv", "FloorMod", "Greater", "GreaterEqual", "LeftShift", "Less", "LessEqual", "LogicalAnd",
        "LogicalOr", "Maximum", "Minimum", "Mod", "Mul", "MulNoNan", "NotEqual", "Pow", "RealDiv", "RightShift",
        "SelectV2", "SquaredDifference", "Sub", "TruncateDiv", "TruncateMod", "Xdivy", "Xlog1py", "Xlogy",
    }
)  # fmt: skip
_REDUCTIONS = frozenset({"All", "Any", "EuclideanNorm", "Max", "Mean", "Min", "Prod", "Sum"})
_WITHOUT_EFFECT = frozenset({"NoOp"})  # of the ops that give nothing
_CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})
_MAX_DEPTH = 8


def why_not_elementwise(graph: Any) -> str:  # Any: a FuncGraph
    """Return why a function cannot be proven to work on a batch, "" where it can."""
    captured = {id(inner) for _, inner in getattr(graph, "captures", ())}
    arguments = [tensor for tensor in graph.inputs if id(tensor) not in captured]
    return _effect(graph, 0) or _follow(graph, [tensor.name for tensor in arguments], 0)


def _effect(graph: Any, depth: int) -> str:
    """Return which op is there for what it does, "" where none is: a batch would have it once, and not for each element."""
    for operation in graph.get_operations():
        inner = called_graph(operation) if operation.type in _CALLS and depth < _MAX_DEPTH else None
        if inner is not None:
            reason = _effect(inner, depth + 1)
            if reason:
                return reason
        elif not operation.outputs and operation.type not in _WITHOUT_EFFECT:
            return f"{operation.type} is done for each element, and would be for each batch"
    return ""


def _follow(graph: Any, arguments: Sequence[str], depth: int) -> str:
    batched = set(arguments)
    for operation in graph.get_operations():
        if not any(tensor.name in batched for tensor in operation.inputs) or not operation.outputs:
            continue
        reason = _judge(operation, batched, depth)
        if reason:
            return reason
        batched.update(tensor.name for tensor in operation.outputs)
    if any(tensor.name not in batched for tensor in graph.outputs):
        return "one of its outputs does not depend on the element"
    return ""


def _judge(operation: Any, batched: set[str], depth: int) -> str:
    kind = operation.type
    if kind in _CALLS:
        return _judge_call(operation, batched, depth)
    if any(tensor.shape.rank is None for tensor in operation.inputs if tensor.dtype.name not in {"resource", "variant"}):
        return f"the shape at {kind} is not known"
    passes = kind in _UNARY and _only(operation, batched, 0)
    passes = passes or (kind in _BROADCASTING and _broadcasts(operation, batched))
    passes = passes or (kind in _REDUCTIONS and _only(operation, batched, 0) and _negative_axes(operation, 1))
    rule = _SPECIAL.get(kind)
    if passes or (rule is not None and rule(operation, batched)):
        return ""
    return f"{kind} is not known to treat the elements of a batch one by one"


def _judge_call(operation: Any, batched: set[str], depth: int) -> str:
    if depth >= _MAX_DEPTH:
        return "its functions are nested too deeply"
    inner = called_graph(operation)
    if inner is None:
        return "it calls a function whose graph cannot be read"
    names = [own.name for own, outer in zip(inner.inputs, operation.inputs, strict=True) if outer.name in batched]
    return _follow(inner, names, depth + 1)


def called_graph(operation: Any) -> Any | None:  # Any: a tf.Operation, a FuncGraph
    """Return the graph of the function that a call runs, None where it cannot be read."""
    name = operation.get_attr("f").name
    try:
        function = operation.graph._get_function(name)
    except (AttributeError, ValueError, KeyError):
        return None
    return getattr(function, "graph", None)


def _only(operation: Any, batched: set[str], position: int) -> bool:
    """Say whether no input but the one at ``position`` depends on the element."""
    return all((tensor.name in batched) == (index == position) for index, tensor in enumerate(operation.inputs))


def _broadcasts(operation: Any, batched: set[str]) -> bool:
    """Say whether shapes, aligned at their ends as broadcasting does, keep the batch dimension apart from all others."""
    ranks = {tensor.shape.rank for tensor in operation.inputs if tensor.name in batched}
    if len(ranks) != 1:
        return False
    rank = ranks.pop()
    return all(tensor.shape.rank <= rank for tensor in operation.inputs if tensor.name not in batched)


def _constant(tensor: Any) -> Any:
    from tensorflow.python.framework import tensor_util

    return tensor_util.constant_value(tensor)


def _negative_axes(operation: Any, position: int) -> bool:
    """Say whether the axes, counted from the end, leave the batch dimension alone."""
    axes = _constant(operation.inputs[position])
    return axes is not None and axes.size > 0 and bool((axes < 0).all())


def _clips(operation: Any, batched: set[str]) -> bool:
    """Rule of ClipByValue, whose limits are of the element's shape or scalars: only those stay right for a batch."""
    return _only(operation, batched, 0) and all(tensor.shape.rank == 0 for tensor in operation.inputs[1:])


def _joins_at_the_end(operation: Any, batched: set[str]) -> bool:
    """Rule of ConcatV2: all parts depend on the element and meet along an axis counted from the end."""
    parts = operation.inputs[:-1]
    return all(tensor.name in batched for tensor in parts) and _negative_axes(operation, len(operation.inputs) - 1)


def _packs_at_the_end(operation: Any, batched: set[str]) -> bool:
    return all(tensor.name in batched for tensor in operation.inputs) and operation.get_attr("axis") < 0


def _axis_input(operation: Any, batched: set[str]) -> bool:
    """Rule of ops whose second input is the axis (ExpandDims, ArgMax, Cumsum)."""
    return _only(operation, batched, 0) and _negative_axes(operation, 1)


def _squeezes_at_the_end(operation: Any, batched: set[str]) -> bool:
    dims = operation.get_attr("squeeze_dims")
    return _only(operation, batched, 0) and bool(dims) and all(axis < 0 for axis in dims)


def _one_hot_at_the_end(operation: Any, batched: set[str]) -> bool:
    return _only(operation, batched, 0) and operation.get_attr("axis") == -1


def _slices_at_the_end(operation: Any, batched: set[str]) -> bool:
    """Rule of StridedSlice: the slice begins with an ellipsis (``x[..., 0]``)."""
    return _only(operation, batched, 0) and bool(operation.get_attr("ellipsis_mask") & 1)


def _looks_up(operation: Any, batched: set[str]) -> bool:
    """Rule of GatherV2: the element indexes into something that does not depend on it."""
    axis = _constant(operation.inputs[2])
    whole = operation.get_attr("batch_dims") == 0
    return _only(operation, batched, 1) and axis is not None and int(axis) == 0 and whole


def _finds_key(operation: Any, batched: set[str]) -> bool:
    """Rule of LookupTableFindV2: scalar values for each key."""
    return _only(operation, batched, 1) and operation.inputs[2].shape.rank == 0


def _has_inner_axis(operation: Any, batched: set[str]) -> bool:
    """Rule of ops that work along the last axis (Softmax), which must not be the batch's."""
    return _only(operation, batched, 0) and operation.inputs[0].shape.rank >= 1


def _parses_dense(operation: Any, batched: set[str]) -> bool:
    """Rule of ParseExampleV2: of one record, where many would do as well, into dense features whose shapes are all known.

    A record that has a name would need as many names in a batch.
    """
    from tensorflow.python.framework.tensor_shape import TensorShape

    is_dense = operation.get_attr("num_sparse") == 0 and not operation.get_attr("ragged_value_types")
    shapes = operation.get_attr("dense_shapes")
    takes_one = operation.inputs[0].shape.rank == 0 and operation.inputs[1].shape.num_elements() == 0
    return (
        takes_one
        and _only(operation, batched, 0)
        and is_dense
        and all(TensorShape(shape).is_fully_defined() for shape in shapes)
    )


def _reads_fields(operation: Any, batched: set[str]) -> bool:
    """Rule of DecodeCSV, which reads any tensor of lines."""
    return _only(operation, batched, 0)


_SPECIAL: Mapping[str, Callable[[Any, set[str]], bool]] = {
    "ArgMax": _axis_input,
    "ArgMin": _axis_input,
    "ClipByValue": _clips,
    "ConcatV2": _joins_at_the_end,
    "Cumprod": _axis_input,
    "Cumsum": _axis_input,
    "DecodeCSV": _reads_fields,
    "ExpandDims": _axis_input,
    "GatherV2": _looks_up,
    "LookupTableFindV2": _finds_key,
    "OneHot": _one_hot_at_the_end,
    "Pack": _packs_at_the_end,
    "ParseExampleV2": _parses_dense,
    "ReverseV2": _axis_input,
    "Softmax": _has_inner_axis,
    "Squeeze": _squeezes_at_the_end,
    "StridedSlice": _slices_at_the_end,
}
