"""What two pipelines say of their elements before any is read: structure, types, shapes and number.

Nothing here reads an element.
"""

from __future__ import annotations

from typing import Any  # TensorFlow's specs carry no types

from pipeprof.advise.replayable import Replayable

_UNKNOWN_CARDINALITY = -2


def unsupported_spec(spec: Any) -> str:
    """Say why elements of this spec are not compared, "" where they are."""
    import tensorflow as tf

    for part in tf.nest.flatten(spec):
        if isinstance(part, tf.data.DatasetSpec):
            return "elements that are datasets (window) are not compared"
        if not isinstance(part, tf.TensorSpec | tf.RaggedTensorSpec | tf.SparseTensorSpec | type(None)) and (
            type(part).__name__ not in {"NoneTensorSpec", "IndexedSlicesSpec"}
        ):
            return f"elements of {type(part).__name__.removesuffix('Spec')} are not compared"
        if isinstance(part, tf.TensorSpec) and part.dtype in (tf.variant, tf.resource):
            return "elements that are handles are not compared"
    return ""


def spec_difference(original: Any, changed: Any) -> str:
    """Return how the specs differ, "" where the changed one is equal or more exact."""
    import tensorflow as tf

    if original == changed:
        return ""
    try:
        tf.nest.assert_same_structure(original, changed)
    except (TypeError, ValueError):
        return "the structure of the elements changed"
    for one, other in zip(tf.nest.flatten(original), tf.nest.flatten(changed), strict=True):
        if one != other and not other.is_subtype_of(one):
            return f"element_spec changed from {one} to {other}"
    return ""


def cardinality_difference(original: Replayable, changed: Replayable) -> str:
    """Return how the numbers of elements differ as far as TensorFlow states them, "" where they do not."""
    before, after = int(original.load().cardinality()), int(changed.load().cardinality())
    if before == after or _UNKNOWN_CARDINALITY in {before, after}:
        return ""
    return f"cardinality changed from {before} to {after}"
