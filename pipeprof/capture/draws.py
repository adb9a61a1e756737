"""Which random ops of a function draw once for a whole call.

The one idea: an op whose result is a single value (or the corner of a crop) gives every element of a batch the same draw. Only
static shapes count, and no draw inside a loop does, which may run once for each element. It reads graphs and runs nothing.
"""

from __future__ import annotations

from typing import Any  # TensorFlow's graphs carry no types

from pipeprof.capture.elementwise import called_graph

_CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})
_CROP = "random_crop/"  # tf.image.random_crop's name scope: it draws one corner, a number for each axis
_MAX_DEPTH = 8


def single_draws(graph: Any, drawn: frozenset[str], depth: int = 0) -> tuple[str, ...]:  # Any: a FuncGraph
    """Return the types of the random ops that draw one value for a whole call, sorted.

    Args:
        graph: of the function.
        drawn: types of op that give other values at the next call.
        depth: of nested calls.
    """
    found: set[str] = set()
    for operation in graph.get_operations():
        if operation.type in drawn and _draws_once(operation):
            found.add(operation.type)
        inner = called_graph(operation) if operation.type in _CALLS and depth < _MAX_DEPTH else None
        if inner is not None:
            found.update(single_draws(inner, drawn, depth + 1))
    return tuple(sorted(found))


def _draws_once(operation: Any) -> bool:
    shape = operation.outputs[0].shape if operation.outputs else None
    if shape is None or not shape.is_fully_defined():
        return False
    return shape.num_elements() == 1 or (_CROP in operation.name and shape.rank == 1)
