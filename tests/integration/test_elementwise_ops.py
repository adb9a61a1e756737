"""Every op that is taken to work on a batch is called on one: its results are those of the elements, one by one."""

from __future__ import annotations

import numpy as np
import pytest

from pipeprof.capture.elementwise import _BROADCASTING, _REDUCTIONS, _SPECIAL, _UNARY

tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.tf

_COUNT = 3
_SHAPES = ((), (4,), (2, 1, 4), (2, 3, 1, 4))
_ATTRIBUTES = {
    "Bitcast": {"type": tf.uint8},
    "Cast": {"DstT": tf.float32},
    "CheckNumerics": {"message": ""},
    "DecodeRaw": {"out_type": tf.uint8},
    "PreventGradient": {"message": ""},
    "RegexFullMatch": {"pattern": "1.*"},
    "RegexReplace": {"pattern": "1", "rewrite": "x"},
    "StaticRegexFullMatch": {"pattern": "1.*"},
    "StaticRegexReplace": {"pattern": "1", "rewrite": "x"},
    "StringToHashBucket": {"num_buckets": 99},
    "StringToHashBucketFast": {"num_buckets": 99},
    "StringToHashBucketStrong": {"num_buckets": 99, "key": [1, 2]},
}
_NEEDS_AXIS = frozenset({"LogSoftmax", "Softmax"})


def _values(kind, shape, seed=1):
    """Return a batch of elements of a shape."""
    whole = np.random.default_rng(seed).uniform(0.1, 0.9, (_COUNT, *shape)).astype(np.float32)
    numbers = tf.constant(1 + whole * 9)
    texts = tf.strings.as_string(tf.cast(numbers * 1000, tf.int32))
    made = {
        "float32": lambda: tf.constant(whole),
        "int32": lambda: tf.cast(numbers, tf.int32),
        "bool": lambda: tf.constant(whole > 0.5),
        "string": lambda: texts,
        "base64": lambda: tf.io.encode_base64(texts),
    }
    return made[kind]()


def _takes(call, *values):
    try:
        call(*values)
    except (TypeError, ValueError, tf.errors.InvalidArgumentError, tf.errors.NotFoundError, tf.errors.UnimplementedError):
        return False
    return True


def _assert_one_by_one(call, *batches):
    whole = call(*batches)
    singles = tf.stack([call(*(batch[number] for batch in batches)) for number in range(_COUNT)])
    if whole.dtype.is_floating:
        np.testing.assert_allclose(whole.numpy(), singles.numpy(), rtol=1e-6)
    else:
        np.testing.assert_array_equal(whole.numpy(), singles.numpy())


def _inputs_of(op):
    from tensorflow.python.framework import op_def_registry

    return [argument.name for argument in op_def_registry.get(op).input_arg]


@pytest.mark.parametrize("op", sorted(_UNARY))
def test_an_op_of_one_input_gives_the_batch_of_its_results(op):
    first = _inputs_of(op)[0]
    others = _ATTRIBUTES.get(op, {})

    def call(value):
        return getattr(tf.raw_ops, op)(**{first: value}, **others)

    seen = set()
    for kind in ("float32", "int32", "bool", "string", "base64"):
        for shape in _SHAPES[1 if op in _NEEDS_AXIS else 0 :]:
            batch = _values(kind, shape)
            if _takes(call, batch[0]):
                _assert_one_by_one(call, batch)
                seen.add(shape)
    assert seen >= set(_SHAPES[1:]), "no values were found that it takes"


