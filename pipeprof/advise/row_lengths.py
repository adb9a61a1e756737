"""Reads how long the rows are that a padded batch is made of, from a replay of what stands before it.

Which component of a row counts as its length is found by its static shape. Nothing of the user's program is touched.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any  # TensorFlow's datasets and specs carry no types

from pipeprof.errors import TrialError

FEWEST_BATCHES = 4
MOST_ROWS = 4096
_ROW = "row"


@dataclass(frozen=True, kw_only=True, slots=True)
class Component:
    """The part of a row whose length counts."""

    path: str  # as Python writes it: "row", "row[0]", "row['words']"
    unpacks: bool  # whether a function takes the row as several arguments


def component_of(spec: Any, shapes: Any) -> Component:
    """Return the first component of a row that may be of any length, and is padded to the longest of its batch.

    Args:
        spec: of a row.
        shapes: to which it is padded: the same nest, of lists of sizes, None for what the batch decides.

    Raises:
        TrialError: there is none.
    """
    import tensorflow as tf

    for path, part in _parts(spec, _ROW):
        shape = part.shape if isinstance(part, tf.TensorSpec) else None
        if shape is not None and shape.rank and shape[0] is None and _at(shapes, path)[0] is None:
            return Component(path=path, unpacks=type(spec) is tuple)
    raise TrialError("no component of the rows varies in its first dimension, and is padded to the longest of its batch")


def length_of(component: Component) -> Any:
    """Return the function that gives a row's length, as ``bucket_by_sequence_length`` asks for it."""
    import tensorflow as tf

    def length(*arguments: Any) -> Any:
        row = arguments if component.unpacks else arguments[0]
        return tf.shape(_at(row, component.path))[0]

    return length


def read_lengths(rows: Any, component: Component, batch: int, limit_s: float) -> list[int]:
    """Return the lengths of the first rows: some thousands, or as many as the time allows.

    Raises:
        TrialError: those are too few for a few batches, or they cannot be read.
    """
    import tensorflow as tf

    until, found = time.monotonic() + limit_s, []
    try:
        for length in rows.map(length_of(component)).take(max(MOST_ROWS, FEWEST_BATCHES * batch)):
            found.append(int(length))
            if time.monotonic() > until:
                break
    except tf.errors.OpError as error:
        raise TrialError(f"the rows cannot be read: {type(error).__name__}") from error
    if len(found) < FEWEST_BATCHES * batch:
        slow = f" in {limit_s:.0f} s" if time.monotonic() > until else ""
        raise TrialError(f"{len(found):,} rows{slow} are too few to see how long they are")
    return found


def _parts(spec: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(spec, dict):
        for key, part in spec.items():
            yield from _parts(part, f"{path}[{key!r}]")
    elif type(spec) is tuple:
        for index, part in enumerate(spec):
            yield from _parts(part, f"{path}[{index}]")
    else:
        yield path, spec


def _at(row: Any, path: str) -> Any:
    """Return the component of a row at a path that ``component_of`` made."""
    for key, part in _parts(row, _ROW):
        if key == path:
            return part
    raise TrialError(f"the rows have no {path}")
