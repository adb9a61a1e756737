"""Turns elements into digests, and digests into comparisons that do not need the elements any more.

A digest covers dtype, shape and bytes of each tensor of an element (ragged and sparse ones by their parts; strings with
their lengths). Two elements with one digest are equal bit for bit. Reads elements only.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any  # elements are nests of TensorFlow's values

import numpy as np
import numpy.typing as npt

DIGEST_BYTES = 16
ROUNDING = 1e-6  # relative to the largest magnitude in the tensor


@dataclass(frozen=True, slots=True)
class ElementDigest:
    """What is kept of one element."""

    content: bytes
    layout: bytes  # of types and shapes alone
    size: int  # bytes


def flatten(element: Any) -> list[npt.NDArray[Any] | None]:
    """Return the arrays an element is made of, without copying them; None for an absent component."""
    import tensorflow as tf

    return [None if part is None else np.asarray(part.numpy()) for part in tf.nest.flatten(element, expand_composites=True)]


def digest(arrays: Sequence[npt.NDArray[Any] | None]) -> ElementDigest:
    """Return the digest of one flattened element."""
    content, layout, size = hashlib.blake2b(digest_size=DIGEST_BYTES), hashlib.blake2b(digest_size=DIGEST_BYTES), 0
    for array in arrays:
        if array is None:
            content.update(b"none")
            layout.update(b"none")
            continue
        header = f"{'string' if array.dtype == object else array.dtype}{array.shape}".encode()
        content.update(header)
        layout.update(header)
        size += _update(content, array)
    return ElementDigest(content.digest(), layout.digest(), size)


def equal_within_rounding(left: Sequence[npt.NDArray[Any] | None], right: Sequence[npt.NDArray[Any] | None]) -> bool:
    """Say whether two flattened elements differ by no more than floating-point rounding.

    Floating-point tensors may differ by ``ROUNDING`` (or one unit of a shorter type) of their largest magnitude; all
    others must be equal.
    """
    if len(left) != len(right):
        return False
    return all(_close(one, other) for one, other in zip(left, right, strict=True))


def _close(left: npt.NDArray[Any] | None, right: npt.NDArray[Any] | None) -> bool:
    if left is None or right is None:
        return left is right
    if left.dtype != right.dtype or left.shape != right.shape:
        return False
    precision = _float_precision(left.dtype)
    if precision is None:
        return bool(np.array_equal(left, right))
    wide = np.complex128 if left.dtype.kind == "c" else np.float64
    one, other = left.astype(wide), right.astype(wide)
    magnitude = np.abs(one[np.isfinite(one)])
    allowed = max(ROUNDING, precision) * (float(magnitude.max()) if magnitude.size else 0.0)
    return bool(np.allclose(one, other, rtol=0.0, atol=allowed, equal_nan=True))


def _float_precision(dtype: np.dtype[Any]) -> float | None:
    """Return the spacing of 1.0 of a floating-point type, None for other types."""
    if dtype.kind in "fc":
        return float(np.finfo(dtype).eps)
    return {"bfloat16": 2.0**-7, "float8_e4m3fn": 2.0**-3, "float8_e5m2": 2.0**-2}.get(dtype.name)


def _update(content: Any, array: npt.NDArray[Any]) -> int:
    if array.dtype != object:
        data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        content.update(data)
        return int(data.nbytes)
    size = 0
    for item in array.ravel():
        text = item if isinstance(item, bytes) else bytes(item)
        content.update(struct.pack("<q", len(text)))
        content.update(text)
        size += len(text)
    return size