@pytest.mark.parametrize("op", sorted(_BROADCASTING))
@pytest.mark.parametrize("fixed", [(), (4,), (3, 1, 4), None])
def test_an_op_that_broadcasts_keeps_the_elements_apart(op, fixed):
    """``fixed`` is the shape of an operand that is the same for all elements, None where both belong to the element."""
    names = _inputs_of(op)

    def call(*values):
        return getattr(tf.raw_ops, op)(**dict(zip(names, values, strict=True)))

    seen = 0
    for kind in ("float32", "int32", "bool"):
        for shape in _SHAPES:
            if len(shape) < len(fixed or ()):
                continue
            one, other = _values(kind, shape), _values(kind, shape if fixed is None else fixed, 2)
            constant = other[0]
            condition = _values("bool", shape)
            for operands in _operands(op, one, other, constant, condition, is_fixed=fixed is not None):
                call_with, batches = operands
                if _takes(lambda *parts, use=call_with: call(*use(*parts)), *(batch[0] for batch in batches)):
                    _assert_one_by_one(lambda *parts, use=call_with: call(*use(*parts)), *batches)
                    seen += 1
    assert seen, "no values were found that it takes"


def _operands(op, one, other, constant, condition, *, is_fixed):
    """Yield how to call the op with the parts that belong to an element, and those parts."""
    if op == "SelectV2":
        yield (lambda yes, value: (yes, value, constant if is_fixed else value), [condition, one])
    elif is_fixed:
        yield (lambda value: (value, constant), [one])
        yield (lambda value: (constant, value), [one])
    else:
        yield (lambda value, more: (value, more), [one, other])


@pytest.mark.parametrize("op", sorted(_REDUCTIONS))
@pytest.mark.parametrize("keep", [False, True])
def test_a_reduction_along_axes_from_the_end_keeps_the_elements_apart(op, keep):
    kind = "bool" if op in {"All", "Any"} else "float32"
    for shape in _SHAPES[1:]:
        for axes in ([-1], [-1, -2])[: len(shape)]:
            _assert_one_by_one(
                lambda value, axes=axes: getattr(tf.raw_ops, op)(input=value, axis=axes, keep_dims=keep), _values(kind, shape)
            )


_SPECIAL_CALLS = {
    "ArgMax": lambda value: tf.raw_ops.ArgMax(input=value, dimension=-1),
    "ArgMin": lambda value: tf.raw_ops.ArgMin(input=value, dimension=-1),
    "ClipByValue": lambda value: tf.raw_ops.ClipByValue(t=value, clip_value_min=0.3, clip_value_max=0.6),
    "ConcatV2": lambda value: tf.raw_ops.ConcatV2(values=[value, value * 2], axis=-1),
    "Cumprod": lambda value: tf.raw_ops.Cumprod(x=value, axis=-1),
    "Cumsum": lambda value: tf.raw_ops.Cumsum(x=value, axis=-1, reverse=True),
    "ExpandDims": lambda value: tf.raw_ops.ExpandDims(input=value, axis=-1),
    "GatherV2": lambda value: tf.raw_ops.GatherV2(params=[[1, 2], [3, 4]], indices=tf.cast(value > 0.5, tf.int32), axis=0),
    "OneHot": lambda value: tf.raw_ops.OneHot(
        indices=tf.cast(value > 0.5, tf.int32), depth=5, on_value=1, off_value=0, axis=-1
    ),
    "Pack": lambda value: tf.raw_ops.Pack(values=[value, value * 2], axis=-1),
    "ReverseV2": lambda value: tf.raw_ops.ReverseV2(tensor=value, axis=[-1]),
    "Softmax": lambda value: tf.raw_ops.Softmax(logits=value),
    "Squeeze": lambda value: tf.raw_ops.Squeeze(input=value[..., None], axis=[-1]),
    "StridedSlice": lambda value: value[..., 1:3],
}
_NEED_MORE = frozenset({"DecodeCSV", "LookupTableFindV2", "ParseExampleV2"})  # what they read is made in other tests


@pytest.mark.parametrize("op", sorted(_SPECIAL.keys() - _NEED_MORE))
def test_an_op_with_a_rule_of_its_own_keeps_the_elements_apart(op):
    for shape in _SHAPES[1:]:
        _assert_one_by_one(_SPECIAL_CALLS[op], _values("float32", shape))
